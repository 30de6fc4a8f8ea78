"""Figures and texts as people read them: with units, in one line, and with nothing invisible in them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup, escape

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SEEN: Final = frozenset("\n\t\u00a0\u200c\u200d\u202f\u3000")
"""What Python does not call printable, and yet belongs in texts: line breaks, spaces, and what joins letters."""
_UNSEEN: Final = re.compile(r"[^ -~\n]")


def spelt(value: Any) -> Any:
    """A text with what can't be seen spelt as Python does: control characters, marks that turn the direction, lone surrogates."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return _UNSEEN.sub(lambda match: _spelt(match[0]), value)


def as_filled_in(text: str) -> Markup:
    """A text for a field of a form, which sends it back: nothing is spelt, and nothing is HTML."""
    return escape(text.encode("utf-8", "replace").decode())


def cut(text: str, longest: int) -> str:
    """The text, or its beginning with an ellipsis where it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def count(number: int) -> str:
    """A number with its thousands apart: ``12 345``, by narrow spaces that do not break."""
    return f"{number:,}".replace(",", "\u202f") if abs(number) >= 10_000 else str(number)


def counted(number: int, what: str) -> str:
    """So many of something: ``1 question``, ``3 questions``."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """So many bytes with a unit, in three digits: ``0 B``, ``12.0 kB``, ``1.20 GB``; a kB has 1000 bytes."""
    if number < 1000:
        return f"{number} B"
    amount = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            return f"{f'{amount:#.3g}'.rstrip('.') if amount < 999.5 else f'{amount:.0f}'} {unit}"
    raise AssertionError("the last unit takes every number")


def duration(seconds: float) -> str:
    """A time in its largest unit: ``45 s``, ``12 min``, ``3 h``, ``9 d``."""
    whole = max(0, int(seconds))
    for length, unit in _UNITS:
        if whole >= length:
            return f"{whole // length} {unit}"
    return "0 s"


def ago(then: datetime, now: datetime) -> str:
    """How long ago: ``12 min``."""
    return duration((now - then).total_seconds())


def until(then: datetime, now: datetime) -> str:
    """How far ahead, ``in 12 min``; where that is over, ``due for 3 min``."""
    seconds = (then - now).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else f"due for {duration(-seconds)}"


def moment(then: datetime) -> str:
    """A moment in UTC, to the second."""
    return then.strftime("%Y-%m-%d %H:%M:%S UTC")


def _spelt(letter: str) -> str:
    if letter.isprintable() or letter in _SEEN:
        return letter
    return letter.encode("unicode_escape").decode("ascii")
