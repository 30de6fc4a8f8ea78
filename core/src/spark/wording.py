"""How messages quote what somebody wrote: shortened, on one line, with the nearest right name; and how they say what fits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from os import PathLike
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

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


def what_fits(declared: Any) -> str:
    """What a declared type takes, in the words of TOML, which has no ``None``: ``"a whole number"``, ``"'max' or 'min'"``."""
    kind, inner = get_origin(declared) or declared, get_args(declared)
    if kind is Annotated:
        return what_fits(inner[0])
    if choices := choices_of(declared):
        return _either([repr(choice) for choice in choices])
    if kind in _UNIONS:
        return _either([what_fits(each) for each in inner if each is not NoneType])
    if not isinstance(kind, type):
        return str(declared)
    if issubclass(kind, Collection) and not issubclass(kind, str | bytes | Mapping):
        return _ARRAYS.get(what_fits(inner[0]) if inner else "", "an array")
    return _kind(kind)


def choices_of(declared: Any) -> list[Any]:
    """The values that a declared type takes, if it lists them."""
    if isinstance(declared, type) and issubclass(declared, Enum):
        return [choice.value for choice in declared]
    inner = [each for each in get_args(declared) if each not in (None, NoneType)]
    if get_origin(declared) is Literal:
        return inner
    return choices_of(inner[0]) if get_origin(declared) in _UNIONS and len(inner) == 1 else []


def _kind(kind: type) -> str:
    if issubclass(kind, PathLike) or hasattr(kind, "get_secret_value"):
        return _KINDS[str]
    return _KINDS[dict] if issubclass(kind, Mapping) else _KINDS.get(kind, kind.__name__)


def _either(kinds: list[str]) -> str:
    *others, last = dict.fromkeys(kinds)
    between = ", or " if any(" or " in kind for kind in kinds) else " or "
    return f"{', '.join(others)}{between}{last}" if others else last


_UNIONS: Final = (Union, UnionType)
_KINDS: Final[dict[type, str]] = {
    NoneType: "None",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "an array",
    dict: "a table",
}
_ARRAYS: Final = {
    "text": "an array of texts",
    "a whole number": "an array of whole numbers",
    "a number": "an array of numbers",
    "a table": "an array of tables",
}
