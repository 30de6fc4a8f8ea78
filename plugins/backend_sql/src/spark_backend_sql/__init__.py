"""Checkpoints of spark-graphs in a database.

The class is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_backend_sql.backend import DatabaseCheckpointBackend as DatabaseCheckpointBackend

__all__ = ["DatabaseCheckpointBackend"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "DatabaseCheckpointBackend":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_backend_sql.backend import DatabaseCheckpointBackend

        globals()[name] = DatabaseCheckpointBackend
        return DatabaseCheckpointBackend
