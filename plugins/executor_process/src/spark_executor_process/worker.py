"""One worker, as the program sees it: its process, the connection to it, and a thread that takes what it sends."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, Protocol

from spark.errors import ExecutorError
from spark.graphs.executors import StepResult
from spark_executor_process import kinds
from spark_executor_process.job import Job
from spark_executor_process.line import Line, Packet, packed
from spark_executor_process.losses import why_lost
from spark_executor_process.serving import LAST_WORDS, serve
from spark_executor_process.settings import WorkerSettings
from spark_executor_process.shared_file import SharedFile

_INLINE: Final = 64 * 1024
_NUMBERS: Final = itertools.count(1)
_MOMENT: Final = 0.5
"""Seconds: who has lost the connection to a process that is ending sees that it has ended within that time."""
_STARTING: Final = threading.Lock()
"""``multiprocessing`` counts on processes being started one after the other."""


class Owner(Protocol):
    """What a worker belongs to."""

    def freed(self, worker: Worker) -> Job | None: ...

    def lost(self, worker: Worker, why: str, *, was_ready: bool) -> None: ...


class Worker:
    """A process that executes one step at a time.

    :param owner: says what it does next, and is told when it has ended.
    """

    def __init__(self, owner: Owner, settings: WorkerSettings) -> None:
        self._owner = owner
        self._settings = settings
        self.job: Job | None = None
        """What it executes. The owner sets it, and sees to it that nothing else is sent meanwhile."""
        self.steps: int = 0
        """So many it has executed."""
        self.is_ready: bool = False
        self._is_killed = False
        self._process: BaseProcess | None = None
        self._line: Line | None = None
        self._thread = threading.Thread(target=self._live, name=f"spark-process-{next(_NUMBERS)}", daemon=True)

    def start(self) -> None:
        """Start the process, in the background."""
        try:
            self._thread.start()
        except RuntimeError as error:  # there are too many, or the program is at its end
            self._owner.lost(self, f"no worker process could be started: {error}.", was_ready=False)

    def begin(self, job: Job) -> None:
        """Send it the step that it was given. Waits while that is large."""
        assert self._line is not None
        try:
            self._line.send(job.packet, may_share=True)
        except OSError:  # it ended while it was idle, or can't receive that much
            job.is_undelivered = True
            self.kill()
        except Exception as error:
            job.error_if_lost = ExecutorError(f"Node {job.key!r} could not be sent to its worker process: {error!r}.")
            self.kill()

    def cancel(self, job: Job) -> None:
        """Ask it to cancel its step."""
        self._send(packed((kinds.CANCEL, job.number)))

    def retire(self) -> None:
        """Ask it to end; it has no step."""
        self._send(packed((kinds.STOP,)))

    def kill(self) -> None:
        """End it by force."""
        self._is_killed = True
        if self._process is not None:
            with suppress(ValueError, OSError):  # it has ended
                self._process.kill()

    def join(self) -> None:
        """Return when it has ended."""
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * LAST_WORDS)
            self.kill()
            self._thread.join()

    def forget(self) -> None:
        """This process was forked: the worker belongs to the other one."""
        if self._line is not None:
            self._line.abandon()

    def _live(self) -> None:
        """What its thread does."""
        try:
            self._open()
        except Exception as error:
            self._release()
            self._owner.lost(self, f"no worker process could be started: {error}", was_ready=False)
            return
        broken = self._listen()
        code, pid = self._end()
        limit = self._settings.memory_limit
        why = broken or why_lost(code, pid=pid, was_ready=self.is_ready, memory_limit=limit)
        self._owner.lost(self, why, was_ready=self.is_ready)

    def _open(self) -> None:
        methods = multiprocessing.get_context(self._settings.start_method)
        ours, its = methods.Pipe()
        outbox, inbox = SharedFile.create(), SharedFile.create()
        self._line = Line(ours, outbox=outbox, inbox=inbox, shares_from=self._settings.shared_memory_from)
        process = methods.Process(target=serve, args=(its, outbox, inbox, self._settings), name=self._thread.name)  # type: ignore[attr-defined]
        with its, _STARTING, _without_interrupts(), _without_unreadable_script():
            process.start()
        self._process = process
        if self._is_killed:
            self.kill()

    def _listen(self) -> str:
        """Take what it sends, until it ends. Returns what is wrong, if that can't be read."""
        assert self._line is not None
        try:
            while True:
                self._take(*self._line.receive(copies=True))
        except Exception as error:
            if isinstance(error, EOFError | OSError) and self._ends_within(_MOMENT):
                return ""
            wrong = error
        self.kill()
        return f"what its worker process sent can't be read: {wrong!r}. A node must only use file descriptors that it has opened."

    def _take(self, kind: str, *parts: Any) -> None:
        job = self.job
        if kind == kinds.READY:
            self.is_ready = True
            self._take_next()
            return
        if kind == kinds.UNREAD:
            if job is not None:
                job.error_if_lost = ExecutorError(
                    f"The worker process of node {job.key!r} could not receive what was sent to it: {parts[0]}."
                )
            return
        number, *rest = parts
        if job is None or job.number != number:  # of a thread that has outlived its step
            if kind == kinds.ASK:
                self._send(packed((kinds.GONE, rest[0])))
        elif kind == kinds.DONE:
            self._ended(job, StepResult(*rest))
        elif kind == kinds.UNSENT:
            self._ended(job, ExecutorError(f"The result of node {job.key!r} can't be sent back: {rest[0]}."))
        elif kind == kinds.TELL:
            job.channel.tell(rest[0])
        elif kind == kinds.ASK:
            asked, message = rest
            job.channel.ask(message, lambda value: self._reply(asked, value))
        elif kind == kinds.BEGAN:
            job.channel.began()

    def _ended(self, job: Job, end: Any) -> None:
        assert self._line is not None
        self._line.trim()
        self.steps += 1
        following = self._owner.freed(self)  # before its run continues, which may send the next one
        job.settle(end)
        if following is not None:
            self.begin(following)

    def _take_next(self) -> None:
        following = self._owner.freed(self)
        if following is not None:
            self.begin(following)

    def _reply(self, number: int, value: Any) -> None:
        try:
            packet = packed((kinds.REPLY, number, value))
        except Exception:
            packet = packed((kinds.GONE, number))
        if packet.size <= _INLINE:
            self._send(packet)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._send(packet)
        else:
            loop.run_in_executor(None, self._send, packet)

    def _send(self, packet: Packet) -> None:
        if self._line is not None:
            with suppress(OSError):  # it has ended: its thread takes care of that
                self._line.send(packet)

    def _release(self) -> None:
        if self._line is not None:
            self._line.close()

    def _end(self) -> tuple[int | None, int | None]:
        """Its exit code and its pid."""
        assert self._process is not None
        self._release()
        process, pid = self._process, self._process.pid
        if not self._ends_within(LAST_WORDS):
            process.kill()
        process.join()
        code = process.exitcode
        with suppress(ValueError):  # where somebody else took its exit code, as the system does if SIGCHLD is ignored
            process.close()
        return code, pid

    def _ends_within(self, seconds: float) -> bool:
        """Whether its process has ended, after so many seconds at most."""
        assert self._process is not None
        return bool(wait([self._process.sentinel], seconds)) or not self._process.is_alive()


if hasattr(os, "register_at_fork"):  # a fork in the middle of a start would keep the lock for ever
    os.register_at_fork(before=_STARTING.acquire, after_in_parent=_STARTING.release, after_in_child=_STARTING.release)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """What is started within does not see Ctrl-C before it says that it ignores that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_unreadable_script() -> Iterator[None]:
    """What is started within does not look for the script of a program that came from standard input."""
    main = vars(sys.modules["__main__"])
    file = main.get("__file__")
    if not str(file).startswith("<"):
        yield
        return
    del main["__file__"]
    try:
        yield
    finally:
        main["__file__"] = file
