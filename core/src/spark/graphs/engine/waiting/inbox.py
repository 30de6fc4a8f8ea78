"""What a run takes out of the inbox of its graph, and when it looks there."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from spark.errors import SparkError
from spark.graphs.checkpoint.derived.inbox import DRAIN
from spark.graphs.engine.spec import RunSpec, Services
from spark.graphs.state.frontier import Frontier
from spark.graphs.state.journal import closed
from spark.graphs.values.log_fields import log_fields

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.inbox import Inbox, Letter
    from spark.graphs.checkpoint.derived.notices import Listener

_LOG = logging.getLogger("spark.graphs")
_MANY: Final = 200
"""When so many messages were received since some were last deleted, it is time to do so."""


class RunInbox:
    """The messages that a run has not received yet, as far as it knows, and what it knows of the others.

    Receiving one is a change of the frontier: the message and what the run says of it are saved with the same checkpoint.

    :param hears: called when a message may have come.
    """

    def __init__(self, spec: RunSpec, frontier: Frontier, services: Services, *, hears: Callable[[], None]) -> None:
        self._spec = spec
        self._frontier = frontier
        self._services = services
        self._hears = hears
        self._inbox: Inbox | None = None
        self._listener: Listener | None = None
        self._letters: defaultdict[str, deque[Letter]] = defaultdict(deque)
        """What was found and nobody has waited for yet, by what it is about, in order."""
        self._seen: dict[int, str] = {}
        """What was found since a message was received last."""
        self._looked_to: int | None = None
        """The highest sequence that was looked at; None before the first look."""
        self._received = 0
        """How many were received since some were last deleted."""
        self.is_stale = True
        """A message may have come since the last look."""
        self.has_request: bool = False
        """The last look has found one for the run itself."""

    def is_waited_for(self) -> bool:
        """Whether a message would let a step continue."""
        open = self._frontier.suspended.counts
        return self._services.backend is not None and (open["signal"] > 0 or open["interrupt"] > 0)

    def has_new_waiters(self) -> bool:
        """Whether a step has begun to wait for a message since the last look."""
        return bool(self._frontier.suspended.new_topics)

    async def look(self) -> None:
        """See what has come, and hand it to those that wait for it.

        :raises CheckpointDamagedError: a message can't be read.
        :raises BackendError: the storage failed.
        """
        inbox = self._open()
        self.is_stale = self.has_request = False  # what comes from now on, this look may miss
        found = await self._found(inbox)
        topics = {letter.topic for letter in found} | self._frontier.suspended.new_topics
        for letter in found:
            self._letters[letter.topic].append(letter)
        self._frontier.suspended.new_topics.clear()
        for topic in sorted(topics):
            self._deliver(topic)
        if self._received >= _MANY:
            await self.prune()

    async def prune(self) -> None:
        """Delete messages that were received, if that is durable. What can't be deleted now will be the next time."""
        received = self._frontier.received
        if self._inbox is None or not self._received or not self._is_durable():
            return
        try:
            await self._inbox.prune(up_to=received.up_to, except_for={*received.left})
            self._received = 0
        except SparkError as error:
            _LOG.warning(
                "Received signals of graph %r were not deleted this time: %s",
                self._spec.graph_id,
                error,
                extra=log_fields(self._spec.graph_id, run_id=self._spec.run_id),
            )

    def close(self) -> None:
        """The run has ended."""
        if self._listener is not None:
            self._listener.close()

    def _open(self) -> Inbox:
        backend = self._services.backend
        assert backend is not None
        if self._inbox is None:
            from spark.graphs.checkpoint.derived.inbox import Inbox  # not needed by those who wait for no message
            from spark.graphs.checkpoint.derived.notices import Listener

            self._inbox = Inbox(backend, self._spec.graph_id)
            self._listener = Listener(self._spec.graph_id, self._hear)
        return self._inbox

    def _hear(self) -> None:
        self.is_stale = True
        self._hears()

    async def _found(self, inbox: Inbox) -> list[Letter]:
        """The messages that have come since the last look, in order."""
        end, after = await inbox.next_sequence(), self._looked_to
        if after is None:
            return await self._found_first(inbox, end)
        if end - 1 <= after:
            return []
        found = await inbox.read(after=after, until=end)
        return self._note_seen(found, end)

    async def _found_first(self, inbox: Inbox, end: int) -> list[Letter]:
        """Those that no run has received, at the first look."""
        received = self._frontier.received
        if received.up_to >= end:
            received.begin_anew()  # the graph was forgotten, or its checkpoint copied by itself: this is another inbox
        kept = await inbox.get(received.left) if received.left else []
        gone = received.left.keys() - {letter.sequence for letter in kept}
        for sequence in gone:
            received.drop(sequence)
        new = await inbox.read(after=received.up_to, until=end) if end - 1 > received.up_to else []
        missing = len(gone) + end - 1 - received.up_to - len(new)
        if missing and self._spec.is_resumed:
            _LOG.warning(
                "%d signals of graph %r no longer exist: they were received after the checkpoint that this run resumes. "
                "Send them again if its steps need them.",
                missing,
                self._spec.graph_id,
                extra=log_fields(self._spec.graph_id, run_id=self._spec.run_id),
            )
        return [*kept, *self._note_seen(new, end)]

    def _note_seen(self, letters: Iterable[Letter], end: int) -> list[Letter]:
        """Those of them that steps may wait for. The others are for the run itself, and count as received."""
        found = [*letters]
        for_steps = [letter for letter in found if letter.topic != DRAIN]
        self.has_request = len(for_steps) < len(found)
        self._seen |= {letter.sequence: letter.topic for letter in for_steps}
        self._looked_to = self._frontier.suspended.looked_to = end - 1
        return for_steps

    def _deliver(self, topic: str) -> None:
        letters, suspended = self._letters[topic], self._frontier.suspended
        while letters and (waiter := suspended.next_waiter(topic)) is not None:
            letter = letters.popleft()
            self._frontier.received.add(letter.sequence, seen=self._seen, up_to=self._looked_to or 0)
            self._seen = {}
            self._received += 1
            token, key = waiter
            journal = self._frontier.journal
            journal.put(token, key, closed(journal.of(token)[key], value=letter.value))
            self._frontier.resume(token)
        if not letters:
            del self._letters[topic]

    def _is_durable(self) -> bool:
        latest = self._services.saver.latest if self._services.saver is not None else None
        return latest is not None and latest.metadata.get("received") == self._frontier.received.count
