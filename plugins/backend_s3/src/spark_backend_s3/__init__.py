"""Checkpoints of spark-graphs in S3.

The class is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_backend_s3.backend import S3CheckpointBackend as S3CheckpointBackend

__all__ = ["S3CheckpointBackend"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "S3CheckpointBackend":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_backend_s3.backend import S3CheckpointBackend

        globals()[name] = S3CheckpointBackend
        return S3CheckpointBackend
