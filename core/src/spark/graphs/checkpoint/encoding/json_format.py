"""The JSON format, on the engine that pydantic brings."""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

from spark.graphs.checkpoint.records.formats import EncodedItems, Format, Sections


class JsonFormat(Format):
    """Plain trees as standard JSON in UTF-8. Reading refuses more than 201 levels of nesting."""

    name: ClassVar[str] = "json"
    suffix: ClassVar[str] = "json"
    text: ClassVar[bool] = True
    safe_to_load: ClassVar[bool] = True

    def __init__(self, *, pretty_print: bool = False) -> None:
        # Imported on first use: a program that only imports the library need not wait for it.
        from pydantic_core import from_json, to_json

        self.pretty_print = pretty_print
        self.composes = not pretty_print
        self._to_json = to_json
        self._from_json = from_json

    def dumps(self, tree: Any) -> bytes:
        return self._to_json(tree, indent=2) if self.pretty_print else self._to_json(tree)

    def loads(self, data: bytes) -> Any:
        return self._from_json(data, allow_inf_nan=False)

    def is_plain(self, data: bytes) -> bool:
        # Somebody else may spell a key with an escape, but then it is not a tag that we wrote, and does no harm.
        return b'"$' not in data

    def count(self, data: bytes) -> int:
        return data.count(b",") + data.count(b"[") + data.count(b"{") + 1

    def member(self, name: str, value: bytes) -> bytes:
        return b"," + _key(name) + value

    def compose(self, sections: Sections) -> bytes:
        # One join of everything: a payload may be long, and each copy of it costs more than the rest of this.
        pieces: list[bytes] = []
        for key, value in zip(_section_keys(tuple(sections))[0], sections.values(), strict=True):
            if not isinstance(value, EncodedItems):
                pieces += (key, bytes(value))
            elif value:
                pieces += (key, b"{", value[0][1:], *value[1:], b"}")  # the first member comes without its comma
            else:
                pieces += (key, b"{}")
        pieces.append(b"}")
        return b"".join(pieces)

    def composed_size(self, sections: Sections) -> int:
        size = _section_keys(tuple(sections))[1] + 1
        for value in sections.values():
            if not isinstance(value, EncodedItems):
                size += len(value)
            elif value:
                size += 1 + value.size  # the first member's comma goes, two braces come
            else:
                size += 2
        return size


@lru_cache(maxsize=16)
def _section_keys(names: tuple[str, ...]) -> tuple[list[bytes], int]:
    """What precedes the value of each section, and the total length of that."""
    keys = [(b"," if place else b"{") + _key(name) for place, name in enumerate(names)]
    return keys, sum(map(len, keys))


@lru_cache(maxsize=1024)
def _key(name: str) -> bytes:
    """A key with its colon. The same few names come back in every checkpoint."""
    return encode_basestring_ascii(name).encode("ascii") + b":"
