"""How messages quote what somebody wrote."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import SecretStr

from spark.wording import choices_of, did_you_mean, nearest, shortened, shown_name, what_fits


def test_a_long_text_is_cut_off_at_the_limit() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"


@pytest.mark.parametrize(
    ("name", "shown"), [("url", "url"), ("a\nb", r"'a\nb'"), ("k" * 100, "k" * 79 + "…"), ("\x1b[2J", r"'\x1b[2J'")]
)
def test_a_name_is_shown_on_one_line(name: str, shown: str) -> None:
    assert shown_name(name) == shown


def test_the_nearest_known_name_is_suggested() -> None:
    known = {"trigger", "retention"}

    assert nearest("triger", known) == "trigger"
    assert did_you_mean("triger", known) == " Did you mean 'trigger'?"


@pytest.mark.parametrize("name", ["zzz", "trigger"], ids=["nothing is near", "the name is right"])
def test_nothing_is_suggested_in_vain(name: str) -> None:
    assert did_you_mean(name, {"trigger", "retention"}) == ""


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (int, "a whole number"),
        (int | None, "a whole number"),
        (int | float, "a whole number or a number"),
        (bool | str, "true or false, or text"),
        (SecretStr, "text"),
        (Path, "text"),
        (Literal["max", "min"], "'max' or 'min'"),
        (Literal["a", "b", "c"] | None, "'a', 'b' or 'c'"),
        (Colour, "'red' or 'blue'"),
        (list, "an array"),
        (list[str], "an array of texts"),
        (tuple[int, ...], "an array of whole numbers"),
        (Sequence[Colour], "an array"),
        (dict[str, int], "a table"),
        (Mapping[str, Any], "a table"),
        (Annotated[float, "seconds"], "a number"),
    ],
    ids=str,
)
def test_what_a_type_takes_is_said_in_the_words_of_files(declared: Any, said: str) -> None:
    assert what_fits(declared) == said


def test_a_type_that_lists_its_values_tells_them() -> None:
    assert choices_of(Literal["max", "min"] | None) == ["max", "min"]
    assert choices_of(int) == choices_of(int | str) == []
