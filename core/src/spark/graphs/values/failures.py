"""What is kept of an exception: a few plain values in a checkpoint, and notes on the exception itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any, Final, NamedTuple

from spark.errors import DurableCallError
from spark.graphs.values.loaded import class_name, find_loaded
from spark.graphs.values.snapshots import add_copier
from spark.wording import shortened

LONGEST_MESSAGE: Final = 2_000
"""Characters."""
_LONGEST_NAME: Final = 500
_MOST_ARGS: Final = 10
_PLAIN_ARGS: Final = frozenset({str, int, float, bool, type(None)})
_LONGEST_FACT: Final = 200
"""Longer texts are not among what can be searched for."""
_DEEPEST_STACK: Final = 10
_CARRIED: Final = "_spark_stack"


@dataclass(frozen=True, slots=True)
class ItemError:
    """What a join gets in the place of an item's result when the item has failed, of a map with ``on_error="collect"``."""

    index: int
    """The item's place, from 0."""
    key: Any
    """Its key, where the map runs over a mapping."""
    error: str
    """The type of what was raised, such as ``"ValueError"``; with its module where it is not built in."""
    message: str
    node: str
    """The key of the node that failed."""

    @classmethod
    def of(cls, error: BaseException, *, index: int, key: Any, node: str) -> ItemError:
        """What is kept of an exception."""
        return cls(
            index, key, _plain(_type_name(error), _LONGEST_NAME), _plain(message_of(error), LONGEST_MESSAGE), node
        )


class FailedAttempt(NamedTuple):
    """Why the attempt before this one failed: ``context.last_error``."""

    type: str
    """The type of what was raised, such as ``"ValueError"``; with its module where it is not built in."""
    message: str
    """Its message; ``""`` where checkpoints are not to hold messages."""
    attempt: int
    """Which attempt it was: 1 for the first execution."""
    time: datetime
    """When it failed."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> FailedAttempt:
        """What ``error_data`` described."""
        return cls(data["type"], data["message"], data["attempt"], datetime.fromisoformat(data["time"]))


ItemError.__module__ = "spark.graphs"  # where users import it from, and what stored data calls it
FailedAttempt.__module__ = "spark.graphs"
add_copier(ItemError, lambda error: error)


def error_data(error: BaseException, *, node: str | None, attempt: int, time: datetime) -> dict[str, Any]:
    """What ``execution_metadata["error"]`` says of an exception: plain values that any format can write.

    :param node: the key of the node that failed; None when it was something else.
    :param attempt: how often that step was executed: 1 for the first time.
    """
    return {
        "type": _plain(_type_name(error), _LONGEST_NAME),
        "message": _plain(message_of(error), LONGEST_MESSAGE),
        "node": node,
        "attempt": attempt,
        "time": time.isoformat(),
        "stack": stack_of(error),
    }


def error_to_repeat(error: BaseException) -> dict[str, Any]:
    """What a journal keeps of an exception, so that ``error_again`` can make it again: plain values."""
    data: dict[str, Any] = {
        "type": _plain(class_name(type(error)), _LONGEST_NAME),
        "message": _plain(message_of(error), LONGEST_MESSAGE),
    }
    args = _args_of(error)
    if len(args) <= _MOST_ARGS and all(type(each) in _PLAIN_ARGS for each in args):
        data["args"] = [_plain(each, LONGEST_MESSAGE) if type(each) is str else each for each in args]
    return data


def _args_of(error: BaseException) -> tuple[Any, ...]:
    """What it is made with, as ``pickle`` would ask: an ``OSError`` has a file name that is not among its ``args``."""
    with suppress(Exception):  # whatever its __reduce__ does
        made = error.__reduce__()
        if type(made) is tuple and made[0] is type(error) and type(made[1]) is tuple:
            return made[1]
    return error.args


def error_again(data: Mapping[str, Any], *, what: str) -> Exception:
    """The exception that was kept: of its own type where that is loaded and can be made as it was, else a ``DurableCallError``.

    :param what: whose error it is.
    """
    if (made := made_again(data)) is not None:
        return made
    kind, message = str(data["type"]), str(data["message"])
    return DurableCallError(
        f"{what} had failed with {kind.replace(':', '.').removeprefix('builtins.')}: {message}",
        type=kind,
        message=message,
    )


def made_again(data: Mapping[str, Any]) -> Exception | None:
    """The exception that ``error_to_repeat`` described, if its type is loaded, and says the same when it is made again."""
    cls = loaded_class(data)
    if cls is not None:
        with suppress(Exception):
            made = cls(*data.get("args", (str(data["message"]),)))
            if type(made) is cls and says_the_same(made, data):
                return made
    return None


def loaded_class(data: Mapping[str, Any]) -> type[Exception] | None:
    """The type of what ``error_to_repeat`` described, if it is loaded."""
    module, _, qualname = str(data["type"]).partition(":")
    return find_loaded(Exception, module, qualname)


def says_the_same(error: BaseException, data: Mapping[str, Any]) -> bool:
    """Whether it has the message of what ``error_to_repeat`` described."""
    return _plain(message_of(error), LONGEST_MESSAGE) == str(data["message"])


def error_facts(error: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of it among its searchable metadata, for those who list runs: short texts."""
    facts = {"error_type": error.get("type"), "error_message": error.get("message"), "error_node": error.get("node")}
    return {name: shortened(text, _LONGEST_FACT) for name, text in facts.items() if isinstance(text, str)}


def message_of(error: BaseException) -> str:
    """The message of an exception, if it has a readable one."""
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} without a readable message>"


def brief(error: BaseException) -> str:
    """An exception in one line: its type and the beginning of its message."""
    return f"{type(error).__name__}: {_plain(message_of(error), 200)}"


def add_note(error: BaseException, note: str) -> None:
    """Add our note to an exception, unless its class takes none, as a frozen dataclass does."""
    with suppress(Exception):
        error.add_note(f"spark-graphs: {note}")


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


_ENGINE: Final = str(Path(brief.__code__.co_filename).parents[1])
"""Our folder, as code names it: in an app built with PyInstaller, that is not where modules say that they are."""


def carried_stack(error: BaseException, stack: list[list[Any]]) -> None:
    """Have ``stack_of`` return this for an error that was raised in another process."""
    with suppress(Exception):  # of a class that takes no attributes
        error.__dict__[_CARRIED] = stack


def stack_of(error: BaseException) -> list[list[Any]]:
    """File, line and function of the innermost frames, outermost first, without those in which the engine called the node."""
    carried = getattr(error, "__dict__", {}).get(_CARRIED)
    return carried if carried else _stack(error.__traceback__)


def _stack(trace: TracebackType | None) -> list[list[Any]]:
    frames = deque(((frame.f_code, line) for frame, line in walk_tb(trace)), maxlen=_DEEPEST_STACK)
    while len(frames) > 1 and frames[0][0].co_filename.startswith(_ENGINE):
        frames.popleft()
    return [
        [_plain(code.co_filename, _LONGEST_NAME), line, _plain(code.co_qualname, _LONGEST_NAME)]
        for code, line in frames
    ]


def _plain(text: str, longest: int) -> str:
    """A plain string that can be written as UTF-8."""
    return shortened(text, longest).encode("utf-8", "backslashreplace").decode()
