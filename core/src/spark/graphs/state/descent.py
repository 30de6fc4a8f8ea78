"""How tokens descend from one another: a hash of the work that led to each, and their order where they meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from spark.graphs.state.token import Token

PRIME: Final = 2**61 - 1
STEP_FACTOR: Final = 0x1B873593CC9E2D51
_JOIN_FACTOR: Final = 0x09E3779B97F4A7C1
_ITEM_FACTOR: Final = 0x0D2B74407B1CE6E9
"""A lineage is a polynomial in a few arbitrary numbers, modulo a prime: cheap, and different for different ways."""

LONGEST_PATH: Final = 32
"""So many fan-outs are remembered one by one; then all tokens get short paths that keep their order."""


def node_hash(node: str) -> int:
    """What the key of a node adds to a lineage; leaves room for the branch."""
    return crc32(node.encode(errors="surrogatepass")) << 20


def item_lineage(token: Token, index: int) -> int:
    """That of the first token of an item of this map."""
    return (token.lineage * _ITEM_FACTOR + index + 1) % PRIME


def path_of(token: Token) -> tuple[int, ...]:
    """By which branch of each fan-out it came."""
    return token.path or (int(token.id),)


def shorten_paths(tokens: Iterable[Token]) -> None:
    """Give tokens paths of one number each, in the order that they have."""
    for place, token in enumerate(sorted(tokens, key=path_of)):
        token.path = (place,)


def in_order_of_arrival(tokens: Iterable[Token], order: Mapping[str, int]) -> list[Token]:
    """Tokens at one join, in the order in which the join sees them, whatever finished first.

    :param order: node key to its place in discovery order.
    """
    return sorted(tokens, key=lambda token: (order.get(token.source or "", -1), token.generation, path_of(token)))


def joined(arrived: Sequence[Token], join: str, *, id: str) -> Token:
    """The token for which a join is released: it carries each arrival, and of a map each of its results."""
    first, lineage, inputs = arrived[0], 1, list[Any]()
    for each in sorted(token.lineage for token in arrived):
        lineage = (lineage * _JOIN_FACTOR + each) % PRIME
    for token in arrived:
        if token.gathered:
            inputs += token.inputs
        else:
            inputs.append(token.inputs)
    return Token(
        id,
        inputs,
        join,
        lineage,
        first.source,
        id,
        joined=True,
        generation=max(token.generation for token in arrived),
        path=min(map(path_of, arrived)),
        scope=first.scope,
        item=first.item,
    )


def gathered(group: Token, join: str, results: list[Any], *, id: str, path: tuple[int, ...]) -> Token:
    """The token that waits at a join with the results of a map.

    :param group: the token that stood for the map.
    """
    return Token(
        id,
        results,
        join,
        (group.lineage * _JOIN_FACTOR + node_hash(join) + 1) % PRIME,
        group.source,
        id,
        generation=group.generation + 1,
        path=path,
        scope=group.scope,
        gathered=True,
        item=group.item,
    )


def by_join(arrivals: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Join key to what arrived there, in order."""
    results: dict[str, list[Any]] = {}
    for join, output in arrivals:
        results.setdefault(join, []).append(output)
    return results


def upstream_joins(at_join: Mapping[str, Any], reaches: Mapping[str, Sequence[str]]) -> list[str]:
    """The joins with waiting tokens that no other such join reaches, but for those that they reach themselves."""
    return [
        join
        for join in at_join
        if all(other in reaches.get(join, ()) for other in at_join if other != join and join in reaches.get(other, ()))
    ]
