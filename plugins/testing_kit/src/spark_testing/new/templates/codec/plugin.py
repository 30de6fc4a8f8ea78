"""What this distribution adds to spark-graphs. It is read whenever plugins are looked for, so it imports nothing heavy."""

from __future__ import annotations

from spark.hooks import CodecSpec, hookimpl


@hookimpl
def spark_codecs() -> list[CodecSpec]:
    return [
        CodecSpec(
            name="example",
            target="spark_codec_example.codec:ExampleCodec",
            api_version=1,
            summary="Seals stored checkpoints with a key, so that a change by others is noticed.",
        )
    ]
