"""The tokens of a run, each in its place, and the joins at which some of them wait for others."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from spark.graphs.state.descent import (
    LONGEST_PATH,
    in_order_of_arrival,
    joined,
    node_hash,
    path_of,
    shorten_paths,
    upstream_joins,
)
from spark.graphs.state.groups import Group, Item, MapRule, Scope
from spark.graphs.state.journal import Entry, Journal
from spark.graphs.state.received import Received
from spark.graphs.state.suspended import SuspendedTokens
from spark.graphs.state.token import Token
from spark.graphs.state.token_table import TokenTable


class PendingTokens:
    """The tokens of a run. What a commit does with them is the business of ``Frontier``."""

    __slots__ = (
        "_joins",
        "_maps",
        "_node_hashes",
        "_order",
        "_reaches",
        "_received",
        "_root",
        "_suspended",
        "_tokens",
        "at_join",
        "dropped",
        "ended_items",
        "groups",
        "journal",
        "next_id",
        "running",
        "suspended_tokens",
        "tokens",
        "waiting",
    )

    def __init__(
        self,
        *,
        joins: Iterable[str] = (),
        reaches: Mapping[str, Sequence[str]] | None = None,
        order: Mapping[str, int] | None = None,
        maps: Mapping[tuple[str, str, str], Sequence[MapRule]] | None = None,
    ) -> None:
        self._joins = frozenset(joins)
        self._reaches = reaches or {}
        self._order = order or {}
        self._maps = maps or {}
        self._node_hashes: dict[str, int] = {}
        self._tokens = TokenTable()
        self.tokens: Mapping[str, Token] = self._tokens.values
        """All that are stored one by one, by id, in the order of their ids."""
        self._root = Scope()
        self.waiting: deque[Token | Group] = deque()
        self.running: dict[str, Token] = {}
        self.at_join: dict[str, list[Token]] = self._root.at_join
        """Join key to the tokens outside of maps that wait there until no other token can still reach the join."""
        self.groups: dict[str, Group] = {}
        """The maps under way, by the ids of their tokens."""
        self.ended_items: dict[tuple[str, str, str], int] = {}
        """Of maps that have ended within maps under way: the edge to how many items they had. Not stored."""
        self.dropped: set[str] = set()
        """The ids of running tokens that count no more, because the item that they belong to has failed."""
        self.journal: Journal = Journal()
        """What steps that are repeated get back, and what suspended ones wait for."""
        self.suspended_tokens: dict[str, Token] = {}
        """Those whose steps wait for something outside, by id. To read; ``suspended`` changes it."""
        self._suspended: SuspendedTokens | None = None
        self._received: Received | None = None
        """These two, once somebody has asked for them: most runs never wait."""
        self.next_id: int = 1

    def __bool__(self) -> bool:
        return bool(self.tokens)

    @property
    def suspended(self) -> SuspendedTokens:
        """What knows when the suspended tokens continue."""
        if self._suspended is None:
            self._suspended = SuspendedTokens(self.journal, self.suspended_tokens)
        return self._suspended

    @property
    def received(self) -> Received:
        """Which messages that were sent to the graph have been received."""
        if self._received is None:
            self._received = Received()
        return self._received

    def pending(self) -> Collection[Token]:
        """All tokens that are stored one by one, in the order of their ids."""
        return self.tokens.values()

    def count_failure(self, token: Token) -> None:
        """An execution of a running token has failed."""
        token.failures += 1
        self._tokens.changed(token)

    def note(self, token: Token, key: str, entry: Entry) -> None:
        """Keep an entry in the journal for a token."""
        self.journal.put(token.id, key, entry)
        self._store_by_itself(token)

    def suspend(self, token: Token, waits: Mapping[str, Entry]) -> None:
        """A running token's step waits for these entries, unless one of them was closed while the step was executed."""
        del self.running[token.id]
        self._store_by_itself(token)
        if self.journal.wait(token.id, waits):
            self._set_awake(token, False)
            self.suspended.add(token)
        else:
            self._go_on(token)

    def resume(self, id: str) -> None:
        """A suspended token's step may be executed again."""
        token = self.suspended.remove(id)
        if token is not None:
            self._go_on(token)

    def resume_due(self, now: datetime) -> None:
        """So may all whose time has come."""
        for token in self.suspended.pop_due(now):
            self._go_on(token)

    def _go_on(self, token: Token) -> None:
        self._set_awake(token, bool(self.journal.open_entries(token.id)))
        self.waiting.append(token)

    def _set_awake(self, token: Token, is_awake: bool) -> None:
        if token.awake is not is_awake:
            token.awake = is_awake
            self._tokens.changed(token)

    def _store_by_itself(self, token: Token) -> None:
        if token.id not in self._tokens.values:  # the first one of an item
            self._tokens.put(token.id, token)

    def release_joins(self) -> None:
        """Release what waits at every join that no other token can still reach, as one token for the join.

        Joins that reach one another would wait forever; of those the first in discovery order is released.
        """
        self._release_joins(self._root)

    def _new_id(self) -> str:
        id = str(self.next_id)
        self.next_id += 1
        return id

    def _scope_of(self, item: Item | None) -> Scope:
        if item is None:
            return self._root
        if item.scope is None:
            item.scope = Scope()
        return item.scope

    def _add(self, token: Token, scope: Scope) -> None:
        """It waits, at its join or to be executed."""
        self._tokens.put(token.id, token)
        if token.item is not None:
            scope.tokens[token.id] = token
            if token.node in self._joins and not token.joined and not token.gathered:
                scope.arrived.append(token)
                return
        if token.node in self._joins and not token.joined:
            scope.at_join.setdefault(token.node, []).append(token)
        else:
            self.waiting.append(token)
        if self._reaches:
            scope.count_reached(token, self._reaches, +1)

    def _remove(self, token: Token, scope: Scope) -> None:
        self._tokens.remove(token.id)
        if token.item is not None:
            del scope.tokens[token.id]
        if self._reaches:
            scope.count_reached(token, self._reaches, -1)

    def _remove_first(self, id: str) -> None:
        """Remove the first token of an item, which is only there if it has failed."""
        if id in self._tokens.values:
            self._tokens.remove(id)

    def _release_joins(self, scope: Scope) -> None:
        counts, at_join = scope.reach_counts, scope.at_join
        for join in [join for join in at_join if not counts[join]]:
            self._release(join, scope)
        moves = self.waiting or self.running or self.suspended_tokens if scope is self._root else scope.moves
        if at_join and not moves:
            self._release(
                min(upstream_joins(at_join, self._reaches), key=lambda join: self._order.get(join, -1)), scope
            )

    def _release(self, join: str, scope: Scope) -> None:
        arrived = in_order_of_arrival(scope.at_join.pop(join), self._order)
        for token in arrived:
            self._remove(token, scope)
        self._add(joined(arrived, join, id=self._new_id()), scope)

    def _hash_of(self, node: str) -> int:
        hash = self._node_hashes[node] = node_hash(node)
        return hash

    def _path_to_extend(self, token: Token, branches: int) -> tuple[int, ...]:
        """The path of a token that is finished, to which those that follow it add their branch, if there are several."""
        if branches > 1 and len(token.path) >= LONGEST_PATH:
            item = token.item
            others = (
                [each for each in self.pending() if each.item is None] if item is None else item.scope.tokens.values()
            )
            shorten_paths([*others, token])
            for other in others:
                self._tokens.changed(other)
        return path_of(token)
