"""What a worker process does: it executes the steps that it is sent, one after the other."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

from spark.errors import ExecutorError
from spark.graphs.executors import Message, StepInput, StepResult, WorkerStep
from spark_executor_process import kinds
from spark_executor_process.line import Line, Packet, packed
from spark_executor_process.settings import WorkerSettings
from spark_executor_process.shared_file import SharedFile

LAST_WORDS: Final = 2.0
"""Seconds that a worker takes at most to end when it is asked to."""
_NONE: Final = object()
_SHORT: Final = 0.02
"""Seconds: of a step that takes longer, a thread of its own sees whether it is cancelled."""


def serve(
    connection: Connection, inbox: SharedFile | None, outbox: SharedFile | None, settings: WorkerSettings
) -> None:
    """Execute steps until the program says that there are no more, or is gone."""
    _ignore_signals()
    if sys.platform != "win32":  # where no handle is inherited that was not meant to be
        os.set_inheritable(connection.fileno(), False)
    if settings.memory_limit is not None:
        _limit_memory(settings.memory_limit)
    line = Line(connection, outbox=outbox, inbox=inbox, shares_from=settings.shared_memory_from)
    _Serving(line, settings).run()


class _Serving:
    """The steps of this worker.

    One thread reads what the program sends, at any time: the main thread between steps, and while a step runs whoever waits for a
    reply. Where a step takes longer, a thread does so that is there for nothing else: it sees that the step is cancelled, or the
    program gone. So a short step costs no change of threads.

    :param line: to the program.
    """

    def __init__(self, line: Line, settings: WorkerSettings) -> None:
        self._line = line
        self._pack = _cloudpickled if settings.packs_code else None
        self._came = threading.Condition()
        self._is_read = False
        """A thread waits for what comes next."""
        self._next: tuple[int, StepInput, WorkerStep] | None = None
        self._current: tuple[int, WorkerStep] | None = None
        self._is_over = False
        self._replies: dict[int, Any] = {}
        self._numbers = itertools.count(1)
        self._pid = os.getpid()
        self._watch = threading.Event()
        """Wakes the thread that reads while steps take longer."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def run(self) -> None:
        """Execute steps in this thread, until there are no more."""
        watcher = threading.Thread(target=self._read_during_steps, name="spark-process-listener", daemon=True)
        watcher.start()
        self._send(packed((kinds.READY,)))
        with asyncio.Runner() as loop:
            while True:
                self._read_until(lambda: self._next is not None or self._is_over)
                if self._next is None:
                    return
                sent, self._next = self._next, None
                self._watch.set()
                self._execute(*sent, loop)

    def tell(self, number: int, message: Message) -> None:
        """Send what a step tells its run."""
        self._line.send(packed((kinds.TELL, number, message)))

    def ask(self, number: int, message: Message) -> Any:
        """Send what a step asks its run, and wait for the reply.

        :raises ExecutorError: none will come.
        """
        asked = next(self._numbers)
        try:
            self._line.send(packed((kinds.ASK, number, asked, message)))
        except OSError as error:
            raise ExecutorError(f"The run of this step can't be reached: {error}.") from error
        self._read_until(lambda: asked in self._replies)
        reply = self._replies.pop(asked)
        if reply is _NONE:
            raise ExecutorError("The step has ended: what uses its context afterwards is lost.")
        return reply

    def _execute(self, number: int, step: StepInput, execution: WorkerStep, loop: asyncio.Runner) -> None:
        if step.is_timed:
            execution.load()
            self._send(packed((kinds.BEGAN, number)))
        result = execution.run(loop)
        if os.getpid() != self._pid:  # of a process that the node has forked
            os._exit(1)
        self._current = None  # before the program can send the next one
        self._send_result(number, result)
        self._line.trim()

    def _send_result(self, number: int, result: StepResult) -> None:
        try:
            packet = packed((kinds.DONE, number, *result))
        except Exception as error:
            packet = packed((kinds.UNSENT, number, f"{type(error).__name__}: {error}"))
        self._send(packet)

    def _send(self, packet: Packet) -> None:
        """Send what only the main thread sends. When the program is gone, this process ends."""
        try:
            self._line.send(packet, may_share=True)
        except OSError:
            os._exit(1)

    def _read_during_steps(self) -> None:
        """What the thread does that is there for longer steps. It sleeps while there is no step."""
        while True:
            if self._current is None:
                self._watch.clear()
                if self._current is None:
                    self._watch.wait()
            seen = self._current
            time.sleep(_SHORT)
            if seen is not None and self._current is seen:
                self._read_until(lambda seen=seen: self._current is not seen)  # type: ignore[misc]

    def _read_until(self, is_there: Callable[[], bool]) -> None:
        """Return when something has come. When the program is gone, this process ends."""
        with self._came:
            while not is_there():
                if self._is_read:
                    self._came.wait()
                    continue
                self._is_read = True
                self._came.release()
                try:
                    message = self._line.receive(copies=False)
                except (EOFError, OSError):
                    os._exit(1)
                except Exception as error:
                    self._send(packed((kinds.UNREAD, repr(error))))
                    os._exit(1)
                finally:
                    self._came.acquire()
                    self._is_read = False
                self._take(*message)
                self._came.notify_all()

    def _take(self, kind: str, *parts: Any) -> None:
        if kind == kinds.STEP:
            number, *fields = parts
            step = StepInput(*fields)
            self._next = number, step, WorkerStep(step, _Link(self, number), pack=self._pack)
            self._current = number, self._next[2]
        elif kind == kinds.CANCEL:
            if self._current is not None and self._current[0] == parts[0]:
                self._current[1].cancel()
        elif kind in (kinds.REPLY, kinds.GONE):
            number, *rest = parts
            self._replies[number] = rest[0] if rest else _NONE
        elif kind == kinds.STOP:
            self._is_over = True
            threading.Thread(target=_end_soon, name="spark-process-end", daemon=True).start()

    def _forked(self) -> None:
        """This is a process that a node has forked: the line to the program is not its own."""
        self._line.abandon()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_soon() -> None:
    """End the process, even if a thread that a node has left holds it up."""
    time.sleep(LAST_WORDS)
    os._exit(0)


class _Link:
    """A ``StepLink``."""

    def __init__(self, serving: _Serving, number: int) -> None:
        self._serving = serving
        self._number = number

    def tell(self, message: Message) -> None:
        self._serving.tell(self._number, message)

    def ask(self, message: Message) -> Any:
        return self._serving.ask(self._number, message)


def _ignore_signals() -> None:
    """Ctrl-C, and what stops a service, reach all processes of a group: the program decides what becomes of its steps."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # and not SIG_IGN, which programs that nodes start would inherit
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _limit_memory(limit: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, most = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def _cloudpickled(code: Any) -> bytes:
    import cloudpickle  # type: ignore[import-untyped]

    packed_code: bytes = cloudpickle.dumps(code)
    return packed_code
