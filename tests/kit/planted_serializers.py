"""Serializers with one bug each, and a sound one, under the suite. Run by ``test_planted_types.py``."""

from __future__ import annotations

import re
import threading
from itertools import count
from typing import Any, ClassVar

import pytest

from spark.graphs.checkpoint import CheckpointSerializer
from spark_testing import SerializerConformance


class Fine(CheckpointSerializer):
    name: ClassVar[str] = "planted"

    def serialize(self, obj: Any) -> Any:
        if type(obj) is re.Pattern:
            return {"planted": self.of(obj)}
        if type(obj) is dict and obj.keys() == {"planted"}:
            return {"planted": ["dict", obj["planted"]]}
        return obj

    def of(self, pattern: Any) -> Any:
        return ["pattern", pattern.pattern, pattern.flags]

    def deserialize(self, data: Any) -> Any:
        if type(data) is dict and data.keys() == {"planted"}:
            what, *content = data["planted"]
            return re.compile(content[0], content[1]) if what == "pattern" else {"planted": content[0]}
        return data


class Suite(SerializerConformance):
    kind: type[CheckpointSerializer] = Fine

    @pytest.fixture
    def serializer(self) -> CheckpointSerializer:
        return self.kind()

    @pytest.fixture
    def values(self) -> list[Any]:
        return [re.compile("a+", re.IGNORECASE), re.compile(b"\xff")]


class TestSoundSerializer(Suite):
    pass


class TestNeedless(Suite):
    @pytest.fixture
    def values(self) -> list[Any]:
        return [re.compile("a"), 5]


class TestLoses(Suite):
    class kind(Fine):
        name = "planted"

        def of(self, pattern: Any) -> Any:
            return ["pattern", pattern.pattern, 0]


class TestUntuples(Suite):
    class kind(Fine):
        name = "planted"

        def deserialize(self, data: Any) -> Any:
            return list(data) if type(data) is tuple else super().deserialize(data)


class TestCopies(Suite):
    class kind(Fine):
        name = "planted"

        def serialize(self, obj: Any) -> Any:
            return list(obj) if type(obj) is list else super().serialize(obj)


class TestMistakes(Suite):
    class kind(Fine):
        name = "planted"

        def serialize(self, obj: Any) -> Any:
            return super().serialize(obj) if type(obj) is re.Pattern else obj


class TestCounts(Suite):
    class kind(Fine):
        name = "planted"
        numbers = count()

        def of(self, pattern: Any) -> Any:
            return [*super().of(pattern), next(self.numbers)]


class Box:
    """Something to save that can be changed."""

    def __init__(self, content: list[int]) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]


class TestEmpties(Suite):
    class kind(CheckpointSerializer):
        name = "planted"

        def serialize(self, obj: Any) -> Any:
            if type(obj) is Box:
                content, obj.content = obj.content, []
                return {"box": content, "is": "box"}
            return obj

    @pytest.fixture
    def values(self) -> list[Any]:
        return [Box([1])]


class TestBoundToItsThread(Suite):
    class kind(Fine):
        name = "planted"

        def __init__(self) -> None:
            self.local = threading.local()
            self.local.kind = "pattern"

        def of(self, pattern: Any) -> Any:
            return [self.local.kind, pattern.pattern, pattern.flags]


class TestNameless(Suite):
    class kind(Fine):
        pass


SOUND = ("SoundSerializer",)
BUGS = {
    "Needless": "is_needed",
    "Loses": "come_back_in_a_graph",
    "Untuples": "everything_else",
    "Copies": "leaves_alone",
    "Mistakes": "looks_like",
    "Counts": "same_value",
    "Empties": "is_not_changed",
    "BoundToItsThread": "any_thread",
    "Nameless": "records_name",
}
"""Suite to a part of the name of the test that finds its bug."""
