"""The pending work of a run as plain data: what waits, what is running, and what waits at a join."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from spark.graphs.state.descent import (
    PRIME,
    STEP_FACTOR,
    by_join,
    gathered,
    in_order_of_arrival,
    node_hash,
)
from spark.graphs.state.groups import Group, Item, Mapped, Scope, items_begun, items_done, token_number
from spark.graphs.state.pending import PendingTokens
from spark.graphs.state.token import Token
from spark.graphs.state.token_table import FrozenTokens, thawed
from spark.graphs.values.item_mapping import Captured


class Frontier(PendingTokens):
    """All tokens of a run. Each is in exactly one place: waiting, running, suspended, or at a join.

    A map is one token that waits as a whole, and gives out one after the other the first tokens of its items.

    :param reaches: node key to the joins that can be reached from there; nodes that reach none may be left out.
    :param order: node key to its place in discovery order, in which a join sees its arrivals.
    :param joins: the keys of the joins.
    :param maps: the edges that are maps, by source, target and key.
    """

    __slots__ = ()

    def add(self, node: str, inputs: Any) -> None:
        """The token that a run begins with."""
        id = self._new_id()
        self._add(Token(id, inputs, node, (node_hash(node) + 1) % PRIME, None, id), self._root)

    def start(self) -> Token:
        """Move the token that waits longest to the running ones. Of a map, that is the first token of the next item."""
        entry = self.waiting.popleft()
        token = entry if type(entry) is Token else self._start_item(entry)  # type: ignore[arg-type]  # a group then
        self.running[token.id] = token
        return token

    def take(self, token: Token) -> None:
        """Move a token that waits to the running ones, out of its turn: somebody else says what became of it."""
        if token.id not in self.suspended_tokens or self.suspended.remove(token.id) is None:
            self.waiting.remove(token)
        self.running[token.id] = token

    def take_new(self, node: str, *, number: int) -> Token:
        """A running token that nothing has led to.

        :param number: different for each one of a graph, so that what follows it is no repetition of other work.
        """
        id = self._new_id()
        lineage = (node_hash(node) * STEP_FACTOR + number) % PRIME
        token = Token(id, None, node, lineage, None, id, joined=node in self._joins)
        self._add(token, self._root)
        self.take(token)
        return token

    def finish(self, token: Token, output: Any, targets: Sequence[str | Mapped]) -> None:
        """A running token's step has committed: in its place come those that carry the output to its targets."""
        del self.running[token.id]
        if self.journal.entries:
            self.journal.drop(token.id)
        item, scope = token.item, self._root
        if item is not None:
            if item.scope is None and self._are_joins(targets):  # it ends here, and was never stored by itself
                self._remove_first(token.id)
                self._end(item, by_join((target, output) for target in targets))  # type: ignore[misc]  # keys
                return
            scope = self._stored(token, item)
        is_bare = (
            item is None and not self._joins
        )  # then nothing but the table knows it: calls would take a tenth of a step
        if is_bare:
            self._tokens.remove(token.id)
        else:
            self._remove(token, scope)
        number = self.next_id
        id = content = str(number)
        self.next_id = number + len(targets)
        lineage, hashes = token.lineage * STEP_FACTOR, self._node_hashes
        path = self._path_to_extend(token, len(targets)) if self._joins else ()
        for branch, target in enumerate(targets):
            if branch:
                id = str(number + branch)
            node = target if type(target) is str else target.rule.worker  # type: ignore[union-attr]  # of a map
            hash = hashes.get(node) or self._hash_of(node)
            follower = Token(id, output, node, (lineage + hash + branch + 1) % PRIME, token.node, content)
            if is_bare and node is target:
                self._tokens.put(id, follower)
                self.waiting.append(follower)
                continue
            if path:
                follower.generation = token.generation + 1
                follower.path = path if len(targets) == 1 else (*path, branch)
            if item is not None:
                follower.scope, follower.item = token.scope, item
            if node is target:
                self._add(follower, scope)
                continue
            self._begin_map(follower, target, scope)  # type: ignore[arg-type]
            if content == id:  # what a map carries is the list; the output is that of the next branch
                content = str(number + branch + 1)
        if item is not None:
            self._settle(item)

    def fail_item(self, token: Token, item: Item, error: Any) -> None:
        """A running token's step has failed, and with it this item of a map: the error takes the place of its results.

        Other steps of the item that are running count no more.
        """
        del self.running[token.id]
        self.journal.drop(token.id)
        if item.scope is None:
            self._remove_first(token.id)
        else:
            self._drop(item, failed=token)
        self._end(item, {join: [error] for join in item.group.rule.joins})

    def forget(self, token: Token) -> None:
        """A running token that was dropped has ended."""
        del self.running[token.id]
        self.dropped.remove(token.id)

    def requeue_running(self) -> None:
        """Every running token waits again, before those that never ran."""
        dropped = self.dropped
        self.waiting.extendleft(reversed([token for id, token in self.running.items() if id not in dropped]))
        self.running.clear()
        dropped.clear()

    def capture(self) -> dict[str, Any]:
        """All tokens as plain data, where a running token counts as waiting. Never change what is in there.

        ``tokens`` are by their ids, and so are their inputs in ``contents``: the key of one is a token's ``content``. What an
        item of a map led to is there as well, by join, under ``"<token of the map>.<index>"``; items without it, and without a
        token of their own, have not begun. ``journal`` has the entries of tokens, if there are any, and ``inbox`` which
        messages have been received.
        """
        return frontier_data(*self.freeze())

    def freeze(self) -> tuple[int, FrozenTokens, Captured | None, dict[str, Captured] | None]:
        """What ``frontier_data`` makes the same of, later, in any thread."""
        tokens, contents = self._tokens.freeze()
        told: dict[str, Captured] | None = None
        if self.journal.entries:
            told = {"journal": self.journal.capture()}
        if self._received:
            told = {**(told or {}), "inbox": self.received.capture()}
        return self.next_id, tokens, contents, told

    def load(self, data: Mapping[str, Any]) -> None:
        """Become what ``capture`` described.

        :raises KeyError, TypeError, ValueError: ``capture`` never gave this.
        """
        self.next_id = data["next_token"]
        tokens, contents = data["tokens"], data["contents"]
        self.journal.load(data.get("journal", {}))
        if data.get("inbox"):
            self.received.load(data["inbox"])
        suspended = {id for id in self.journal if self.journal.open_entries(id) and not tokens[id].get("awake")}
        done, begun = items_done(contents), items_begun(tokens, suspended)
        for id in sorted(tokens, key=token_number):
            token = Token.from_data(id, contents[tokens[id]["content"]], tokens[id])
            group = self.groups[str(token.scope[0])] if token.scope else None
            if group is not None and "." in id:
                self._tokens.put(id, token)
                if id in suspended:
                    self.suspended.add(group.resumed(token))
                else:
                    group.retry(token)
                continue
            token.item = group.item(token.scope[1]) if group is not None else None
            scope = self._scope_of(token.item)
            if token.over:
                self._add_group(token, scope, done=done.get(id, ()), begun=begun.get(id, ()))
                for index in done.get(id, ()):
                    self._tokens.put_result(f"{id}.{index}", contents[f"{id}.{index}"])
            else:
                self._add(token, scope)
                if id in suspended and self.waiting and self.waiting[-1] is token:
                    self.waiting.pop()
                    self.suspended.add(token)
        for item in [item for group in self.groups.values() for item in group.under_way.values()]:
            self._settle(item)

    def _are_joins(self, targets: Iterable[str | Mapped]) -> bool:
        return all(type(target) is str and target in self._joins for target in targets)

    def _stored(self, token: Token, item: Item) -> Scope:
        """The scope of an item that does not end with this token, which is in there."""
        scope = item.scope
        if scope is None:
            scope = item.scope = Scope()
            self._remove_first(token.id)
            self._add(token, scope)
            self.waiting.pop()
        return scope

    def _begin_map(self, token: Token, target: Mapped, scope: Scope) -> None:
        """A token has come to an edge that is a map. It stands for the map, unless there is nothing to run."""
        rule, items = target.rule, target.items
        token.inputs, token.content = items, token.id
        if rule.worker in self._joins:
            self._gather(token, {rule.worker: [*(items.values() if isinstance(items, Mapping) else items)]}, scope)
        elif not items:
            self._gather(token, {join: [] for join in rule.joins}, scope)
        else:
            token.over, token.edge = rule.key, rule.number
            self._add_group(token, scope)

    def _add_group(
        self, token: Token, scope: Scope, *, done: Collection[int] = (), begun: Collection[int] = ()
    ) -> None:
        self._tokens.put(token.id, token)
        if token.item is not None:
            scope.tokens[token.id] = token
        rules = self._maps[token.source or "", token.node, token.over]
        group = Group(token, rules[min(token.edge, len(rules) - 1)], done=done, begun=begun)
        self.groups[token.id] = group
        self._enqueue(group)
        if self._reaches:
            scope.count_reached(token, self._reaches, +1)

    def _enqueue(self, group: Group) -> None:
        """Let a map wait for its next item to be started, if it may be."""
        if group.may_start and not group.is_waiting:
            group.is_waiting = True
            self.waiting.append(group)

    def _start_item(self, group: Group) -> Token:
        token = group.start()
        group.is_waiting = False
        self._enqueue(group)  # behind all that waits, so that items which are under way get on
        return token

    def _settle(self, item: Item) -> None:
        """After a change among an item's tokens: release joins, and end the item if nothing of it is left to do."""
        is_under_way = item.group.under_way.get(item.index) is item
        if is_under_way and item.scope is not None and self._is_over(item.scope):
            self._end(item, self._taken(item.scope))

    def _is_over(self, scope: Scope) -> bool:
        if scope.at_join:
            self._release_joins(scope)
        return scope.is_over

    def _taken(self, scope: Scope) -> dict[str, list[Any]]:
        """What an item's tokens have brought to each join, instead of the tokens."""
        for token in scope.arrived:
            self._tokens.remove(token.id)
        return by_join((token.node, token.inputs) for token in in_order_of_arrival(scope.arrived, self._order))

    def _end(self, item: Item, results: dict[str, list[Any]]) -> None:
        """An item has ended. With the last one of a map, its map ends, and with that perhaps the item around it."""
        while True:
            group, outer = item.group, item.outer
            self._tokens.put_result(item.name, results)
            if not group.end(item):
                self._enqueue(group)
                return
            scope = self._scope_of(outer)
            self._end_group(group, scope)
            if outer is None or not self._is_over(scope):
                return
            item, results = outer, self._taken(scope)

    def _end_group(self, group: Group, scope: Scope) -> None:
        """Take the results of all items to the joins that they have reached."""
        token, results = group.token, dict[str, list[Any]]()
        for index in range(len(group.items)):
            for join, outputs in self._tokens.take_result(f"{token.id}.{index}").items():
                results.setdefault(join, []).extend(outputs)
        del self.groups[token.id]
        if token.item is not None:
            self.ended_items[group.rule.edge] = self.ended_items.get(group.rule.edge, 0) + len(group.items)
        elif not self.groups:
            self.ended_items.clear()
        self._remove(token, scope)
        self._gather(token, results or {join: [] for join in group.rule.joins}, scope)

    def _gather(self, token: Token, results: Mapping[str, list[Any]], scope: Scope) -> None:
        """Let the results of a map wait at their joins.

        :param token: stands for the map.
        """
        path = self._path_to_extend(token, len(results))
        for branch, join in enumerate(sorted(results, key=lambda join: self._order.get(join, -1))):
            own = path if len(results) == 1 else (*path, branch)
            self._add(gathered(token, join, results[join], id=self._new_id(), path=own), scope)

    def _drop(self, item: Item, *, failed: Token) -> None:
        """Remove all tokens of an item, and of the maps within it. Of those that are running, the end is still awaited."""
        items, gone = [item], set[str]()
        for each in items:
            for token in each.scope.tokens.values() if each.scope is not None else ():
                self._tokens.remove(token.id)
                gone.add(token.id)
                if token.over:
                    items += self._drop_group(token)
            if each.scope is None:
                gone.add(each.name)
                self._remove_first(each.name)
        for id in gone:
            self.suspended.remove(id)
            self.journal.drop(id)
        self.dropped |= gone & self.running.keys()
        if gone - self.running.keys() - {failed.id}:  # some of them may be waiting
            kept = [entry for entry in self.waiting if entry.id not in gone]
            self.waiting.clear()
            self.waiting.extend(kept)

    def _drop_group(self, token: Token) -> Collection[Item]:
        """Forget a map. Returns its items that are under way."""
        group = self.groups.pop(token.id)
        for index in range(len(group.items)):
            self._remove_first(f"{token.id}.{index}")
            self._tokens.take_result(f"{token.id}.{index}")
        return group.under_way.values()


def frontier_data(
    next_id: int, tokens: FrozenTokens, contents: Captured | None, told: Mapping[str, Captured] | None
) -> dict[str, Any]:
    """What checkpoints hold of a frontier: see ``Frontier.capture``.

    :param told: its ``journal`` and its ``inbox``, those that there are.
    """
    data, inputs = thawed(tokens, contents)
    frontier: dict[str, Any] = {"next_token": next_id, "tokens": data, "contents": inputs}
    return frontier if told is None else {**frontier, **told}
