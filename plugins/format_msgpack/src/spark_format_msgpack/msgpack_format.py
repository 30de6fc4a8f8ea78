"""The MessagePack format, on ormsgpack. The bytes are those of the specification at https://github.com/msgpack/msgpack."""

from __future__ import annotations

import os
import re
from struct import Struct
from typing import Any, ClassVar, Final

import ormsgpack

from spark.graphs.checkpoint.storage import Format
from spark_format_msgpack.counting import values_in

_PLAIN_ONLY: Final = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
"""What is no plain tree is refused; else it would come back as something else."""
_TAG: Final = re.compile(
    rb"\$(?:%b)"
    % b"|".join(
        rb"(?<=%b%b\$)" % (map_of_one, text)
        for map_of_one in (rb"\x81", rb"\xde\0\x01", rb"\xdf\0\0\0\x01")
        for text in (rb"[\xa1-\xbf]", rb"\xd9.", rb"\xda..", rb"\xdb....")
    ),
    re.DOTALL,
)
"""A dollar sign after the headers of a map with one key and of a text: so a tag begins. Most others are in texts and numbers."""
_MAP_16: Final = Struct(">BH")
_MAP_32: Final = Struct(">BI")

_PAIR: Final = b"\x92"
_END: Final = os.urandom(16)
_PACKED_END: Final = b"\xc4\x10" + _END
"""Stands after what is read, so that bytes that follow the tree, which ormsgpack passes over, are found out."""


class MsgpackFormat(Format):
    """Plain trees as MessagePack, with bytes as they are. Reading refuses more than 1,000 levels, and what is no plain tree."""

    name: ClassVar[str] = "msgpack"
    suffix: ClassVar[str] = "msgpack"
    safe_to_load: ClassVar[bool] = True
    takes_bytes: ClassVar[bool] = True
    composes = True

    def dumps(self, tree: Any) -> bytes:
        return ormsgpack.packb(tree, option=_PLAIN_ONLY)

    def loads(self, data: bytes) -> Any:
        tree, end = ormsgpack.unpackb(b"".join((_PAIR, data, _PACKED_END)))
        if end != _END:
            raise ValueError("it is followed by something else")
        return tree

    def opening(self, count: int) -> bytes:
        if count < 16:
            return bytes((0x80 | count,))
        return _MAP_16.pack(0xDE, count) if count < 2**16 else _MAP_32.pack(0xDF, count)

    def key(self, name: str) -> bytes:
        return ormsgpack.packb(name)

    def is_plain(self, data: bytes) -> bool:
        return _TAG.search(data) is None

    def count(self, data: bytes) -> int:
        return values_in(data)
