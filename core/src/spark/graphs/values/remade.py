"""An exception taken apart, and made again: with ``__init__`` where that takes its ``args``, else without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import MethodDescriptorType
from typing import Any, Final, NamedTuple, TypeVar

Error = TypeVar("Error", bound=BaseException)
_OURS: Final = frozenset({"__notes__", "_spark_stack"})
"""Attributes that are carried by themselves."""


class Remains(NamedTuple):
    """What an exception is made of."""

    args: tuple[Any, ...]
    state: dict[str, Any]
    """Its attributes."""
    is_whole: bool
    """These are all of them, and nothing of its class decides how it is made again."""


def remains_of(error: BaseException) -> Remains:
    """What an exception is made of, as ``pickle`` would ask: an ``OSError`` has a file name that is not among its ``args``."""
    with suppress(Exception):  # whatever its __reduce__ does
        reduced: Any = error.__reduce__()
        made, args, state = (*reduced, {})[:3]
        if made is type(error) and type(args) is tuple and isinstance(state, dict):
            is_usual = isinstance(type(error).__reduce__, MethodDescriptorType)  # not written by its author
            return Remains(args, _attributes(error, state), is_whole=is_usual)
    return Remains(error.args, _attributes(error, {}), is_whole=False)


def remade(cls: type[Error], remains: Remains, *, is_same: Callable[[Error], bool]) -> Error | None:
    """The exception that was taken apart; None if its class allows neither way, or it comes out as another one."""
    ways = (cls, lambda *args: _without_init(cls, *args))
    for way in ways if remains.is_whole else ways[:1]:
        with suppress(Exception):  # whatever its class does
            made = way(*remains.args)
            _give(made, remains.state)
            if type(made) is cls and is_same(made):
                return made
    return None


def regrouped(cls: type[Any], text: str, members: Sequence[Exception], remains: Remains) -> ExceptionGroup[Any] | None:
    """A group of these members; None if its class does not allow that."""
    for way in (cls, lambda *args: BaseExceptionGroup.__new__(cls, *args)):
        with suppress(Exception):
            made = way(text, members)
            _give(made, remains.state)
            if isinstance(made, ExceptionGroup) and made.exceptions == tuple(members):
                return made
    return None


def _attributes(error: BaseException, state: dict[str, Any]) -> dict[str, Any]:
    own = object.__getstate__(error)
    slots = own[1] if type(own) is tuple else {}
    found = {**vars(error), **state, **slots}
    return {name: value for name, value in found.items() if name not in _OURS}


def _without_init(cls: type[Error], *args: Any) -> Error:
    made = cls.__new__(cls, *args)
    native = next(each for each in cls.__mro__ if each.__module__ == "builtins")
    native.__init__(made, *args)  # type: ignore[misc]
    return made


def _give(error: BaseException, state: dict[str, Any]) -> None:
    try:
        error.__setstate__(state)
    except AttributeError:  # of a frozen dataclass
        vars(error).update(state)
