"""Is everything in a store still what was written? Every checkpoint is loaded to find out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from spark.errors import CheckpointDamagedError, SparkError
from spark.graphs.checkpoint import CheckpointBackend, CheckpointInfo, CheckpointManager, run_blocking


@dataclass(frozen=True, slots=True)
class Finding:
    """A checkpoint that did not load, and why."""

    graph_id: str
    sequence: int
    checkpoint_id: str
    reason: str


@dataclass(slots=True)
class Verification:
    """What was found in a store."""

    intact: int = 0
    damaged: list[Finding] = field(default_factory=list)
    """Those that are not what was written."""
    unreadable: list[Finding] = field(default_factory=list)
    """Those that are intact, and need a type, a format or a key that is not here."""
    unlisted: list[str] = field(default_factory=list)
    """What the store had to say about things that stand in the place of a checkpoint and could not even be listed."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged and not self.unlisted


async def verify(store: CheckpointBackend, *, graph_id: str | None, report: Callable[[int, int], None]) -> Verification:
    """Load every checkpoint of a graph, or of all graphs. Nothing is changed.

    :param report: told how many of how many are done.
    """
    found = Verification()
    with _said_by_backends(found.unlisted):
        infos = await CheckpointManager(store).list_checkpoints(graph_id)
    for number, info in enumerate(infos, 1):
        await _load(store, info, found)
        report(number, len(infos))
    return found


async def _load(store: CheckpointBackend, info: CheckpointInfo, found: Verification) -> None:
    try:
        record = await store.get(info.graph_id, info.sequence)
        if record is None:
            return  # deleted since it was listed
        await run_blocking(store.codec.decode, record)
    except CheckpointDamagedError as error:
        found.damaged.append(_finding(info, error))
    except SparkError as error:
        found.unreadable.append(_finding(info, error))
    else:
        found.intact += 1


def _finding(info: CheckpointInfo, error: SparkError) -> Finding:
    return Finding(info.graph_id, info.sequence, info.checkpoint_id, str(error))


@contextmanager
def _said_by_backends(messages: list[str]) -> Iterator[None]:
    """Collects their warnings: what a listing leaves out is told there, and nowhere else."""
    logger, listener = logging.getLogger("spark.checkpoint"), _Listener(messages)
    logger.addHandler(listener)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagates
        logger.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())
