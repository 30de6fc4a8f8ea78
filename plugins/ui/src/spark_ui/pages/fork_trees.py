"""From the histories of graphs to trees: a graph, its branches, and the graphs that were forked from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from spark.graphs.checkpoint import HistoryEntry
from spark_ui.access.lines import Lines


@dataclass(slots=True)
class Branch:
    """A line of checkpoints, each of which continues the one before it."""

    graph_id: str
    first: int
    """Its first sequence, and its last one."""
    last: int
    checkpoints: int
    since: datetime | None
    """When its latest checkpoint was made."""
    parent: int | None
    """The sequence in another branch that it continues."""
    is_latest: bool
    """Whether a run that is resumed continues it."""
    branches: list[Branch] = field(default_factory=list)
    forks: list[Fork] = field(default_factory=list)


@dataclass(slots=True)
class Fork:
    """A graph, and where it comes from."""

    graph_id: str
    at: int | None = None
    """The sequence that it was forked from; None where that is not known, or it is no fork."""
    origin: str = ""
    """The graph id that it was forked from."""
    branches: list[Branch] = field(default_factory=list)
    """Its lines of checkpoints that continue no other one."""
    more: int = 0
    """How many graphs that were forked from it are left out."""


def roots(lines: Lines) -> list[str]:
    """The graphs of which there is a tree to show, the one that was active last first. A fork whose origin is gone is one."""
    forks = lines.forks()
    found = {id for id, line in lines.of.items() if line.has_branches} | forks.keys()
    found |= {id for id, line in lines.of.items() if line.origin is not None}
    tops = {_top(id, lines) for id in found} & lines.of.keys()
    return sorted(tops, key=lambda id: (-lines.of[id].newest.timestamp(), id))


def graphs_of(root: str, forks: Mapping[str, Sequence[str]], *, most: int) -> list[tuple[str, int]]:
    """The graph ids of a tree, from the root, and how many forks of each are left out so that there are not more than that."""
    found, ahead = list[tuple[str, int]](), [root]
    seen = {root}
    while ahead:
        id = ahead.pop(0)
        below = [each for each in forks.get(id, ()) if each not in seen]
        room = max(0, most - len(found) - len(ahead) - 1)
        seen.update(below)
        ahead += below[:room]
        found.append((id, len(below) - len(below[:room])))
    return found


def tree(graphs: Sequence[tuple[str, int]], histories: Mapping[str, Sequence[HistoryEntry]], lines: Lines) -> Fork:
    """The tree of these graphs, of which the first is the root."""
    made = {id: Fork(id, branches=_branches(histories[id]), more=more) for id, more in graphs}
    for id, fork in made.items():
        origin = lines.origin_of(id)
        if origin is not None and origin[0] in made and id != graphs[0][0]:
            fork.origin, fork.at = origin
            _place(fork, made[origin[0]])
    return made[graphs[0][0]]


def _top(graph_id: str, lines: Lines) -> str:
    seen = {graph_id}
    while (origin := lines.origin_of(graph_id)) is not None and origin[0] in lines.of and origin[0] not in seen:
        graph_id = origin[0]
        seen.add(graph_id)
    return graph_id


def _place(fork: Fork, origin: Fork) -> None:
    every = list(_all(origin.branches))
    holding = [each for each in every if fork.at is not None and each.first <= fork.at]
    if every:
        (max(holding, key=lambda each: each.first) if holding else every[0]).forks.append(fork)


def _all(branches: Iterable[Branch]) -> Iterable[Branch]:
    for branch in branches:
        yield branch
        yield from _all(branch.branches)


def _branches(history: Sequence[HistoryEntry]) -> list[Branch]:
    """The branches of a history, those that continue another one below it."""
    entries = sorted((entry for entry in history if entry.damage is None), key=attrgetter("branch", "sequence"))
    latest = max((entry.sequence for entry in entries if not entry.manual), default=None)
    branch_of = {entry.sequence: entry.branch for entry in entries}
    made = {number: _branch([*group], latest) for number, group in groupby(entries, key=attrgetter("branch"))}
    tops = []
    for number, branch in sorted(made.items()):
        origin = branch_of.get(branch.parent) if branch.parent is not None else None
        if origin is not None and origin != number:
            made[origin].branches.append(branch)
        else:
            tops.append(branch)
    return tops


def _branch(entries: Sequence[HistoryEntry], latest: int | None) -> Branch:
    first, last = entries[0], entries[-1]
    return Branch(
        graph_id=first.graph_id,
        first=first.sequence,
        last=last.sequence,
        checkpoints=len(entries),
        since=last.timestamp,
        parent=first.parent,
        is_latest=any(entry.sequence == latest for entry in entries),
    )
