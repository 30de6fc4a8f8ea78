"""Checkpoints: what they are, when they are made, where they go, and how to come back to them."""

from typing import TYPE_CHECKING, Any

from spark.errors import (
    BackendError,
    CheckpointConflictError,
    CheckpointDamagedError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointVersionError,
    DeletionError,
    DeserializationError,
    GraphRestoreError,
    InvalidIdError,
    SequenceTakenError,
    SerializationError,
)
from spark.graphs.blocking import Reply, run_blocking
from spark.graphs.checkpoint.backend import CheckpointBackend
from spark.graphs.checkpoint.blobs import BlobRef
from spark.graphs.checkpoint.codec import Codec
from spark.graphs.checkpoint.config import CheckpointConfig
from spark.graphs.checkpoint.durability import Durability
from spark.graphs.checkpoint.format import Format
from spark.graphs.checkpoint.handlers import CheckpointHandler
from spark.graphs.checkpoint.ids import automatic_id, parse_automatic_id
from spark.graphs.checkpoint.limits import ReadLimits
from spark.graphs.checkpoint.listing import DamagedRecord, Listing
from spark.graphs.checkpoint.manager import CheckpointManager
from spark.graphs.checkpoint.memory import InMemoryCheckpointBackend
from spark.graphs.checkpoint.migrations import register_migration
from spark.graphs.checkpoint.model import CURRENT_VERSION, CheckpointInfo, GraphCheckpoint
from spark.graphs.checkpoint.pace import Pace
from spark.graphs.checkpoint.query import CheckpointQuery, written_members
from spark.graphs.checkpoint.record import Record, RecordHeader
from spark.graphs.checkpoint.registered_types import register_type
from spark.graphs.checkpoint.retention import KeepAll, KeepFor, KeepLast, Retention
from spark.graphs.checkpoint.serializer import CheckpointSerializer
from spark.graphs.checkpoint.triggers import AfterNode, Boundary, EveryIterations, EverySeconds, Trigger, WithinOverhead
from spark.graphs.checkpoint.type_names import rename_type
from spark.graphs.checkpoint.verification import Verification

if TYPE_CHECKING:
    from spark_backend_file import FileCheckpointBackend as FileCheckpointBackend
    from spark_backend_s3 import S3CheckpointBackend as S3CheckpointBackend
    from spark_backend_sql import DatabaseCheckpointBackend as DatabaseCheckpointBackend

__all__ = [
    "CURRENT_VERSION",
    "AfterNode",
    "BackendError",
    "BlobRef",
    "Boundary",
    "CheckpointBackend",
    "CheckpointConfig",
    "CheckpointConflictError",
    "CheckpointDamagedError",
    "CheckpointError",
    "CheckpointHandler",
    "CheckpointInfo",
    "CheckpointManager",
    "CheckpointNotFoundError",
    "CheckpointQuery",
    "CheckpointSerializer",
    "CheckpointVersionError",
    "Codec",
    "DamagedRecord",
    "DeletionError",
    "DeserializationError",
    "Durability",
    "EveryIterations",
    "EverySeconds",
    "Format",
    "GraphCheckpoint",
    "GraphRestoreError",
    "InMemoryCheckpointBackend",
    "InvalidIdError",
    "KeepAll",
    "KeepFor",
    "KeepLast",
    "Listing",
    "Pace",
    "ReadLimits",
    "Record",
    "RecordHeader",
    "Reply",
    "Retention",
    "SequenceTakenError",
    "SerializationError",
    "Trigger",
    "Verification",
    "WithinOverhead",
    "automatic_id",
    "parse_automatic_id",
    "register_migration",
    "register_type",
    "rename_type",
    "run_blocking",
    "written_members",
]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        """The backends that plugins bring, such as ``FileCheckpointBackend``: imported from the installed plugin on first use."""
        from spark.hooks.registry import class_named

        value = globals()[name] = class_named(name)
        return value
