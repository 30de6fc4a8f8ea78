"""Backends with one bug each, which the suite has to find. Run by ``test_planted_backends.py``, never collected."""

from __future__ import annotations

import asyncio
import threading

import pytest

from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_testing import CheckpointBackendConformance, leaks

leaks.PATIENCE = 0.1


class Forgets(InMemoryCheckpointBackend):
    """Uses the sequence of a deleted record again."""

    async def delete(self, graph_id, sequence):
        deleted = await super().delete(graph_id, sequence)
        self._floors.clear()
        return deleted


class GoesOn(InMemoryCheckpointBackend):
    """Saves on when its caller is gone."""

    async def put(self, record):
        saving = asyncio.ensure_future(self._save(record))
        await asyncio.shield(saving)

    async def _save(self, record):
        for _ in range(12):
            await asyncio.sleep(0)
        await super().put(record)


class LosesCase(InMemoryCheckpointBackend):
    """Takes two graphs for one, as some filesystems do."""

    async def get(self, graph_id, sequence):
        return await super().get({"A": "a"}.get(graph_id, graph_id), sequence)


class Leaks(InMemoryCheckpointBackend):
    """Starts a thread, and leaves it."""

    async def put(self, record):
        threading.Thread(target=threading.Event().wait, args=(60,), daemon=True, name="leaked").start()
        await super().put(record)


class Planted(CheckpointBackendConformance):
    capabilities = ()
    hostile_ids = ("A",)

    @pytest.fixture
    def read_raw(self, backend):
        def read(graph_id, sequence):
            record = backend._graphs.get(graph_id, {}).get(sequence)
            return None if record is None else record.header.to_json() + record.payload

        return read


class TestForgets(Planted):
    @pytest.fixture
    def backend(self):
        return Forgets()


class TestGoesOn(Planted):
    @pytest.fixture
    def backend(self):
        return GoesOn()


class TestLosesCase(Planted):
    @pytest.fixture
    def backend(self):
        return LosesCase()


class TestLeaks(Planted):
    @pytest.fixture
    def backend(self):
        return Leaks()
