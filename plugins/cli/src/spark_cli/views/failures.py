"""Why a run failed: as it was raised here, or as a checkpoint records it in ``execution_metadata["error"]``.

Anybody may have written what is recorded, so whatever is not as expected is shown as it is, or left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from traceback import TracebackException
from typing import Any, Final

import typer

import spark.errors
import spark_cli
from spark.errors import SparkError
from spark_cli.terminal.output import shortened
from spark_cli.terminal.signs import MORE

_FEW: Final = 5
"""So many frames of a stack are shown of one that is not shown in full."""
_OURS: Final = (
    *(str(Path(module.__file__ or "").parent) for module in (spark.errors, spark_cli, typer, importlib)),
    "<frozen importlib",
)
"""Where the library, this command, and what calls it or imports for it are."""
_OWN_NOTE: Final = "spark-graphs: "


def traceback_of(error: BaseException, *, with_note: bool = True) -> str:
    """What Python would show of an error that the code of a program raised, from this code on.

    Frames of the library before that say nothing, and an error of its own needs none.

    :param with_note: with the library's note, which says in which node it was.
    """
    shown = TracebackException.from_exception(error)
    frames = list(shown.stack)
    none = len(frames) if isinstance(error, SyntaxError | SparkError) else 0  # code that can't be read has no frame
    first = next((at for at, frame in enumerate(frames) if not frame.filename.startswith(_OURS)), none)
    del shown.stack[:first]
    if not shown.stack:
        shown.stack = None  # type: ignore[assignment]  # so that there is no headline
    if not with_note and shown.__notes__ is not None:
        shown.__notes__ = [note for note in shown.__notes__ if not note.startswith(_OWN_NOTE)]
    return "".join(shown.format())


def in_lines(error: Any, *, is_whole: bool = True) -> Iterator[str]:
    """What failed, where and when, and the stack, innermost last.

    :param is_whole: the whole stack, and not just where the error comes from.
    """
    if not isinstance(error, Mapping):
        return
    yield shortened(f"{error.get('type', 'unknown')}: {error.get('message', '')}")
    node, attempt, time = error.get("node"), error.get("attempt"), error.get("time")
    yield f"    in node {node!r}, attempt {attempt}, at {time}" if node is not None else f"    at {time}"
    stack = error.get("stack")
    frames = list(stack) if isinstance(stack, list | tuple) else []
    hidden = 0 if is_whole else max(len(frames) - _FEW, 0)
    if hidden:
        yield f"    {MORE} {hidden:,} more; --verbose shows them"
    for frame in frames[hidden:]:
        if isinstance(frame, list | tuple) and len(frame) == 3:
            yield shortened(f"    {frame[0]}:{frame[1]} in {frame[2]}")
