"""What this distribution offers to spark-graphs."""

from spark.hooks import FormatSpec, hookimpl


@hookimpl
def spark_formats() -> list[FormatSpec]:
    """The pickle format; it is only used where somebody names it."""
    return [
        FormatSpec(
            name="pickle",
            target="spark_format_pickle:PickleFormat",
            safe_to_load=False,
            summary="Any Python object; loading one runs code, so only for stores that you trust.",
        )
    ]
