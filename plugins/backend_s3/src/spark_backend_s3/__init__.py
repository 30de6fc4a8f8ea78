"""Checkpoints of spark-graphs in S3.

The classes are imported when they are first used: Python imports this package to find out what the plugin provides.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_backend_s3.backend import S3CheckpointBackend as S3CheckpointBackend
    from spark_backend_s3.scan import Trust as Trust

_HOMES = {"S3CheckpointBackend": "backend", "Trust": "scan"}

__all__ = ["S3CheckpointBackend", "Trust"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
