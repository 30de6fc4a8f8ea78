"""How many tokens of a frontier are where, for whoever asks how far a run is. Asked ten times a second, of 10,000 tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from spark.graphs.state.frontier import Frontier
from spark.graphs.state.groups import Group
from spark.graphs.state.journal import QUESTION, RETRY, SIGNAL, SLEEP

_NAMES: Final = {QUESTION: "question", SIGNAL: "signal", SLEEP: "timer", RETRY: "retry"}
"""Kind of an entry to what users call it."""


class Census(NamedTuple):
    """Where the tokens are."""

    waiting: int
    """Ready to be started, unstarted items of maps included."""
    suspended: int
    """Their steps wait for something outside."""
    waits: dict[str, int]
    """For what: a name, such as ``"timer"``, to how many waits."""
    at_joins: int
    """They have come to a join, and wait there for others."""
    maps: dict[tuple[str, str, str], list[int]]
    """Source, worker and key of an edge to how many items of its maps are done, under way, and not started."""


def take_census(frontier: Frontier) -> Census:
    """Count all tokens but the running ones."""
    groups = frontier.groups.values()
    queued = sum(group.is_waiting for group in groups)
    unstarted = sum(group.unstarted for group in groups)
    is_suspended = bool(frontier.suspended_tokens)
    open = frontier.suspended.counts if is_suspended else {}
    return Census(
        waiting=len(frontier.waiting) - queued + unstarted,
        suspended=len(frontier.suspended_tokens),
        waits={_NAMES[kind]: count for kind, count in open.items() if count and kind in _NAMES},
        at_joins=sum(map(len, frontier.at_join.values())) + sum(map(_at_joins, groups)),
        maps=_count_items(groups, frontier.ended_items),
    )


def _at_joins(group: Group) -> int:
    """How many tokens of its items wait at joins."""
    count = 0
    for item in group.under_way.values():
        scope = item.scope
        if scope is not None:
            count += len(scope.arrived)
            if scope.at_join:
                count += sum(map(len, scope.at_join.values()))
    return count


def _count_items(
    groups: Iterable[Group], ended: dict[tuple[str, str, str], int]
) -> dict[tuple[str, str, str], list[int]]:
    """By edge.

    :param ended: the items of maps within maps that have ended while those around them are under way.
    """
    counts: dict[tuple[str, str, str], list[int]] = {}
    for group in groups:
        before = counts.get(group.rule.edge)
        if before is None:
            before = counts[group.rule.edge] = [0, 0, 0]
        before[0] += group.done
        before[1] += len(group.under_way)
        before[2] += group.unstarted
    for edge, count in ended.items():
        counts.setdefault(edge, [0, 0, 0])[0] += count
    return counts
