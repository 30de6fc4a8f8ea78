"""Proof for plugins of spark-graphs, and for graphs.

Everything here is imported on first use: pytest imports this package wherever it is installed, whether or not a test needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark_testing.clock import FakeClock as FakeClock
    from spark_testing.clock import SkippingClock as SkippingClock
    from spark_testing.faults import FaultyBackend as FaultyBackend
    from spark_testing.records import HOSTILE_IDS as HOSTILE_IDS
    from spark_testing.records import make_record as make_record
    from spark_testing.recovery import check_recovery as check_recovery
    from spark_testing.recovery_report import RecoveryReport as RecoveryReport
    from spark_testing.suites.backends import CAPABILITIES as CAPABILITIES
    from spark_testing.suites.backends import CheckpointBackendConformance as CheckpointBackendConformance
    from spark_testing.suites.backends import OpenAnother as OpenAnother
    from spark_testing.suites.backends import ReadRaw as ReadRaw
    from spark_testing.suites.backends import Spoil as Spoil
    from spark_testing.suites.codecs import CodecConformance as CodecConformance
    from spark_testing.suites.executors import ExecutorConformance as ExecutorConformance
    from spark_testing.suites.formats import FormatConformance as FormatConformance
    from spark_testing.suites.observers import ObserverConformance as ObserverConformance
    from spark_testing.suites.retentions import RetentionConformance as RetentionConformance
    from spark_testing.suites.rules import make_boundary as make_boundary
    from spark_testing.suites.rules import make_line as make_line
    from spark_testing.suites.serializers import SerializerConformance as SerializerConformance
    from spark_testing.suites.triggers import TriggerConformance as TriggerConformance
    from spark_testing.suites.types import TypesConformance as TypesConformance

_HOMES: Final = {
    "CAPABILITIES": "suites.backends",
    "CheckpointBackendConformance": "suites.backends",
    "CodecConformance": "suites.codecs",
    "ExecutorConformance": "suites.executors",
    "FakeClock": "clock",
    "FaultyBackend": "faults",
    "HOSTILE_IDS": "records",
    "ObserverConformance": "suites.observers",
    "OpenAnother": "suites.backends",
    "ReadRaw": "suites.backends",
    "RecoveryReport": "recovery_report",
    "RetentionConformance": "suites.retentions",
    "FormatConformance": "suites.formats",
    "SerializerConformance": "suites.serializers",
    "SkippingClock": "clock",
    "Spoil": "suites.backends",
    "TriggerConformance": "suites.triggers",
    "TypesConformance": "suites.types",
    "check_recovery": "recovery",
    "make_boundary": "suites.rules",
    "make_line": "suites.rules",
    "make_record": "records",
}

__all__ = [
    "CAPABILITIES",
    "HOSTILE_IDS",
    "CheckpointBackendConformance",
    "CodecConformance",
    "ExecutorConformance",
    "FakeClock",
    "FaultyBackend",
    "FormatConformance",
    "ObserverConformance",
    "OpenAnother",
    "ReadRaw",
    "RecoveryReport",
    "RetentionConformance",
    "SerializerConformance",
    "SkippingClock",
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
