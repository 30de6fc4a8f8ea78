"""Maps under way: the items of one list, and the tokens that come of each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from spark.graphs.state.descent import item_lineage
from spark.graphs.state.token import Token


class MapRule:
    """An edge that is a map, as the frontier knows it.

    :param edge: the key of the node whose output has the list, that of the node which runs for each item, and where in the
        output the list is.
    :param number: its place among the maps with the same three, which differ in their conditions.
    :param limit: how many items may be under way at a time.
    :param collects: an item that fails gives its join an error, and the run continues.
    :param joins: those that an item may reach first, in discovery order.
    """

    __slots__ = ("collects", "edge", "joins", "key", "limit", "number", "worker")

    def __init__(
        self, edge: tuple[str, str, str], *, number: int, limit: int | None, collects: bool, joins: Sequence[str]
    ) -> None:
        self.edge = edge
        self.worker = edge[1]
        self.key = edge[2]
        self.number = number
        self.limit = limit
        self.collects = collects
        self.joins = joins


class Mapped:
    """What a map's edge leads to for one output.

    :param items: a list or a tuple; or a mapping, whose values are the items.
    """

    __slots__ = ("items", "rule")

    def __init__(self, rule: MapRule, items: Collection[Any]) -> None:
        self.rule = rule
        self.items = items


class Scope:
    """Tokens that may meet at a join: all that are in no map, or all of one item."""

    __slots__ = ("arrived", "at_join", "reach_counts", "tokens")

    def __init__(self) -> None:
        self.at_join: dict[str, list[Token]] = {}
        """Join key to the tokens that wait there until no other token of the scope can still reach the join."""
        self.reach_counts: defaultdict[str, int] = defaultdict(int)
        """Join key to the number of tokens of the scope that can still reach it."""
        self.tokens: dict[str, Token] = {}
        """All of them by id, where it is the scope of an item."""
        self.arrived: list[Token] = []
        """Those that have reached the join which gathers the item's map, where they wait for the other items."""

    @property
    def moves(self) -> bool:
        """Whether an item's scope has more than what waits at joins."""
        return len(self.tokens) > len(self.arrived) + sum(map(len, self.at_join.values()))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do in an item's scope."""
        return len(self.tokens) == len(self.arrived)

    def count_reached(self, token: Token, reaches: Mapping[str, Sequence[str]], change: int) -> None:
        """A token has come, or gone, that can still reach some joins.

        :param reaches: node key to the joins that can be reached from there.
        """
        counts = self.reach_counts
        for join in reaches.get(token.node, ()):
            if join != token.node or token.joined:  # what waits at a join does not keep that join waiting
                counts[join] += change


class Place:
    """Where in its maps a step is: what becomes of an ``Item`` that is sent elsewhere with a token, without its siblings."""

    __slots__ = ("_path", "index", "key")

    def __init__(self, index: int, key: Any, path: tuple[Any, ...]) -> None:
        self.index = index
        self.key = key
        self._path = path

    def path(self) -> tuple[Any, ...]:
        """Key or index in each map around it, the outermost first."""
        return self._path


class Item:
    """One item of a map. All tokens that come of it refer to it."""

    __slots__ = ("group", "index", "key", "scope")

    def __init__(self, group: Group, index: int) -> None:
        self.group = group
        self.index = index
        self.key: Any = group.keys[index] if group.keys is not None else None
        """Its key, where the map runs over a mapping."""
        self.scope: Scope | None = None
        """Its tokens; None while its first one is all there is."""

    @property
    def outer(self) -> Item | None:
        """The item of the map around, if there is one."""
        outer: Item | None = self.group.token.item
        return outer

    @property
    def name(self) -> str:
        """``"<group>.<index>"``: the id of its first token, and of its results."""
        return f"{self.group.token.id}.{self.index}"

    def path(self) -> tuple[Any, ...]:
        """Key or index in each map around it, the outermost first."""
        steps: list[Any] = []
        item: Item | None = self
        while item is not None:
            steps.append(item.index if item.group.keys is None else item.key)
            item = item.outer
        return tuple(reversed(steps))

    def __reduce__(self) -> tuple[type[Place], tuple[Any, ...]]:
        return Place, (self.index, self.key, self.path())

    def collecting(self) -> Item | None:
        """The innermost item, this one or one around it, whose map collects errors."""
        item: Item | None = self
        while item is not None and not item.group.rule.collects:
            item = item.outer
        return item


class Group:
    """The items of one list. Those that were not begun are not there one by one, but follow from which were.

    :param token: stands for the group among the tokens; its inputs are the list.
    :param done: the indexes of the items that have ended.
    :param begun: the indexes of those that got past their first node and have not ended.
    """

    __slots__ = ("done", "is_waiting", "items", "keys", "retried", "rule", "todo", "token", "under_way", "unstarted")

    def __init__(self, token: Token, rule: MapRule, *, done: Collection[int] = (), begun: Collection[int] = ()) -> None:
        self.token = token
        self.rule = rule
        items = token.inputs
        self.keys: list[Any] | None = list(items) if isinstance(items, Mapping) else None
        self.items: Sequence[Any] = list(items.values()) if isinstance(items, Mapping) else items
        places = range(len(items))
        self.todo: Iterator[int] = (
            iter([place for place in places if place not in done and place not in begun])
            if done or begun
            else iter(places)
        )
        """The indexes of the items to start, in order."""
        self.unstarted: int = len(items) - len(done) - len(begun)
        self.done: int = len(done)
        self.under_way: dict[int, Item] = {}
        """The items that were started and have not ended, by index."""
        self.retried: dict[int, Token] = {}
        """The first tokens, by index, of unstarted items that failed before the run was resumed."""
        self.is_waiting: bool = False
        """Whether it stands among what waits to be started."""

    @property
    def id(self) -> str:
        """That of its token."""
        return self.token.id

    @property
    def may_start(self) -> bool:
        """Whether one more item may be started."""
        limit = self.rule.limit
        return self.unstarted > 0 and (limit is None or len(self.under_way) < limit)

    def item(self, index: int) -> Item:
        """The item with this index, which is under way from now on."""
        item = self.under_way.get(index)
        if item is None:
            item = self.under_way[index] = Item(self, index)
        return item

    def retry(self, token: Token) -> None:
        """Keep the first token of an unstarted item, which has failed before."""
        index = token.scope[1]
        token.inputs, token.path = self.items[index], (index,)
        self.retried[index] = token

    def resumed(self, token: Token) -> Token:
        """The first token of an item, whose step waits for something outside."""
        index = token.scope[1]
        token.inputs, token.path, token.item = self.items[index], (index,), self.item(index)
        return token

    def start(self) -> Token:
        """The first token of the next item."""
        index = next(self.todo)
        self.unstarted -= 1
        item = self.item(index)
        token = self.retried.pop(index, None) if self.retried else None
        if token is None:
            return self._first_token(item, index)
        token.item = item
        return token

    def end(self, item: Item) -> bool:
        """An item has ended. Returns whether it was the last."""
        del self.under_way[item.index]
        self.done += 1
        return self.done == len(self.items)

    def _first_token(self, item: Item, index: int) -> Token:
        """The token with which an item begins."""
        own = self.token
        token = Token(
            item.name,
            self.items[index],
            self.rule.worker,
            item_lineage(own, index),
            own.source,
            own.content,
        )
        token.scope = (int(own.id), index)
        token.path = (index,)
        token.item = item
        return token


def token_number(id: str) -> tuple[int, ...]:
    """What ids of tokens are sorted by: the first token of an item, ``"<map>.<index>"``, comes after that of its map."""
    return tuple(map(int, id.split(".")))


def items_done(contents: Iterable[str]) -> dict[str, set[int]]:
    """The id of a map's token to the indexes of the items whose results are there."""
    done: dict[str, set[int]] = {}
    for id in contents:
        group, _, index = id.partition(".")
        if index:
            done.setdefault(group, set()).add(int(index))
    return done


def items_begun(tokens: Mapping[str, Mapping[str, Any]], suspended: Collection[str] = ()) -> dict[str, set[int]]:
    """The id of a map's token to the indexes of the items that got past their first node, or wait for something there.

    :param suspended: the ids of the tokens that wait for something outside.
    """
    begun: dict[str, set[int]] = {}
    for id, data in tokens.items():
        if "scope" in data and ("." not in id or id in suspended):
            group, index = data["scope"]
            begun.setdefault(str(group), set()).add(index)
    return begun
