"""The side of the run: takes messages out of the mailbox, and hands them to the steps that they are for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final

from spark.errors import ExecutorError, WorkerLostError
from spark.graphs.executors import StepChannel
from spark_executor_ray.executor.mailbox import BEGAN, Mail
from spark_executor_ray.executor.stopping import kill
from spark_executor_ray.executor.transport import Address, packed_message, unpacked_message

_UNTIL_ENDED: Final = 5.0
"""Seconds in which Ray reports to a thread that its actor was killed."""


class Inbox:
    """The messages of one step, in order.

    :param forget: called once it is closed.
    """

    def __init__(self, address: Address, channel: StepChannel, forget: Callable[[int], object]) -> None:
        self.address = address
        self._channel = channel
        self._forget = forget
        self._taken = 0
        self._early: dict[int, Mail] = {}
        self._lock = threading.Lock()
        self._waiting: tuple[int, Future[None]] | None = None
        self._is_lost = False

    def take(self, mail: Mail, reply: Callable[[int, Any], object]) -> None:
        """Hand a message over, and those that had overtaken it. In the thread of the mailbox."""
        self._early[mail.number] = mail
        while (following := self._early.pop(self._taken, None)) is not None:
            self._hand_over(following, reply)
            with self._lock:
                self._taken += 1
                waiting = self._waiting
            if waiting is not None and waiting[0] <= self._taken:
                with suppress(InvalidStateError):
                    waiting[1].set_result(None)

    async def until(self, told: int) -> None:
        """Wait until so many messages were handed over.

        :raises WorkerLostError: they never will be.
        """
        with self._lock:
            if self._taken >= told:
                return
            if self._is_lost:
                raise _lost()
            arrived: Future[None] = Future()
            self._waiting = (told, arrived)
        await asyncio.wrap_future(arrived)

    def lose(self) -> None:
        """No message arrives any more."""
        with self._lock:
            self._is_lost = True
            waiting = self._waiting
        if waiting is not None:
            with suppress(InvalidStateError):
                waiting[1].set_exception(_lost())

    def close(self) -> None:
        """Messages that come from now on are dropped."""
        self._forget(self.address.step)

    def _hand_over(self, mail: Mail, reply: Callable[[int, Any], object]) -> None:
        message = unpacked_message(mail.message)
        if message == BEGAN:
            self._channel.began()
        elif mail.asked is None:
            self._channel.tell(message)
        else:
            self._channel.ask(message, partial(reply, mail.asked))


class Inboxes:
    """Those of all steps of this process that are under way, and the thread that fills them.

    :param actor: the mailbox.
    :param on_gone: called with what was raised, when Ray is shut down or can't be reached any more.
    """

    def __init__(self, actor: Any, name: str, on_gone: Callable[[BaseException], object]) -> None:
        self._actor = actor
        self._name = name
        self._on_gone = on_gone
        self._numbers = count()
        self._open: dict[int, Inbox] = {}
        self.is_open = True
        self._thread = threading.Thread(target=self._run, name="spark-graphs: mail from ray", daemon=True)
        self._thread.start()

    def make(self, channel: StepChannel) -> Inbox:
        """The inbox of a step that begins."""
        step = next(self._numbers)
        inbox = self._open[step] = Inbox(Address(self._name, step), channel, self._forget)
        return inbox

    def close(self) -> None:
        """Take no more messages. Ray may be shut down afterwards: it ends a process in which a thread still uses it then."""
        self.is_open = False
        kill(self._actor)
        if threading.current_thread() is not self._thread:
            self._thread.join(_UNTIL_ENDED)

    def _forget(self, step: int) -> None:
        self._open.pop(step, None)

    def _run(self) -> None:
        import ray

        try:
            while True:
                for mail in ray.get(self._actor.take.remote()):
                    self._take(mail)
        except BaseException as error:
            self.is_open = False
            for inbox in [*self._open.values()]:
                inbox.lose()
            is_of_actor = isinstance(error, ray.exceptions.RayActorError | ray.exceptions.OutOfMemoryError)
            if not is_of_actor:
                self._on_gone(error)

    def _take(self, mail: Mail) -> None:
        inbox = self._open.get(mail.step)
        if inbox is not None:
            inbox.take(mail, self._reply)
        elif mail.asked is not None:
            self._reply(mail.asked, None)

    def _reply(self, asked: int, value: tuple[Any, ...] | None) -> None:
        with suppress(Exception):  # Ray is shut down, and nobody waits any more
            self._actor.reply.remote(asked, None if value is None else packed_message(value))


def _lost() -> ExecutorError:
    return WorkerLostError(
        "The actor through which this step sent its messages is gone, and some messages with it. Its process died or was killed."
    )
