"""State with value semantics: committed values, and the transaction in which one step reads and writes them.

What you get is yours, what you set is a snapshot. A step reads committed values plus its own writes; its writes become
visible to others when the step commits, all together or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final

from spark.errors import StateConflictError
from spark.graphs.containers import Captured
from spark.graphs.failures import add_note
from spark.graphs.values import snapshot

_MISSING: Final = object()
DELETED: Final = object()

Update = Callable[[Any], Any]


class StateStore:
    """The committed values of one scope: the graph's, or one node's.

    A committed value is never changed in place, so a reference to it is as good as a copy.
    """

    __slots__ = ("_captured", "_changed", "_has_other_keys", "commits", "label", "values", "versions", "writers")

    def __init__(self, label: str, values: Mapping[str, Any] | None = None) -> None:
        self.label: str = label
        """How messages name the scope: ``graph_state``, or ``node_states['key']``."""
        self.values: dict[str, Any] = {}
        self.commits: int = 0
        """How many transactions have changed something."""
        self.versions: dict[str, int] = {}
        """Key to the number of the commit that last changed it."""
        self.writers: dict[str, str] = {}
        """Key to the node that last changed it."""
        self._captured: Captured | None = None
        self._changed: set[str] = set()
        """Keys changed since the last capture."""
        self._has_other_keys = False
        """Whether keys came or went since the last capture."""
        for key, value in (values or {}).items():
            self.values[check_key(key)] = snapshot(value, path=f"{label}[{key!r}]")

    def apply(self, changes: Mapping[str, Any], *, writer: str) -> None:
        """Make prepared changes the committed values."""
        self.commits += 1
        values = self.values
        size = len(values)
        for key, value in changes.items():
            if value is DELETED:
                self._has_other_keys = values.pop(key, DELETED) is not DELETED or self._has_other_keys
            else:
                values[key] = value
            self.versions[key] = self.commits
            self.writers[key] = writer
        self._has_other_keys = self._has_other_keys or len(values) != size
        self._changed.update(changes)

    def capture(self) -> Captured:
        """The committed values now, by reference: the same dict as last time when nothing changed. Never change it."""
        last = self._captured
        if last is None or self._changed:
            captured = self._captured = Captured(self.values)
            captured.moment = object()
            captured.before = None if last is None else last.moment
            # Among them may be keys that were deleted and never there.
            captured.changed = None if self._has_other_keys else [key for key in self._changed if key in captured]
            last = captured
            self._changed.clear()
            self._has_other_keys = False
        return last

    def copy(self) -> dict[str, Any]:
        """The committed values, as the caller's own."""
        return {key: snapshot(value) for key, value in self.values.items()}


class StateTransaction:
    """The reads and writes of one step in one scope."""

    __slots__ = ("_reads", "_store", "_updates", "_writes")

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._reads: dict[str, int] = {}
        self._writes: dict[str, Any] = {}
        self._updates: dict[str, list[tuple[Update, Any]]] = {}

    def read(self, key: str, default: Any = None) -> Any:
        """The value as this step sees it, not copied; the caller copies or promises not to change it."""
        if key in self._writes:
            value = self._writes[key]
            return default if value is DELETED else value
        self._reads.setdefault(key, self._store.commits)
        value = self._store.values.get(key, _MISSING)
        if key in self._updates:
            value = self._updated(key, value)
        return default if value is _MISSING else value

    def write(self, key: str, value: Any) -> None:
        self._writes[check_key(key)] = snapshot(value, path=f"{self._store.label}[{key!r}]")
        self._updates.pop(key, None)

    def update(self, key: str, function: Update, default: Any) -> None:
        if not callable(function):
            raise TypeError(f"update({key!r}, …) takes a function of the current value, not {function!r}.")
        if key in self._writes:
            current = self._writes[key]
            self.write(key, self._applied(key, function, default if current is DELETED else current))
        else:
            pending = (function, snapshot(default, path=f"the default of update({key!r})"))
            self._updates.setdefault(check_key(key), []).append(pending)

    def delete(self, key: str) -> bool:
        existed = self.has(key)
        self._updates.pop(key, None)
        self._writes[check_key(key)] = DELETED
        return existed

    def has(self, key: str) -> bool:
        return self.read(key, _MISSING) is not _MISSING

    def keys(self) -> list[str]:
        written = self._writes
        kept = [key for key in self._store.values if written.get(key) is not DELETED]
        new = [key for key in (*written, *self._updates) if key not in self._store.values]
        return kept + [key for key in new if written.get(key) is not DELETED]

    def savepoint(self) -> tuple[dict[str, Any], dict[str, list[tuple[Update, Any]]]]:
        """The writes so far, for ``roll_back``."""
        return dict(self._writes), {key: list(pending) for key, pending in self._updates.items()}

    def roll_back(self, savepoint: tuple[dict[str, Any], dict[str, list[tuple[Update, Any]]]]) -> None:
        self._writes, self._updates = savepoint

    def prepare(self, *, writer: str) -> dict[str, Any]:
        """The changes to commit: key to value, or to ``DELETED``. Nothing is changed yet.

        :raises StateConflictError: a key that this step read and then set was committed by another one meanwhile.
        """
        if self._reads:
            self._check_conflicts(writer)
        changes = self._writes
        for key in self._updates:
            changes[key] = self._updated(key, self._store.values.get(key, _MISSING))
        return changes

    def _check_conflicts(self, writer: str) -> None:
        store = self._store
        for key, seen in self._reads.items():
            if key in self._writes and store.versions.get(key, 0) > seen:
                raise StateConflictError(
                    f"Node {writer!r} read {store.label}[{key!r}] and then set it, but node {store.writers[key]!r} committed "
                    f"a new value in between, which would be lost. {self._cure(key)}"
                )

    def _cure(self, key: str) -> str:
        if self._store.label != "graph_state":
            return (
                "Executions of one node in parallel share its state: let them set different keys, or keep what they all change "
                f"in the graph's state, with `await context.graph_state.update({key!r}, function)`."
            )
        return (
            f"Use `await state.update({key!r}, function)`: it is applied at the commit and never conflicts. Or let the branches "
            "set different keys and merge them in a join."
        )

    def _updated(self, key: str, value: Any) -> Any:
        for function, default in self._updates[key]:
            value = self._applied(key, function, default if value is _MISSING else value)
        return snapshot(value, path=f"{self._store.label}[{key!r}]")

    def _applied(self, key: str, function: Update, value: Any) -> Any:
        try:
            result = function(snapshot(value))
        except Exception as error:
            add_note(error, f"raised by the function that was given to update({key!r}, …).")
            raise
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise TypeError(
                f"update({key!r}, …) takes a plain function, not an async one: it is applied at the commit."
            )
        return result


class GraphState:
    """The graph's shared state, as one step reads and writes it: ``context.graph_state``."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction = transaction

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of a key as your own copy; ``default`` when there is none. Changing it changes nothing without ``set``."""
        return snapshot(self._transaction.read(key, default))

    async def peek(self, key: str, default: Any = None) -> Any:
        """The value of a key without a copy, for large values that are only read. Never change it."""
        return self._transaction.read(key, default)

    async def set(self, key: str, value: Any) -> None:
        """Keep a snapshot of the value under the key.

        A key that was read before and that another branch commits meanwhile makes this step's commit fail with
        ``StateConflictError``. A key that was only set, never read: the last commit wins.

        :raises SerializationError: the value can't be copied.
        """
        self._transaction.write(key, value)

    async def update(self, key: str, function: Update, default: Any = None) -> None:
        """Replace the value by ``function(value)``, applied when this step commits, so that it never conflicts.

        ``function`` is plain, may be called more than once, and gets its own copy: the committed value then, or ``default``.
        """
        self._transaction.update(key, function, default)

    async def delete(self, key: str) -> bool:
        """Remove a key; says whether it was there."""
        return self._transaction.delete(key)

    async def has(self, key: str) -> bool:
        """Whether the key is there."""
        return self._transaction.has(key)

    async def keys(self) -> list[str]:
        """The keys that are there."""
        return self._transaction.keys()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[GraphState]:
        """A block whose writes are kept together: when it raises, none of them is.

        The writes still become visible to other nodes only with the step's own commit.
        """
        savepoint = self._transaction.savepoint()
        try:
            yield self
        except BaseException:
            self._transaction.roll_back(savepoint)
            raise


class NodeState(MutableMapping[str, Any]):
    """A node's own state, as one of its steps reads and writes it: ``context.state``, a mapping with value semantics."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction = transaction

    def __getitem__(self, key: str) -> Any:
        value = self._transaction.read(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return snapshot(value)

    def __setitem__(self, key: str, value: Any) -> None:
        self._transaction.write(key, value)

    def __delitem__(self, key: str) -> None:
        if not self._transaction.delete(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._transaction.keys())

    def __len__(self) -> int:
        return len(self._transaction.keys())

    def __repr__(self) -> str:
        return f"NodeState({dict(self)!r})"


def check_key(key: str) -> str:
    """The key itself, when it is a string.

    :raises TypeError: it is something else.
    """
    if type(key) is not str:
        raise TypeError(f"A state key is a string, not {key!r} of type {type(key).__name__}.")
    return key
