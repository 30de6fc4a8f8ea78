"""The codec gives back what it sealed, and nothing else."""

from __future__ import annotations

import pytest
from spark_codec_example.codec import ExampleCodec

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import InMemoryCheckpointBackend

KEY = "a key of the test, long enough to be one"


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_a_change_is_noticed(place: int) -> None:
    codec = ExampleCodec(KEY)
    stored = bytearray(codec.encode(b"content"))
    stored[place] ^= 1

    with pytest.raises(ValueError, match="seal"):
        codec.decode(bytes(stored), limit=100)


def test_another_key_does_not_fit() -> None:
    stored = ExampleCodec(KEY).encode(b"content")

    with pytest.raises(ValueError, match="seal"):
        ExampleCodec("a key of somebody else").decode(stored, limit=100)


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_EXAMPLE_KEY", KEY)

    assert ExampleCodec().decode(ExampleCodec(KEY).encode(b"content"), limit=100) == b"content"


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_EXAMPLE_KEY", raising=False)

    with pytest.raises(GraphDefinitionError, match="at least 16 characters"):
        InMemoryCheckpointBackend(codec="example")
