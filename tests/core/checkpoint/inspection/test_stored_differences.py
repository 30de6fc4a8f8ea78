"""Two records are compared by what they refer to: what differs is what differs between the whole checkpoints."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from spark.graphs.checkpoint import CheckpointManager, Difference, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record
from tests.core.checkpoint.encoding.chunked_history import History, Step, steps
from tests.support.variants import first_of


class KeptHistory(History):
    """One whose records and large values all stay."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.all_blobs: dict[str, bytes] = {}

    def checkpoint(self, **more: Any) -> GraphCheckpoint:
        return replace(super().checkpoint(**more), parent=self.records[-1].sequence if self.records else None)

    def store(self, record: Record) -> None:
        self.records.append(record)
        self.all_blobs |= {**self.blobs, **record.blobs}
        super().store(record)


class Watched(InMemoryCheckpointBackend):
    """Tells which large values were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        self.read += names
        return await super().get_blobs(graph_id, names)


async def stored(life: Sequence[Step]) -> CheckpointManager:
    """The history in which all of that happened."""
    history, backend = KeptHistory(), Watched()
    for step in [*life, ("save", 0, 0)]:
        history.step(step)
    for record in history.records:
        await backend.put(record.with_blobs(history.all_blobs))
    return CheckpointManager(backend)


def sorted_(found: list[Difference]) -> list[str]:
    return sorted(map(repr, found))


@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_records_are_compared_as_the_checkpoints_that_they_hold(seed: int) -> None:
    manager = await stored(steps(seed, 100))
    entries = await manager.history("g")
    whole = {entry.sequence: await manager.load_checkpoint_at("g", entry.sequence, raw=True) for entry in entries}
    far = [random.Random(seed).sample(entries, 2) for _ in range(20)]

    for one, other in [*pairwise(entries), *far]:
        expected = await manager.diff(whole[one.sequence], whole[other.sequence])
        found = await manager.diff(one.checkpoint_id or "", other.checkpoint_id or "")
        assert sorted_(found) == sorted_(expected)


@pytest.mark.parametrize("seed", first_of(range(4)))
async def test_each_entry_has_the_keys_that_changed(seed: int) -> None:
    """One that was set to what it had may be among them, none is missing."""
    manager = await stored(steps(seed, 100))

    entries = await manager.history("g", with_changes=True)

    more = 0
    for before, entry in pairwise(entries):
        found = await manager.changes("g", entry.sequence)
        assert found == await manager.diff(before.checkpoint_id or "", entry.checkpoint_id or "")
        for section, keys in (("graph_state", entry.changed), ("node_states", entry.changed_nodes)):
            assert keys is not None
            changed = {each.path.split("'")[1] for each in found if each.path.startswith(section)}
            assert changed <= {*keys}
            more += len({*keys} - changed)
    assert entries[0].changed == tuple((await manager.load_checkpoint_at("g", 1, raw=True)).graph_state)
    assert more <= len(entries)
