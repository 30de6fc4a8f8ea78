"""Proof for plugins of spark-graphs, and for graphs.

Everything here is imported on first use: pytest imports this package wherever it is installed, whether or not a test needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark_testing.backends import CAPABILITIES as CAPABILITIES
    from spark_testing.backends import CheckpointBackendConformance as CheckpointBackendConformance
    from spark_testing.backends import OpenAnother as OpenAnother
    from spark_testing.backends import ReadRaw as ReadRaw
    from spark_testing.backends import Spoil as Spoil
    from spark_testing.clock import FakeClock as FakeClock
    from spark_testing.codecs import CodecConformance as CodecConformance
    from spark_testing.faults import FaultyBackend as FaultyBackend
    from spark_testing.formats import FormatConformance as FormatConformance
    from spark_testing.observers import ObserverConformance as ObserverConformance
    from spark_testing.records import HOSTILE_IDS as HOSTILE_IDS
    from spark_testing.records import make_record as make_record
    from spark_testing.recovery import check_recovery as check_recovery
    from spark_testing.recovery_report import RecoveryReport as RecoveryReport
    from spark_testing.retentions import RetentionConformance as RetentionConformance
    from spark_testing.rules import make_boundary as make_boundary
    from spark_testing.rules import make_line as make_line
    from spark_testing.serializers import SerializerConformance as SerializerConformance
    from spark_testing.triggers import TriggerConformance as TriggerConformance
    from spark_testing.types import TypesConformance as TypesConformance

_HOMES: Final = {
    "CAPABILITIES": "backends",
    "CheckpointBackendConformance": "backends",
    "CodecConformance": "codecs",
    "FakeClock": "clock",
    "FaultyBackend": "faults",
    "HOSTILE_IDS": "records",
    "ObserverConformance": "observers",
    "OpenAnother": "backends",
    "ReadRaw": "backends",
    "RecoveryReport": "recovery_report",
    "RetentionConformance": "retentions",
    "FormatConformance": "formats",
    "SerializerConformance": "serializers",
    "Spoil": "backends",
    "TriggerConformance": "triggers",
    "TypesConformance": "types",
    "check_recovery": "recovery",
    "make_boundary": "rules",
    "make_line": "rules",
    "make_record": "records",
}

__all__ = [
    "CAPABILITIES",
    "HOSTILE_IDS",
    "CheckpointBackendConformance",
    "CodecConformance",
    "FakeClock",
    "FaultyBackend",
    "FormatConformance",
    "ObserverConformance",
    "OpenAnother",
    "ReadRaw",
    "RecoveryReport",
    "RetentionConformance",
    "SerializerConformance",
    "Spoil",
    "TriggerConformance",
    "TypesConformance",
    "check_recovery",
    "make_boundary",
    "make_line",
    "make_record",
]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
