"""Fewer boxes for graphs that are too large to be read node by node: nodes that belong together, as one box."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from spark_drawing.parts import ShapeEdge, ShapeNode

MOST_NODES: Final = 500
"""As many are drawn one by one."""
MOST_BOXES: Final = 100
"""As many boxes has a drawing with groups."""
_FEW_BOXES: Final = 16
"""As many can be laid out, however they are connected."""
_NUMBERS: Final = re.compile(r"[\d#_\-. :]*\d+(?=\D*$)")

Groups: TypeAlias = dict[str, str]
"""Node key to the key of the first node of its group."""


def groupings(nodes: Sequence[ShapeNode], edges: Sequence[ShapeEdge]) -> Iterator[Groups]:
    """Ways to draw a graph, from the most detailed one to one that can be laid out in any case."""
    groups = {node.key: node.key for node in nodes}
    if len(nodes) <= MOST_NODES:
        yield groups
    start = next((node.key for node in nodes if node.is_start), nodes[0].key)
    for step in 2 * _STEPS:
        groups = _merged(groups, {**step(groups, edges), start: None})
        if len(set(groups.values())) <= MOST_BOXES:
            yield groups
    for most in (MOST_BOXES, 60, 40, 25, _FEW_BOXES):
        yield _merged(groups, _by_layer(groups, edges, start, most))


def between(groups: Groups, edges: Sequence[ShapeEdge]) -> list[ShapeEdge]:
    """The edges as they are drawn: those of single nodes, and one for all that lead from one group to another one."""
    sizes = Counter(groups.values())
    singles: list[ShapeEdge] = []
    parallel: dict[tuple[str, str], list[ShapeEdge]] = defaultdict(list)
    for edge in edges:
        ends = groups[edge.source], groups[edge.target]
        if sizes[ends[0]] == sizes[ends[1]] == 1:
            singles.append(edge)
        elif ends[0] != ends[1]:
            parallel[ends].append(edge)
    return [*singles, *(_together(*ends, found) for ends, found in parallel.items())]


def _together(source: str, target: str, edges: Sequence[ShapeEdge]) -> ShapeEdge:
    label = edges[0].label if len(edges) == 1 else ""
    is_error, is_map = all(edge.is_error for edge in edges), all(edge.is_map for edge in edges)
    return ShapeEdge(source, target, label, is_error=is_error, is_map=is_map)


def _merged(groups: Groups, marks: Mapping[str, Hashable]) -> Groups:
    """The groups after those of one mark have become one. Those without a mark, or None, stay as they are."""
    first: dict[Hashable, str] = {}
    heads = {
        head: head if (mark := marks.get(head)) is None else first.setdefault(mark, head)
        for head in dict.fromkeys(groups.values())
    }
    return {key: heads[head] for key, head in groups.items()}


def _by_neighbours(groups: Groups, edges: Sequence[ShapeEdge]) -> dict[str, Hashable]:
    """Those that come from the same nodes and lead to the same ones: the branches of a fan-out."""
    sources, targets = _neighbours(groups, edges)
    return {head: (frozenset(sources[head]), frozenset(targets[head])) for head in groups.values() if head in sources}


def _by_name(groups: Groups, edges: Sequence[ShapeEdge]) -> dict[str, Hashable]:
    """Those whose keys differ by a number alone, where none of them leads to another one."""
    names = {head: _NUMBERS.sub("", head) for head in groups.values()}
    ends = [(groups[edge.source], groups[edge.target]) for edge in edges]
    in_a_row = {names[source] for source, target in ends if source != target and names[source] == names[target]}
    return {head: None if name in in_a_row else name for head, name in names.items()}


def _by_chain(groups: Groups, edges: Sequence[ShapeEdge]) -> dict[str, Hashable]:
    """Those that follow each other, with no other way in or out between them."""
    sources, targets = _neighbours(groups, edges)
    heads = dict.fromkeys(groups.values())
    follows = {
        head: source
        for head in heads
        if len(sources[head]) == 1 and len(targets[source := next(iter(sources[head]))]) == 1
    }
    marks: dict[str, Hashable] = {}
    for head in heads:
        passed = [head]
        while (before := follows.get(passed[-1])) is not None and before not in marks and before not in passed:
            passed.append(before)
        begin = marks.get(before, passed[-1]) if before is not None else passed[-1]
        marks.update(dict.fromkeys(passed, begin))
    return marks


def _by_layer(groups: Groups, edges: Sequence[ShapeEdge], start: str, most: int) -> dict[str, Hashable]:
    """Those that are about as far from the start, in so many groups."""
    _, targets = _neighbours(groups, edges)
    layers = {groups[start]: 0}
    ahead = [groups[start]]
    for head in ahead:  # grows as it goes
        for target in targets[head]:
            if target not in layers:
                layers[target] = layers[head] + 1
                ahead.append(target)
    deepest = max(layers.values()) + 1
    size = max(1, -(-deepest // (most - 1)))  # one group is left for those that nothing leads to
    return {head: layers[head] // size if head in layers else -1 for head in groups.values()}


def _neighbours(
    groups: Groups, edges: Sequence[ShapeEdge]
) -> tuple[dict[str, dict[str, None]], dict[str, dict[str, None]]]:
    """Those before and those after each group, in a fixed order."""
    sources: dict[str, dict[str, None]] = defaultdict(dict)
    targets: dict[str, dict[str, None]] = defaultdict(dict)
    for edge in edges:
        source, target = groups[edge.source], groups[edge.target]
        if source != target:
            sources[target][source] = targets[source][target] = None
    return sources, targets


_STEPS: Final[list[Callable[[Groups, Sequence[ShapeEdge]], Mapping[str, Hashable]]]] = [
    _by_neighbours,
    _by_name,
    _by_chain,
]
