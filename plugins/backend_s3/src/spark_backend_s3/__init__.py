"""Checkpoints of spark-graphs in S3."""

from spark_backend_s3.backend import S3CheckpointBackend

__all__ = ["S3CheckpointBackend"]
