"""The only place that writes to the terminal: JSON for scripts, lines for people, and no control characters in either.

What a store holds, a plugin says or an error quotes may hold escape sequences, newlines that look like another row, or marks
that reverse the direction of text. So nothing else in this package prints. Colours are added here, after that.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO, TypeAlias

from spark_cli.terminal.cells import cells, cut
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.signs import IN_ASCII, MORE

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from spark.graphs.checkpoint import RawObject

_LONGEST: Final = 200
_FOR_ASCII: Final = str.maketrans(IN_ASCII)
_COLOURS: Final = {
    "bold": 1,
    "dim": 2,
    "red": 31,
    "green": 32,
    "yellow": 33,
    "blue": 34,
    "magenta": 35,
    "cyan": 36,
}
"""Styles by their names, as rich has them too."""


class OutputError(Exception):
    """Standard output takes no more: its disk is full, for instance."""


class Span(NamedTuple):
    """Text of one style, which may be anybody's."""

    text: str
    style: str = ""


Line: TypeAlias = Sequence[Span]


def say(line: str) -> None:
    """A line of the result, to standard output."""
    _write(one_line(line), sys.stdout)


def say_spans(lines: Iterable[Line], *, whole: bool = False) -> None:
    """Lines of the result, in colour where there is a terminal for it.

    :param whole: none is cut off at the edge of the terminal.
    """
    screen = Screen.of(sys.stdout)
    edge = replace(screen, width=None) if whole else screen
    for line in lines:
        _put("".join(_painted(span, screen) for span in clipped(line, edge)), sys.stdout)


def say_lines(text: str) -> None:
    """Several lines of it, where the text has its newlines."""
    _write(text, sys.stdout)


def tell(line: str) -> None:
    """A line of everything else, to standard error."""
    _write(one_line(line), sys.stderr)


def tell_lines(text: str) -> None:
    """Several. All but the first are indented, so that none looks like a message of its own."""
    _write(text.rstrip("\n").replace("\n", "\n  "), sys.stderr)


def tell_part(text: str) -> None:
    """Text as it comes, which may end within a line: its newlines and tabs stay."""
    screen = Screen.of(sys.stderr)
    parts = re.split(r"(\r?\n|\t)", text)
    shown_parts = ("\n" if part == "\r\n" else part if part in ("\n", "\t") else shown(part, screen) for part in parts)
    _put("".join(shown_parts), sys.stderr, end="")


def say_json(value: Any) -> None:
    """Any value as JSON, in ASCII; what JSON can't express is shown as Python would."""
    say_lines(json.dumps(plain(value), indent=2))


def one_line(text: str) -> str:
    """The text with everything that is not printable spelt out as Python does, newlines as well."""
    return text if text.isprintable() else "".join(map(_spelt, text))


def shown(text: str, screen: Screen) -> str:
    """The text as this screen can show it, in one line."""
    text = one_line(text)
    if screen.encoding == "ascii" and not text.isascii():
        text = text.translate(_FOR_ASCII)
    return text.encode(screen.encoding, "backslashreplace").decode(screen.encoding)


def clipped(line: Line, screen: Screen) -> Line:
    """The line as this screen can show it: cut off at its edge, and without spaces at its end."""
    spans = [Span(shown(span.text, screen), span.style) for span in line]
    while spans and not spans[-1].text.strip():
        spans.pop()
    if spans:
        spans[-1] = Span(spans[-1].text.rstrip(), spans[-1].style)
    room = screen.width
    if room is None or sum(cells(span.text) for span in spans) <= room:
        return spans
    kept: list[Span] = []
    for span in spans:
        kept.append(Span(cut(span.text, room, mark=shown(MORE, screen)), span.style))
        room -= cells(kept[-1].text)
    return kept


def shortened(text: str) -> str:
    """The text, cut off if it has more than 200 characters."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def plain(value: Any) -> Any:
    """The value with nothing in it but what JSON knows."""
    from pydantic_core import to_jsonable_python

    # By way of strings that are spelt out where no encoding has a word for them: a lone surrogate has none.
    try:
        return to_jsonable_python(value, fallback=_data_of, bytes_mode="base64", inf_nan_mode="strings")
    except ValueError:
        return to_jsonable_python(_speakable(value), fallback=_data_of, bytes_mode="base64", inf_nan_mode="strings")


def is_raw(value: Any) -> TypeIs[RawObject]:
    """Whether this is an object of which only the stored data was read."""
    from spark.graphs.checkpoint import RawObject

    return isinstance(value, RawObject)


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
        from spark_cli.terminal.words import in_words_of_the_command

        tell_lines(in_words_of_the_command(self.format(record)))


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    from spark_cli.terminal.words import in_words_of_the_command

    tell_lines(in_words_of_the_command(f"spark: {category.__name__}: {message}"))


def _write(text: str, stream: TextIO) -> None:
    screen = Screen.of(stream)
    _put("\n".join(shown(line, screen) for line in text.split("\n")), stream)


def _put(text: str, stream: TextIO, *, end: str = "\n") -> None:
    with _written(stream):
        print(text, end=end, file=stream, flush=stream is sys.stderr)


def flush() -> None:
    """Let all of the result be written.

    :raises OutputError: it can't be.
    """
    with _written(sys.stdout):
        sys.stdout.flush()


@contextmanager
def _written(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads has read enough
        raise
    except OSError as error:
        if stream is sys.stdout:  # what can't be told on the other one can't be told at all
            raise OutputError(f"the result can't be written: {error.strerror}.") from None


def _painted(span: Span, screen: Screen) -> str:
    """The text in its colour."""
    code = _COLOURS.get(span.style) if screen.has_colour else None
    return span.text if code is None else f"\x1b[{code}m{span.text}\x1b[0m"


def _spelt(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")


def _data_of(value: Any) -> Any:
    return value.to_data() if is_raw(value) else repr(value)


def _speakable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_speakable(key): _speakable(inner) for key, inner in value.items()}
    return [_speakable(inner) for inner in value] if isinstance(value, list | tuple | set | frozenset) else value
