"""What was raised in another process: as plain data, and as an exception again.

An exception travels with those that it consists of and that led to it: a list, in which they refer to each other by number.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn

from spark.errors import RemoteError
from spark.graphs.executors.values import Sent, ValueCodec
from spark.graphs.values.failures import (
    carried_stack,
    error_to_repeat,
    loaded_class,
    made_again,
    says_the_same,
    stack_of,
)
from spark.graphs.values.remade import Remains, regrouped, remade, remains_of
from spark.wording import shortened

_LONGEST_TRACEBACK: Final = 20_000
"""Characters."""
_LARGEST: Final = 256 * 1024
"""Bytes of what an exception is made of; it is not sent if there are more."""
_MOST_LINKED: Final = 100
"""So many exceptions travel with one; causes of causes that go beyond that are left out, and members of groups never."""


class RemoteTraceback(Exception):
    """Where an error was raised in a worker, as text: what the run's error, or the first of its causes, has as its cause."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def failure_data(error: BaseException, codec: ValueCodec | None = None) -> dict[str, Any]:
    """An exception as plain data.

    :param codec: encodes what it is made of; without one, only texts and numbers are sent.
    """
    taken, numbers = [error], {id(error): 0}

    def number(other: BaseException) -> int:
        if id(other) not in numbers:
            numbers[id(other)] = len(taken)
            taken.append(other)
        return numbers[id(other)]

    entries = [_entry(each, codec, number, may_link=len(taken) < _MOST_LINKED) for each in taken]  # which grows
    data, data["others"] = entries[0], entries[1:]
    with suppress(Exception):  # whatever its __str__ does
        data["traceback"] = shortened("".join(traceback.format_exception(error)), _LONGEST_TRACEBACK)
    return data


def failure_from(data: Mapping[str, Any], codec: ValueCodec | None = None) -> Exception:
    """The exception that was sent: of its own type where that can be imported and made as it was, else a ``RemoteError``.

    A group comes back as a group, with each of its members made in the same way.
    """
    entries = [data, *data.get("others", ())]
    made: dict[int, Exception] = {}

    def error(number: int) -> Exception:
        if number not in made:
            members = [error(each) for each in entries[number].get("members", ())]
            made[number] = _error_from(entries[number], members, codec)
        return made[number]

    for number, entry in enumerate(entries):
        for name, other in entry.get("links", {}).items():
            _set(error(number), name, error(other))
        _set(error(number), "__suppress_context__", entry.get("is_context_hidden", False))
    if "traceback" in data and (first := _first_shown(error(0))) is not None:
        _set(first, "__cause__", RemoteTraceback(data["traceback"]))
    return error(0)


def raise_from(data: Mapping[str, Any], codec: ValueCodec | None = None) -> NoReturn:
    """Raise the exception that was sent."""
    raise failure_from(data, codec)


def _entry(
    error: BaseException, codec: ValueCodec | None, number: Callable[[BaseException], int], *, may_link: bool
) -> dict[str, Any]:
    data = error_to_repeat(error)
    data["stack"] = stack_of(error)
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        data["notes"] = [str(note) for note in notes]
    remains = remains_of(error)
    if isinstance(error, BaseExceptionGroup):
        data["text"], data["members"] = error.message, [number(each) for each in error.exceptions]
        remains = remains._replace(args=())
    data["remains"] = _sent(remains, codec) if codec is not None else None
    links = {"__cause__": error.__cause__, "__context__": error.__context__} if may_link else {}
    data["links"] = {name: number(other) for name, other in links.items() if other is not None}
    data["is_context_hidden"] = error.__suppress_context__
    return data


def _sent(remains: Remains, codec: ValueCodec) -> Sent | None:
    """What an exception is made of as it travels, without those of its attributes that can't be sent."""
    with suppress(Exception):
        sent = codec.encode([*remains], "an error")
        return sent if sent.size <= _LARGEST else None
    kept = {name: value for name, value in remains.state.items() if _can_be_sent(value, codec)}
    return _sent(Remains(remains.args, kept, is_whole=False), codec) if len(kept) < len(remains.state) else None


def _can_be_sent(value: Any, codec: ValueCodec) -> bool:
    with suppress(Exception):
        codec.encode(value, "an error")
        return True
    return False


def _error_from(data: Mapping[str, Any], members: list[Exception], codec: ValueCodec | None) -> Exception:
    with suppress(Exception):  # what a module raises that can't be imported here
        importlib.import_module(str(data["type"]).partition(":")[0])
    error = _group_from(data, members, codec) if members else _single_from(data, codec)
    if error is None:
        kind, message = str(data["type"]), str(data["message"])
        shown = kind.replace(":", ".").removeprefix("builtins.")
        error = RemoteError(f"{shown}: {message}", type=kind, message=message)
    with suppress(Exception):  # of a class that takes none
        for note in data.get("notes", ()):
            error.add_note(note)
    if data.get("stack"):
        carried_stack(error, data["stack"])
    return error


def _single_from(data: Mapping[str, Any], codec: ValueCodec | None) -> Exception | None:
    cls, remains = loaded_class(data), _remains_from(data, codec)
    if cls is None or remains is None:
        return made_again(data)
    return remade(cls, remains, is_same=lambda error: says_the_same(error, data))


def _group_from(data: Mapping[str, Any], members: list[Exception], codec: ValueCodec | None) -> Exception | None:
    cls = loaded_class(data) if data["type"] != "builtins:BaseExceptionGroup" else ExceptionGroup
    remains = _remains_from(data, codec) or Remains((), {}, is_whole=False)
    return regrouped(cls, str(data["text"]), members, remains) if cls is not None else None


def _remains_from(data: Mapping[str, Any], codec: ValueCodec | None) -> Remains | None:
    if data.get("remains") is not None and codec is not None:
        with suppress(Exception):  # a type that is not known here
            return Remains(*codec.decode(data["remains"], "an error"))
    return None


def _first_shown(error: Exception) -> Exception | None:
    """The first that Python shows when it prints an error, with its causes before it; None if they lead back to each other."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if not isinstance(before, Exception):
            return error
        error = before
    return None


def _set(error: Exception, name: str, value: Any) -> None:
    BaseException.__setattr__(error, name, value)  # a frozen dataclass would refuse it
