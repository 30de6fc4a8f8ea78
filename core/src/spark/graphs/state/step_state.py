"""State as one step reads and writes it: what a node finds in its context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from spark.errors import RunError
from spark.graphs.state.transactions import StateTransaction, TransactionBlock
from spark.graphs.state.updates import MISSING, Function
from spark.graphs.values.snapshots import IMMUTABLE, snapshot


class GraphState:
    """The graph's shared state, as one step reads and writes it: ``context.graph_state``."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction: Any = transaction
        """The step's transaction; while blocks are open, what forwards to the right one; at the end, what refuses every call."""

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of a key as your own copy; ``default`` when there is none. Changing it has no effect without ``set``."""
        value = self._transaction.read(key, default)
        return value if type(value) in IMMUTABLE else snapshot(value)

    async def peek(self, key: str, default: Any = None) -> Any:
        """The value of a key without a copy, for large values that are only read. Never change it.

        A list to which something was appended is a read-only sequence here, and a dict of which items were set, a read-only
        mapping: ``list(…)`` and ``dict(…)`` make plain ones of them. What you got stays as it is, whatever is committed later.
        """
        return self._transaction.read(key, default)

    async def slice(self, key: str, start: int | None = None, stop: int | None = None) -> list[Any]:
        """The items from ``start`` to ``stop`` of a list, as ``list[start:stop]``: your own copies of these, and of no others.

        There are none where the key is not there.

        :raises TypeError: the key has no list.
        """
        return snapshot(self._transaction.slice(key, start, stop))  # type: ignore[no-any-return]

    async def length(self, key: str) -> int:
        """How many items a list or a dict has; 0 where the key is not there.

        :raises TypeError: the value has no length.
        """
        return int(self._transaction.length(key))

    async def set(self, key: str, value: Any) -> None:
        """Keep a snapshot of the value under the key.

        If this step read the key before and another branch commits it meanwhile, this step's commit fails with
        ``StateConflictError``. For write-only keys, the last commit wins.

        :raises SerializationError: the value can't be copied.
        """
        self._transaction.write(key, value)

    async def update(self, key: str, function: Function, default: Any = None) -> None:
        """Replace the value by ``function(value)``, applied when this step commits, so that it never conflicts.

        ``function`` is plain, may be called more than once, and gets its own copy: the committed value then, or ``default``.
        """
        self._transaction.update(key, function, default)

    async def append(self, key: str, *items: Any) -> None:
        """Add snapshots of the items to the end of a list, which begins empty where the key is not there.

        They are added when this step commits, after those of steps that committed before, so that it never conflicts. It
        costs what is added, however long the list is. This step sees them at once.

        :raises TypeError: the key has no list. Where that is not known yet, the step fails at its commit.
        :raises SerializationError: an item can't be copied, or can't be saved.
        """
        self._transaction.append(key, items)

    async def extend(self, key: str, items: Iterable[Any]) -> None:
        """The same as ``append`` for all items of an iterable."""
        self._transaction.append(key, items)

    async def set_item(self, key: str, item_key: Any, value: Any) -> None:
        """Set one item of a dict, which begins empty where the key is not there, to a snapshot of the value.

        It is set when this step commits, so that it never conflicts: for one item, the last commit wins. It costs what is set,
        however large the dict is. This step sees it at once.

        :raises TypeError: the key has no dict. Where that is not known yet, the step fails at its commit.
        :raises SerializationError: the item can't be copied, or can't be saved.
        """
        self._transaction.set_item(key, item_key, value)

    async def delete_item(self, key: str, item_key: Any) -> None:
        """Remove one item of a dict in the same way. Nothing happens where it is not there at the commit.

        :raises TypeError: the key has no dict. Where that is not known yet, the step fails at its commit.
        """
        self._transaction.delete_item(key, item_key)

    async def delete(self, key: str) -> bool:
        """Remove a key, and return whether it was there."""
        return bool(self._transaction.delete(key))

    async def has(self, key: str) -> bool:
        """Whether the key is there."""
        return bool(self._transaction.has(key))

    async def keys(self) -> list[str]:
        """The keys that are there."""
        return list(self._transaction.keys())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[GraphState]:
        """A block whose writes are all kept, or, if it raises, all dropped.

        Other nodes see the writes only once the step commits. Blocks that tasks of one step have open at the same time don't see
        each other's writes before they end.

        :raises StateConflictError: when the block ends, if another one changed a key meanwhile that it read and then set.
        """
        block = TransactionBlock(self._transaction.current())
        outer_blocks = _BLOCKS.get()
        _BLOCKS.set((*outer_blocks, block))
        forwarder = self._forwarder()
        forwarder.open_blocks += 1
        inside = GraphState(block)
        try:
            yield inside
            self._transaction.current()  # fails when the step has ended
            block.merge()
        finally:
            block.has_ended = True
            _BLOCKS.set(outer_blocks)
            inside._end(_ENDED_BLOCK)
            forwarder.open_blocks -= 1
            if not forwarder.open_blocks and self._transaction is forwarder:
                self._transaction = forwarder.transaction

    def _check_no_block(self) -> None:
        """Refuse a commit while a block may still drop its writes.

        :raises RunError: a block is open.
        """
        if type(self._transaction) is _Forwarder and self._transaction.open_blocks:
            raise RunError(
                "context.commit() was called while a transaction block of this step is open, whose writes are kept or dropped "
                "together when it ends. Commit before or after the block."
            )

    def _forwarder(self) -> _Forwarder:
        if type(self._transaction) is not _Forwarder:
            self._transaction = _Forwarder(self._transaction)
        return self._transaction

    def _end(self, ended: Ended) -> None:
        """Refuse everything from now on."""
        self._transaction = ended


class NodeState(MutableMapping[str, Any]):
    """A node's own state, as one of its steps reads and writes it: ``context.state``, a mapping with value semantics."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: StateTransaction) -> None:
        self._transaction: Any = transaction

    def __getitem__(self, key: str) -> Any:
        value = self._transaction.read(key, MISSING)
        if value is MISSING:
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

    def peek(self, key: str, default: Any = None) -> Any:
        """The value of a key without a copy, for large values that are only read. Never change it. As ``GraphState.peek``."""
        return self._transaction.read(key, default)

    def slice(self, key: str, start: int | None = None, stop: int | None = None) -> list[Any]:
        """Your own copies of some items of a list. As ``GraphState.slice``."""
        return snapshot(self._transaction.slice(key, start, stop))  # type: ignore[no-any-return]

    def length(self, key: str) -> int:
        """How many items a list or a dict has. As ``GraphState.length``."""
        return int(self._transaction.length(key))

    def append(self, key: str, *items: Any) -> None:
        """Add items to the end of a list, at the cost of what is added. As ``GraphState.append``."""
        self._transaction.append(key, items)

    def extend(self, key: str, items: Iterable[Any]) -> None:
        """The same as ``append`` for all items of an iterable."""
        self._transaction.append(key, items)

    def set_item(self, key: str, item_key: Any, value: Any) -> None:
        """Set one item of a dict, at the cost of that item. As ``GraphState.set_item``."""
        self._transaction.set_item(key, item_key, value)

    def delete_item(self, key: str, item_key: Any) -> None:
        """Remove one item of a dict, if it is there. As ``GraphState.delete_item``."""
        self._transaction.delete_item(key, item_key)

    def __repr__(self) -> str:
        return (
            "NodeState(of a step that has ended)" if type(self._transaction) is Ended else f"NodeState({dict(self)!r})"
        )

    def _end(self, ended: Ended) -> None:
        """Refuse everything from now on."""
        self._transaction = ended


class _Forwarder:
    """Forwards every call to the innermost block that the calling task has open, or to the transaction around all blocks."""

    def __init__(self, transaction: StateTransaction) -> None:
        self.transaction = transaction
        self.open_blocks = 0

    def __getattr__(self, name: str) -> Any:
        for block in reversed(_BLOCKS.get()):
            if not block.has_ended and block.is_within(self.transaction):
                return getattr(block, name)
        return getattr(self.transaction, name)


class Ended:
    """Refuses every call, because what was written now would be lost.

    :param what: what has ended.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> NoReturn:
        raise RunError(
            f"{self._what} has ended, so its state can be neither read nor written through this context: a write "
            "would be lost. Await helper tasks before the end, or let another node do their work."
        )


_ENDED_BLOCK: Final = Ended("This transaction block")
_BLOCKS: Final[ContextVar[tuple[TransactionBlock, ...]]] = ContextVar("spark_transaction_blocks", default=())
"""The blocks that the current task has open, the innermost last."""
