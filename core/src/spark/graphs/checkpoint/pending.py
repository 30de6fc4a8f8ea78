"""The work that a checkpoint has left. Anybody may have written a checkpoint, so nothing is taken for granted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from spark.graphs.progress import MapProgress
from spark.graphs.state.journal import QUESTION, RETRY, SIGNAL, SLEEP, is_open, kind_of

PendingState: TypeAlias = Literal["ready", "waiting", "at_join"]
"""``"ready"``: a run that resumes executes it; ``"waiting"``: for something outside; ``"at_join"``: for the other branches."""
_WAITS: Final = frozenset({QUESTION, SIGNAL, SLEEP, RETRY})
_JOIN: Final = ":JoinNode"
"""What the class of a join ends with, in records that don't say which nodes are joins."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One thing that a pending step was told, or waits to be told."""

    kind: str
    """``"interrupt"``, ``"signal"``, ``"sleep"``, ``"retry"`` or ``"call"``."""
    key: str
    """What tells it from others of its kind: ``"charge#2"``."""
    data: Mapping[str, Any]
    """The entry as it is stored."""

    @property
    def is_wait(self) -> bool:
        """Whether the step waits for it."""
        return self.kind in _WAITS and is_open(self.data)

    @property
    def name(self) -> str:
        """The id of a question, or the name of a signal; empty for others."""
        name = {QUESTION: self.data.get("id"), SIGNAL: self.data.get("signal")}.get(self.kind)
        return "" if name is None else str(name)

    @property
    def since(self) -> datetime | None:
        """When the wait began."""
        return stored_time(self.data.get("since"))

    @property
    def due(self) -> datetime | None:
        """When the step continues by itself at the latest."""
        return stored_time(self.data.get("due"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingStep:
    """One pending execution of a node."""

    id: str
    """Of its token."""
    node: str
    """The key of the node."""
    state: PendingState
    attempt: int = 1
    """1 for the first execution; one more after each that failed."""
    item: int | None = None
    """Of a step in a map: the index of its item."""
    lineage: int = 0
    """A hash of the work that led to it; idempotency keys contain it."""
    entries: tuple[JournalEntry, ...] = ()
    """All that it was told, and waits for, in the order in which it asked."""

    @property
    def waits(self) -> tuple[JournalEntry, ...]:
        """What it waits for."""
        return tuple(entry for entry in self.entries if entry.is_wait)


@dataclass(frozen=True, slots=True)
class PendingGroup:
    """Pending steps of one node that are in the same state, and wait for the same."""

    node: str
    state: PendingState
    attempt: int
    waits_of_each: Sequence[tuple[JournalEntry, ...]]
    """What every one of them waits for; empty for steps that do not wait."""

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.waits_of_each)

    @property
    def waits(self) -> tuple[JournalEntry, ...]:
        """What the first of them waits for."""
        return self.waits_of_each[0]

    @property
    def since(self) -> datetime | None:
        """When the first wait began."""
        return self._first("since")

    @property
    def due(self) -> datetime | None:
        """When the first of them continues by itself."""
        return self._first("due")

    def _first(self, name: Literal["since", "due"]) -> datetime | None:
        moments = (getattr(wait, name) for waits in self.waits_of_each for wait in waits)
        return min((moment for moment in moments if moment is not None), default=None)


class PendingWork:
    """What is left to do at a checkpoint: its pending steps, one by one or in groups, and its maps.

    What of a frontier can't be read is left out. Tokens are looked at when somebody asks, so that counting them makes none.

    :param frontier: that section of a checkpoint, raw or not, of any release.
    :param topology: the same; it says which nodes are joins.
    """

    def __init__(self, frontier: Any, topology: Any = None) -> None:
        self._tokens = tokens_in(frontier)
        self._contents = contents_in(frontier)
        self._joins = _joins(topology)
        self._entries = entries_in(frontier)

    def __len__(self) -> int:
        """How many steps are pending; items of maps that have not begun are none yet."""
        return sum(1 for token in self._tokens.values() if not token.get("over"))

    def __iter__(self) -> Iterator[PendingStep]:
        """Every step, in the order in which they came about."""
        return (self._step(id, token) for id, token in self._tokens.items() if not token.get("over"))

    def with_entries(self) -> Iterator[PendingStep]:
        """The steps that have asked for something: those that wait, and those that were told something already."""
        return (self._step(id, self._tokens[id]) for id in self._entries if id in self._tokens)

    def groups(self) -> list[PendingGroup]:
        """All steps, like ones together, in the order in which the first of each came about."""
        found: dict[tuple[Any, ...], tuple[str, PendingState, int, list[tuple[JournalEntry, ...]]]] = {}
        for id, token in self._tokens.items():
            if token.get("over"):
                continue
            node, attempt, waits = str(token.get("node")), 1 + _whole(token.get("failures")), self._waits(id)
            state = self._state(token, node, is_waiting=bool(waits))
            waits = waits if state == "waiting" else ()
            key = (node, state, attempt, *((wait.kind, wait.name) for wait in waits))
            found.setdefault(key, (node, state, attempt, []))[-1].append(waits)
        return [PendingGroup(*group) for group in found.values()]

    @property
    def sources(self) -> frozenset[str]:
        """The keys of the nodes whose outputs are pending, and so have completed."""
        found = {token.get("source") for token in self._tokens.values()}
        return frozenset(source for source in found if isinstance(source, str))

    @cached_property
    def maps(self) -> tuple[MapProgress, ...]:
        """How far the maps are that are under way."""
        done = Counter(id.partition(".")[0] for id in self._contents if "." in id)
        # What has the id of an item is its first token, which failed: its item has not begun again unless it waits.
        own = (token for id, token in self._tokens.items() if "." not in id or self._waits(id))
        begun = Counter(str(scope[0]) for scope in {_scope(token) for token in own} if scope)
        found: dict[tuple[str, str, str], MapProgress] = {}
        for id, token in self._tokens.items():
            items = self.inputs(token) if token.get("over") else None
            if isinstance(items, list | tuple | dict):
                edge = (str(token.get("source")), str(token.get("node")), str(token["over"]))
                left = max(0, len(items) - done[id] - begun[id])
                before = found.get(edge, MapProgress(*edge, 0, 0, 0))
                found[edge] = MapProgress(
                    *edge, before.done + done[id], before.running + begun[id], before.waiting + left
                )
        return tuple(found.values())

    def inputs(self, token: Mapping[str, Any]) -> Any:
        """What a token carries; None if that can't be read."""
        return self._contents.get(str(token.get("content")))

    def _waits(self, id: str) -> tuple[JournalEntry, ...]:
        return tuple(entry for entry in self._entries[id] if entry.is_wait) if id in self._entries else ()

    def _step(self, id: str, token: Mapping[str, Any]) -> PendingStep:
        node, scope = str(token.get("node")), _scope(token)
        return PendingStep(
            id=id,
            node=node,
            state=self._state(token, node, is_waiting=bool(self._waits(id))),
            attempt=1 + _whole(token.get("failures")),
            item=scope[1] if len(scope) == 2 else None,
            lineage=_whole(token.get("lineage")),
            entries=tuple(self._entries.get(id, ())),
        )

    def _state(self, token: Mapping[str, Any], node: str, *, is_waiting: bool) -> PendingState:
        if is_waiting and not token.get("awake"):
            return "waiting"
        is_at_join = (node in self._joins or token.get("gathered")) and not token.get("joined")
        return "at_join" if is_at_join else "ready"


def tokens_in(frontier: Any) -> dict[str, Mapping[str, Any]]:
    """The tokens of a stored frontier by their ids."""
    tokens = frontier.get("tokens") if isinstance(frontier, Mapping) else None
    if isinstance(tokens, list):  # as older releases wrote them
        tokens = {token.get("id"): token for token in tokens if isinstance(token, Mapping)}
    found = tokens if isinstance(tokens, Mapping) else {}
    return {str(id): token for id, token in found.items() if isinstance(token, Mapping)}


def contents_in(frontier: Any) -> dict[str, Any]:
    """What its tokens carry, by the name that they have for it."""
    contents = frontier.get("contents") if isinstance(frontier, Mapping) else None
    if isinstance(contents, list):  # the same: tokens named a place
        contents = dict(enumerate(contents))
    return {str(id): content for id, content in contents.items()} if isinstance(contents, Mapping) else {}


def entries_in(frontier: Any) -> dict[str, list[JournalEntry]]:
    """The entries of its journal by the ids of the tokens, in the order in which they were made."""
    journal = frontier.get("journal") if isinstance(frontier, Mapping) else None
    found: dict[str, list[JournalEntry]] = {}
    for name, data in journal.items() if isinstance(journal, Mapping) else ():
        id, _, key = str(name).partition("/")
        if isinstance(data, Mapping):
            found.setdefault(id, []).append(JournalEntry(kind_of(key), key.partition(":")[2], data))
    return found


def stored_time(value: Any) -> datetime | None:
    """A stored time; None if it is not one, or not aware."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _joins(topology: Any) -> frozenset[str]:
    nodes = topology.get("nodes") if isinstance(topology, Mapping) else None
    return frozenset(
        str(node.get("key"))
        for node in (nodes if isinstance(nodes, list | tuple) else ())
        if isinstance(node, Mapping) and (node.get("join") is True or str(node.get("class", "")).endswith(_JOIN))
    )


def _scope(token: Mapping[str, Any]) -> tuple[int, ...]:
    scope = token.get("scope")
    return tuple(map(_whole, scope)) if isinstance(scope, list | tuple) else ()


def _whole(value: Any) -> int:
    return value if type(value) is int else 0
