"""Checkpoints of spark-graphs as files."""

from spark_backend_file.backend import FileCheckpointBackend

__all__ = ["FileCheckpointBackend"]
