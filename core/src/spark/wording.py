"""How messages quote what somebody wrote: shortened, on one line, and with the nearest right name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LONGEST_NAME: Final = 80


def shortened(text: str, longest: int = 200) -> str:
    """The text, cut off if it has more than this many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown_name(name: str) -> str:
    """A name as messages show it: as it is, unless it is long or holds what can't be printed."""
    short = shortened(name, _LONGEST_NAME)
    return short if short.isprintable() else repr(short)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if any is like it at all."""
    import difflib  # slow to import, and needed only after a mistake

    return next(iter(difflib.get_close_matches(name[:_LONGEST_NAME], sorted(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'trigger'?"``, or nothing when no known name is near."""
    close = nearest(name, known)
    return f" Did you mean {close!r}?" if close and close != name else ""


def kind_of(value: object) -> str:
    """What kind of value this is, in the words of TOML."""
    return _KINDS.get(type(value), type(value).__name__)


def raised(error: BaseException) -> str:
    """What was raised, to be followed by the end of a sentence or more of it: ``"ValueError: too long"``."""
    said = str(error).removesuffix(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def a_kind(kind: str) -> str:
    """What plugins provide, with its article: ``"an observer"``, ``"a retention rule"``."""
    said = {"retention": "retention rule", "types": "bundle of types"}.get(kind, kind)
    return f"{'an' if said[0] in 'aeiou' else 'a'} {said}"


_KINDS: Final[dict[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "an array",
    dict: "a table",
}
