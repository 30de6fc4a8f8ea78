"""The history of one graph, checkpoint by checkpoint, as headers tell it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from spark.graphs.checkpoint.policies.branches import Aside, aside_in
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage.listing import DamagedRecord, Listing

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One checkpoint of a history, or a record that can't be read."""

    graph_id: str
    sequence: int
    """Its place in the history; later checkpoints have higher ones, and it is never used again."""
    info: CheckpointInfo | None
    """The line that listings have of it: id, time and size; None where the record is damaged."""
    parent: int | None = None
    """The sequence of the checkpoint that it continues, which may have been deleted since; None at the beginning of a run."""
    before: int | None = None
    """The sequence of the checkpoint before it in its line, in this answer: its parent, or if that was deleted, what is left."""
    branch: int = 0
    """Names the line of parents that it belongs to: the sequence of the first checkpoint of that line in this answer. A run that
    is resumed from an earlier checkpoint begins a branch where another one has continued that."""
    origin: str | None = None
    """Of a fork's first checkpoint: the id of the checkpoint that it was forked from."""
    reason: str | None = None
    """Why it was made: ``"trigger"``, ``"completed"``, ``"failed"``, ``"interrupted"``, ``"manual"``…"""
    node: str | None = None
    """The key of the node that completed last; where the run failed, of the node that failed."""
    iteration: int | None = None
    """How many steps were committed."""
    run_id: str | None = None
    error: str | None = None
    """Why the run failed, in short: ``"ValueError: too long"``."""
    damage: str | None = None
    """What is wrong with a record that can't be read."""
    changed: tuple[str, ...] | None = None
    """The keys of the shared state that differ from its parent, with ``with_changes=True``; at the beginning of a run, all. None
    where that was not asked for, or can't be read."""
    changed_nodes: tuple[str, ...] | None = None
    """The same for the states of nodes: their keys."""

    @property
    def checkpoint_id(self) -> str | None:
        """What ``load_checkpoint`` takes; None where the record is damaged."""
        return self.info.checkpoint_id if self.info is not None else None

    @property
    def timestamp(self) -> datetime | None:
        """When it was made, in UTC; None where the record is damaged."""
        return self.info.timestamp if self.info is not None else None

    @property
    def size(self) -> int | None:
        """Stored size of the record, in bytes, without its large values; None where it is damaged."""
        return self.info.size if self.info is not None else None

    @property
    def manual(self) -> bool:
        """Whether it was made by hand."""
        return self.info is not None and self.info.manual

    def last_of_line(self, sequences: Sequence[int], before: int) -> int:
        """The place of the last of these, before that place, which it does not say to belong to another branch; -1 without one.

        :param sequences: those of its history, rising.
        """
        return Aside.of(aside_in(self.info.metadata) if self.info is not None else "").last_outside(sequences, before)


def entries_of(graph_id: str, listing: Listing) -> list[HistoryEntry]:
    """The history that a listing with metadata describes, oldest first. What is damaged has its place in it, if that is known."""
    infos = sorted(listing.infos, key=lambda info: info.sequence)
    lines = lines_of((info.sequence, info.parent, info.manual, aside_in(info.metadata)) for info in infos)
    found = [_entry(info, lines[info.sequence]) for info in infos]
    damaged = [_damaged(graph_id, each) for each in listing.damaged if each.sequence is not None]
    return sorted([*found, *damaged], key=lambda entry: entry.sequence)


class Line(NamedTuple):
    """Where a checkpoint stands in the tree of a history."""

    branch: int
    """The sequence of the first checkpoint of its branch."""
    before: int | None
    """The sequence of the one before it."""


def lines_of(checkpoints: Iterable[tuple[int, int | None, bool, str]]) -> dict[int, Line]:
    """The branch of each checkpoint of a history, and the one before it.

    The first automatic checkpoint that continues another one has the branch of that; each further one begins a new branch. Of
    checkpoints whose parent was deleted, the nearest one before that on the same line counts as parent. Those that were made by
    hand belong to what they were made from, or else to what was there last.

    :param checkpoints: sequence, parent, whether it was made by hand, and what it sets aside, by rising sequence.
    """
    found: dict[int, Line] = {}
    continued: set[int] = set()
    made_from: dict[int, int] = {}
    known: list[int] = []
    for sequence, parent, manual, aside in checkpoints:
        before = _before(known, sequence if parent is None and manual else parent, aside)
        base = before if before is None else made_from.get(before, before)
        begins = base is None or (not manual and base in continued)
        found[sequence] = Line(sequence if begins or base is None else found[base].branch, before)
        if manual and base is not None:
            made_from[sequence] = base
        elif base is not None:
            continued.add(base)
        known.append(sequence)
    return found


def _before(known: list[int], parent: int | None, aside: str) -> int | None:
    """The parent, or if that was deleted, the nearest one before it that is not known to be on another branch."""
    index = bisect_right(known, parent) if parent is not None else 0
    if index and known[index - 1] != parent:
        index = Aside.of(aside).last_outside(known, index) + 1
    return known[index - 1] if index else None


def _entry(info: CheckpointInfo, line: Line) -> HistoryEntry:
    facts = info.metadata
    error = error_in(facts)
    return HistoryEntry(
        graph_id=info.graph_id,
        sequence=info.sequence,
        info=info,
        parent=info.parent,
        before=line.before,
        branch=line.branch,
        origin=fact(facts, "origin", str),
        reason="manual" if info.manual else fact(facts, "reason", str),
        node=(fact(facts, "error_node", str) if error else None) or fact(facts, "last_node", str),
        iteration=fact(facts, "iteration", int),
        run_id=fact(facts, "run_id", str),
        error=error,
    )


def _damaged(graph_id: str, record: DamagedRecord) -> HistoryEntry:
    assert record.sequence is not None
    return HistoryEntry(graph_id=graph_id, sequence=record.sequence, info=None, damage=record.reason)


def error_in(facts: Mapping[str, Scalar]) -> str | None:
    """Why a run failed, in short, as the metadata of a checkpoint tells it."""
    kind, message = fact(facts, "error_type", str), fact(facts, "error_message", str)
    return f"{kind}: {message}" if kind and message else kind


def fact(facts: Mapping[str, Scalar], name: str, kind: type[Kind]) -> Kind | None:
    """What metadata says; None when it does not, or when what it says can't be that. Anybody may have written it."""
    value: Any = facts.get(name)
    return value if type(value) is kind else None
