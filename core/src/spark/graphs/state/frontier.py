"""The pending work of a run as plain data: what waits, what is running, and what waits at a join."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from spark.graphs.state.token import Token
from spark.graphs.state.token_table import TokenTable

_PRIME: Final = 2**61 - 1
_STEP_FACTOR: Final = 0x1B873593CC9E2D51
_JOIN_FACTOR: Final = 0x09E3779B97F4A7C1
"""A lineage is a polynomial in two arbitrary numbers, modulo a prime: cheap, and different for different ways."""

_LONGEST_PATH: Final = 32
"""So many fan-outs are remembered one by one; then all tokens get short paths that keep their order."""


class Frontier:
    """All tokens of a run. Each is in exactly one place: waiting, running, or at a join.

    :param reaches: node key to the joins that can be reached from there; nodes that reach none may be left out.
    :param order: node key to its place in discovery order, in which a join sees its arrivals.
    :param joins: the keys of the joins.
    """

    __slots__ = (
        "_joins",
        "_node_hashes",
        "_order",
        "_reach_counts",
        "_reaches",
        "_tokens",
        "at_join",
        "next_id",
        "running",
        "waiting",
    )

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
        self._reach_counts = dict.fromkeys(self._joins, 0)
        """Join key to the number of tokens that can still reach it."""
        self._node_hashes: dict[str, int] = {}
        self._tokens = TokenTable()
        self.waiting: deque[Token] = deque()
        self.running: dict[str, Token] = {}
        self.at_join: dict[str, list[Token]] = {}
        """Join key to the tokens that wait there until no other token can still reach the join."""
        self.next_id: int = 1

    def __bool__(self) -> bool:
        return bool(self._tokens.values)

    def add(self, node: str, inputs: Any) -> None:
        """The token that a run begins with."""
        self._add(self._new_token(node, inputs, lineage=(self._hash_of(node) + 1) % _PRIME))

    def start(self) -> Token:
        """Move the token that waits longest to the running ones."""
        token = self.waiting.popleft()
        self.running[token.id] = token
        return token

    def finish(self, token: Token, output: Any, targets: Sequence[str]) -> None:
        """A running token's step has committed: in its place come those that carry the output to its targets."""
        del self.running[token.id]
        self._remove(token)
        id = content = str(self.next_id)
        lineage = token.lineage * _STEP_FACTOR
        path = self._path_to_extend(token, len(targets)) if self._joins else ()
        for branch, target in enumerate(targets):
            if branch:
                id = str(self.next_id + branch)
            hash = self._node_hashes.get(target) or self._hash_of(target)
            follower = Token(id, output, target, (lineage + hash + branch + 1) % _PRIME, token.node, content)
            if path:
                follower.generation = token.generation + 1
                follower.path = path if len(targets) == 1 else (*path, branch)
            self._add(follower)
        self.next_id += len(targets)

    def count_failure(self, token: Token) -> None:
        """An execution of a running token has failed."""
        token.failures += 1
        self._tokens.changed(token)

    def requeue_running(self) -> None:
        """Every running token waits again, before those that never ran."""
        self.waiting.extendleft(reversed(self.running.values()))
        self.running.clear()

    def pending(self) -> Collection[Token]:
        """All tokens, in the order of their ids."""
        return self._tokens.values.values()

    def release_joins(self) -> None:
        """Release what waits at every join that no other token can still reach, as one token for the join.

        Joins that reach one another would wait forever; of those the first in discovery order is released.
        """
        for join in [join for join in self.at_join if self._reach_counts[join] == 0]:
            self._release(join)
        if self.at_join and not self.waiting and not self.running:
            self._release(min(self._upstream_joins(), key=lambda join: self._order.get(join, -1)))

    def capture(self) -> dict[str, Any]:
        """All tokens as plain data, where a running token counts as waiting. Never change what is in there.

        ``tokens`` are by their ids, and so are their inputs in ``contents``: the key of one is a token's ``content``.
        """
        tokens, contents = self._tokens.capture_all()
        return {"next_token": self.next_id, "tokens": tokens, "contents": contents}

    def load(self, data: Mapping[str, Any]) -> None:
        """Become what ``capture`` described.

        :raises KeyError, TypeError, ValueError: ``capture`` never gave this.
        """
        self.next_id = data["next_token"]
        tokens, contents = data["tokens"], data["contents"]
        for id in sorted(tokens, key=int):
            self._add(Token.from_data(id, contents[tokens[id]["content"]], tokens[id]))

    def _new_token(
        self, node: str, inputs: Any, *, lineage: int, source: str | None = None, joined: bool = False
    ) -> Token:
        id = str(self.next_id)
        self.next_id += 1
        return Token(id, inputs, node, lineage, source, id, joined)

    def _add(self, token: Token) -> None:
        """It waits, at its join or to be executed."""
        self._tokens.put(token.id, token)
        if token.node in self._joins and not token.joined:
            self.at_join.setdefault(token.node, []).append(token)
        else:
            self.waiting.append(token)
        if self._reaches:
            self._adjust_reach_counts(token, +1)

    def _remove(self, token: Token) -> None:
        self._tokens.remove(token.id)
        if self._reaches:
            self._adjust_reach_counts(token, -1)

    def _adjust_reach_counts(self, token: Token, change: int) -> None:
        for join in self._reaches.get(token.node, ()):
            if join != token.node or token.joined:  # what waits at a join does not keep that join waiting
                self._reach_counts[join] += change

    def _release(self, join: str) -> None:
        arrived = sorted(
            self.at_join.pop(join),
            key=lambda token: (self._order.get(token.source or "", -1), token.generation, _path(token)),
        )
        for token in arrived:
            self._remove(token)
        lineage = 1
        for each in sorted(token.lineage for token in arrived):
            lineage = (lineage * _JOIN_FACTOR + each) % _PRIME
        inputs = [token.inputs for token in arrived]
        token = self._new_token(join, inputs, lineage=lineage, source=arrived[0].source, joined=True)
        token.generation = max(each.generation for each in arrived)
        token.path = min(map(_path, arrived))
        self._add(token)

    def _upstream_joins(self) -> list[str]:
        """The joins with waiting tokens that no other such join reaches, but for those that they reach themselves."""
        reaches = self._reaches
        return [
            join
            for join in self.at_join
            if all(
                other in reaches.get(join, ())
                for other in self.at_join
                if other != join and join in reaches.get(other, ())
            )
        ]

    def _hash_of(self, node: str) -> int:
        text = node.encode(errors="surrogatepass")
        hash = self._node_hashes[node] = crc32(text) << 20  # leaves room for the branch
        return hash

    def _path_to_extend(self, token: Token, branches: int) -> tuple[int, ...]:
        """The path of a token that is finished, to which those that follow it add their branch, if there are several."""
        if branches > 1 and len(token.path) >= _LONGEST_PATH:
            self._shorten_paths(token)
        return _path(token)

    def _shorten_paths(self, finished: Token) -> None:
        """Give all tokens, and one that is finished, paths of one number each, in the order that they have."""
        for place, token in enumerate(sorted([*self.pending(), finished], key=_path)):
            token.path = (place,)
            if token is not finished:
                self._tokens.changed(token)


def _path(token: Token) -> tuple[int, ...]:
    return token.path or (int(token.id),)
