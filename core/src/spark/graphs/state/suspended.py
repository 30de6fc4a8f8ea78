"""The tokens whose steps wait for something outside, and which of them may continue."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeAlias

from spark.graphs.state.groups import token_number
from spark.graphs.state.journal import Journal, closed, due_of, is_open, kind_of, topic_of
from spark.graphs.state.token import Token

_Waiter: TypeAlias = tuple[str, tuple[int, ...], str, str]
"""Since when, the number and the id of the token, and the key of the entry."""


class SuspendedTokens:
    """Those tokens, and what they wait for, which is in the journal.

    :param tokens: where they are put, by id.
    """

    __slots__ = (
        "_due",
        "_journal",
        "_kinds",
        "_numbers",
        "_queued",
        "_queued_waiters",
        "_waiters",
        "counts",
        "looked_to",
        "new_topics",
        "tokens",
    )

    def __init__(self, journal: Journal, tokens: dict[str, Token]) -> None:
        self.tokens: dict[str, Token] = tokens
        self.looked_to: int | None = None
        """The highest sequence of a message that was looked at; None before the first look."""
        self.counts: defaultdict[str, int] = defaultdict(int)
        """Kind, such as ``"sleep"`` or ``"interrupt"``, to how many open entries of that kind are waited for."""
        self._kinds: dict[str, list[str]] = {}
        """Of each token, the kinds of its open entries."""
        self._journal = journal
        self._due: list[tuple[datetime, int, str, str]] = []
        """A heap of times, with the token and the key of the entry that is over then; some are out of date."""
        self._queued: set[tuple[str, str, datetime]] = set()
        """What is in there, so that a step that waits again for the rest does not add it again."""
        self._numbers = count()
        self._waiters: dict[str, list[_Waiter]] = {}
        """What messages are about to a heap of those that wait for one; some are out of date."""
        self._queued_waiters: set[tuple[str, _Waiter]] = set()
        """What is in there."""
        self.new_topics: set[str] = set()
        """Those for which one was added since this was last cleared."""

    def add(self, token: Token) -> None:
        """A token waits from now on."""
        self.tokens[token.id] = token
        open = self._journal.open_entries(token.id)
        kinds = self._kinds[token.id] = [kind_of(key) for key, _ in open]
        for kind in kinds:
            self.counts[kind] += 1
        for key, entry in open:
            due = due_of(entry)
            if due is not None and (token.id, key, due) not in self._queued:
                self._queued.add((token.id, key, due))
                heappush(self._due, (due, next(self._numbers), token.id, key))
            topic = topic_of(key, entry)
            if topic is not None:
                self._add_waiter(topic, (entry["since"], token_number(token.id), token.id, key))

    def remove(self, id: str) -> Token | None:
        """It waits no longer; None if it did not."""
        token = self.tokens.pop(id, None)
        if token is not None:
            for kind in self._kinds.pop(id):
                self.counts[kind] -= 1
        return token

    def next_due(self) -> datetime | None:
        """When the first of them continues by itself; None if none ever does."""
        while self._due and not self._is_current(*self._due[0]):
            self._pop()
        return self._due[0][0] if self._due else None

    def pop_due(self, now: datetime) -> list[Token]:
        """Those of which something that they wait for is over by now. They wait no longer."""
        found: dict[str, Token] = {}
        while (due := self.next_due()) is not None and due <= now:
            id, key = self._pop()
            self._journal.put(id, key, closed(self._journal.of(id)[key], over=True))
            found[id] = self.tokens[id]
        for id in found:
            self.remove(id)
        return [*found.values()]

    def next_waiter(self, topic: str) -> tuple[str, str] | None:
        """The token, and the key of its entry, that has waited longest for a message about this; None if none waits."""
        waiters = self._waiters.get(topic, [])
        while waiters:
            since, _, id, key = waiters[0]
            entry = self._journal.of(id).get(key)
            if id in self.tokens and entry is not None and is_open(entry) and entry["since"] == since:
                return id, key
            self._queued_waiters.discard((topic, heappop(waiters)))
        self._waiters.pop(topic, None)
        return None

    def _add_waiter(self, topic: str, waiter: _Waiter) -> None:
        if (topic, waiter) not in self._queued_waiters:
            self._queued_waiters.add((topic, waiter))
            heappush(self._waiters.setdefault(topic, []), waiter)
        self.new_topics.add(topic)

    def _pop(self) -> tuple[str, str]:
        due, _, id, key = heappop(self._due)
        self._queued.discard((id, key, due))
        return id, key

    def _is_current(self, due: datetime, _: int, id: str, key: str) -> bool:
        entry = self._journal.of(id).get(key)
        return id in self.tokens and entry is not None and is_open(entry) and due_of(entry) == due


def open_facts(suspended: SuspendedTokens) -> dict[str, Any]:
    """What a checkpoint says of them among its searchable metadata.

    When the first continues, how many questions are open, and if they wait for messages, up to which these have been looked at.
    """
    due, questions = suspended.next_due(), suspended.counts["interrupt"]
    facts: dict[str, Any] = {} if due is None else {"due": due.isoformat()}
    if questions:
        facts["questions"] = questions
    if suspended.looked_to is not None and (questions or suspended.counts["signal"]):
        facts["messages"] = suspended.looked_to
    return facts
