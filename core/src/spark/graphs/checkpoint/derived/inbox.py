"""The messages that were sent to a graph: a history beside its own, from which its runs take them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spark.errors import GraphDefinitionError, RunError, SequenceTakenError
from spark.graphs.checkpoint.calls import ATTEMPTS, never_free, wrapped
from spark.graphs.checkpoint.derived.history import Added, DerivedHistory
from spark.graphs.checkpoint.derived.notices import notify
from spark.graphs.checkpoint.ids import INBOX, check_graph_id
from spark.graphs.checkpoint.records.info import Scalar
from spark.graphs.checkpoint.records.query import CheckpointQuery
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.state.journal import answer_topic

_LONGEST_KEY: Final = 200
"""What is longer can't be searched for."""
KEPT: Final = 100
"""So many of the latest messages stay although they were received: a repeated send is recognised by them."""


DRAIN: Final = "drain"
"""What a request to drain a run is about. It is for the run itself, and no step can wait for it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, as it is in the inbox."""

    sequence: int
    topic: str
    """What it is about: ``"signal:<name>"`` or ``"answer:<interrupt id>"``."""
    value: Any


class Inbox:
    """The messages of one graph."""

    def __init__(self, backend: CheckpointBackend, graph_id: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._history = DerivedHistory(backend, INBOX, check_graph_id(graph_id), clock=clock)

    async def send(self, topic: str, value: Any, *, key: str | None = None) -> bool:
        """Add a message: when this returns, it is durable. False if one about the same was sent with this key before.

        :raises GraphDefinitionError: the key can't be used.
        :raises SerializationError: the value can't be saved; nothing was sent.
        :raises BackendError: the storage failed; it may have been sent.
        """
        history, key = self._history, _checked_key(key)
        history.backend.record_codec.check(value, f"the value of {topic!r}")
        if key is None:
            await history.append({"value": value}, {"topic": topic})
        elif not await self._send_once(topic, value, key):
            return False
        notify(history.graph_id)
        return True

    async def answer(self, answers: Mapping[str, Any], *, asked: Collection[str]) -> None:
        """Add answers to questions, by their ids, if all of these were asked.

        :raises RunError: one was not; nothing was answered.
        """
        if not isinstance(answers, Mapping):
            raise GraphDefinitionError(f"answer(answers={answers!r}): give {{interrupt.id: answer}}.")
        for id in answers:
            if id not in asked:
                open = (
                    f"Open are {', '.join(map(repr, asked))}."
                    if asked
                    else "None is open; check the graph id and the store."
                )
                raise RunError(
                    f"Graph {self._history.graph_id!r} has no open question {id!r}; it may have been answered. {open}"
                )
        for id, answer in answers.items():
            await self.send(answer_topic(id), answer)

    async def ask(self, topic: str, facts: Mapping[str, str]) -> None:
        """Add a message to the run itself: short texts, which are found without reading any other message."""
        await self._history.append({}, {**facts, "topic": topic})
        notify(self._history.graph_id)

    async def about(self, topic: str, *, after: int) -> list[Mapping[str, Scalar]]:
        """What the messages about this say that have come after a sequence, in order."""
        backend = self._history.backend
        query = CheckpointQuery(graph_id=self._history.id, metadata={"topic": topic}, with_metadata=True)
        with wrapped(backend, f"looking for messages about {topic!r}"):
            found = await backend.query(query)
        return [info.metadata for info in found.infos if info.sequence > after]

    async def next_sequence(self) -> int:
        """One more than the highest sequence that a message has or had."""
        return await self._history.next_sequence()

    async def read(self, *, after: int, until: int) -> list[Letter]:
        """The messages between these sequences that are still there, in order."""
        return [_letter(added) for added in await self._history.read(after=after, until=until)]

    async def get(self, sequences: Collection[int]) -> list[Letter]:
        """Those of these messages that are still there, in order."""
        return [_letter(added) for added in await self._history.get(sequences)]

    async def prune(self, *, up_to: int, except_for: Collection[int]) -> None:
        """Delete messages that were received, up to a sequence; but not the latest ones."""
        if up_to <= KEPT:
            return
        last = min(up_to, await self.next_sequence() - 1 - KEPT)
        if last > 0:
            await self._history.delete([number for number in range(1, last + 1) if number not in except_for])

    async def _send_once(self, topic: str, value: Any, key: str) -> bool:
        backend = self._history.backend
        query = CheckpointQuery(graph_id=self._history.id, metadata={"key": key, "topic": topic}, limit=1)
        for _ in range(ATTEMPTS):
            sequence = await self.next_sequence()
            with wrapped(backend, f"looking for the message with the key {key!r}"):
                # What is sent after this takes the sequence, and is found the next time.
                if (await backend.query(query)).infos:
                    return False
            try:
                await self._history.append({"value": value}, {"topic": topic, "key": key}, at=sequence)
            except SequenceTakenError:
                continue
            return True
        raise never_free(backend, self._history.id)


def _checked_key(key: Any) -> str | None:
    """The key of a message, when it can be one.

    :raises GraphDefinitionError: it can't.
    """
    if key is None or (isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        return key
    shown = repr(key)
    raise GraphDefinitionError(
        f"send(key={shown if len(shown) <= 60 else shown[:60] + '…'}): give 1 to {_LONGEST_KEY} printable characters, for "
        "instance the id of the request."
    )


def _letter(added: Added) -> Letter:
    return Letter(added.sequence, added.metadata.get("topic", ""), added.values.get("value"))
