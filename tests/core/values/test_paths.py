"""An error about a value says which part of it is to blame, whoever found out: the copy that was made of it, or a format."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.storage import RecordCodec
from spark.graphs.values.paths import find_unserializable
from spark.graphs.values.snapshots import snapshot
from spark_format_pickle import PickleFormat

LOCK = threading.Lock()


class Unfit:
    """Neither copied nor pickled."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("it is unfit")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, (2, LOCK)]}, "['a'][1][1]"),
        ({"a": SimpleNamespace(connection=LOCK)}, "['a'].connection"),
        ([{1: Unfit()}], "[0][1]"),
        (LOCK, ""),
    ],
)
def test_copies_and_formats_name_the_same_part(value: Any, path: str) -> None:
    with pytest.raises(SerializationError) as of_copy:
        snapshot(value, path="state", key="k")
    with pytest.raises(SerializationError) as of_format:
        RecordCodec(PickleFormat(signing_key="key")).check(value, "state['k']")

    assert of_copy.value.path == of_format.value.path == f"state['k']{path}"


def test_a_format_that_writes_a_whole_checkpoint_names_the_section() -> None:
    checkpoint = GraphCheckpoint("c", "g", datetime(2024, 5, 1, tzinfo=UTC), graph_state={"a": [LOCK]})

    with pytest.raises(SerializationError) as caught:
        RecordCodec(PickleFormat(signing_key="key")).encode(checkpoint, sequence=1, manual=True, nonce="n")

    assert caught.value.path == "graph_state['a'][0]"


def test_the_search_ends_also_in_a_value_that_contains_itself() -> None:
    value: list[Any] = []
    value.append(value)

    path, part = find_unserializable(value, lambda part: False)

    assert (len(path), part) == (300, value)
