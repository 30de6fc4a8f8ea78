"""The tokens whose steps wait for something outside, and which of them may go on."""

from __future__ import annotations

from datetime import datetime
from heapq import heappop, heappush
from itertools import count

from spark.graphs.state.journal import Journal, closed, due_of, is_open
from spark.graphs.state.token import Token


class SuspendedTokens:
    """Those tokens, by id. What they wait for is in the journal."""

    __slots__ = ("_due", "_journal", "_numbers", "tokens")

    def __init__(self, journal: Journal) -> None:
        self.tokens: dict[str, Token] = {}
        self._journal = journal
        self._due: list[tuple[datetime, int, str, str]] = []
        """A heap of times, with the token and the key of the entry that is over then; some are out of date."""
        self._numbers = count()

    def add(self, token: Token) -> None:
        """A token waits from now on."""
        self.tokens[token.id] = token
        for key, entry in self._journal.open_entries(token.id):
            due = due_of(entry)
            if due is not None:
                heappush(self._due, (due, next(self._numbers), token.id, key))

    def remove(self, id: str) -> Token | None:
        """It waits no longer; None if it did not."""
        return self.tokens.pop(id, None)

    def next_due(self) -> datetime | None:
        """When the first of them goes on by itself; None if none ever does."""
        while self._due and not self._is_current(*self._due[0]):
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def pop_due(self, now: datetime) -> list[Token]:
        """Those of which something that they wait for is over by now. They wait no longer."""
        found: dict[str, Token] = {}
        while (due := self.next_due()) is not None and due <= now:
            _, _, id, key = heappop(self._due)
            self._journal.put(id, key, closed(self._journal.of(id)[key], over=True))
            found[id] = self.tokens[id]
        for id in found:
            del self.tokens[id]
        return [*found.values()]

    def _is_current(self, due: datetime, _: int, id: str, key: str) -> bool:
        entry = self._journal.of(id).get(key)
        return id in self.tokens and entry is not None and is_open(entry) and due_of(entry) == due
