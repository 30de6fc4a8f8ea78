"""SIGINT and SIGTERM: the run is cancelled, so that it is saved, and then the process dies of the signal, as parents expect."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from spark_cli.output import tell_lines

Result = TypeVar("Result")

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


async def until_stopped(work: Coroutine[Any, Any, Result]) -> Result:
    """What the work returns; when a signal stops it, or something in it exits, the notes on the exception are shown first."""
    with _cancelling(asyncio.current_task()) as received:
        try:
            return await work
        except (asyncio.CancelledError, SystemExit) as error:
            for number in received[:1]:
                tell_lines(f"spark: stopped by {number.name}")
            for note in getattr(error, "__notes__", ()):
                tell_lines(f"spark: {note}")
            for number in received[:1]:
                _die_of(number)
            raise


@contextmanager
def stopping(stop: asyncio.Event) -> Iterator[None]:
    """Within it, the first such signal sets the event, and another one cancels the task."""
    task = asyncio.current_task()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        if not stop.is_set():
            tell_lines(f"spark: {number.name}: runs stop at their next boundary; the same signal again cancels them")
        stop.set()

    with _handling(on_signal):
        yield


@contextmanager
def _cancelling(task: asyncio.Task[Any] | None) -> Iterator[list[signal.Signals]]:
    """Within it, such a signal cancels the task, and is recorded."""
    received: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    with _handling(on_signal):
        yield received


@contextmanager
def _handling(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError, RuntimeError, ValueError):  # on Windows, and outside the main thread
        for number in _ENDING:
            loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            for number in _ENDING:
                loop.remove_signal_handler(number)


def _die_of(number: signal.Signals) -> None:
    """End at once: an orderly exit would wait without bound for nodes that block a thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
