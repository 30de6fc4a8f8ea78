"""What can be shown on a stream: how wide it is, whether it takes colours, and which characters."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final, Self, TextIO

_WIDTH, _HEIGHT = 80, 24
"""Of a terminal that does not say."""
_PLAIN_LOCALES: Final = frozenset({"C", "POSIX"})
_COERCED: Final = frozenset({"", "C.UTF-8", "C.utf8", "UTF-8"})
"""``LC_CTYPE``, if Python has set it because the locale was C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A terminal, or a file or pipe, which is as wide as it takes."""

    encoding: str
    """What text is encoded in; ``"ascii"`` on a terminal whose locale promises no more."""
    width: int | None = None
    """In cells; None where nothing needs to fit."""
    height: int | None = None
    """In lines; the same."""
    has_colour: bool = False
    """Whether it is a terminal that takes colours, and nobody has asked for none: https://no-color.org."""
    can_move: bool = False
    """Whether it is a terminal on which a view can change in place."""

    @classmethod
    def of(cls, stream: TextIO) -> Self:
        """What this stream is right now: windows change their size."""
        encoding = getattr(stream, "encoding", None) or "utf-8"
        if not stream.isatty():
            return cls(encoding=encoding)
        width, height = _size(stream)
        is_dumb = os.environ.get("TERM", "dumb") == "dumb"
        return cls(
            encoding="ascii" if _is_plain_locale() else encoding,
            width=width,
            height=height,
            has_colour=not is_dumb and not os.environ.get("NO_COLOR"),
            can_move=not is_dumb,
        )

    def narrower(self, width: int) -> Self:
        """The same without so many cells, which something else takes."""
        return self if self.width is None else replace(self, width=self.width - width)


def _size(stream: TextIO) -> tuple[int, int]:
    try:
        width, height = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # it has no file, or says nothing
        width = height = 0
    given = os.environ.get("COLUMNS", ""), os.environ.get("LINES", "")
    of_user = [int(text) if text.isdecimal() else 0 for text in given]
    return of_user[0] or width or _WIDTH, of_user[1] or height or _HEIGHT


def _is_plain_locale() -> bool:
    """Whether the locale is said to be C. Python itself takes that for UTF-8, terminals need not."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = os.environ.get(name, "")
        if name == "LC_CTYPE" and value in _COERCED:
            continue
        if value:
            return value in _PLAIN_LOCALES
    return False
