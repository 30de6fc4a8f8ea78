"""What a rule of retention gives up of stored histories, when somebody asks for that: each branch is judged by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.policies.branches import Aside, aside_in
from spark.graphs.checkpoint.policies.retention import Retention, surplus
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend

Branches: TypeAlias = Literal["each", "current"]
"""Whether each branch of a history is judged, and keeps its newest checkpoint; or only the current one stays at all."""
_CHOICES: Final = ("each", "current")
_AT_ONCE: Final = 500
"""Graphs whose latest headers are read together."""


def checked_branches(given: Any) -> Branches:
    """What ``prune(branches=…)`` was given.

    :raises GraphDefinitionError: it is neither of the two.
    """
    if given not in _CHOICES:
        raise GraphDefinitionError(
            f"prune(branches={given!r}): give 'each' to judge each branch separately, or 'current' to delete all others."
        )
    return given  # type: ignore[no-any-return]


async def surplus_of_graphs(
    backend: CheckpointBackend,
    infos: Iterable[CheckpointInfo],
    retention: Retention,
    *,
    now: datetime,
    branches: Branches = "each",
) -> list[CheckpointInfo]:
    """What to delete of several graphs, each judged by itself.

    :param infos: graph by graph, by sequence.
    """
    automatic = (info for info in infos if not info.manual)
    graphs = {graph_id: [*its] for graph_id, its in groupby(automatic, key=attrgetter("graph_id"))}
    asides = await _latest_asides(backend, [graph_id for graph_id, its in graphs.items() if len(its) > 1])
    to_delete: list[CheckpointInfo] = []
    for graph_id, its in graphs.items():
        lines = await _lines(backend, its, asides.get(graph_id, {}))
        judged = lines if branches == "each" else lines[:1]
        given_up = [{info.sequence for info in surplus(line, retention=retention, now=now)} for line in judged]
        kept = {
            info.sequence
            for line, gone in zip(judged, given_up, strict=True)
            for info in line
            if info.sequence not in gone
        }
        to_delete += [info for info in its if info.sequence not in kept]
    return to_delete


async def _latest_asides(backend: CheckpointBackend, graph_ids: Sequence[str]) -> dict[str, dict[int, str]]:
    """Of each graph what its latest record says of other branches, by the sequence of that record."""
    found: dict[str, dict[int, str]] = {}
    for start in range(0, len(graph_ids), _AT_ONCE):
        with wrapped(backend, "looking for branches"):
            latest = await backend.latest_headers(graph_ids[start : start + _AT_ONCE])
        found |= {id: {header.sequence: aside_in(header.metadata)} for id, header in latest.headers.items()}
    return found


async def _lines(
    backend: CheckpointBackend, infos: Sequence[CheckpointInfo], known: dict[int, str]
) -> list[list[CheckpointInfo]]:
    """The branches of a history, the current one first: of each the line of checkpoints that leads to its newest.

    :param known: what some of the records say of other branches, by sequence.
    """
    lines: list[list[CheckpointInfo]] = []
    left = [*infos]
    while left:
        newest = left[-1]
        aside = await _aside_of(backend, newest, known) if len(infos) > 1 else Aside()
        lines.append([info for info in infos if info.sequence <= newest.sequence and info.sequence not in aside])
        seen = {info.sequence for info in lines[-1]} | {newest.sequence}
        left = [info for info in left if info.sequence not in seen]
    return lines


async def _aside_of(backend: CheckpointBackend, info: CheckpointInfo, known: dict[int, str]) -> Aside:
    if info.sequence in known:
        return Aside.of(known[info.sequence])
    with wrapped(backend, "looking for branches of graph ", info.graph_id):
        record = await backend.get(info.graph_id, info.sequence)
    return Aside.of(aside_in(record.header.metadata)) if record is not None else Aside()
