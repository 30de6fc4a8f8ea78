"""What this distribution offers to spark-graphs."""

from spark.hooks import FormatSpec, hookimpl


@hookimpl
def spark_formats() -> list[FormatSpec]:
    """The MessagePack format."""
    return [
        FormatSpec(
            name="msgpack",
            target="spark_format_msgpack:MsgpackFormat",
            safe_to_load=True,
            summary="Binary, smaller and faster than JSON, bytes as they are, safe to load.",
        )
    ]
