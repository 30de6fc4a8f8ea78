"""Which values make checkpoints large: those of the latest checkpoints of some graphs, weighed roughly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spark.errors import SparkError
from spark.graphs.checkpoint import CheckpointManager, RawObject, RunInfo
from spark.graphs.checkpoint.storage import run_blocking

_LEAST: Final = 1_000
"""Bytes: what is smaller makes no checkpoint large."""
_KEPT: Final = 10
_NUMBER: Final = 8
"""Bytes that a number, a moment or nothing counts for, and what stands around each item."""


@dataclass(frozen=True, slots=True)
class LargeValue:
    """A value of the shared state."""

    graph_id: str
    sequence: int
    """Of the checkpoint that it is in."""
    key: str
    bytes: int
    """What it takes up, roughly: texts and buffers count, and a little for everything else."""


async def largest_values(manager: CheckpointManager, runs: Sequence[RunInfo]) -> list[LargeValue]:
    """The largest values of the shared states of these runs, the largest one first. What can't be read is left out."""
    found: list[LargeValue] = []
    for run in runs:
        try:
            checkpoint = await manager.load_checkpoint_at(run.graph_id, run.sequence or 0, raw=True)
        except SparkError:
            continue
        weights = await run_blocking(_weigh_all, checkpoint.graph_state)
        found += [
            LargeValue(run.graph_id, run.sequence or 0, key, size) for key, size in weights.items() if size >= _LEAST
        ]
        found = sorted(found, key=lambda each: -each.bytes)[:_KEPT]
    return found


def weigh(value: Any, each_value: int = _NUMBER) -> int:
    """Roughly how many bytes a value takes up.

    :param each_value: what is counted for each value in it besides its text.
    """
    total, ahead = 0, [value]
    while ahead:
        each = ahead.pop()
        if isinstance(each, str | bytes | bytearray):
            total += len(each)
        elif isinstance(each, RawObject):
            ahead.append(each.value)
        elif isinstance(each, Mapping):
            ahead += each.keys()
            ahead += each.values()
        elif isinstance(each, list | tuple | set | frozenset):
            ahead += each
        total += each_value
    return total


def _weigh_all(state: Mapping[str, Any]) -> dict[str, int]:
    return {key: weigh(value) for key, value in state.items()}
