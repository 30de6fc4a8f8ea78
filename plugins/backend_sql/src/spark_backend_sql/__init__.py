"""Checkpoints of spark-graphs in a database."""

from spark_backend_sql.backend import DatabaseCheckpointBackend

__all__ = ["DatabaseCheckpointBackend"]
