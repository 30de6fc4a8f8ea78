"""The only place that writes to the terminal: JSON for scripts, aligned columns for people, and no control characters in either.

What a store holds, a plugin says or an error quotes may hold escape sequences, newlines that look like another row, or marks
that reverse the direction of text. So nothing else in this package prints.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

_LONGEST: Final = 200


def say(line: str) -> None:
    """A line of the result, to standard output."""
    _write(one_line(line), sys.stdout)


def say_lines(text: str) -> None:
    """Several lines of it, where the text has its newlines."""
    _write(text, sys.stdout)


def tell(line: str) -> None:
    """A line of everything else, to standard error."""
    _write(one_line(line), sys.stderr)


def tell_lines(text: str) -> None:
    """Several. All but the first are indented, so that none looks like a message of its own."""
    _write(text.rstrip("\n").replace("\n", "\n  "), sys.stderr)


def say_json(value: Any) -> None:
    """Any value as JSON, in ASCII; what JSON can't express is shown as Python would."""
    say_lines(json.dumps(plain(value), indent=2))


def say_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns, below their titles; without rows, nothing."""
    if not rows:
        return
    lines = [[one_line(cell) for cell in row] for row in (titles, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def one_line(text: str) -> str:
    """The text with everything that is not printable spelt out as Python does, newlines as well."""
    return text if text.isprintable() else "".join(map(_spelt, text))


def shortened(text: str) -> str:
    """The text, cut off if it has more than 200 characters."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def plain(value: Any) -> Any:
    """The value with nothing in it but what JSON knows."""
    from pydantic_core import to_jsonable_python

    # By way of strings that are spelt out where no encoding has a word for them: a lone surrogate has none.
    try:
        return to_jsonable_python(value, fallback=repr, bytes_mode="base64", inf_nan_mode="strings")
    except ValueError:
        return to_jsonable_python(_speakable(value), fallback=repr, bytes_mode="base64", inf_nan_mode="strings")


@contextmanager
def spelling_out() -> Iterator[None]:
    """Within it, warnings and what is logged without a handler are written here, too."""
    last_resort, logging.lastResort = logging.lastResort, _Teller(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_warning
            yield
    finally:
        logging.lastResort = last_resort


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell_lines(self.format(record))


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    tell_lines(f"spark: {category.__name__}: {message}")


def _write(text: str, stream: TextIO) -> None:
    shown = "\n".join(map(one_line, text.split("\n")))
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=stream is sys.stderr)


def _spelt(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")


def _speakable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_speakable(key): _speakable(inner) for key, inner in value.items()}
    return [_speakable(inner) for inner in value] if isinstance(value, list | tuple | set | frozenset) else value
