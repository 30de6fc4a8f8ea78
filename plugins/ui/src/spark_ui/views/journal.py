"""What the steps of a run have asked and wait for: questions, durable calls, signals, timers, attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from spark.graphs.checkpoint import JournalEntry, PendingStep, PendingWork


@dataclass(frozen=True, slots=True)
class Question:
    """A question that is open."""

    id: str
    node: str
    key: str
    payload: Any
    since: datetime | None
    schema: Mapping[str, Any] | None
    refused: str
    """What was wrong with the last answer."""
    path: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A durable call whose result is recorded."""

    node: str
    key: str
    state: str
    """``"done"`` or ``"failed"``."""
    value: Any
    """What it returned; of a failed one, its error in one line."""
    idempotency_key: str
    """What it could hand to a service: the same whenever it is repeated."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Why a step failed before, and when it is executed again."""

    node: str
    attempt: int
    error: str
    time: datetime | None
    due: datetime | None
    is_waiting: bool
    stack: Any


@dataclass(frozen=True, slots=True)
class Wait:
    """Steps of one node wait for a signal, or for a time."""

    node: str
    signal: str
    """The name of the signal; empty of one that waits for a time."""
    since: datetime | None
    """Since when the first of them waits."""
    due: datetime | None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Journal:
    """All of it, by kind."""

    questions: tuple[Question, ...] = ()
    calls: tuple[Call, ...] = ()
    waits: tuple[Wait, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @classmethod
    def of(cls, pending: PendingWork, *, run: str = "") -> Journal:
        """What the pending steps have of it.

        :param run: graph id and run id, as idempotency keys begin: ``"refund-17/3f2a"``.
        """
        entries = [(step, entry) for step in pending.with_entries() for entry in step.entries]
        waits = [(step, entry) for step, entry in entries if entry.is_wait]
        return cls(
            questions=tuple(_question(*each) for each in waits if each[1].kind == "interrupt"),
            calls=tuple(_call(*each, run) for each in entries if each[1].kind == "call"),
            waits=_together(_wait(*each) for each in waits if each[1].kind in ("signal", "sleep")),
            attempts=tuple(_attempt(*each) for each in entries if each[1].kind == "retry"),
        )


def moment(value: Any) -> datetime | None:
    """A stored time; None if it is not one, or not aware."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _question(step: PendingStep, entry: JournalEntry) -> Question:
    data, schema, path = entry.data, entry.data.get("schema"), entry.data.get("path")
    return Question(
        id=entry.name,
        node=step.node,
        key=str(data.get("key") or ""),
        payload=data.get("payload"),
        since=entry.since,
        schema=schema if isinstance(schema, Mapping) else None,
        refused=str(data.get("refused") or ""),
        path=tuple(path) if isinstance(path, list | tuple) else (),
    )


def _call(step: PendingStep, entry: JournalEntry, run: str) -> Call:
    idempotency_key = f"{run}/{step.lineage:x}/{entry.key}"
    error = entry.data.get("error")
    if error is None:
        return Call(step.node, entry.key, "done", entry.data.get("value"), idempotency_key)
    return Call(step.node, entry.key, "failed", _brief_error(error), idempotency_key)


def _wait(step: PendingStep, entry: JournalEntry) -> Wait:
    return Wait(step.node, entry.name or entry.key if entry.kind == "signal" else "", entry.since, entry.due)


def _together(waits: Iterable[Wait]) -> tuple[Wait, ...]:
    """One for all steps of a node that wait for the same: a map may have thousands."""
    groups: dict[tuple[str, str, datetime | None], list[Wait]] = {}
    for wait in waits:
        groups.setdefault((wait.node, wait.signal, wait.due), []).append(wait)
    return tuple(
        replace(
            group[0],
            since=min((each.since for each in group if each.since is not None), default=None),
            count=len(group),
        )
        for group in groups.values()
    )


def _attempt(step: PendingStep, entry: JournalEntry) -> Attempt:
    failure = entry.data.get("failure")
    failure = failure if isinstance(failure, Mapping) else {}
    return Attempt(
        node=step.node,
        attempt=_whole(failure.get("attempt")) or step.attempt - 1,
        error=_brief_error(failure),
        time=moment(failure.get("time")),
        due=entry.due,
        is_waiting=entry.is_wait and entry.due is not None,
        stack=failure.get("stack"),
    )


def _brief_error(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    kind, message = str(error.get("type") or "unknown error").replace("builtins:", ""), str(error.get("message") or "")
    return f"{kind}: {message}" if message else kind


def _whole(value: Any) -> int:
    return value if type(value) is int else 0
