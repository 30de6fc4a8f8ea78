"""What a record's header names: its format, its codecs and its serializer, found by their names where they need no options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from spark.errors import DeserializationError, GraphDefinitionError, PluginError
from spark.graphs.checkpoint.records.codecs import Codec
from spark.graphs.checkpoint.records.formats import Format, format_class
from spark.graphs.checkpoint.records.record import RecordHeader
from spark.graphs.checkpoint.serialization.serializer import (
    CheckpointSerializer,
    is_hook,
    serializer_class,
    serializer_name,
)

T = TypeVar("T")


class Recorded:
    """Finds what a record was written with: what the store was opened with, where that has the name, and else the plugin's."""

    def __init__(self, format: Format, codecs: Sequence[Codec], serializer: CheckpointSerializer | None) -> None:
        self._format = format
        self._serializer = serializer
        self._codecs = {codec.name: codec for codec in codecs}
        self._serializers: dict[str, CheckpointSerializer] = {}

    def format_kind(self, header: RecordHeader) -> type[Format]:
        """The class of a record's format.

        :raises PluginNotFoundError: it is not installed.
        """
        if header.format == self._format.name:
            return type(self._format)
        return _class("format", header.format, format_class, header)

    def format(self, header: RecordHeader) -> Format:
        """A record's format.

        :raises DeserializationError: it has to be asked for, or given with options.
        :raises PluginNotFoundError: it is not installed.
        """
        if header.format == self._format.name:
            return self._format
        if not self.format_kind(header).safe_to_load:
            raise _unsafe("format", header.format, header)
        made: Format = _made("format", header.format, what=name_of(header))
        return made

    def codecs(self, names: Sequence[str], *, what: str) -> list[Codec]:
        """The codecs with these names.

        :param what: what was written with them, for messages.
        :raises DeserializationError: one has to be given with options.
        :raises PluginNotFoundError: one is not installed.
        """
        for name in names:
            if name not in self._codecs:
                self._codecs[name] = _made("codec", name, what=what)
        return [self._codecs[name] for name in names]

    def serializer(self, header: RecordHeader) -> CheckpointSerializer | None:
        """What a record's values passed. One of the program's own, which has no name, is used for all that it loads.

        :raises DeserializationError: it has to be asked for, or given with options.
        :raises PluginNotFoundError: it is not installed.
        """
        name, own = header.serializer, self._serializer
        if not name or (is_hook(own) and serializer_name(own) in ("", name)):
            return own
        if name not in self._serializers:
            if not _class("serializer", name, serializer_class, header).safe_to_load:
                raise _unsafe("serializer", name, header)
            self._serializers[name] = _made("serializer", name, what=name_of(header))
        return self._serializers[name]


def name_of(header: RecordHeader) -> str:
    """What messages call the checkpoint."""
    return f"Checkpoint {header.checkpoint_id!r} (graph {header.graph_id!r}, sequence {header.sequence})"


def _class(kind: str, name: str, find: Callable[[str], type[T]], header: RecordHeader) -> type[T]:
    try:
        return find(name)
    except PluginError as error:
        raise type(error)(f"{_written_with(kind, name, name_of(header))}: {error}") from error


def _written_with(kind: str, name: str, what: str) -> str:
    return f"{what} was written with the {kind} {name!r}"


def _unsafe(kind: str, name: str, header: RecordHeader) -> DeserializationError:
    return DeserializationError(
        f"{_written_with(kind, name, name_of(header))}. Loading that can run code, so it is only done where it is asked for: "
        f"if you trust this store, open it with {kind}={name!r}."
    )


def _made(kind: str, name: str, *, what: str) -> Any:
    from spark.hooks.options import make  # not needed by those who read what they wrote

    try:
        return make(kind, name, {}, place=_written_with(kind, name, what))
    except GraphDefinitionError as error:
        raise DeserializationError(
            f"{error} Open the store with {kind}={{{name!r}: {{…}}}} and the options that it was written with."
        ) from error
