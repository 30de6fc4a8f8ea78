"""What a step that is repeated gets back, and what it waits for: durable, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from spark.errors import GraphDefinitionError
from spark.graphs.values.item_mapping import Captured
from spark.graphs.values.tracked import TrackedMapping

Entry: TypeAlias = Mapping[str, Any]
"""One thing that a step was told, or waits to be told: plain values. It is never changed, but replaced.

It is *open* until it has a ``value`` or an ``error``. With a ``due`` time (ISO format), it passes by itself: it is ``over`` then.
It is put ``aside``, and is not open either, when the step was repeated and waits for something else.
"""
QUESTION: Final = "interrupt"
"""What the keys of questions begin with."""
CALL: Final = "call"
"""The same of durable calls."""
SIGNAL: Final = "signal"
"""Of waits for messages by their names."""
SLEEP: Final = "sleep"
"""Of waits for a time."""
RETRY: Final = "retry"
"""The key of the wait for the next attempt, of which a step has one at most."""
LONGEST_SIGNAL: Final = 100
"""So many characters a name has at most."""
_NONE: Final[Mapping[str, Entry]] = MappingProxyType({})
_CLOSED: Final = frozenset({"value", "error", "over"})
_NOT_OPEN: Final = _CLOSED | {"aside"}


class Journal:
    """The entries of all pending tokens, each by the id of its token and a key, such as ``"call:charge"``."""

    __slots__ = ("_tracked", "entries")

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Entry]] = {}
        """Token id to key to entry, in the order in which they were made."""
        self._tracked: TrackedMapping[Entry] | None = None

    @property
    def _table(self) -> TrackedMapping[Entry]:
        """The same by ``"<token>/<key>"``."""
        if self._tracked is None:
            self._tracked = TrackedMapping()
        return self._tracked

    def __bool__(self) -> bool:
        return bool(self.entries)

    def of(self, token: str) -> Mapping[str, Entry]:
        """The entries of one token, which follow what happens."""
        return self.entries.get(token, _NONE)

    def open_entries(self, token: str) -> list[tuple[str, Entry]]:
        """What a token waits for."""
        return [(key, entry) for key, entry in self.of(token).items() if is_open(entry)]

    def put(self, token: str, key: str, entry: Entry) -> None:
        """Make or replace an entry."""
        self.entries.setdefault(token, {})[key] = entry
        self._table.put(f"{token}/{key}", entry)

    def remove(self, token: str, key: str) -> None:
        """Remove an entry."""
        del self.entries[token][key]
        self._table.remove(f"{token}/{key}")

    def wait(self, token: str, waits: Mapping[str, Entry]) -> bool:
        """A step waits for these entries from now on, and for no other. False if one was closed while the step was executed."""
        for key, entry in self.open_entries(token):
            if key not in waits:
                self.put(token, key, {**entry, "aside": True})
        own, is_waiting = self.of(token), True
        for key, entry in waits.items():
            if key in own and is_closed(own[key]) and _is_same_wait(own[key], entry):
                is_waiting = False
            else:
                self.put(token, key, entry)
        return is_waiting

    def drop(self, token: str) -> None:
        """A token is no longer pending, and nobody needs its entries any more."""
        for key in self.entries.pop(token, ()):
            self._table.remove(f"{token}/{key}")

    def capture(self) -> Captured:
        """All entries by ``"<token>/<key>"``. Never change what is in there."""
        return self._table.capture()

    def load(self, data: Mapping[str, Entry]) -> None:
        """Become what ``capture`` described."""
        for name, entry in data.items():
            token, _, key = name.partition("/")
            self.put(token, key, entry)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


def is_open(entry: Entry) -> bool:
    """Whether it is waited for."""
    return _NOT_OPEN.isdisjoint(entry)


def is_closed(entry: Entry) -> bool:
    """Whether it is known what became of it."""
    return not _CLOSED.isdisjoint(entry)


def _is_same_wait(entry: Entry, other: Entry) -> bool:
    """Whether one is the other before it was closed, and not what a step began to wait for after it had seen that."""
    return all(entry.get(name) == other.get(name) for name in ("since", "due", "tries", "failure"))


def kind_of(key: str) -> str:
    """What kind of entry has this key: ``"call"``, ``"interrupt"``, ``"sleep"``…"""
    return key.partition(":")[0]


def due_of(entry: Entry) -> datetime | None:
    """When it passes by itself; None if it never does."""
    due = entry.get("due")
    return datetime.fromisoformat(due) if due is not None else None


def closed(entry: Entry, **outcome: Any) -> Entry:
    """The entry with what became of it."""
    return {**entry, **outcome}


def signal_topic(name: str) -> str:
    """What a message is about that a step waits for by this name."""
    return f"signal:{name}"


def is_signal(name: Any) -> bool:
    """Whether a signal can have this name."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_SIGNAL and name.isprintable()


def checked_signal(name: Any) -> str:
    """The name of a signal, when it can be one.

    :raises GraphDefinitionError: it can't.
    """
    if is_signal(name):
        return name  # type: ignore[no-any-return]
    shown = repr(name)
    raise GraphDefinitionError(
        f"A signal can't be called {shown if len(shown) <= 60 else shown[:60] + '…'}: give 1 to {LONGEST_SIGNAL} printable "
        "characters."
    )


def answer_topic(id: str) -> str:
    """What a message is about that answers this question."""
    return f"answer:{id}"


def topic_of(key: str, entry: Entry) -> str | None:
    """What a message has to be about that an entry waits for; None if it waits for none."""
    kind = kind_of(key)
    if kind == SIGNAL:
        return signal_topic(entry["signal"])
    return answer_topic(entry["id"]) if kind == QUESTION else None
