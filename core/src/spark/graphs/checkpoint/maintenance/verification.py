"""Is everything that is stored still what was written, and are there large values that no checkpoint needs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spark.errors import BackendError, CheckpointDamagedError, CheckpointNotFoundError, SparkError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.encoding.decoder import raise_damaged
from spark.graphs.checkpoint.ids import DERIVED_KINDS, derived_id, is_derived
from spark.graphs.checkpoint.maintenance.garbage import find_orphans
from spark.graphs.checkpoint.maintenance.loading import completed, read_batch
from spark.graphs.checkpoint.storage.listing import in_batches
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from spark.graphs.checkpoint.encoding.decoder import OpenRecord
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.checkpoint.records.record import Record
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend
    from spark.graphs.checkpoint.storage.listing import DamagedRecord


@dataclass(slots=True)
class Verification:
    """What ``CheckpointManager.verify`` found."""

    intact: int = 0
    """How many checkpoints loaded."""
    damaged: list[tuple[CheckpointInfo, CheckpointDamagedError]] = field(default_factory=list)
    """Those that are not what was written, or lack a large value, and what is wrong with each. So for messages sent to graphs."""
    unreadable: list[tuple[CheckpointInfo, SparkError]] = field(default_factory=list)
    """Those that are intact, and need a type, a format or a key that this program does not have."""
    unlisted: list[DamagedRecord] = field(default_factory=list)
    """What is in the place of a checkpoint and could not even be listed."""
    orphans: list[tuple[str, str]] = field(default_factory=list)
    """Graph id and name of each large value that no checkpoint needs. The next run of that graph removes it."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged and not self.unlisted


async def verify(
    backend: CheckpointBackend, graph_id: str | None, report: Callable[[int, int], None] | None, *, raw: bool
) -> Verification:
    """Load every checkpoint of a graph, or of all graphs, and find the large values that none of them needs."""
    with wrapped(backend, "listing checkpoints"):
        listings = [await backend.list(each) for each in _with_derived(graph_id)]
    infos = [info for listing in listings for info in listing.infos]
    found = Verification(unlisted=[damaged for listing in listings for damaged in listing.damaged])
    needed: dict[str, dict[int, list[str]]] = {info.graph_id: {} for info in infos}
    done = 0
    for batch in in_batches(infos):
        records = await read_batch(backend, batch)
        for info in batch:
            names = await _load(backend, info, records.get(info.sequence), found, raw=raw)
            if names is not None:
                needed[info.graph_id][info.sequence] = names
            done += 1
            if report is not None:
                report(done, len(infos))
    for each in sorted(needed):
        if all(info.graph_id != each for info, _ in (*found.damaged, *found.unreadable)):
            with suppress(CheckpointDamagedError):  # reported already: something there can't be listed
                found.orphans += [(each, name) for name in await find_orphans(backend, each, known=needed[each])]
    return found


def _with_derived(graph_id: str | None) -> Sequence[str | None]:
    return [None] if graph_id is None else [graph_id, *(derived_id(kind, graph_id) for kind in DERIVED_KINDS)]


async def _load(
    backend: CheckpointBackend,
    info: CheckpointInfo,
    record: Record | CheckpointDamagedError | None,
    found: Verification,
    *,
    raw: bool,
) -> list[str] | None:
    """Try whether it loads. Returns the names of the large values that it needs, or None if that is unknown."""
    try:
        if record is None:
            return None  # deleted since it was listed
        if isinstance(record, CheckpointDamagedError):
            raise record
        opened = await (_opened_raw if raw else _opened)(backend, record)
    except CheckpointNotFoundError:
        return None  # deleted before its large values were read
    except CheckpointDamagedError as error:
        found.damaged.append((info, error))
    except BackendError:
        raise
    except SparkError as error:
        found.unreadable.append((info, error))
    else:
        found.intact += not is_derived(info.graph_id)
        return opened.blob_names() if opened.header.references_in_payload else None
    return None


async def _opened(backend: CheckpointBackend, record: Record) -> OpenRecord:
    opened = await run_blocking(backend.record_codec.open, record)
    await completed(backend, opened)
    return opened


async def _opened_raw(backend: CheckpointBackend, record: Record) -> OpenRecord:
    from spark.graphs.checkpoint.inspection.raw import open_whole  # not needed by those who load what they wrote

    stored, checkpoint = await open_whole(backend, record)
    for path, reason in checkpoint.damaged.items():
        raise_damaged(record.header, f"{path}: {reason}")
    return stored.opened
