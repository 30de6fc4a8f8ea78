"""Checkpoints of spark-graphs as files.

The class is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_backend_file.backend import FileCheckpointBackend as FileCheckpointBackend

__all__ = ["FileCheckpointBackend"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "FileCheckpointBackend":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_backend_file.backend import FileCheckpointBackend

        globals()[name] = FileCheckpointBackend
        return FileCheckpointBackend
