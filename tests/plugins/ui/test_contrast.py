"""Every text can be read: the contrast of the colours of the style sheet, light and dark, by WCAG 2.2 AA."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = (files("spark_ui") / "static" / "style.css").read_text(encoding="utf-8")
TOKENS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", STYLE)
}
GROUNDS = ("ground", "surface", "raised")
TEXTS = ("text", "muted", "accent", "good", "bad", "wait", "ask", "still")
PAIRS = [
    *((text, ground, 4.5) for text in TEXTS for ground in GROUNDS),
    *((text, f"{text}-soft", 4.5) for text in ("accent", "good", "bad", "wait", "ask", "still")),
    *((text, ground, 4.5) for text in ("text", "muted") for ground in ("accent-soft", "still-soft")),
    ("on-accent", "accent", 4.5),
    *(("border", ground, 3.0) for ground in GROUNDS),
    *(("accent", ground, 3.0) for ground in (*GROUNDS, "accent-soft")),
]
"""Text and ground, and by how much they must differ: frames and marks of focus by 3."""


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground", "least"), PAIRS)
def test_every_pair_of_colours_can_be_told_apart(text: str, ground: str, least: float, theme: str) -> None:
    assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= least


def test_colours_are_named_once() -> None:
    """So that the theme, and this test, see all of them."""
    rules = STYLE.split("\n}\n", 1)[1]

    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", rules) == []
