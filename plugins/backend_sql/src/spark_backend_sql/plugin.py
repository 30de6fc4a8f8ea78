"""What this distribution adds to spark-graphs."""

from __future__ import annotations

from spark.hooks import BackendSpec, hookimpl


@hookimpl
def spark_backends() -> list[BackendSpec]:
    return [
        BackendSpec(
            name="sql",
            target="spark_backend_sql:DatabaseCheckpointBackend",
            schemes=("sqlite", "postgresql", "mysql", "mariadb"),
            class_names=("DatabaseCheckpointBackend",),
            summary="Checkpoints in SQLite, PostgreSQL, MySQL or MariaDB, through SQLAlchemy.",
        )
    ]
