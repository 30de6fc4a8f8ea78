"""What this distribution offers to spark-graphs."""

from spark.hooks import SerializerSpec, hookimpl


@hookimpl
def spark_serializers() -> list[SerializerSpec]:
    """The pickle format; it is only used where somebody names it."""
    return [SerializerSpec(name="pickle", target="spark_serializer_pickle:PickleFormat", safe_to_load=False)]
