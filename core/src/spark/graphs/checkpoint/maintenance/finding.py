"""Finding what a worker can do next, without reading all that is in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from random import Random
from typing import Final

from spark.errors import SparkError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.derived.claims import Held
from spark.graphs.checkpoint.derived.history import DerivedHistory
from spark.graphs.checkpoint.ids import CLAIM, derived_beginnings, derived_id
from spark.graphs.checkpoint.maintenance.due import RECOVERED, due_runs
from spark.graphs.checkpoint.maintenance.runs import RunInfo, pages_of_runs, run_of, with_claim, with_owners
from spark.graphs.checkpoint.records.record import RecordHeader
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import Clock

_PAGE: Final = 250
"""Graphs that are looked at together."""
_WIDE: Final = 2_000
"""Among so many claims workers begin at different ones."""
_DEAD: Final = 3
"""For so many times as long as looking at all claims has taken, they are left alone: it takes a quarter of the time at most."""
_SHARE: Final = 10
"""The same of all else that is looked at, where nothing is found: a tenth of the time."""
_LONGEST: Final = 60.0
"""Seconds after which what is open is looked at again, even if the last look took long: the process may have been stopped, or the
store away."""
_LEFT_OVER: Final = timedelta(minutes=1)
"""A claim or an offer that is older, of a run that needs none, is not about to be followed by the run."""
_OVER: Final = timedelta(hours=1)
"""When nobody has claimed a run for so long, nobody who has paused relies on the sequences of its claims. Forgotten as often."""


@dataclass(frozen=True, slots=True)
class _Claims:
    """A page of claims and offers."""

    headers: list[RecordHeader]
    after: str | None
    """The next page begins after this id; None where this is the last one."""

    def free(self, now: datetime) -> list[RecordHeader]:
        """Those that nobody holds."""
        return [claim for claim in self.headers if not _is_held(claim, now)]


class Finder:
    """Looks for due runs in two ways, page by page, so that a look costs the same however many runs are complete.

    Whoever submits a run, or stops one that is unfinished, leaves a record in the place of its claim, and so does whoever is
    killed. So the histories of claims list what is open, and each look goes through them. Runs that were never claimed are found
    by going through all graphs: once at first, and after that a page now and then.

    :param prefix: only graph ids that begin with this text.
    :param stale_after: as for ``due_runs``.
    :param every: seconds after which the runs of dead workers are looked for again, and a page of all graphs.
    """

    def __init__(
        self,
        backend: CheckpointBackend,
        *,
        prefix: str,
        stale_after: timedelta | None,
        every: float,
        clock: Clock,
        random: Random,
    ) -> None:
        self._backend = backend
        self._prefix = prefix
        self._claims = derived_beginnings(CLAIM, prefix)
        self._stale_after = stale_after
        self._every = every
        self._clock = clock
        self._random = random
        self._claims_after: str | None = None
        self._graphs_after: str | None = None
        self._has_begun = False
        self._has_seen_all = False
        self._left: list[str] = []
        """Claims that had expired when all were looked at, and whose runs may still be to be taken over."""
        self.dead_at = 0.0
        """When the runs of dead workers are to be looked for again, by the monotonic clock."""
        self._open_at = 0.0
        self._graphs_at = 0.0
        """When to look at what is open, and at the next page of graphs."""
        self._tidy_at = 0.0
        """When to forget claims that are long over."""

    async def look(self, *, wanted: int, besides: Collection[str]) -> list[RunInfo]:
        """Some runs that are due: those of dead workers, or, if there are none, others in a random order, so that workers
        rarely meet.

        :param wanted: so many are enough.
        :param besides: ids of graphs that are not asked for.
        """
        if not self._has_begun:
            await self._begin_anywhere()
        if self._clock.monotonic() >= self._tidy_at:
            await self._forget_old_claims()
        if self._clock.monotonic() >= self.dead_at:
            await self._look_for_the_dead()
        if left := await self._still_left(wanted, besides):
            return left
        found = list[RunInfo]()
        if (began := self._clock.monotonic()) >= self._graphs_at:
            found = await self._never_claimed(wanted)
            self._graphs_at = self._again(began, share=_SHARE, every=self._every, longest=inf)
        if (began := self._clock.monotonic()) >= self._open_at:
            found += await self._open(wanted)
        self._random.shuffle(found)
        due = {run.graph_id: run for run in found if run.graph_id not in besides}
        if not due and began >= self._open_at:
            self._open_at = self._again(began, share=_SHARE, every=0.0)
        return [*due.values()][:wanted]

    async def _look_for_the_dead(self) -> None:
        """Note the claims that nobody holds any more, among all of them."""
        left, after, began = list[str](), None, self._clock.monotonic()
        while True:
            claims = await self._next_claims(after)
            left += [claim.graph_id for claim in claims.free(self._clock.utc_now()) if _has_owner(claim)]
            if (after := claims.after) is None:
                break
        self._random.shuffle(left)
        self._left = left
        self.dead_at = self._again(began, share=_DEAD, every=self._every)

    async def _still_left(self, wanted: int, besides: Collection[str]) -> list[RunInfo]:
        """Due runs among those, which are read anew: other workers look for them, too."""
        passed_over, found = {derived_id(CLAIM, each) for each in besides}, list[RunInfo]()
        asked_for = [claim for claim in self._left if claim not in passed_over]
        for start in range(0, len(asked_for), wanted):
            some = asked_for[start : start + wanted]
            with wrapped(self._backend, "looking for runs to resume"):
                latest = (await self._backend.latest_headers(some)).headers
            now = self._clock.utc_now()
            due = await self._due_of(
                [each for each in latest.values() if _has_owner(each) and not _is_held(each, now)], now
            )
            gone = {*some} - {derived_id(CLAIM, run.graph_id) for run in due}
            self._left = [claim for claim in self._left if claim not in gone]
            found += due
            if len(found) >= wanted:
                break
        return found[:wanted]

    def _again(self, began: float, *, share: int, every: float, longest: float = _LONGEST) -> float:
        """When to do again what was begun then and has been done now: ``every`` later, or after so many times as long as it took.

        Workers that were started together do not look together for long.
        """
        now = self._clock.monotonic()
        return max(began + every * self._random.uniform(0.8, 1.0), now + min(share * (now - began), longest))

    async def _begin_anywhere(self) -> None:
        """Begin at some claim, so that several workers are at different ones."""
        with wrapped(self._backend, "looking for runs to resume"):
            ids = [each for beginning in self._claims for each in await self._backend.graph_ids(beginning, limit=_WIDE)]
        self._claims_after = self._random.choice(ids) if ids else None
        self._has_begun = True

    async def _open(self, wanted: int) -> list[RunInfo]:
        """Due runs among the claims and offers, beginning where the last look has ended, once around at most."""
        found, is_first_round = list[RunInfo](), self._claims_after is not None
        while True:
            claims, now = await self._next_claims(self._claims_after), self._clock.utc_now()
            self._claims_after = claims.after
            found += await self._due_of(claims.free(now), now)
            if len(found) >= wanted or (claims.after is None and not is_first_round):
                return found
            is_first_round = is_first_round and claims.after is not None

    async def _never_claimed(self, wanted: int) -> list[RunInfo]:
        """Due runs among the next page of graphs; among all of them until they have been gone through once."""
        found = await self._page_of_graphs()
        while len(found) < wanted and not self._has_seen_all:
            found += await self._page_of_graphs()
        return found

    async def _next_claims(self, after: str | None) -> _Claims:
        headers, ids = list[RecordHeader](), list[str]()
        for beginning in self._claims:
            if after is not None and after > beginning and not after.startswith(beginning):
                continue  # all of them come before
            with wrapped(self._backend, "looking for runs to resume"):
                found = await self._backend.latest_runs(beginning, after=after, limit=_PAGE - len(ids))
            headers += found.headers.values()
            ids += [*found.headers, *(each.graph_id or "" for each in found.damaged)]
            if len(ids) >= _PAGE:
                return _Claims(headers, max(ids))
        return _Claims(headers, None)

    async def _forget_old_claims(self) -> None:
        """So that listing those that matter takes no longer for all the runs that have ever been claimed."""
        for beginning in self._claims:
            with suppress(SparkError):  # it is tried again
                await self._backend.forget_empty(beginning, older_than=_OVER)
        self._tidy_at = self._clock.monotonic() + _OVER.total_seconds() * self._random.uniform(0.8, 1.0)

    async def _due_of(self, claims: Sequence[RecordHeader], now: datetime) -> list[RunInfo]:
        """The due runs of the graphs that these claims and offers are of."""
        free = {str(claim.metadata.get("graph_id")): claim for claim in claims}
        free = {graph_id: claim for graph_id, claim in free.items() if graph_id.startswith(self._prefix)}
        if not free:
            return []
        with wrapped(self._backend, "looking for runs to resume"):
            latest = (await self._backend.latest_headers([*free])).headers
            runs = [with_claim(await self._run_of(each), free.get(each.graph_id), now=now) for each in latest.values()]
        await self._remove_left_over(free, {run.graph_id: run for run in runs}, now)
        return await self._due(runs, now)

    async def _page_of_graphs(self) -> list[RunInfo]:
        """The same among the next graphs."""
        pages = pages_of_runs(
            self._backend, self._prefix, after=self._graphs_after, limit=_PAGE, wanted=frozenset(RECOVERED)
        )
        now = self._clock.utc_now()
        try:
            page = await anext(pages)
        finally:
            await pages.aclose()
        self._graphs_after = page.after
        self._has_seen_all = self._has_seen_all or page.after is None
        return await self._due(await with_owners(self._backend, page.runs, now=now), now)

    async def _due(self, runs: list[RunInfo], now: datetime) -> list[RunInfo]:
        candidates = [run for run in runs if run.status in RECOVERED]
        due, _ = await due_runs(candidates, self._backend, now=now, stale_after=self._stale_after)
        return due

    async def _run_of(self, header: RecordHeader) -> RunInfo:
        if not header.manual:
            return run_of(header)
        latest = await self._backend.latest_runs(header.graph_id, limit=1)  # the one before those made by hand
        return run_of(latest.headers.get(header.graph_id, header))

    async def _remove_left_over(
        self, free: Mapping[str, RecordHeader], runs: Mapping[str, RunInfo], now: datetime
    ) -> None:
        """Remove claims that nobody holds of runs that are over, and offers of runs that have not come."""
        for graph_id, claim in free.items():
            run = runs.get(graph_id)
            if (run is None or run.status not in RECOVERED) and now - claim.timestamp > _LEFT_OVER:
                with suppress(SparkError):  # the next look comes upon it again
                    history = DerivedHistory(self._backend, CLAIM, graph_id, clock=self._clock)
                    await history.delete(range(claim.sequence + 1))


def _has_owner(claim: RecordHeader) -> bool:
    return Held.of(claim.metadata, claim.timestamp) is not None


def _is_held(claim: RecordHeader, now: datetime) -> bool:
    held = Held.of(claim.metadata, claim.timestamp)
    return held is not None and held.is_held(now)
