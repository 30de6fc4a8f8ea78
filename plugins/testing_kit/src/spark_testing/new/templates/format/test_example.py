"""The format keeps the promise of formats, and writes what other readers of CBOR understand."""

from __future__ import annotations

import pytest
from spark_format_example.format import ExampleFormat

from spark.graphs.checkpoint.storage import format_class
from spark_testing import FormatConformance


class TestExample(FormatConformance):
    safe_to_load = True

    @pytest.fixture
    def format(self) -> ExampleFormat:
        return ExampleFormat()


def test_it_is_chosen_by_its_name() -> None:
    assert format_class("example") is ExampleFormat


@pytest.mark.parametrize(
    ("tree", "written"),
    [
        (24, "1818"),
        (-500, "3901f3"),
        (1.1, "fb3ff199999999999a"),
        ({"a": [1, None, True]}, "a1616183 01f6f5"),
        ("ü", "62c3bc"),
    ],
)
def test_it_writes_what_the_standard_says(tree: object, written: str) -> None:
    """Examples of RFC 8949, appendix A."""
    assert ExampleFormat().dumps(tree) == bytes.fromhex(written)
