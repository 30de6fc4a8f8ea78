"""The work of a run that is waiting, running, or held at a join, as plain data."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from zlib import crc32

from spark.graphs.containers import PlainList

_PRIME: Final = 2**61 - 1
_GENERATION: Final = 0x1B873593CC9E2D51
_MEETING: Final = 0x09E3779B97F4A7C1
"""A lineage is a polynomial in two arbitrary numbers, modulo a prime: cheap, and different for different ways."""

_LONGEST_PATH: Final = 256
"""So many branches are remembered one by one; then the tokens are numbered in the order that they have."""

Path: TypeAlias = tuple[int, ...]
"""By which branch of each fan-out a token came.

What belongs to one token only, goes on in the path of those that follow it: no path begins with that of another token.
"""


class Token:
    """One pending execution of a node."""

    __slots__ = ("failures", "generation", "id", "inputs", "joined", "lineage", "node", "path", "source")

    def __init__(
        self,
        id: int,
        node: str,
        inputs: Any,
        *,
        lineage: int,
        source: str | None,
        joined: bool = False,
        failures: int = 0,
        generation: int = 0,
        path: Path = (),
    ) -> None:
        self.id: int = id
        """1, 2, 3… in the order in which the tokens of a run came into being."""
        self.lineage: int = lineage
        """Says from which work it came, by which way, so it names the same work again whatever finishes first."""
        self.node: str = node
        """The key of the node to execute."""
        self.inputs: Any = inputs
        """What the node receives; of a joined token, the list of everything that arrived."""
        self.source: str | None = source
        """The key of the node whose output this is; None at the start."""
        self.joined: bool = joined
        """The join has fired: this one is no longer held."""
        self.failures: int = failures
        """How many of its executions have failed."""
        self.generation: int = generation
        """How many steps led to it."""
        self.path: Path = path
        """Decides within a generation; in a graph with joins, each token has one."""


class Frontier:
    """All tokens of a run. Each is in exactly one place: waiting, running, or held at a join.

    :param reaches: node key to the joins that can be reached from there; nodes that reach none may be left out.
    :param order: node key to its place in discovery order, in which a join sees its arrivals.
    :param joins: the keys of the joins.
    """

    __slots__ = ("_joins", "_marks", "_order", "_pressure", "_reaches", "held", "next_id", "running", "waiting")

    def __init__(
        self,
        *,
        joins: Iterable[str] = (),
        reaches: Mapping[str, Sequence[str]] | None = None,
        order: Mapping[str, int] | None = None,
    ) -> None:
        self._joins = frozenset(joins)
        self._reaches = reaches or {}
        self._order = order or {}
        self._pressure = dict.fromkeys(self._joins, 0)
        """Join key to the number of tokens that can still reach it."""
        self._marks: dict[str, int] = {}
        """Node key to a number that stands for it in lineages."""
        self.waiting: deque[Token] = deque()
        self.running: dict[int, Token] = {}
        self.held: dict[str, list[Token]] = {}
        self.next_id: int = 1

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running or self.held)

    def add(self, node: str, inputs: Any) -> None:
        """The token that a run begins with: held if its node is a join, else waiting."""
        token = Token(self._new_id(), node, inputs, lineage=(self._mark(node) + 1) % _PRIME, source=None)
        token.path = (token.id,)
        self._place(token)

    def start(self) -> Token:
        """Move the token that waits longest to the running ones."""
        token = self.waiting.popleft()
        self.running[token.id] = token
        return token

    def finish(self, token: Token, output: Any, targets: Sequence[str]) -> None:
        """A running token's step has committed: in its place come those that carry the output to its targets."""
        del self.running[token.id]
        if self._reaches:
            self._press(token, -1)
        lineage = token.lineage * _GENERATION
        path = self._short_path(token) if self._joins else ()
        for branch, target in enumerate(targets):
            follower = Token(
                self.next_id + branch,
                target,
                output,
                lineage=(lineage + self._mark(target) + branch + 1) % _PRIME,
                source=token.node,
            )
            if path:
                follower.generation = token.generation + 1
                follower.path = path if len(targets) == 1 else (*path, branch)
            self._place(follower)
        self.next_id += len(targets)

    def put_back(self) -> None:
        """Every running token waits again, before those that never ran."""
        self.waiting.extendleft(reversed(self.running.values()))
        self.running.clear()

    def pending(self) -> list[Token]:
        """All tokens: those that run first, those that are held last."""
        pending = [*self.running.values(), *self.waiting]
        for held in self.held.values():
            pending += held
        return pending

    def release_joins(self) -> None:
        """Fire every join that holds something and that no other token can still reach.

        Joins that reach one another would wait forever; of those the first in discovery order fires.
        """
        for join in [join for join in self.held if self._pressure[join] == 0]:
            self._fire(join)
        if self.held and not self.waiting and not self.running:
            self._fire(min(self._foremost(), key=lambda join: self._order.get(join, -1)))

    def to_data(self) -> dict[str, Any]:
        """All tokens as plain data, where a running token counts as waiting.

        The inputs are in ``contents``, at the place that a token names; tokens with the same inputs share one, as after a
        fan-out.
        """
        pending = self.pending()
        if self._joins and any(len(token.path) > 1 for token in pending):
            _number(pending)
        tokens = PlainList()
        contents: list[Any] = []
        places: dict[int, int] = {}
        for token in pending:
            place = places.setdefault(id(token.inputs), len(contents))
            if place == len(contents):
                contents.append(token.inputs)
            tokens.append(_token_data(token, place))
        return {"next_token": self.next_id, "tokens": tokens, "contents": contents}

    def load(self, data: Mapping[str, Any]) -> None:
        """Become what ``to_data`` described.

        :raises KeyError, TypeError, IndexError: ``to_data`` never gave this.
        """
        self.next_id = operator.index(data["next_token"])
        for item in data["tokens"]:
            self._place(
                Token(
                    item["id"],
                    item["node"],
                    data["contents"][item["content"]],
                    lineage=item["lineage"],
                    source=item["source"],
                    joined=item["joined"],
                    failures=operator.index(item.get("failures", 0)),
                    **_recorded_order(item),
                )
            )

    def _short_path(self, token: Token) -> Path:
        """The path of a token, to which another branch may be added."""
        if len(token.path) >= _LONGEST_PATH:
            _number([*self.pending(), token])
        return token.path

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def _mark(self, node: str) -> int:
        mark = self._marks.get(node)
        if mark is None:
            mark = self._marks[node] = crc32(node.encode(errors="surrogatepass")) << 20  # leaves room for the branch
        return mark

    def _place(self, token: Token) -> None:
        if token.node in self._joins and not token.joined:
            self.held.setdefault(token.node, []).append(token)
        else:
            self.waiting.append(token)
        if self._reaches:
            self._press(token, +1)

    def _press(self, token: Token, change: int) -> None:
        for join in self._reaches.get(token.node, ()):
            if join != token.node or token.joined:  # what is held here does not keep its own join waiting
                self._pressure[join] += change

    def _fire(self, join: str) -> None:
        arrived = sorted(
            self.held.pop(join),
            key=lambda token: (self._order.get(token.source or "", -1), token.generation, token.path),
        )
        for token in arrived:
            self._press(token, -1)
        inputs = [token.inputs for token in arrived]
        lineage = 1
        for each in sorted(token.lineage for token in arrived):
            lineage = (lineage * _MEETING + each) % _PRIME
        token = Token(self._new_id(), join, inputs, lineage=lineage, source=arrived[0].source, joined=True)
        token.generation = max(each.generation for each in arrived)
        token.path = min(each.path for each in arrived)
        self._place(token)

    def _foremost(self) -> list[str]:
        """The held joins that only such held joins reach as they themselves reach."""
        reaches = self._reaches
        return [
            join
            for join in self.held
            if all(
                other in reaches.get(join, ())
                for other in self.held
                if other != join and join in reaches.get(other, ())
            )
        ]


def _number(tokens: list[Token]) -> None:
    """Give these tokens short paths, in the order of those that they have."""
    for place, token in enumerate(sorted(tokens, key=lambda token: token.path)):
        token.path = (place,)


def _recorded_order(item: Mapping[str, Any]) -> dict[str, Any]:
    """In checkpoints of older releases, the ids decide."""
    generation, place = item.get("order") or (0, item["id"])
    return {"generation": operator.index(generation), "path": (operator.index(place),)}


def _token_data(token: Token, content: int) -> dict[str, Any]:
    data = {
        "id": token.id,
        "node": token.node,
        "lineage": token.lineage,
        "source": token.source,
        "joined": token.joined,
        "content": content,
    }
    if token.failures:
        data["failures"] = token.failures
    if token.generation or (token.path and token.path[0] != token.id):
        data["order"] = [token.generation, token.path[0]]
    return data
