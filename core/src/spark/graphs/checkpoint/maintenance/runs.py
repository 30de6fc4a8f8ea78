"""Which runs are there, and what became of them? Read from the headers of their latest checkpoints, never from payloads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.derived.claims import Held
from spark.graphs.checkpoint.editing.edits import EDITED
from spark.graphs.checkpoint.ids import CLAIM, DERIVED, INBOX, derived_id, is_derived
from spark.graphs.checkpoint.inspection.entries import error_in, fact
from spark.graphs.checkpoint.records.query import check_limit, checked_moment
from spark.graphs.checkpoint.records.record import RecordHeader
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import DamagedRecord, LatestHeaders
from spark.wording import did_you_mean

_ENDED: Final = frozenset({"queued", "completed", "interrupted", "waiting", "drained", "failed", "cancelled", "budget"})
"""Reasons for which ``run`` and ``submit`` make their last checkpoint. All others are of a run under way, or killed."""
_BY_REASON: Final = _ENDED | EDITED
_SETTLED: Final = frozenset({"completed", "manual", "damaged"})
STATUSES: Final = _BY_REASON | {"running", "manual", "damaged"}
_PAGE: Final = 100
"""Graphs that are looked at together, at least, where only some runs are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The latest run of one graph id, as its latest checkpoint tells it."""

    graph_id: str
    status: str
    """``"completed"``, ``"queued"`` (submitted, and not begun), ``"interrupted"`` (questions are open), ``"waiting"`` (for a
    time or a signal), ``"drained"``, ``"failed"``, ``"cancelled"``, ``"budget"`` (used up), or ``"running"``: it is under way,
    or was killed. ``"edited"`` or ``"forked"`` where ``manager.edit`` or ``fork`` left work that can continue, and nobody has
    resumed it yet. ``"manual"`` where all checkpoints were made by hand, and ``"damaged"`` where the latest one can't be read."""
    run_id: str | None = None
    node: str | None = None
    """The key of the node that completed last; where the run failed, of the node that failed."""
    since: datetime | None = None
    """When the latest checkpoint was made, so how long the status holds."""
    due: datetime | None = None
    """When a waiting step continues by itself, if there is one."""
    error: str | None = None
    """Why the run failed, or what is damaged, in short: ``"ValueError: too long"``."""
    iteration: int = 0
    """How many steps were committed."""
    questions: int = 0
    """How many questions are open."""
    checkpoint_id: str | None = None
    """The latest checkpoint that was not made by hand; with ``"manual"``, the latest one."""
    sequence: int | None = None
    """Its place in the history of the graph."""
    messages: int | None = None
    """Where steps wait for messages, answers for instance: the sequence of the last one in the inbox that the run has seen."""
    owner: str | None = None
    """Who has claimed an unfinished run, if the claim has not expired."""
    restarts: int = 0
    """How often in a row an unfinished run was restarted after its process had ended without saving a checkpoint."""


def wanted_statuses(status: str | Collection[str] | None) -> frozenset[str]:
    """The statuses that are asked for: one, several, or with None all.

    :raises GraphDefinitionError: there is no such status.
    """
    if status is None:
        return STATUSES
    wanted = frozenset([status] if isinstance(status, str) else status)
    for unknown in sorted(map(str, wanted - STATUSES)):
        raise GraphDefinitionError(
            f"status={unknown!r}: no run has this status.{did_you_mean(unknown, STATUSES)} There are "
            f"{', '.join(map(repr, sorted(STATUSES)))}."
        )
    return wanted


@dataclass(frozen=True, slots=True)
class Page:
    """The latest runs of some graphs, in the order of their ids."""

    runs: list[RunInfo]
    after: str | None
    """The next page begins after this id; None where this is the last one."""


async def find_runs(
    backend: CheckpointBackend,
    status: str | Collection[str] | None,
    *,
    prefix: str,
    after: str | None,
    limit: int | None,
    due_before: datetime | None,
    now: datetime,
) -> list[RunInfo]:
    """The latest run of each graph id; ``CheckpointManager.runs`` has the parameters."""
    check_limit(limit)
    wanted, moment = wanted_statuses(status), checked_moment("due_before", due_before)
    found: list[RunInfo] = []
    async with aclosing(pages_of_runs(backend, prefix, after=after, limit=limit, wanted=wanted)) as pages:
        async for page in pages:
            found += [
                run
                for run in page.runs
                if run.status in wanted and (moment is None or (run.due is not None and run.due <= moment))
            ]
            if limit is not None and len(found) >= limit:
                break
    return await with_owners(backend, found[:limit], now=now)


async def pages_of_runs(
    backend: CheckpointBackend, prefix: str, *, after: str | None, limit: int | None, wanted: frozenset[str]
) -> AsyncGenerator[Page, None]:
    """The latest runs of graphs, in the order of their ids, at least those whose status is wanted.

    :param limit: how many are wanted; a page may have more.
    """
    reasons = None if wanted - _BY_REASON else wanted | EDITED
    size = None if limit is None else max(limit, _PAGE)
    while True:
        with wrapped(backend, "looking for the latest runs of graphs"):
            page = await backend.latest_runs(prefix, after=after, limit=size, reasons=reasons)
        found = [run_of(header) for header in page.headers.values() if not is_derived(header.graph_id)]
        found += [_damaged(each) for each in page.damaged if not is_derived(each.graph_id or DERIVED)]
        ids = [*page.headers, *(each.graph_id or "" for each in page.damaged)]
        after = max(ids) if size is not None and len(ids) >= size else None
        yield Page(sorted(found, key=attrgetter("graph_id")), after)
        if after is None:
            return


async def with_owners(backend: CheckpointBackend, runs: Sequence[RunInfo], *, now: datetime) -> list[RunInfo]:
    """The same with who has claimed those that are unfinished."""
    claims = {derived_id(CLAIM, run.graph_id): run.graph_id for run in runs if run.status not in _SETTLED}
    with wrapped(backend, "reading who runs graphs"):
        headers = (await backend.latest_headers([*claims])).headers if claims else {}
    claimed = {claims[id]: header for id, header in headers.items()}
    return [with_claim(run, claimed.get(run.graph_id), now=now) for run in runs]


def with_claim(run: RunInfo, claim: RecordHeader | None, *, now: datetime) -> RunInfo:
    """The same with what the latest record of its claim says."""
    held = Held.of(claim.metadata, claim.timestamp) if claim is not None else None
    if held is None:
        return run
    return replace(run, owner=held.owner if held.is_held(now) else None, restarts=held.restarts)


async def with_news(backend: CheckpointBackend, runs: Sequence[RunInfo]) -> set[str]:
    """The ids of those graphs to which messages were sent that their runs wait for, perhaps, and have not seen."""
    seen = {derived_id(INBOX, run.graph_id): run for run in runs if run.messages is not None}
    with wrapped(backend, "looking for messages that were sent to graphs"):
        found = await backend.latest_headers([*seen]) if seen else LatestHeaders({})
    damaged = {run.graph_id for id, run in seen.items() if any(each.graph_id == id for each in found.damaged)}
    new = {seen[id].graph_id for id, header in found.headers.items() if header.sequence > (seen[id].messages or 0)}
    return new | damaged  # whoever resumes these is told


def run_of(header: RecordHeader) -> RunInfo:
    """The run whose latest checkpoint has this header."""
    facts = header.metadata
    reason = fact(facts, "reason", str)
    if reason in EDITED:  # it says itself how the run stands
        reason = fact(facts, "status", str)
    status = "manual" if header.manual else reason if reason in STATUSES else "running"
    error = error_in(facts)
    return RunInfo(
        graph_id=header.graph_id,
        status=status,
        run_id=fact(facts, "run_id", str),
        node=(fact(facts, "error_node", str) if error else None) or fact(facts, "last_node", str),
        since=header.timestamp,
        due=_moment(fact(facts, "due", str)),
        error=error,
        iteration=fact(facts, "iteration", int) or 0,
        questions=fact(facts, "questions", int) or 0,
        messages=fact(facts, "messages", int),
        checkpoint_id=header.checkpoint_id,
        sequence=header.sequence,
    )


def _damaged(record: DamagedRecord) -> RunInfo:
    return RunInfo(graph_id=record.graph_id or "", status="damaged", error=record.reason, sequence=record.sequence)


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
