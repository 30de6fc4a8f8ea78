"""What a boundary shows of a run to triggers that ask: worked out when they do."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from spark.graphs.engine.captured import CapturedPosition
from spark.graphs.engine.position import RunPosition
from spark.graphs.engine.spec import RunSpec
from spark.graphs.state.transactions import StateStore
from spark.graphs.values.item_list import ItemList
from spark.graphs.values.item_mapping import ItemMapping
from spark.graphs.values.snapshots import snapshot


class CommittedState(Mapping[str, Any]):
    """The committed values of a state, as they are when they are read. Each is the reader's own."""

    __slots__ = ("_store",)

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def __getitem__(self, key: str) -> Any:
        return snapshot(self._store.values[key], path=self._store.label, key=key)

    def __contains__(self, key: object) -> bool:
        return key in self._store.values

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.values)

    def __len__(self) -> int:
        return len(self._store.values)

    def __repr__(self) -> str:
        return f"<the committed {self._store.label}: {', '.join(self._store.values)}>"


class CommittedFacts:
    """The facts of one run."""

    def __init__(self, spec: RunSpec, position: RunPosition) -> None:
        self._spec = spec
        self._position = position
        self.saved: CapturedPosition | None = None
        """The last checkpoint of this call, as it was captured; None before the first."""

    @property
    def run_id(self) -> str:
        return self._spec.run_id

    @property
    def state(self) -> Mapping[str, Any]:
        return CommittedState(self._position.state)

    @property
    def values(self) -> Mapping[str, Any]:
        return self._position.state.values

    @property
    def metrics(self) -> Collection[str]:
        return self._spec.metrics

    @property
    def max_iterations(self) -> int | None:
        return self._spec.budget.max_iterations if self._spec.budget else None

    @property
    def max_seconds(self) -> float | None:
        return self._spec.budget.max_seconds if self._spec.budget else None

    @property
    def bytes_since_checkpoint(self) -> int:
        position, saved = self._position, self.saved
        saved_nodes = saved.node_states if saved is not None else None
        total = self._changed_bytes(position.state, saved.graph_state if saved is not None else None)
        for key, store in position.node_states.items():
            total += self._changed_bytes(store, None if saved_nodes is None else saved_nodes.get(key, {}))
        return total

    def _changed_bytes(self, store: StateStore, saved: Mapping[str, Any] | None) -> int:
        """About how large the values are that are not in a capture of this store.

        :param saved: None for a store of which this run has saved nothing: what it was resumed with counts as saved.
        """
        if saved is None and self._spec.is_resumed:
            keys: Collection[str] = store.versions
        else:
            keys = store.changed_since(saved)
        values, before = store.values, saved or {}
        return sum(_size(_changed_part(values[key], before.get(key))) + len(key) for key in keys if key in values)


def _changed_part(value: Any, before: Any) -> Any:
    """What of a value is not in an earlier one: of one that grows, the items that were added or set since."""
    if type(value) is ItemList and value.continues(before):
        return value[len(before) :]
    if type(value) is ItemMapping and type(before) is ItemMapping:
        changes = value.changes_since(before.moment)
        return value if changes is None else {key: value[key] for key in changes.put}
    return value


_CONTAINERS: Final = (list, tuple, set, frozenset, ItemList)


def _size(value: Any) -> int:
    """About how many bytes a value takes when it is stored: its texts, buffers and numbers."""
    total, pending, met = 0, [value], set[int]()
    while pending:
        item = pending.pop()
        if isinstance(item, str | bytes | bytearray):
            total += len(item)
        elif isinstance(item, dict | Mapping):
            if id(item) not in met:
                met.add(id(item))
                pending += item.keys()
                pending += item.values()
        elif isinstance(item, _CONTAINERS):
            if id(item) not in met:
                met.add(id(item))
                pending += item
        elif type(item) in _NUMBERS:
            total += 8
        elif id(item) not in met:
            met.add(id(item))
            total += _size_of_object(item, pending)
    return total


def _size_of_object(item: Any, pending: list[Any]) -> int:
    """Of an array its buffer; of another object its attributes are looked at as well."""
    nbytes = getattr(item, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    pending += getattr(item, "__dict__", {}).values()
    return min(sys.getsizeof(item, 8), 64)


_NUMBERS: Final = frozenset({int, float, bool, type(None)})
