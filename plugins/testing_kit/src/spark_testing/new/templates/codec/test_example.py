"""The codec keeps the promise of codecs, and gets its key from where it should."""

from __future__ import annotations

import pytest
from spark_codec_example.codec import ExampleCodec

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_testing import CodecConformance

KEY = "a key of the test, long enough to be one"


class TestExample(CodecConformance):
    hides = False  # it seals, and does not encrypt

    @pytest.fixture
    def codec(self) -> ExampleCodec:
        return ExampleCodec(KEY)

    @pytest.fixture
    def another(self) -> ExampleCodec:
        return ExampleCodec("the key of somebody else")


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_EXAMPLE_KEY", KEY)

    assert ExampleCodec().decode(ExampleCodec(KEY).encode(b"content"), limit=100) == b"content"


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_EXAMPLE_KEY", raising=False)

    with pytest.raises(GraphDefinitionError, match="at least 16 characters"):
        InMemoryCheckpointBackend(codec="example")
