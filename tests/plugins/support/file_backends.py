"""File backends of tests, and where their files are."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from spark.graphs.checkpoint.storage import InlineLimits
from spark_backend_file import FileCheckpointBackend


class OnAFastDisk(FileCheckpointBackend):
    """However fast the disk is that the tests run on: the first save goes to a thread, and later ones of the same graph don't."""

    inline_limits: ClassVar[InlineLimits] = InlineLimits(mean_seconds=60.0, stall_seconds=60.0)


def file_of(backend: FileCheckpointBackend, sequence: int, graph_id: str = "g") -> Path:
    """The file of a record of a graph whose id stands for itself."""
    return Path(backend.directory, graph_id, f"{sequence:012d}.ckpt")
