"""What plugins bring, imported as users import it."""

from __future__ import annotations

from typing import assert_type

import spark_backend_file
import spark_backend_s3
import spark_backend_sql
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointInfo,
    DatabaseCheckpointBackend,
    FileCheckpointBackend,
    S3CheckpointBackend,
)

files = FileCheckpointBackend(directory="checkpoints", compression=True, pretty_print=True)
database = DatabaseCheckpointBackend(connection_string="sqlite:///runs.db", table_name="runs")
bucket = S3CheckpointBackend("bucket", "prefix")

assert_type(files, spark_backend_file.FileCheckpointBackend)
assert_type(database, spark_backend_sql.DatabaseCheckpointBackend)
assert_type(bucket, spark_backend_s3.S3CheckpointBackend)
assert_type(FileCheckpointBackend.from_url("file:///x"), FileCheckpointBackend)
assert_type(files.directory, str)


async def run() -> None:
    for backend in (files, database, bucket):
        await Graph(start=ExitNode(), id="x", checkpoint_config=CheckpointConfig(backend=backend)).run()
        assert_type(await backend.latest("x"), CheckpointInfo | None)
    async with FileCheckpointBackend("elsewhere") as opened:
        assert_type(opened, FileCheckpointBackend)
