"""Who runs a graph? A claim on its id is held by one owner, says so again and again, and expires when the owner is gone.

Taking it is the next sequence of a history beside that of the graph, so exactly one of several takers gets it. A claim only saves
work that would be done twice: what keeps histories single are the sequences of checkpoints.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Self

from spark.errors import (
    CheckpointDamagedError,
    ClaimedError,
    GraphDefinitionError,
    RunError,
    SequenceTakenError,
    SparkError,
)
from spark.graphs.checkpoint.calls import ATTEMPTS, never_free, wrapped
from spark.graphs.checkpoint.derived.history import Added, DerivedHistory
from spark.graphs.checkpoint.derived.processes import is_gone, this_system
from spark.graphs.checkpoint.ids import CLAIM
from spark.graphs.checkpoint.records.info import Scalar
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_RANDOM, Clock, random_hex
from spark.graphs.concurrency.uncancellable import wait_uncancellable, wait_until_done

_LOG = logging.getLogger("spark.checkpoint")
_LONGEST_OWNER: Final = 100
_BEATS: Final = 3
"""How often a claim is renewed while it would last."""
_OFFER: Final = {"offered": True}
"""What a record says, instead of an owner, that stands for an unfinished run which nobody has claimed."""
_PROCESS: Final = random_hex(SYSTEM_RANDOM, size=8)
"""Tells this process from others in which an owner has the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How to claim a graph id: ``run(claim=Claim(owner="worker-1"))``.

    :raises GraphDefinitionError: an argument can't be used.
    """

    owner: str | None = None
    """The name that others see. A process that is restarted under the same name continues at once, so give each worker a
    unique name. None: the host, the process id and a random part."""
    ttl: float = 30.0
    """Seconds. The claim is renewed three times in this time. An owner that could not renew it for this long stops. Others
    may take it over after twice this time, so their clocks may differ by this much; or at once, if they are on the same
    machine and see that the process has ended."""
    max_restarts: int | None = 10
    """How often in a row a run is restarted after its process has ended, or lost the claim, without saving a checkpoint. After
    that it fails with ``RunError`` before its next step, so that it ends no more workers; whoever resumes it then counts anew.
    None restarts it without end."""

    def __post_init__(self) -> None:
        owner, ttl = self.owner, self.ttl
        if owner is not None and not (
            isinstance(owner, str) and owner.isprintable() and 0 < len(owner) <= _LONGEST_OWNER
        ):
            raise GraphDefinitionError(
                f"Claim(owner={owner!r}): give printable text of 1 to {_LONGEST_OWNER} characters."
            )
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < 1e9:
            raise GraphDefinitionError(f"Claim(ttl={ttl!r}): give a positive number of seconds.")
        most = self.max_restarts
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
            raise GraphDefinitionError(f"Claim(max_restarts={most!r}): give a whole number of at least 0, or None.")

    @classmethod
    def of(cls, given: Any) -> Self:
        """The claim that ``run(claim=…)`` was given: True, or one.

        :raises GraphDefinitionError: it is something else.
        """
        if given is True:
            return cls()
        if isinstance(given, cls):
            return given
        raise GraphDefinitionError(f"claim={given!r}: give True, or a Claim, for instance Claim(ttl=60).")

    def named(self) -> Self:
        """The same with an owner."""
        if self.owner is not None:
            return self
        return replace(self, owner=f"{socket.gethostname()[:60]}:{os.getpid()}:{random_hex(SYSTEM_RANDOM, size=4)}")


@dataclass(frozen=True, slots=True)
class Held:
    """Who holds a claim, as the latest record of its history says."""

    owner: str
    id: str
    """Tells it from all other claims, of the same owner as well."""
    process: str
    is_gone: bool
    """The process is known to have ended."""
    since: datetime
    expires: datetime
    """When others may take it over, unless it is renewed until then."""
    restarts: int
    """How many owners before this one ended in a row without having saved anything."""
    saved: int
    """The sequence of the latest checkpoint when it was taken; or of the one that its owner makes to keep out the one before."""

    @classmethod
    def of(cls, facts: Mapping[str, Scalar], renewed: datetime) -> Self | None:
        """None where the record says nothing that an owner would write."""
        owner, process, since, ttl = (facts.get(name) for name in ("owner", "process", "since", "ttl"))
        if not (isinstance(owner, str) and isinstance(since, str) and isinstance(ttl, int | float) and 0 < ttl < 1e9):
            return None
        try:
            begun = datetime.fromisoformat(since)
        except ValueError:
            return None
        gone = is_gone(facts.get("system"), facts.get("pid"))
        expires = renewed + timedelta(seconds=2 * ttl)
        restarts, saved = (n if isinstance(n := facts.get(name), int) else 0 for name in ("restarts", "saved"))
        return cls(owner, str(facts.get("claim")), str(process), gone, begun, expires, restarts, saved)

    def lets(self, owner: str, *, now: datetime) -> bool:
        """Whether this owner may take it: nobody holds it any more, or the owner itself does, of an earlier process."""
        return not self.is_held(now) or (self.owner == owner and self.process != _PROCESS)

    def is_held(self, now: datetime) -> bool:
        """Whether there may still be somebody."""
        return now < self.expires and not self.is_gone

    def refused(self, graph_id: str) -> ClaimedError:
        """What to raise for whom it does not let."""
        return ClaimedError(
            f"Graph {graph_id!r} is being run by {self.owner!r}, since {self.since:%Y-%m-%d %H:%M:%S} UTC. If that one is gone, "
            f"its claim expires at {self.expires:%H:%M:%S} UTC; try again then.",
            owner=self.owner,
            since=self.since,
            expires=self.expires,
        )


async def offer(backend: CheckpointBackend, graph_id: str, *, clock: Clock) -> None:
    """Note that a graph has a run for whoever looks next; in the place of a claim, so that whoever claims it takes the note away.

    :raises BackendError: the storage failed.
    """
    await DerivedHistory(backend, CLAIM, graph_id, clock=clock).append({}, _OFFER)


class Lease:
    """A claim that this process holds, for as long as one run lasts.

    :param on_lost: called with what to raise when it was taken over, or could not be renewed in time.
    :param on_renewed: called whenever the owner has said that it is still there.
    """

    def __init__(
        self,
        claim: Claim,
        backend: CheckpointBackend,
        graph_id: str,
        *,
        clock: Clock,
        random: Random,
        on_lost: Callable[[SparkError], object],
        on_renewed: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._claim = claim.named()
        self._history = DerivedHistory(backend, CLAIM, graph_id, clock=clock, random=random)
        self._clock = clock
        self._on_lost = on_lost
        self._on_renewed = on_renewed
        self.id: str = random_hex(random, size=8)
        """Tells it from all other claims."""
        self._facts: dict[str, Any] = {"claim": self.id}
        self._held: list[int] = []
        """The sequences of our records that are still there; the last one is the claim."""
        self._renewing = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None
        self.valid_until: float = 0.0
        """Nobody else takes the claim before this time of the monotonic clock."""
        self.took_over: bool = False
        """It was another owner's, who may still be there and not know."""
        self._restarts = 0

    async def take(self) -> None:
        """Take the claim, and keep it from now on.

        :raises ClaimedError: somebody else holds it.
        :raises BackendError: the storage failed.
        """
        owner, now = self._claim.owner or "", self._clock.utc_now()
        self._facts |= {"owner": owner, "since": now.isoformat(), "ttl": self._claim.ttl}
        self._facts |= {"process": _PROCESS, "pid": os.getpid(), "system": this_system()}
        for _ in range(ATTEMPTS):
            next_sequence = await self._history.next_sequence()
            latest = await self._latest()
            before = None if latest is None else Held.of(latest.metadata, latest.timestamp)
            if before is not None and not before.lets(owner, now=self._clock.utc_now()):
                raise before.refused(self._history.graph_id)
            self.took_over = before is not None and not before.is_gone
            if before is not None:
                await self._count_restarts(before)
            try:
                await self._put(next_sequence)
                await self._history.delete(range(next_sequence))
            except SequenceTakenError:
                continue  # somebody else was faster, or renewed it
            except BaseException:
                await self.release()
                raise
            self._beating = asyncio.create_task(self._beat(), name=f"{self._history.graph_id}: claim")
            return
        raise never_free(self._history.backend, self._history.id)

    async def _count_restarts(self, before: Held) -> None:
        """Its owner is gone and has not released it: note whether the run has come on since this one took it."""
        history = self._history
        with wrapped(history.backend, "looking at the run of graph ", history.graph_id):
            latest = (await history.backend.latest_headers([history.graph_id])).headers.get(history.graph_id)
        saved = latest.sequence if latest is not None else -1
        self._restarts = before.restarts + 1 if saved <= before.saved else 1
        self._facts |= {"restarts": self._restarts, "saved": saved + self.took_over}

    def check_restarts(self) -> RunError | None:
        """What the run fails with before it takes a step, if it was restarted too often without coming on."""
        most = self._claim.max_restarts
        if most is None or self._restarts <= most:
            return None
        who = f"the last {self._restarts} processes that ran it" if self._restarts > 1 else "the process that ran it"
        return RunError(
            f"Graph {self._history.graph_id!r} is not restarted any more: {who} ended, or lost the claim, before a checkpoint "
            "was saved. Their logs may say why. A node that ends its process can run in one of its own: executor='process'. "
            "Resume the run to try again; the count starts anew. Claim(max_restarts=…) sets the limit."
        )

    async def renew(self) -> SparkError | None:
        """Say that the owner is still there. Returns what ends the claim, if it can't be renewed."""
        async with self._renewing:
            try:
                await self._put(self._held[-1] + 1)
                await self._history.delete(self._held[:-1])
                del self._held[:-1]
            except SequenceTakenError:
                return await self._taken_over()
            except SparkError as error:
                return error if self._clock.monotonic() >= self.valid_until else None
        return None

    async def release(self, *, offered: bool = False) -> None:
        """Let others have it. If that fails, it expires by itself. Leaves no task behind.

        :param offered: the run is unfinished: leave a note by which workers find it.
        """
        await wait_uncancellable(self._release(offered=offered))

    async def _release(self, *, offered: bool) -> None:
        async with self._renewing:  # what is being stored is stored
            if self._beating is not None:
                self._beating.cancel()
                await wait_until_done(self._beating)
        try:
            if offered and self._held:
                with suppress(SequenceTakenError):  # somebody else has it already
                    await self._history.append({}, _OFFER, at=self._held[-1] + 1)
            await self._history.delete(self._held)
        except SparkError as error:
            _LOG.warning(
                "The claim on graph %r was not released, and expires by itself: %s", self._history.graph_id, error
            )

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(self._claim.ttl / _BEATS)
            lost = await self.renew()
            if lost is not None:
                self._on_lost(lost)
                return
            if self._on_renewed is not None:
                await self._on_renewed()

    async def _put(self, sequence: int) -> None:
        await wait_uncancellable(self._put_whole(sequence))

    async def _put_whole(self, sequence: int) -> None:
        began = self._clock.monotonic()
        await self._history.append({}, self._facts, at=sequence)
        self._held.append(sequence)
        self.valid_until = began + self._claim.ttl

    async def _taken_over(self) -> ClaimedError | None:
        """What to raise now that the next sequence is taken; None if it is by ourselves, and only the answer had been lost."""
        latest = await self._latest()
        if latest is not None and latest.metadata.get("claim") == self._facts["claim"]:
            self._held.append(latest.sequence)
            return None
        holder = None if latest is None else Held.of(latest.metadata, latest.timestamp)
        return ClaimedError(
            f"This run of graph {self._history.graph_id!r} stopped: its claim could not be renewed in time, and was taken over"
            f"{f' by {holder.owner!r}' if holder is not None else ''}. Nothing was saved after that. Leave the graph to whoever "
            "runs it now.",
            owner=holder.owner if holder is not None else None,
            since=holder.since if holder is not None else None,
            expires=holder.expires if holder is not None else None,
        )

    async def _latest(self) -> Added | None:
        """What was stored last. What is damaged holds nobody up: the sequences of checkpoints keep the history single."""
        try:
            return await self._history.latest()
        except CheckpointDamagedError:
            return None
