"""Which runs are there, and what became of them? Read from the headers of their latest checkpoints, never from payloads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeVar

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.derived.claims import Held
from spark.graphs.checkpoint.ids import CLAIM, DERIVED, INBOX, derived_id, is_derived
from spark.graphs.checkpoint.records.info import Scalar
from spark.graphs.checkpoint.records.record import RecordHeader
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import DamagedRecord, LatestHeaders
from spark.wording import did_you_mean

Kind = TypeVar("Kind")

_ENDED: Final = frozenset({"completed", "interrupted", "waiting", "drained", "failed", "cancelled", "budget"})
"""Reasons for which a run makes its last checkpoint. All others are those of a run that is under way, or was killed."""
_SETTLED: Final = frozenset({"completed", "manual", "damaged"})
STATUSES: Final = _ENDED | {"running", "manual", "damaged"}
_PAGE: Final = 100
"""Graphs that are looked at together, at least, where only some runs are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The latest run of one graph id, as its latest checkpoint tells it."""

    graph_id: str
    status: str
    """``"completed"``, ``"interrupted"`` (questions are open), ``"waiting"`` (for a time or a signal), ``"drained"``,
    ``"failed"``, ``"cancelled"``, ``"budget"`` (used up), or ``"running"``: it is under way, or was killed. ``"manual"`` where
    all checkpoints were made by hand, and ``"damaged"`` where the latest one can't be read."""
    run_id: str | None = None
    node: str | None = None
    """The key of the node that completed last; where the run failed, of the node that failed."""
    since: datetime | None = None
    """When the latest checkpoint was made, so how long the status holds."""
    due: datetime | None = None
    """When a step that waits goes on by itself, if there is one."""
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
    """Who has claimed an unfinished run, if that claim has not expired."""


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


async def pages_of_runs(
    backend: CheckpointBackend, prefix: str, *, after: str | None, limit: int | None, wanted: frozenset[str]
) -> AsyncGenerator[list[RunInfo], None]:
    """The latest runs of graphs, in the order of their ids, at least those whose status is wanted.

    :param limit: how many are wanted; a page may have more.
    """
    reasons = None if wanted - _ENDED else wanted
    size = None if limit is None else max(limit, _PAGE)
    while True:
        with wrapped(backend, "looking for the latest runs of graphs"):
            page = await backend.latest_runs(prefix, after=after, limit=size, reasons=reasons)
        found = [_run(header) for header in page.headers.values() if not is_derived(header.graph_id)]
        found += [_damaged(each) for each in page.damaged if not is_derived(each.graph_id or DERIVED)]
        yield sorted(found, key=attrgetter("graph_id"))
        ids = [*page.headers, *(each.graph_id or "" for each in page.damaged)]
        if size is None or len(ids) < size:
            return
        after = max(ids)


async def with_owners(backend: CheckpointBackend, runs: Sequence[RunInfo], *, now: datetime) -> list[RunInfo]:
    """The same with who has claimed those that are unfinished."""
    claims = {derived_id(CLAIM, run.graph_id): run.graph_id for run in runs if run.status not in _SETTLED}
    with wrapped(backend, "reading who runs graphs"):
        headers = (await backend.latest_headers([*claims])).headers if claims else {}
    held = {claims[id]: Held.of(header.metadata, header.timestamp) for id, header in headers.items()}
    owners = {graph_id: claim.owner for graph_id, claim in held.items() if claim is not None and claim.is_held(now)}
    return [replace(run, owner=owners[run.graph_id]) if run.graph_id in owners else run for run in runs]


async def with_news(backend: CheckpointBackend, runs: Sequence[RunInfo]) -> set[str]:
    """The ids of those graphs to which messages were sent that their runs wait for, perhaps, and have not seen."""
    seen = {derived_id(INBOX, run.graph_id): run for run in runs if run.messages is not None}
    with wrapped(backend, "looking for messages that were sent to graphs"):
        found = await backend.latest_headers([*seen]) if seen else LatestHeaders({})
    damaged = {run.graph_id for id, run in seen.items() if any(each.graph_id == id for each in found.damaged)}
    new = {seen[id].graph_id for id, header in found.headers.items() if header.sequence > (seen[id].messages or 0)}
    return new | damaged  # whoever resumes these is told


def _run(header: RecordHeader) -> RunInfo:
    facts = header.metadata
    reason = _fact(facts, "reason", str)
    status = "manual" if header.manual else reason if reason in _ENDED else "running"
    error = _error(facts)
    return RunInfo(
        graph_id=header.graph_id,
        status=status,
        run_id=_fact(facts, "run_id", str),
        node=(_fact(facts, "error_node", str) if error else None) or _fact(facts, "last_node", str),
        since=header.timestamp,
        due=_moment(_fact(facts, "due", str)),
        error=error,
        iteration=_fact(facts, "iteration", int) or 0,
        questions=_fact(facts, "questions", int) or 0,
        messages=_fact(facts, "messages", int),
        checkpoint_id=header.checkpoint_id,
        sequence=header.sequence,
    )


def _damaged(record: DamagedRecord) -> RunInfo:
    return RunInfo(graph_id=record.graph_id or "", status="damaged", error=record.reason, sequence=record.sequence)


def _error(facts: Mapping[str, Scalar]) -> str | None:
    kind, message = _fact(facts, "error_type", str), _fact(facts, "error_message", str)
    return f"{kind}: {message}" if kind and message else kind


def _fact(facts: Mapping[str, Scalar], name: str, kind: type[Kind]) -> Kind | None:
    """What a header says; None when it does not, or when what it says can't be that. Anybody may have written it."""
    value: Any = facts.get(name)
    return value if type(value) is kind else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
