"""Plain tree → what can be shown of it, in any program: the ``TreeReader`` that makes no object of any class but Python's own."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from spark.errors import DeserializationError
from spark.graphs.checkpoint.records.buffers import CHUNKS, VALUE, StoredBuffers
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, ReadLimits
from spark.graphs.checkpoint.serialization.buffers import read_buffered
from spark.graphs.checkpoint.serialization.collections import COLLECTION_READERS, builtin_factory
from spark.graphs.checkpoint.serialization.moments import read_zone
from spark.graphs.checkpoint.serialization.raw_object import RawObject
from spark.graphs.checkpoint.serialization.reader import KNOWN_TAGS, TreeReader
from spark.graphs.values.paths import attribute_step

DAMAGED: Final = "$damaged"
"""Nothing that is stored: what stands in a tree for a value that can't be read, with the reason."""


class UnreadBuffers:
    """The large buffers of one value, which were not read.

    :param checksums: of what is stored: the same ones stand for the same bytes.
    """

    __slots__ = ("checksums", "size")

    def __init__(self, size: int, checksums: tuple[str, ...]) -> None:
        self.size: Final = size
        self.checksums: Final = checksums

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnreadBuffers) and (self.size, self.checksums) == (other.size, other.checksums)

    def __hash__(self) -> int:
        return hash((self.size, self.checksums))

    def __repr__(self) -> str:
        return f"UnreadBuffers({self.size}, {self.checksums})"


class RawReader(TreeReader):
    """Reads what any program can read, and stands a ``RawObject`` in the place of everything else.

    What a serializer of the program changed stays as that wrote it.
    """

    def __init__(self, *, limits: ReadLimits = DEFAULT_LIMITS) -> None:
        super().__init__(limits=limits)
        self.unread: UnreadBuffers | None = None
        """Those of the value that is being read, if they were not."""

    def _read_tag(self, tag: str, content: Any) -> Any:
        if read := _RAW.get(tag):
            return read(self, content)
        if tag in KNOWN_TAGS or tag in _CONTAINERS:
            return super()._read_tag(tag, content)
        return RawObject(tag, self.read(content))  # of a newer release


def _read_fields(reader: RawReader, content: Any) -> RawObject:
    """A dataclass or a named tuple."""
    name, trees, *_ = content
    return RawObject(_checked(name), reader.read_named(trees, step=attribute_step))


def _read_model(reader: RawReader, content: Any) -> RawObject:
    kind, trees, rest = content
    fields = reader.read_named(trees, step=attribute_step)
    extra = reader.read_mapping(rest.get("extra", {}))
    private = reader.read_named(rest.get("private", {}), step=attribute_step)
    return RawObject(_type_name(kind), {**fields, **extra, **private})


def _read_enum(reader: RawReader, content: Any) -> RawObject:
    name, member = content
    return RawObject(_checked(name), reader.read(member))


def _read_registered(reader: RawReader, content: Any) -> RawObject:
    name, tree = content
    return RawObject(_checked(name), reader._read_data(tree))


def _read_default_dict(reader: RawReader, content: Any) -> Any:
    tree, name = content
    if name is None or builtin_factory(name) is not None:
        return COLLECTION_READERS["$defaultdict"](reader, content)
    return RawObject(f"collections:defaultdict[{_checked(name)}]", reader.read_dict(tree))


def _read_zone(reader: RawReader, content: Any) -> Any:
    if type(content) is list and content and type(content[0]) is str:
        return RawObject(_zone_type(content), reader.read(content[1:]))
    try:
        return read_zone(reader, content)
    except DeserializationError:  # this machine does not know it
        return RawObject("zoneinfo:ZoneInfo", content)


def _read_zoned(reader: RawReader, content: Any) -> RawObject:
    kind, text, fold, *zone = content
    named = RawObject(_zone_type(zone), reader.read(zone[1:]))
    return RawObject(f"datetime:{_checked(kind)}", {"text": reader.read(text), "fold": fold, "zone": named})


def _reads_moment(tag: str) -> Callable[[RawReader, Any], Any]:
    def read(reader: RawReader, content: Any) -> Any:
        try:
            return TreeReader._read_tag(reader, tag, content)
        except DeserializationError:  # this machine does not know the time zone
            text, fold, zone = content
            return RawObject(f"datetime:{tag[1:]}", {"text": text, "fold": fold, "zone": zone})

    return read


def _read_buffered(reader: RawReader, content: Any) -> Any:
    unread = [chunk for chunk in content[CHUNKS].values() if isinstance(chunk, UnreadBuffers)]
    if not unread:
        return read_buffered(reader, content)
    before, buffers = reader.unread, reader.buffers
    checksums = tuple(checksum for chunk in unread for checksum in chunk.checksums)
    reader.unread, reader.buffers = UnreadBuffers(sum(chunk.size for chunk in unread), checksums), StoredBuffers(())
    try:
        return reader.read(content[VALUE])
    finally:
        reader.unread, reader.buffers = before, buffers


def _reads_buffer(tag: str) -> Callable[[RawReader, Any], Any]:
    """Of bytes and the like: as they are, if they were read; memory that is part of an object, never."""

    def read(reader: RawReader, content: Any) -> Any:
        kind = f"builtins:{tag[1:]}"
        if type(content) is list and reader.unread is not None:
            offset, size = content
            if type(offset) is not int or type(size) is not int or not 0 < size <= reader.unread.size - offset:
                raise ValueError("it refers to bytes that are not stored with it")
            return RawObject(kind, {"bytes": size, "checksum": _combined(reader.unread.checksums, offset)})
        value = TreeReader._read_tag(reader, tag, content)
        if type(value) is not memoryview:
            return value
        return RawObject(kind, {"bytes": value.nbytes, "checksum": f"sha256:{sha256(value).hexdigest()}"})

    return read


def _combined(checksums: tuple[str, ...], offset: int) -> str:
    """Of the bytes at an offset of buffers with these checksums, which are mostly all there is."""
    if len(checksums) == 1 and offset == 0:
        return checksums[0]
    return f"stored:{sha256(' '.join([*checksums, str(offset)]).encode()).hexdigest()}"


def _type_name(tree: Any) -> str:
    """A class as ``type_trees`` wrote it: ``my_app:Page[my_app:User]``."""
    if tree is None or type(tree) is str:
        return str(tree)
    if "union" in tree:
        return " | ".join(map(_type_name, tree["union"]))
    if "literal" in tree:
        return f"Literal{tree['literal']!r}"
    return f"{tree['of']}[{', '.join(map(_type_name, tree['args']))}]"


def _zone_type(zone: Any) -> str:
    """What a time zone is that a library made."""
    kind, name, *_ = zone
    return _checked(name) if kind == "class" else f"{_checked(kind)}:tzinfo"


def _checked(name: Any) -> str:
    if type(name) is not str:
        raise TypeError(f"a class's name was expected, not a {type(name).__name__}")
    return name


_CONTAINERS: Final = frozenset({"$tuple", "$set", "$frozenset", "$dict"})
_RAW: Final[dict[str, Callable[[RawReader, Any], Any]]] = {
    "$type": _read_registered,
    "$model": _read_model,
    "$generic": _read_model,
    "$enum": _read_enum,
    "$namedtuple": _read_fields,
    "$dataclass": _read_fields,
    "$defaultdict": _read_default_dict,
    "$zone": _read_zone,
    "$zoned": _read_zoned,
    "$buffered": _read_buffered,
    DAMAGED: lambda reader, reason: RawObject("damaged", str(reason)),
    **{tag: _reads_moment(tag) for tag in ("$datetime", "$time")},
    **{tag: _reads_buffer(tag) for tag in ("$bytes", "$bytearray", "$memoryview")},
}
"""Of tags whose values take a class of the program, of a library, or more memory than it takes to look at them."""
