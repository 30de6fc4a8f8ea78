"""What a run returns, and the questions that it waits to have answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from spark.graphs.state.journal import QUESTION, Entry, is_open
from spark.graphs.values.snapshots import snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """An open question of a run: ``graph.run(resume={interrupt.id: answer})``."""

    id: str
    """Identifies the question in its graph; it stays the same until it is answered."""
    node: str
    """The key of the node that asks."""
    payload: Any
    """The question, as the node passed it."""
    since: datetime
    """When it was first asked."""
    key: str | None = None
    """The key that the node gave the question, if any."""
    schema: Mapping[str, Any] | None = None
    """The JSON schema of the answer, if the node asks for one."""
    error: str | None = None
    """What was wrong with the last answer, if there was one and it did not fit the schema."""
    path: tuple[Any, ...] = ()
    """In a map, the item that asks: its index, or its key, in each map around it, the outermost first."""

    @classmethod
    def of(cls, entry: Entry, *, node: str) -> Self:
        """The question that an entry of a journal holds."""
        return cls(
            id=entry["id"],
            node=node,
            payload=snapshot(entry["payload"]),
            since=datetime.fromisoformat(entry["since"]),
            key=entry.get("key"),
            schema=snapshot(entry.get("schema")),
            error=entry.get("refused"),
            path=tuple(snapshot(entry.get("path", ()))),
        )


def open_questions(frontier: Mapping[str, Any]) -> tuple[Interrupt, ...]:
    """The questions that are open, in the order in which they were asked.

    :param frontier: that section of a checkpoint, or what the frontier of a run captures; tokens and journal are enough.
    :raises KeyError, TypeError, ValueError, AttributeError: no run would write this.
    """
    tokens, found = frontier["tokens"], []
    for name, entry in frontier.get("journal", {}).items():
        id, _, key = name.partition("/")
        if key.startswith(f"{QUESTION}:") and is_open(entry):
            found.append(Interrupt.of(entry, node=tokens[id]["node"]))
    return tuple(sorted(found, key=lambda interrupt: interrupt.since))


@dataclass(frozen=True, slots=True)
class Message:
    """The outcome of a run."""

    content: Any
    """What the last finishing node returned. A node finishes where none of its edges matches."""
    status: str
    """``"completed"``: nothing is left to do; ``"interrupted"``: questions have to be answered; ``"waiting"``: for a time, or for
    a signal; ``"drained"``: it was asked to stop."""
    node: str | None
    """The key of the node that returned it; None when no node ran."""
    run_id: str | None = None
    """The id of the run; it stays the same when the run is resumed."""
    resumed: bool = False
    """Whether the run was resumed from a checkpoint, or had been complete and only gave its stored result again."""
    interrupts: tuple[Interrupt, ...] = ()
    """The questions that are open, in the order in which they were asked."""
    due: datetime | None = None
    """When the run continues by itself, if it is resumed then; None if it does not."""
    reason: str = ""
    """Why it was drained, as ``graph.drain`` was told."""
