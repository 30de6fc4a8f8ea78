"""File backends for which it does not matter how fast the disk is that the tests run on."""

from __future__ import annotations

from typing import ClassVar

from spark.graphs.checkpoint.storage import InlineLimits
from spark_backend_file import FileCheckpointBackend


class OnAFastDisk(FileCheckpointBackend):
    """Its first save goes to a thread, and later ones of the same graph don't."""

    inline_limits: ClassVar[InlineLimits] = InlineLimits(mean_seconds=60.0, stall_seconds=60.0)
