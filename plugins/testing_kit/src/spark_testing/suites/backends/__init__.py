"""The suite that a storage backend proves itself by."""

from spark_testing.records import HOSTILE_IDS
from spark_testing.suites.backends.store import CAPABILITIES, OpenAnother, ReadRaw, Spoil
from spark_testing.suites.backends.suite import CheckpointBackendConformance

__all__ = ["CAPABILITIES", "HOSTILE_IDS", "CheckpointBackendConformance", "OpenAnother", "ReadRaw", "Spoil"]
