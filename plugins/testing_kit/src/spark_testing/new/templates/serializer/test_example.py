"""Compiled patterns come back from a checkpoint as they were, and so does everything else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from spark_serializer_example.serializer import ExampleSerializer


@pytest.mark.parametrize("pattern", [re.compile("a+", re.IGNORECASE), re.compile(b"\x00|\xff")])
def test_a_pattern_comes_back_as_it_was(pattern: re.Pattern[Any]) -> None:
    serializer = ExampleSerializer()

    assert serializer.deserialize(serializer.serialize(pattern)) == pattern


def test_a_dict_that_looks_like_a_pattern_stays_a_dict() -> None:
    serializer = ExampleSerializer()
    lookalike = {"example": ["pattern", "a+", 32]}

    assert serializer.deserialize(serializer.serialize(lookalike)) == lookalike
