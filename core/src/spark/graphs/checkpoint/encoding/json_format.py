"""The JSON format, on the engine that pydantic brings."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

from spark.graphs.checkpoint.records.formats import Format


class JsonFormat(Format):
    """Plain trees as standard JSON in UTF-8. Reading refuses more than 201 levels of nesting."""

    name: ClassVar[str] = "json"
    suffix: ClassVar[str] = "json"
    text: ClassVar[bool] = True
    safe_to_load: ClassVar[bool] = True
    separator: ClassVar[bytes] = b","
    closing: ClassVar[bytes] = b"}"

    def __init__(self, *, pretty_print: bool = False) -> None:
        # Imported on first use: a program that only imports the library need not wait for it.
        from pydantic_core import from_json, to_json

        self.pretty_print = pretty_print
        self.composes = not pretty_print
        self._to_json = to_json
        self._from_json = from_json
        if not pretty_print:
            self.dumps = to_json  # type: ignore[assignment, method-assign]  # each value that is encoded takes a call less

    def dumps(self, tree: Any) -> bytes:
        return self._to_json(tree, indent=2)

    def loads(self, data: bytes) -> Any:
        return self._from_json(data, allow_inf_nan=False)

    def is_plain(self, data: bytes) -> bool:
        # Somebody else may spell a key with an escape, but then it is not a tag that we wrote, and does no harm.
        return b'"$' not in data

    def count(self, data: bytes) -> int:
        return data.count(b",") + data.count(b"[") + data.count(b"{") + 1

    def opening(self, count: int) -> bytes:
        return b"{"

    def key(self, name: str) -> bytes:
        return encode_basestring_ascii(name).encode("ascii") + b":"
