"""Why a run failed, as a checkpoint records it in ``execution_metadata["error"]``: in a word, and in several lines.

Anybody may have written it, so whatever is not as expected is shown as it is, or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spark.errors import SparkError
from spark_cli.output import shortened

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend, CheckpointInfo


async def failures_of(
    store: CheckpointBackend, infos: Sequence[CheckpointInfo], *, graph_id: str | None = None
) -> dict[tuple[str, int], Mapping[str, Any]]:
    """By graph id and sequence, what is recorded of the failure, for those of these checkpoints that were made because of one."""
    from spark.graphs.checkpoint import CheckpointManager
    from spark.graphs.checkpoint.storage import CheckpointQuery

    manager, found = CheckpointManager(store), {}
    failed = await manager.listing(CheckpointQuery(graph_id=graph_id, metadata={"reason": "failed"}))
    shown = {(info.graph_id, info.sequence) for info in infos}
    for info in failed.infos:
        if (info.graph_id, info.sequence) in shown:
            with suppress(SparkError):  # what can't be loaded is not why somebody lists
                metadata = (await manager.load_checkpoint(info.checkpoint_id)).execution_metadata
                found[info.graph_id, info.sequence] = _mapping(metadata.get("error"))
    return found


def in_a_word(error: Mapping[str, Any]) -> str:
    """What failed, for a line in a list."""
    kind, node = str(error.get("type", "")).rpartition(".")[2], error.get("node")
    return f"failed: {kind or 'unknown'}" + (f" in {node}" if node is not None else "")


def in_lines(error: Mapping[str, Any]) -> Iterator[str]:
    """What failed, where and when, and the stack, innermost last."""
    yield shortened(f"{error.get('type', 'unknown')}: {error.get('message', '')}")
    node, attempt, time = error.get("node"), error.get("attempt"), error.get("time")
    yield f"    in node {node!r}, attempt {attempt}, at {time}" if node is not None else f"    at {time}"
    stack = error.get("stack")
    for frame in stack if isinstance(stack, list | tuple) else ():
        if isinstance(frame, list | tuple) and len(frame) == 3:
            yield shortened(f"    {frame[0]}:{frame[1]} in {frame[2]}")


def _mapping(error: Any) -> Mapping[str, Any]:
    return error if isinstance(error, Mapping) else {}
