"""What this distribution offers to spark-graphs."""

from spark.hooks import FormatSpec, hookimpl


@hookimpl
def spark_formats() -> list[FormatSpec]:
    """The pickle format; it is only used where somebody names it."""
    return [FormatSpec(name="pickle", target="spark_format_pickle:PickleFormat", safe_to_load=False)]
