"""Suites that every implementation of a promise has to pass. Subclass one and give it its fixtures."""

import pytest

pytest.register_assert_rewrite("tests.contract.backend_contract")
