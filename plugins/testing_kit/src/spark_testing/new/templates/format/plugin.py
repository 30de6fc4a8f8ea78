"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import FormatSpec, hookimpl


@hookimpl
def spark_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="example",
            target="spark_format_example.format:ExampleFormat",
            safe_to_load=True,
            api_version=1,
            summary="CBOR: a compact binary relative of JSON, safe to load, readable by many tools.",
        )
    ]
