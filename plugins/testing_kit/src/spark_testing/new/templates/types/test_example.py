"""The bundle keeps the promise of types: versions and tags come back as they were."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.tags import Tag
from packaging.version import Version
from spark_types_example.plugin import spark_types

from spark_testing import TypesConformance


class TestExample(TypesConformance):
    spec = spark_types()[0]

    @pytest.fixture
    def values(self) -> list[Any]:
        return [
            Version("0"),
            Version("1!2.0rc1.post2.dev3+local.4"),
            Tag("cp311", "abi3", "linux_x86_64"),
            Tag("py3", "none", "any"),
        ]
