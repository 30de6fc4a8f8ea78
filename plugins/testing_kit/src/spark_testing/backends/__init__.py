"""The suite that a storage backend proves itself by."""

from spark_testing.backends.store import CAPABILITIES, OpenAnother, ReadRaw, Spoil
from spark_testing.backends.suite import CheckpointBackendConformance
from spark_testing.records import HOSTILE_IDS

__all__ = ["CAPABILITIES", "HOSTILE_IDS", "CheckpointBackendConformance", "OpenAnother", "ReadRaw", "Spoil"]
