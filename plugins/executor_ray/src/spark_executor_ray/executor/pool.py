"""The actors that execute async nodes. One that dies is replaced, and Ray restarts none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from spark_executor_ray.executor.stopping import kill


class Member:
    """An actor, and how many steps it has."""

    __slots__ = ("actor", "execute", "idle_since", "is_ready", "is_retired", "steps")

    def __init__(self, actor: Any, *, now: float, is_ready: bool) -> None:
        self.actor = actor
        self.execute = actor.execute.remote
        self.steps = 0
        self.idle_since = now
        self.is_ready = is_ready
        """Ray has found a place for it, or is sure to."""
        self.is_retired = False


class ActorPool:
    """Up to so many actors, made when there is something to do. May be used from any thread.

    Where actors reserve something of a machine, a step goes to one that Ray has found a place for, if there is one: another one
    may wait for a place until that one ends.

    :param make: starts an actor.
    :param reserves: whether actors reserve anything, so that there may be no place for them.
    :param idle_seconds: so long an actor without steps keeps what it has of its machine.
    :param monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        size: int,
        reserves: bool,
        idle_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._size = size
        self._reserves = reserves
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._members: list[Member] = []
        self._timer: threading.Timer | None = None

    def take(self) -> Member:
        """The actor that has the fewest steps, with one more."""
        with self._lock:
            ready = [each for each in self._members if each.is_ready]
            member = min(ready or self._members, key=lambda each: each.steps, default=None)
            if member is None or (member.steps and len(ready) == len(self._members) < self._size):
                made = self._start()
                member = made if made.is_ready or member is None else member
            member.steps += 1
            return member

    def give_back(self, member: Member) -> None:
        """A step of it has ended."""
        with self._lock:
            member.steps -= 1
            member.idle_since = self._monotonic()
            is_over = member.is_retired and not member.steps
            if not member.steps:
                self._watch()
        if is_over:
            kill(member.actor)

    def retire(self, member: Member) -> None:
        """Give it no more steps. It is killed when its last one ends."""
        with self._lock:
            member.is_retired = True
            if member in self._members:
                self._members.remove(member)

    def end_idle(self) -> None:
        """End those that have had no step for long enough."""
        with self._lock:
            self._timer = None
            until = self._monotonic() - self._idle_seconds
            is_used = any(each.steps for each in self._members)  # then one that waits for a place may get it
            idle = [
                each
                for each in self._members
                if not each.steps and each.idle_since <= until and (each.is_ready or not is_used)
            ]
            self._members = [each for each in self._members if each not in idle]
            if not all(each.steps for each in self._members):
                self._watch()
        for member in idle:
            kill(member.actor)

    def close(self) -> None:
        """End all."""
        with self._lock:
            members, self._members = self._members, []
            if self._timer is not None:
                self._timer.cancel()
        for member in members:
            kill(member.actor)

    def _start(self) -> Member:
        member = Member(self._make(), now=self._monotonic(), is_ready=not self._reserves)
        self._members.append(member)
        if self._reserves:
            self._note_when_ready(member)
        return member

    def _note_when_ready(self, member: Member) -> None:

        def note(ready: Future[Any]) -> None:
            member.idle_since = self._monotonic()
            member.is_ready = ready.exception() is None
            if not member.is_ready:
                self.retire(member)

        member.actor.__ray_ready__.remote().future().add_done_callback(note)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._idle_seconds, self.end_idle)
            self._timer.daemon = True
            self._timer.start()
