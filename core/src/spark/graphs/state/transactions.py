"""State with value semantics: committed values, and the transaction in which one step reads and writes them.

What you get is yours, what you set is a snapshot. A step reads committed values plus its own writes; its writes become
visible to others when the step commits, all together or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from spark.errors import RunError, SerializationError, StateConflictError
from spark.graphs.state.updates import (
    DELETED,
    MISSING,
    AddedItems,
    Function,
    FunctionUpdate,
    SetItems,
    Update,
    is_list,
    items_of,
    kind_of,
)
from spark.graphs.values.snapshots import IMMUTABLE, Check, snapshot
from spark.graphs.values.tracked import TrackedMapping


class StateView(Protocol):
    """The committed values of one scope, as the steps that read them see it."""

    @property
    def label(self) -> str:
        """How messages name the scope: ``graph_state``, or ``node_states['key']``."""

    @property
    def check(self) -> Check | None:
        """Whether a value can be saved where the graph keeps its checkpoints."""

    @property
    def commits(self) -> int:
        """How many transactions have changed something."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Key to value. Neither is ever changed in place."""


class StateStore(TrackedMapping[Any]):
    """The committed values of one scope: the graph's, or one node's.

    A committed value is never changed in place, so a reference to it is as good as a copy.
    """

    __slots__ = ("check", "commits", "label", "versions", "writers")

    def __init__(self, label: str, values: Mapping[str, Any] | None = None, *, check: Check | None = None) -> None:
        super().__init__()
        self.label: str = label
        """How messages name the scope: ``graph_state``, or ``node_states['key']``."""
        self.check: Check | None = check
        """Whether a value can be saved where the graph keeps its checkpoints."""
        self.commits: int = 0
        """How many transactions have changed something."""
        self.versions: dict[str, int] = {}
        """Key to the number of the commit that last changed it."""
        self.writers: dict[str, str] = {}
        """Key to the node that last changed it."""
        for key, value in (values or {}).items():
            self.put(check_key(key), snapshot(value, path=label, key=key, check=check))

    def apply(self, changes: Mapping[str, Any], *, writer: str) -> None:
        """Make prepared changes the committed values."""
        self.commits += 1
        for key, value in changes.items():
            if value is not DELETED:
                self.put(key, value)
            elif key in self.values:
                self.remove(key)
            self.versions[key] = self.commits
            self.writers[key] = writer

    def copy(self) -> dict[str, Any]:
        """The committed values, as the caller's own."""
        return {key: snapshot(value) for key, value in self.values.items()}


class StateWrites:
    """What one step did in one scope, as plain data: all that its commit has to know."""

    __slots__ = ("reads", "updates", "writer", "writes")

    def __init__(self, writer: str) -> None:
        self.writer: str = writer
        """The node whose step it is."""
        self.reads: dict[str, int] = {}
        """Key to the number of the commit up to which it had been seen when it was first read."""
        self.writes: dict[str, Any] = {}
        """Key to its new value, or to ``DELETED``."""
        self.updates: dict[str, list[Update]] = {}
        """Key to what is done to the committed value, in order."""

    def prepare(self, store: StateStore) -> dict[str, Any]:
        """The changes to commit: key to value, or to ``DELETED``. Nothing is changed yet.

        :raises StateConflictError: a key that this step read and then set was committed by another one meanwhile.
        """
        if self.reads:
            self._check_conflicts(store)
        if not self.updates:
            return self.writes
        changes = dict(self.writes)
        for key in self.updates:
            value = self.updated(key, store.values.get(key, MISSING), store, is_commit=True)
            if value is not MISSING:
                changes[key] = value
        return changes

    def restart(self) -> None:
        """All of it was committed: what is read and written from now on is for the next commit."""
        self.reads, self.writes, self.updates = {}, {}, {}

    def take(self) -> StateWrites:
        """All of it, to be committed; what is read and written from now on is for the next commit."""
        taken = StateWrites(self.writer)
        taken.reads, taken.writes, taken.updates = self.reads, self.writes, self.updates
        self.restart()
        return taken

    def put_back(self, taken: StateWrites) -> None:
        """It could not be committed: it is for the next commit, too, but for what was set again since."""
        kept = {key: updates for key, updates in taken.updates.items() if key not in self.writes}
        self.reads = {**self.reads, **taken.reads}
        self.writes = {**taken.writes, **self.writes}
        self.updates = {**kept, **{key: [*kept.get(key, ()), *more] for key, more in self.updates.items()}}

    def updated(self, key: str, value: Any, view: StateView, *, is_commit: bool) -> Any:
        """The value after the updates of this key; ``MISSING`` where there is none before and after.

        :param is_commit: it is to be kept; else it is to be read, and may refer to what it is made of.
        :raises TypeError: it is of a kind that can't be updated so.
        """
        is_raw, label = False, view.label
        for update in self.updates[key]:
            if is_raw and not update.is_raw:
                value = self.kept(key, value, view)
            value = update.committed(value, label) if is_commit else update.seen(value, label)
            is_raw = update.is_raw
        return self.kept(key, value, view) if is_raw else value

    def kept(self, key: str | int, value: Any, view: StateView, *, path: str = "") -> Any:
        """A snapshot of a value that is to be set.

        :param path: to the list that it is to stand in, if it is not a value of the state itself.
        :raises SerializationError: it can't be copied, or not be saved.
        """
        try:
            return snapshot(value, path=path or view.label, key=key, check=view.check)
        except SerializationError as error:
            error.add_note(f"spark-graphs: it was set by node {self.writer!r}.")
            raise

    def _check_conflicts(self, store: StateStore) -> None:
        for key, seen in self.reads.items():
            if key in self.writes and store.versions.get(key, 0) > seen:
                raise StateConflictError(
                    f"Node {self.writer!r} read {store.label}[{key!r}] and then set it, but node {store.writers[key]!r} "
                    f"committed a new value in between, which would be lost. {_cure(store, key)}"
                )


class StateTransaction(StateWrites):
    """The reads and writes of one step in one scope, while the step runs."""

    __slots__ = ("view",)

    def __init__(self, view: StateView, writer: str) -> None:
        self.view: StateView = view
        """What was committed in the scope."""
        self.writer = writer
        self.reads = {}
        self.writes = {}
        self.updates = {}

    def read(self, key: str, default: Any = None) -> Any:
        """The value as this step sees it, not copied; the caller copies it, or never changes it."""
        if key in self.writes:
            value = self.writes[key]
            return default if value is DELETED else value
        value = self._read_below(key)
        if key in self.updates:
            value = self.updated(key, value, self.view, is_commit=False)
        return default if value is MISSING else value

    def write(self, key: str, value: Any) -> None:
        value = value if type(value) in IMMUTABLE else self.kept(key, value, self.view)
        self.writes[check_key(key)] = value
        self.updates.pop(key, None)

    def update(self, key: str, function: Function, default: Any) -> None:
        if not callable(function):
            raise TypeError(f"update({key!r}, …) takes a function of the current value, not {function!r}.")
        self._do(FunctionUpdate(check_key(key), function, snapshot(default, path=f"the default of update({key!r})")))

    def append(self, key: str, items: Iterable[Any]) -> None:
        """Add snapshots of items to a list.

        :raises TypeError: the key has no list, as far as that is known now; or the items are none.
        :raises SerializationError: an item can't be copied, or not be saved.
        """
        added = self._kept_items(check_key(key), items_of(key, items))
        if added:
            self._do(AddedItems(key, added))

    def set_item(self, key: str, item_key: Any, value: Any) -> None:
        """Set one item of a dict.

        :raises TypeError: the key has no dict, as far as that is known now; or the item's key has no hash.
        :raises SerializationError: the item can't be copied, or not be saved.
        """
        self._do(SetItems(check_key(key), put=self.kept(key, {item_key: value}, self.view)))

    def delete_item(self, key: str, item_key: Any) -> None:
        """Remove one item of a dict, if it is there.

        :raises TypeError: the key has no dict, as far as that is known now; or the item's key has no hash.
        """
        self._do(SetItems(check_key(key), removed=(item_key,)))

    def slice(self, key: str, start: int | None, stop: int | None) -> list[Any]:
        """These items of a list, not copied; none where the key is not there.

        :raises TypeError: the key has no list.
        """
        value = self.read(key, MISSING)
        if value is not MISSING and not is_list(value):
            raise TypeError(
                f"{self.view.label}[{key!r}] is a {kind_of(value)}, and slice() returns items of a list. Use get({key!r})."
            )
        return [] if value is MISSING else value[start:stop]

    def length(self, key: str) -> int:
        """How many items the value of a key has; 0 where the key is not there.

        :raises TypeError: it has no length.
        """
        value = self.read(key, MISSING)
        if value is MISSING:
            return 0
        if not hasattr(type(value), "__len__"):
            raise TypeError(f"{self.view.label}[{key!r}] is a {type(value).__name__}, which has no length.")
        return len(value)

    def delete(self, key: str) -> bool:
        existed = self.has(key)
        self.updates.pop(key, None)
        self.writes[check_key(key)] = DELETED
        return existed

    def has(self, key: str) -> bool:
        return self.read(key, MISSING) is not MISSING

    def keys(self) -> list[str]:
        return self._keys_over(self.view.values)

    def current(self) -> StateTransaction:
        """This transaction. While blocks are open, a call of this is forwarded to the innermost one."""
        return self

    def _read_below(self, key: str) -> Any:
        """The value without this step's own writes."""
        self.reads.setdefault(key, self.view.commits)
        return self.view.values.get(key, MISSING)

    def _seen(self, key: str) -> Any:
        """What ``read`` returns, without counting as a read; ``MISSING`` for none."""
        if key in self.writes:
            value = self.writes[key]
            return MISSING if value is DELETED else value
        value = self._below(key)
        return self.updated(key, value, self.view, is_commit=False) if key in self.updates else value

    def _below(self, key: str) -> Any:
        """The same without this step's own writes."""
        return self.view.values.get(key, MISSING)

    def _do(self, update: Update) -> None:
        """Update a value: that which this step has set, or at the commit."""
        key, pending = update.key, self.updates.get(update.key)
        if key in self.writes:
            value = update.committed(self._seen(key), self.view.label)
            self.writes[key] = self.kept(key, value, self.view) if update.is_raw else _written(value)
        elif pending is None:
            if update.kinds is not None:
                update.check(self._below(key), self.view.label)
            self.updates[key] = [update]
        elif not pending[-1].join(update):
            if not pending[-1].is_raw:
                update.check(self._seen(key), self.view.label)
            pending.append(update)

    def _kept_items(self, key: str, items: list[Any]) -> list[Any]:
        """Snapshots of items that are to be appended."""
        try:
            return self.kept(key, items, self.view)  # type: ignore[no-any-return]
        except SerializationError:
            seen = self._seen(key)
            place = len(seen) if is_list(seen) else 0
        path = f"{self.view.label}[{key!r}]"
        return [self.kept(index, item, self.view, path=path) for index, item in enumerate(items, place)]

    def _keys_over(self, below: Collection[str]) -> list[str]:
        written = self.writes
        kept = [key for key in below if written.get(key) is not DELETED]
        new = [key for key in dict.fromkeys((*written, *self.updates)) if key not in below]
        return kept + [key for key in new if (written[key] is not DELETED if key in written else self._makes(key))]

    def _makes(self, key: str) -> bool:
        """Whether a key that is not there comes to have a value by its updates."""
        return any(update.makes_value for update in self.updates[key])

    def _changes(self, key: str) -> tuple[Any, int]:
        """The value that this step has set under a key, and the number of updates since: they tell whether it was changed."""
        return self.writes.get(key), sum(update.times for update in self.updates.get(key, ()))


class TransactionBlock(StateTransaction):
    """The reads and writes inside ``async with transaction()``, which are merged into the enclosing transaction, or dropped."""

    __slots__ = ("_found", "_outer", "has_ended")

    def __init__(self, outer: StateTransaction) -> None:
        super().__init__(outer.view, outer.writer)
        self._outer = outer
        self._found: dict[str, tuple[Any, int]] = {}
        """Key to what the enclosing transaction had written when this block first read it."""
        self.has_ended = False

    def keys(self) -> list[str]:
        return self._keys_over(self._outer.keys())

    def is_within(self, transaction: StateTransaction) -> bool:
        """Whether it belongs to this transaction."""
        outer = self._outer
        return outer is transaction or (isinstance(outer, TransactionBlock) and outer.is_within(transaction))

    def merge(self) -> None:
        """Add everything to the enclosing transaction.

        :raises StateConflictError: a key that was read and then set here was changed there meanwhile.
        :raises RunError: the enclosing block has already ended.
        """
        outer = self._outer
        if isinstance(outer, TransactionBlock) and outer.has_ended:
            raise RunError(
                "A transaction block ended after the one around it, so its writes would be lost. Await helper tasks inside the "
                "block that they write in."
            )
        for key in self._found.keys() & self.writes.keys():
            (value, updates), (found, updates_found) = outer._changes(key), self._found[key]
            if value is not found or updates != updates_found:
                raise StateConflictError(
                    f"A transaction block read {self.view.label}[{key!r}] and then set it, but another block of the same step "
                    f"changed it in between, which would be lost. Use `await state.update({key!r}, function)`, or run the "
                    "blocks one after another."
                )
        applied = {
            key: _written(self.updated(key, outer._seen(key), self.view, is_commit=True))
            for key in self.updates
            if key in outer.writes
        }
        for key, value in (self.writes | applied).items():
            outer.writes[key] = value
            outer.updates.pop(key, None)
        for key, pending in self.updates.items():
            if key not in applied:
                for update in pending:
                    _add(outer.updates, update)

    def _read_below(self, key: str) -> Any:
        self._found.setdefault(key, self._outer._changes(key))
        return self._outer.read(key, MISSING)

    def _below(self, key: str) -> Any:
        return self._outer._seen(key)


def check_key(key: str) -> str:
    """The key itself, when it is a string.

    :raises TypeError: it is something else.
    """
    if type(key) is not str:
        raise TypeError(f"A state key is a string, not {key!r} of type {type(key).__name__}.")
    return key


def _written(value: Any) -> Any:
    """What stands for a value among those that a step has set."""
    return DELETED if value is MISSING else value


def _add(updates: dict[str, list[Update]], update: Update) -> None:
    """Note one more update, after those that there are."""
    pending = updates.setdefault(update.key, [])
    if not pending or not pending[-1].join(update):
        pending.append(update)


def _cure(store: StateStore, key: str) -> str:
    if store.label != "graph_state":
        return (
            "Executions of one node in parallel share its state: let them set different keys, or keep what they all change "
            f"in the graph's state, with `await context.graph_state.update({key!r}, function)`."
        )
    return (
        f"Use `await state.update({key!r}, function)`: it is applied at the commit and never conflicts. Or let the branches "
        "set different keys and merge them in a join."
    )
