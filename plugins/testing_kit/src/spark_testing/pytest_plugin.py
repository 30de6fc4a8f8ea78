"""What pytest finds wherever this distribution is installed: fixtures, and the guard of the suites.

It imports nothing of ours before a test needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

pytest.register_assert_rewrite(
    "spark_testing.backends", "spark_testing.serializers", "spark_testing.triggers", "spark_testing.leaks"
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Have the suites guarded, if there are any."""
    if "spark_testing.conformance" not in sys.modules:
        return (yield)
    from spark_testing.guard import Guard

    guard = Guard.of(session, items)
    config.pluginmanager.register(guard)
    result = yield
    items += guard.complaints(session)
    return result
