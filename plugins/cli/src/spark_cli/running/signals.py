"""SIGINT and SIGTERM: the first one drains what runs, a second one cancels it, and a third one kills the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

import typer

from spark_cli.terminal.output import tell, tell_lines

Result = TypeVar("Result")

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_TO_EXIT: Final = 1.0
"""Seconds that an orderly exit gets once all is saved and said."""


class Stopping:
    """What such signals do to some work.

    :param drain: asks it to stop at a boundary; called in the signal handler.
    :param says: what is said then.
    """

    def __init__(self, drain: Callable[[], object], *, says: str) -> None:
        self._drain = drain
        self._says = says
        self.received: list[signal.Signals] = []
        """Those that came."""

    def wait_for(self, work: Coroutine[Any, Any, Result], *, show: Callable[[Result], int]) -> NoReturn:
        """Do the work, and end the command. After a signal, that takes a second, even if a node blocks a thread.

        :param show: shows the result, and returns the exit code.
        """
        with asyncio.Runner() as runner:  # closing it waits for threads, without bound
            with redirect_stdout(sys.stderr):  # what nodes print, so that a script finds nothing but the result
                result = runner.run(self._watched(work))
            code = show(result)
            if self.received:
                timer = threading.Timer(_TO_EXIT, _exit_at_once, (code,))
                timer.daemon = True
                timer.start()
            raise typer.Exit(code)

    async def _watched(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work returns. When it is cancelled, or something in it exits, the notes on the exception are shown first."""
        with self._handling():
            try:
                return await work
            except (asyncio.CancelledError, SystemExit) as error:
                for number in self.received[:1]:
                    tell_lines(f"spark: stopped by {number.name}")
                for note in getattr(error, "__notes__", ()):
                    tell_lines(f"spark: {note}")
                for number in self.received[:1]:
                    _die_of(number)
                raise

    @contextmanager
    def _handling(self) -> Iterator[None]:
        """Plain signal handlers: a third signal kills even a process whose event loop is blocked."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.received.append(signal.Signals(number))
            if len(self.received) == 1:
                self._drain()
                loop.call_soon_threadsafe(tell, f"spark: {self.received[0].name}: {self._says}")
            elif len(self.received) == 2:
                loop.call_soon_threadsafe(task.cancel)
            else:
                _kill(number)

        before: dict[signal.Signals, Any] = {}
        with suppress(ValueError):  # outside the main thread
            for each in _ENDING:
                before[each] = signal.signal(each, on_signal)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _die_of(number: signal.Signals) -> None:
    """End at once, as a parent expects of a process that was stopped by the signal."""
    _flush()
    _kill(number)


def _kill(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _exit_at_once(code: int) -> None:
    _flush()
    os._exit(code)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
