"""The suite over each of the planted backends, and over sound ones. Run by ``test_planted_backends.py``."""

from __future__ import annotations

from dataclasses import replace

import planted_asking  # noqa: F401 - its classes are found as subclasses
import planted_backends  # noqa: F401 - as above
import pytest
from planted_stores import Absent, Shared, WithBlobs

from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record
from spark_testing import CheckpointBackendConformance, leaks


class Planted(CheckpointBackendConformance):
    capabilities = ("keeps_blobs",)
    hostile_ids = ("A",)
    many_graphs = 60
    many_blobs = 300

    @pytest.fixture
    def backend(self):
        return self.kind()

    @pytest.fixture(autouse=True, scope="class")
    def _patience(self, request):
        """Bugs are known to be there, so that nobody waits for them, at the end of a test either; what is sound may be on a
        busy machine."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(leaks, "LONGEST_WAIT", 0.1 if hasattr(request.cls.kind, "found_by") else 20)
            yield

    @pytest.fixture
    def read_raw(self, backend):
        def read(graph_id, sequence):
            record = backend._graphs.get(graph_id, {}).get(sequence)
            return None if record is None else record.header.to_json() + record.payload

        return read

    @pytest.fixture
    def open_absent(self):
        return getattr(self.kind, "open_absent", Absent)


class PlantedShared(Planted):
    capabilities = ("persistent", "keeps_blobs")

    @pytest.fixture
    def open_another(self, backend):
        return lambda: self.kind(backend)

    @pytest.fixture
    def spoil(self, backend):
        def spoil(graph_id, sequence):
            header = backend._graphs[graph_id][sequence].header
            backend._graphs[graph_id][sequence] = Record(replace(header, size=14), b"something else")

        return spoil


def _plant(base: type[Planted], kind: type[InMemoryCheckpointBackend]) -> None:
    name = f"Test{kind.__name__}"
    globals()[name] = type(name, (base,), {"kind": kind, "capabilities": base.capabilities, "__module__": __name__})


for _kind in (kind for kind in InMemoryCheckpointBackend.__subclasses__() if hasattr(kind, "found_by")):
    _plant(Planted, _kind)
for _kind in (Shared, *Shared.__subclasses__()):
    _plant(PlantedShared, _kind)
for _kind in (WithBlobs, *WithBlobs.__subclasses__()):
    _plant(Planted, _kind)
