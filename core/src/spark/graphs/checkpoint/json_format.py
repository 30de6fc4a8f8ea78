"""The JSON format, on the engine that pydantic brings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

from spark.graphs.checkpoint.format import Format


class JsonFormat(Format):
    """Plain trees as standard JSON in UTF-8. Reading refuses more than 201 levels of nesting."""

    name: ClassVar[str] = "json"
    suffix: ClassVar[str] = "json"
    text: ClassVar[bool] = True

    def __init__(self, *, pretty_print: bool = False) -> None:
        # Imported on first use: a program that only imports the library need not wait for it.
        from pydantic_core import from_json, to_json

        self.pretty_print = pretty_print
        self._to_json = to_json
        self._from_json = from_json

    def dumps(self, tree: Any) -> bytes:
        return self._to_json(tree, indent=2) if self.pretty_print else self._to_json(tree)

    def loads(self, data: bytes) -> Any:
        return self._from_json(data, allow_inf_nan=False)

    def member(self, name: str, value: bytes) -> bytes:
        return _key(name) + value

    def join(self, members: Iterable[bytes]) -> bytes | None:
        return None if self.pretty_print else b"{%b}" % b",".join(members)


@lru_cache(maxsize=1024)
def _key(name: str) -> bytes:
    """A key with its colon. The same few names come back in every checkpoint."""
    return encode_basestring_ascii(name).encode("ascii") + b":"
