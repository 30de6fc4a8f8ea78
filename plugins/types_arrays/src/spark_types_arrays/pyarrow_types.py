"""PyArrow tables, record batches, arrays and schemas ↔ Arrow's own stream format; the body is the memory of the table, no copy.

Nothing that is read is trusted: a compressed body, which could say that it unpacks to any size, is refused before Arrow sees it,
and what Arrow made is validated in full before anybody uses it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from spark.errors import SerializationError
from spark.graphs.checkpoint import SavedType
from spark.graphs.checkpoint.storage import Pieces

_RECORD_BATCH: Final = 3
_DICTIONARY_BATCH: Final = 2
_COMPRESSION: Final = 3
"""The place of a record batch's compression among its fields, in Arrow's ``Message.fbs``."""


def _stream_of(table: Any) -> Pieces:
    """A table or record batch in Arrow's stream format, as the buffers that it is made of."""
    _refuse_extensions(table.schema)
    sink = _Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), table.schema) as writer:
        writer.write(table)
    return Pieces(sink.views)


def _table_from(data: Any) -> Any:
    """The table in a stream, in the memory of the stream."""
    if type(data) is not memoryview:
        raise ValueError("it is no stream")
    stream = data.toreadonly()
    for metadata in _messages(stream):
        _refuse_compression(metadata)
    table = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
    table.validate(full=True)
    return table


def _batch_from(data: Any) -> Any:
    batches = _table_from(data).to_batches()
    if len(batches) != 1:
        raise ValueError(f"it holds {len(batches)} record batches")
    return batches[0]


def _batch_to_data(batch: Any) -> Any:
    return _stream_of(pa.Table.from_batches([batch])) if len(batch) else {"schema": batch.schema}


def _empty_or_batch_from(data: Any) -> Any:
    if type(data) is dict:
        return pa.RecordBatch.from_pylist([], schema=data["schema"])
    return _batch_from(data)


def _chunks_to_data(array: Any) -> Any:
    return _stream_of(pa.table({"": array}))


def _chunks_from_data(data: Any) -> Any:
    return _only_column(_table_from(data))


def _array_to_data(array: Any) -> Any:
    return _stream_of(pa.table({"": array}))


def _array_from_data(data: Any) -> Any:
    chunks = _only_column(_table_from(data))
    if chunks.num_chunks > 1:
        raise ValueError("it holds more than one array")
    return chunks.chunk(0) if chunks.num_chunks else pa.array([], chunks.type)


def _only_column(table: Any) -> Any:
    if table.num_columns != 1:
        raise ValueError(f"it holds {table.num_columns} columns")
    return table.column(0)


def _schema_to_data(schema: Any) -> Any:
    _refuse_extensions(schema)
    return memoryview(schema.serialize()).cast("B")


def _schema_from_data(data: Any) -> Any:
    return pa.ipc.read_schema(pa.py_buffer(data))


def _copy(value: Any) -> Any:
    """The value itself, since it can't be changed, unless somebody else may change its memory."""
    return value if not any(buffer.is_mutable for buffer in _buffers_of(value)) else _copier_of(value)(value)


def _buffers_of(value: Any) -> Iterator[Any]:
    columns = value.columns if isinstance(value, pa.Table | pa.RecordBatch) else [value]
    for column in columns:
        for array in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            yield from _buffers_of_array(array)


def _buffers_of_array(array: Any) -> Iterator[Any]:
    yield from (buffer for buffer in array.buffers() if buffer is not None)
    if isinstance(array, pa.DictionaryArray):
        yield from _buffers_of_array(array.dictionary)


def _copier_of(value: Any) -> Callable[[Any], Any]:
    kinds = {pa.Table: (_stream_of, _table_from), pa.RecordBatch: (_batch_to_data, _empty_or_batch_from)}
    to_data, from_data = kinds.get(type(value), (_chunks_to_data, _chunks_from_data))
    if isinstance(value, pa.Array):
        to_data, from_data = _array_to_data, _array_from_data

    def copied(value: Any) -> Any:
        data = to_data(value)
        return from_data(memoryview(bytes(data)) if isinstance(data, Pieces) else data)

    return copied


class _Sink:
    """A file that keeps the buffers that are written into it."""

    closed = False

    def __init__(self) -> None:
        self.views: list[memoryview] = []

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.views.append(view.cast("B") if view.format != "B" else view)
        return view.nbytes

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _refuse_extensions(schema: Any) -> None:
    for field in schema:
        _refuse_extension(field.type)


def _refuse_extension(kind: Any) -> None:
    if isinstance(kind, pa.BaseExtensionType):
        raise SerializationError(
            f"it holds the extension type {kind.extension_name!r}, whose code only this program has. Cast it to its storage "
            "type."
        )
    for place in range(kind.num_fields):
        _refuse_extension(kind.field(place).type)
    if pa.types.is_dictionary(kind):
        _refuse_extension(kind.value_type)


def _messages(stream: memoryview) -> Iterator[memoryview]:
    """The metadata of each message of a stream: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format"""
    place = 0
    while place + 8 <= len(stream):
        mark, size = struct.unpack_from("<Ii", stream, place)
        if mark != 0xFFFFFFFF or size < 0:
            raise ValueError("it is no stream of Arrow's present format")
        if size == 0:
            return
        metadata = stream[place + 8 : place + 8 + size]
        yield metadata
        place += 8 + size + _body_size(metadata)


def _body_size(metadata: memoryview) -> int:
    place = _field(metadata, _root(metadata), 3)
    size = struct.unpack_from("<q", metadata, place)[0] if place else 0
    if size < 0:
        raise ValueError("it is no stream of Arrow's format")
    return int(size)


def _refuse_compression(metadata: memoryview) -> None:
    root = _root(metadata)
    kind = _field(metadata, root, 1)
    header = _field(metadata, root, 2)
    if not kind or not header or metadata[kind] not in (_RECORD_BATCH, _DICTIONARY_BATCH):
        return
    table = header + struct.unpack_from("<I", metadata, header)[0]
    if metadata[kind] == _DICTIONARY_BATCH:
        data = _field(metadata, table, 1)
        table = data + struct.unpack_from("<I", metadata, data)[0]
    if _field(metadata, table, _COMPRESSION):
        raise ValueError("its body is compressed, which this library never does")


def _root(metadata: memoryview) -> int:
    return int(struct.unpack_from("<I", metadata, 0)[0])


def _field(metadata: memoryview, table: int, number: int) -> int:
    """Where a field of a FlatBuffers table is, or 0 if it is not there: https://flatbuffers.dev/internals"""
    directory = table - struct.unpack_from("<i", metadata, table)[0]
    entry = 4 + 2 * number
    if directory < 0 or entry >= struct.unpack_from("<H", metadata, directory)[0]:
        return 0
    offset = struct.unpack_from("<H", metadata, directory + entry)[0]
    return table + int(offset) if offset else 0


def _array_classes() -> Iterator[type]:
    """The classes of arrays that ``pa.array`` makes, except those of extension types."""
    pending = [pa.Array]
    while pending:
        for cls in pending.pop().__subclasses__():
            pending.append(cls)
            if cls.__module__ == "pyarrow.lib" and not issubclass(cls, pa.ExtensionArray):
                yield cls


def _nbytes(value: Any) -> int:
    try:
        return int(value.nbytes)
    except pa.ArrowTypeError:  # before PyArrow 23, of views nobody knows which bytes a slice has
        return int(value.get_total_buffer_size())


TYPES: Final = [
    SavedType(pa.Table, "pyarrow:Table", _stream_of, _table_from, copy=_copy, nbytes=_nbytes),
    SavedType(pa.RecordBatch, "pyarrow:RecordBatch", _batch_to_data, _empty_or_batch_from, copy=_copy, nbytes=_nbytes),
    SavedType(pa.ChunkedArray, "pyarrow:ChunkedArray", _chunks_to_data, _chunks_from_data, copy=_copy, nbytes=_nbytes),
    SavedType(pa.Schema, "pyarrow:Schema", _schema_to_data, _schema_from_data, copy=lambda schema: schema),
    *(
        SavedType(cls, f"pyarrow:{cls.__name__}", _array_to_data, _array_from_data, copy=_copy, nbytes=_nbytes)
        for cls in _array_classes()
    ),
]
"""What ``PyarrowTypes`` provides."""
