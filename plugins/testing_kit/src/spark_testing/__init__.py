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
    from spark_testing.records import HOSTILE_IDS as HOSTILE_IDS
    from spark_testing.records import make_record as make_record

_HOMES: Final = {
    "CAPABILITIES": "backends",
    "HOSTILE_IDS": "records",
    "CheckpointBackendConformance": "backends",
    "OpenAnother": "backends",
    "ReadRaw": "backends",
    "make_record": "records",
}

__all__ = [
    "CAPABILITIES",
    "HOSTILE_IDS",
    "CheckpointBackendConformance",
    "OpenAnother",
    "ReadRaw",
    "make_record",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
