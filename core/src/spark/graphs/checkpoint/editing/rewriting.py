"""A record made of another one whose tree was edited: what nobody touched is written as it was read, whatever its types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from spark.errors import CheckpointVersionError
from spark.graphs.checkpoint.encoding.decoder import OpenRecord
from spark.graphs.checkpoint.encoding.encoder import packed_payload, unserializable
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.encoding.recorded import name_of
from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.model import CURRENT_VERSION, FACTS
from spark.graphs.checkpoint.records.blobs import BlobRef, NewBlobs, of_writer
from spark.graphs.checkpoint.records.buffers import Contents
from spark.graphs.checkpoint.records.codecs import codec_names
from spark.graphs.checkpoint.records.info import Scalar
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.records.references import is_reference
from spark.graphs.checkpoint.serialization.object_hook import ObjectHook
from spark.graphs.checkpoint.serialization.writer import TreeWriter


class Rewriting:
    """An open record, and what it takes to write another one in its place.

    :param writer: begins the name of each new large value, and the nonce.
    :param blob_cost: values of at least so many bytes become large values; None where the store keeps none.
    :raises CheckpointVersionError: it is of another major version, so it is not known what stands where.
    """

    def __init__(self, codec: RecordCodec, opened: OpenRecord, *, writer: str, blob_cost: int | None) -> None:
        header = opened.header
        if header.version.partition(".")[0] != CURRENT_VERSION.partition(".")[0]:
            raise CheckpointVersionError(
                f"{name_of(header)} is of version {header.version}, and can't be edited as it is stored. Resume its run first: "
                "that migrates it."
            )
        self._codec = codec
        self.opened: OpenRecord = opened
        self._writer = writer
        self._blob_cost = blob_cost
        self._blobs = NewBlobs(writer, codec.writing)
        hook = codec.serializer_of(header)
        self._trees = TreeWriter(
            hook, most_equal_hashes=codec.writing.max_equal_hashes, takes_bytes=opened.format.takes_bytes
        )
        self._objects = ObjectHook(hook)

    @property
    def tree(self) -> dict[str, Any]:
        """The tree of the payload, to be edited in place."""
        tree: dict[str, Any] = self.opened.tree
        return tree

    def tree_of(self, value: Any, path: str, *, sequence: int) -> Any:
        """What is to stand in the tree for a new value: itself, or where it is large, a reference to it.

        :param sequence: of the record that will be written.
        :raises SerializationError: it can't be saved; the error has the path to what can't.
        """
        return self.large_or_tree(self.plain_tree(value, path), path, sequence=sequence)

    def plain_tree(self, value: Any, path: str) -> Any:
        """The tree of a new value, however large it is.

        :raises SerializationError: it can't be saved; the error has the path to what can't.
        """
        takes_objects = self.opened.format.takes_objects
        tree = self._objects.value(value, path) if takes_objects else self._trees.tree(value, path)
        self._dump(tree, path)
        return tree

    def large_or_tree(self, tree: Any, path: str, *, sequence: int) -> Any:
        """What is to stand for this tree: itself, or where it is large, a reference to it."""
        format, cost = self.opened.format, self._blob_cost
        if cost is None or not format.composes or is_reference(tree) or len(data := self._dump(tree, path)) < cost:
            return tree
        codec = self._codec
        ref = self._blobs.add(
            data, sequence=sequence, compression=codec.compression, codecs=codec.codecs, count=format.count
        )
        return ref.tree()

    def rename_blobs(self, *, sequence: int) -> dict[BlobRef, str]:
        """Have the tree refer to copies of all large values that are stored already; returns the name of the copy of each.

        The names say that the copies were made for a record, so a run that continues it knows how old they are.

        :param sequence: of that record.
        """
        names: dict[BlobRef, str] = {}
        for reference in self.opened.references_now():
            ref = reference.ref
            if ref.name in self._blobs.unstored:
                continue
            name = names[ref] = names.get(ref) or self._blobs.new_name(sequence)
            copy = replace(ref, name=name)
            is_in_list = type(reference.key) is int
            reference.holder[reference.key] = of_writer(copy.compact(), self._writer) if is_in_list else copy.tree()
        return names

    def bring_along(self, blobs: Mapping[str, bytes]) -> None:
        """Have the record bring these large values to a store that takes them only so."""
        self._blobs.unstored.update(blobs)

    def record(
        self,
        *,
        graph_id: str,
        sequence: int,
        parent: int | None,
        timestamp: datetime,
        origin: str | None,
        metadata: Mapping[str, Scalar],
    ) -> Record:
        """The record of the tree as it is now, with the large values that it brings along.

        :param timestamp: in UTC.
        :param metadata: what can be searched for.
        :raises SerializationError: a codec fails.
        """
        codec, format = self._codec, self.opened.format
        for name in FACTS:
            self.tree.pop(name, None)
        if origin is not None:
            self.tree["origin"] = origin
        raw = self._dump(self.tree, "")
        payload, compression = packed_payload(raw, codec.compression, codec.codecs, format=format, limits=codec.writing)
        header = replace(
            self.opened.header,
            checkpoint_id=automatic_id(graph_id, sequence),
            graph_id=graph_id,
            sequence=sequence,
            parent=parent,
            timestamp=timestamp,
            manual=False,
            compression=compression,
            size=len(payload),
            raw_size=len(raw),
            nonce=f"{self._writer}-1",
            metadata=dict(metadata),
            checksum="",
            signature="",
            codecs=codec_names(codec.codecs),
        )
        codec.seal(header, payload, format=format)
        record = Record(header, payload)
        return record.with_blobs(Contents(dict(self._blobs.unstored))) if self._blobs.unstored else record

    def _dump(self, tree: Any, path: str) -> bytes:
        format = self.opened.format
        try:
            return format.dumps(tree)
        except Exception as error:
            raise unserializable(format, tree, path, error) from error
