"""Checkpoints: what they are, when they are made, where they go, and how to come back to them.

What authors of backends and formats need besides is in ``spark.graphs.checkpoint.storage``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

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
from spark.graphs.checkpoint.configuration.config import CheckpointConfig, Durability
from spark.graphs.checkpoint.migrations import register_migration
from spark.graphs.checkpoint.model import CURRENT_VERSION, GraphCheckpoint
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler, observer_class
from spark.graphs.checkpoint.policies.boundary import Boundary, BudgetUse
from spark.graphs.checkpoint.policies.retention import KeepAll, KeepFor, KeepLast, Retention
from spark.graphs.checkpoint.policies.triggers import (
    AfterNode,
    AtIterations,
    EveryIterations,
    EverySeconds,
    Trigger,
    WithinOverhead,
)
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.limits import ReadLimits
from spark.graphs.checkpoint.serialization.classes.registered_types import register_type
from spark.graphs.checkpoint.serialization.classes.type_names import rename_type
from spark.graphs.checkpoint.serialization.classes.types import SavedType, Types
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, serializer_class
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import DamagedRecord, Listing
from spark.graphs.checkpoint.storage.memory import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage.opening import backend_class, open_backend

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Claim
    from spark.graphs.checkpoint.inspection.difference import Difference
    from spark.graphs.checkpoint.inspection.entries import HistoryEntry
    from spark.graphs.checkpoint.maintenance.manager import CheckpointManager
    from spark.graphs.checkpoint.maintenance.reader import CheckpointReader
    from spark.graphs.checkpoint.maintenance.recovery import Recovery
    from spark.graphs.checkpoint.maintenance.runs import RunInfo
    from spark.graphs.checkpoint.maintenance.verification import Verification
    from spark.graphs.checkpoint.pending import JournalEntry, PendingGroup, PendingStep, PendingWork
    from spark.graphs.checkpoint.policies.improvements import WhenImproved
    from spark.graphs.checkpoint.policies.lookup import retention_class, trigger_class
    from spark.graphs.checkpoint.policies.selections import KeepBest, KeepDaily, KeepEvery
    from spark.graphs.checkpoint.policies.signals import OnSignal
    from spark.graphs.checkpoint.serialization.raw_object import RawObject
    from spark.graphs.checkpoint.storage.usage import Usage
    from spark_backend_file import FileCheckpointBackend as FileCheckpointBackend
    from spark_backend_s3 import S3CheckpointBackend as S3CheckpointBackend
    from spark_backend_sql import DatabaseCheckpointBackend as DatabaseCheckpointBackend

__all__ = [
    "CURRENT_VERSION",
    "AfterNode",
    "AtIterations",
    "BackendError",
    "Boundary",
    "BudgetUse",
    "CheckpointBackend",
    "CheckpointConfig",
    "CheckpointConflictError",
    "CheckpointDamagedError",
    "CheckpointError",
    "CheckpointHandler",
    "CheckpointInfo",
    "CheckpointManager",
    "CheckpointNotFoundError",
    "CheckpointReader",
    "CheckpointSerializer",
    "CheckpointVersionError",
    "Claim",
    "DamagedRecord",
    "DeletionError",
    "DeserializationError",
    "Difference",
    "Durability",
    "EveryIterations",
    "EverySeconds",
    "GraphCheckpoint",
    "GraphRestoreError",
    "HistoryEntry",
    "InMemoryCheckpointBackend",
    "InvalidIdError",
    "JournalEntry",
    "KeepAll",
    "KeepBest",
    "KeepDaily",
    "KeepEvery",
    "KeepFor",
    "KeepLast",
    "Listing",
    "OnSignal",
    "PendingGroup",
    "PendingStep",
    "PendingWork",
    "RawObject",
    "ReadLimits",
    "Recovery",
    "Retention",
    "RunInfo",
    "SavedType",
    "SequenceTakenError",
    "SerializationError",
    "Trigger",
    "Types",
    "Usage",
    "Verification",
    "WhenImproved",
    "WithinOverhead",
    "backend_class",
    "observer_class",
    "open_backend",
    "register_migration",
    "register_type",
    "rename_type",
    "retention_class",
    "serializer_class",
    "trigger_class",
]


_RARE: Final = {
    "derived.claims": ("Claim",),
    "inspection.difference": ("Difference",),
    "inspection.entries": ("HistoryEntry",),
    "maintenance.manager": ("CheckpointManager",),
    "maintenance.reader": ("CheckpointReader",),
    "maintenance.recovery": ("Recovery",),
    "maintenance.runs": ("RunInfo",),
    "maintenance.verification": ("Verification",),
    "pending": ("JournalEntry", "PendingGroup", "PendingStep", "PendingWork"),
    "policies.improvements": ("WhenImproved",),
    "policies.lookup": ("retention_class", "trigger_class"),
    "policies.selections": ("KeepBest", "KeepDaily", "KeepEvery"),
    "policies.signals": ("OnSignal",),
    "serialization.raw_object": ("RawObject",),
    "storage.usage": ("Usage",),
}
"""Modules that are imported on first use, and what comes from there."""


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        """Rules that few programs use, and the backends that plugins bring, such as ``FileCheckpointBackend``."""
        for module, names in _RARE.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return value
        from spark.hooks.registry import class_to_import

        return class_to_import(name, module=__name__)
