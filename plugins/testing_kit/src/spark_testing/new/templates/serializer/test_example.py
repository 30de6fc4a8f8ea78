"""The serializer keeps the promise of serializers: patterns come back, and so does everything else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from spark_serializer_example.serializer import ExampleSerializer

from spark.graphs.checkpoint import CheckpointSerializer
from spark_testing import SerializerConformance


class TestExample(SerializerConformance):
    @pytest.fixture
    def serializer(self) -> CheckpointSerializer:
        return ExampleSerializer()

    @pytest.fixture
    def values(self) -> list[Any]:
        return [re.compile("a+", re.IGNORECASE), re.compile(b"\x00|\xff"), re.compile("")]


def test_a_dict_that_looks_like_a_pattern_stays_a_dict() -> None:
    serializer = ExampleSerializer()
    lookalike = {"example": ["pattern", "a+", 32]}

    assert serializer.deserialize(serializer.serialize(lookalike)) == lookalike
