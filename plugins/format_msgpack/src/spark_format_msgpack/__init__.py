"""The MessagePack format for checkpoints.

The class is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_format_msgpack.msgpack_format import MsgpackFormat as MsgpackFormat

__all__ = ["MsgpackFormat"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "MsgpackFormat":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_format_msgpack.msgpack_format import MsgpackFormat

        globals()[name] = MsgpackFormat
        return MsgpackFormat
