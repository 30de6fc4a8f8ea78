"""How messages quote what somebody wrote."""

import pytest

from spark.wording import did_you_mean, nearest, shortened, shown_name


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
