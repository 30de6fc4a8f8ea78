"""Why a run failed, as a checkpoint records it: the error, and its stack with frames of ours folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from spark_ui.views.journal import moment
from spark_ui.views.values import printable

_OURS: Final = ("/spark/graphs/", "/spark/hooks/", "/spark_", "\\spark\\graphs\\", "\\spark\\hooks\\", "\\spark_")


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stack."""

    file: str
    folder: str
    line: int
    function: str
    times: int = 1
    """How often it stands there, one call within the other."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames that stand one after the other: the program's own, or ours."""

    are_ours: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a run recorded."""

    type: str
    module: str
    message: str
    node: str
    attempt: int
    time: datetime | None
    stack: tuple[Frames, ...]
    """Outermost first."""


def failure_of(error: Any) -> Failure | None:
    """What is stored of an error; None when nothing is."""
    if not isinstance(error, Mapping):
        return None
    module, _, name = printable(str(error.get("type") or "unknown error")).rpartition(".")
    attempt = error.get("attempt")
    return Failure(
        type=name,
        module=module,
        message=str(error.get("message") or ""),
        node=str(error.get("node") or ""),
        attempt=attempt if type(attempt) is int else 1,
        time=moment(error.get("time")),
        stack=stack_of(error.get("stack")),
    )


def stack_of(stack: Any) -> tuple[Frames, ...]:
    """A stored stack, outermost frame first."""
    frames = [each for each in stack if _is_frame(each)] if isinstance(stack, list | tuple) else []
    return tuple(
        Frames(are_ours, tuple(_together(_frame(*each) for each in group)))
        for are_ours, group in groupby(frames, key=lambda each: any(part in str(each[0]) for part in _OURS))
    )


def _together(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame, same in groupby(frames):
        yield replace(frame, times=len([*same]))


def _is_frame(frame: Any) -> bool:
    return isinstance(frame, list | tuple) and len(frame) == 3


def _frame(path: Any, line: Any, function: Any) -> Frame:
    folder, separator, file = printable(str(path)).rpartition("\\" if "\\" in str(path) else "/")
    return Frame(file, folder + separator, line if type(line) is int else 0, printable(str(function)))
