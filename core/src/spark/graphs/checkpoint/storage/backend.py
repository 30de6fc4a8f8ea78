"""The contract of a storage backend, in this order: write, read one, read many, list, delete, large values, housekeeping.

A backend stores records and gives them back. It sees headers and bytes; formats, compression, checksums and signatures
are done before ``put`` and after ``get``, the same for every backend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from spark.errors import BackendError, CheckpointDamagedError, DeletionError
from spark.graphs.checkpoint.calls import ATTEMPTS
from spark.graphs.checkpoint.encoding.choosing import Chosen
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.ids import parse_automatic_id
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.io import InlineLimits, checked_inline_io
from spark.graphs.checkpoint.storage.listing import DamagedRecord, LatestHeaders, Listing, Records, in_batches, page_of

if TYPE_CHECKING:
    from datetime import timedelta

    from spark.graphs.checkpoint.records.codecs import Codec
    from spark.graphs.checkpoint.records.formats import Format
    from spark.graphs.checkpoint.records.limits import ReadLimits
    from spark.graphs.checkpoint.records.query import CheckpointQuery
    from spark.graphs.checkpoint.records.record import Record
    from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer
    from spark.graphs.checkpoint.storage.usage import Usage

Sequences: TypeAlias = list[int]
Names: TypeAlias = list[str]


class CheckpointBackend(ABC):
    """Where checkpoints are kept.

    Six methods are abstract: ``put``, ``get``, ``latest``, ``list``, ``next_sequence`` and ``delete``. The others call these,
    and a store overrides them where it can do the same in one operation: a transaction, a request, a look at a folder.

    **Addresses.** The address of a record is (graph id, sequence). A sequence is used once: never overwritten, and never used
    again after its record was deleted. Only ``forget`` frees the sequences of a graph.

    **Callers.** All methods may be called concurrently, from several processes, and from one event loop after another; none
    of them blocks the event loop. When a call is cancelled, its effect has either happened or never will: nothing continues
    after the call has ended.

    **Damage.** Anything in the place of a record that can't be read as one is never skipped. A method that returns one
    record raises ``CheckpointDamagedError``; one that returns many reports it among the ``damaged``, and it hides no other.

    **Large values.** A record may refer to values that are stored beside it, by name (``keeps_blobs``). Its header declares
    whether its payload tells which: ``references_in_payload``, stored and returned like every other field. As long as there is
    a record that does not tell, or that is damaged, the core removes no large value of its graph.

    **Failures.** Any method may raise ``BackendError``: the storage failed. Earlier records are intact then. A backend that takes
    ``create`` makes no store with ``create=False``: if there is none, any method raises ``StoreNotFoundError``.
    """

    name: str = ""
    """What this backend is called in messages, for instance ``"file"``."""
    persistent: ClassVar[bool] = True
    """Another process can find the checkpoints again."""
    keeps_blobs: bool = False
    """It has ``get_blobs``, ``delete_blobs`` and ``blob_names``, and stores a record's ``blobs`` with it. A run's large values
    are then kept once for each change, and records only refer to them."""
    blob_cost: int = 512 * 1024
    """With ``keeps_blobs``: as many bytes as the store takes in the time that one more blob takes. A value of so many is a blob
    at once; smaller ones become one together, a chunk, when checkpoints have written them again for as many bytes."""
    keeps_records: bool = False
    """It keeps the records that it is given as they are, and reads none before it is asked for it. In a store that is not
    persistent, a run's checkpoints are then encoded only when somebody reads them."""
    inline_limits: ClassVar[InlineLimits] = InlineLimits()
    """For how long the backend's I/O may hold up the event loop where ``inline_io`` lets it."""

    def __init__(
        self,
        *,
        format: Chosen[Format] = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        codec: Chosen[Codec] | Sequence[Chosen[Codec]] | None = None,
        serializer: Chosen[CheckpointSerializer] | None = None,
        limits: ReadLimits | Mapping[str, int] | None = None,
        inline_io: bool = True,
        create: bool = True,
    ) -> None:
        self.creates: bool = create
        self.inline_io: bool = checked_inline_io(inline_io)
        """Small and fast I/O may run in the event loop's thread (see ``SmallIO``); False: no I/O ever does."""
        self.record_codec: RecordCodec = RecordCodec(
            format=format,
            compression=compression,
            pretty_print=pretty_print,
            codec=codec,
            serializer=serializer,
            limits=limits,
            checksum="sha256" if self.persistent else "crc32",
        )

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The backend that a URL of one of its schemes describes.

        :raises ValueError: the URL is not one of this backend's.
        """
        raise NotImplementedError(f"{cls.__name__} can't be made from a URL; construct it instead.")

    # Write.

    @abstractmethod
    async def put(self, record: Record) -> None:
        """Store a record under its (graph id, sequence), and return when it is durable.

        The check that the sequence was never used and the write are one atomic operation. A record whose header says
        ``manual`` can afterwards be found by its ``checkpoint_id``. Where blobs are kept, those of the record are durable
        before it can be seen.

        :raises SequenceTakenError: the sequence is in use, or was used once and deleted. Nothing was written.
        :raises BackendError: the storage failed. Nothing half-written is visible.
        """

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> Sequences:
        """Store a record as ``put`` does and, where that costs the caller no further wait, delete others of its graph.

        A database does both in one transaction. Nothing is deleted unless the record is stored.

        :param blobs: names of large values that only records among ``to_delete`` need. They go if all of those do.
        :return: which of ``to_delete`` this call deleted; the caller deletes the others, and with them the blobs.
        """
        await self.put(record)
        return []

    @abstractmethod
    async def next_sequence(self, graph_id: str) -> int:
        """The lowest sequence above every one that was ever used for this graph; 1 for a new graph."""

    # Read one.

    @abstractmethod
    async def get(self, graph_id: str, sequence: int) -> Record | None:
        """The whole record at an address, or None when there is none.

        :raises CheckpointDamagedError: something is stored there that can't be a record.
        """

    @abstractmethod
    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        """The checkpoint with the highest sequence, or None when the graph has none.

        :raises CheckpointDamagedError: the last record can't be read; an older one would be a guess.
        """

    async def get_latest(self, graph_id: str) -> Record | None:
        """The record with the highest sequence, or None when the graph has none.

        A store that can answer in one operation does so. Here it is ``latest``, and then ``get``.

        :raises CheckpointDamagedError: the last record can't be read; an older one would be a guess.
        """
        for _ in range(ATTEMPTS):
            info = await self.latest(graph_id)
            record = None if info is None else await self.get(info.graph_id, info.sequence)
            if info is None or record is not None:
                return record
            # Deleted between the two, so there is a newer one, or none.
        raise BackendError(
            f"The {self.name} backend lists a latest checkpoint of graph {graph_id!r} that it can't read."
        )

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        """The checkpoint with this id, or None.

        An id given by hand wins over an automatic one; of two records with one id, the later one is meant.

        :raises CheckpointDamagedError: the id is an automatic one, and its record can't be read.
        """
        found = [info for info in (await self.list()).infos if info.checkpoint_id == checkpoint_id]
        address = parse_automatic_id(checkpoint_id)
        if found or address is None:
            return max(found, key=lambda info: (info.manual, info.sequence), default=None)
        listing = await self.list(address[0])
        for damaged in listing.damaged:
            if damaged.sequence == address[1]:
                raise CheckpointDamagedError(damaged.reason)
        return next((info for info in listing.infos if info.sequence == address[1]), None)

    # Read many.

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        """The records of a graph at these sequences, as far as there are any.

        They are all held in memory, so ask for as many as fit; ``in_batches`` divides a listing. A store that reads many in one
        request does so. Here one is read after the other.

        :param sequences: in any order. A ``range`` asks for every record in it, however long it is: only what exists is read.
        """
        if isinstance(sequences, range):
            sequences = [sequence for sequence in (await self.list(graph_id)).sequences() if sequence in sequences]
        found = Records({})
        for sequence in sorted({*sequences}):
            try:
                record = await self.get(graph_id, sequence)
            except CheckpointDamagedError as error:
                found.damaged.append(DamagedRecord(graph_id, sequence, _place(graph_id, sequence), str(error)))
            else:
                if record is not None:
                    found.records[sequence] = record
        return found

    async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        """The header of the record with the highest sequence of each of these graphs, as far as they have any.

        A store that reads headers alone, or those of many graphs in one request, does so. Here it is ``get_latest`` of one graph
        after the other.
        """
        found = LatestHeaders({})
        for graph_id in dict.fromkeys(graph_ids):
            try:
                record = await self.get_latest(graph_id)
            except CheckpointDamagedError as error:
                found.damaged.append(DamagedRecord(graph_id, None, _place(graph_id), str(error)))
            else:
                if record is not None:
                    found.headers[graph_id] = record.header
        return found

    async def latest_runs(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int | None = None,
        reasons: Collection[str] | None = None,
    ) -> LatestHeaders:
        """The header of the latest record of each graph that was not made by hand; where all were, of the latest one.

        A store that answers in one query does so. Here it is ``graph_ids``, and then ``latest_headers`` of many at a time.

        :param prefix: only of ids that begin with this text; ``after`` as for ``graph_ids``.
        :param limit: at most this many, the first ones in the order of ids.
        :param reasons: only those with one of these texts as ``reason`` in their metadata. Damaged ones may be left out then.
        """
        from spark.graphs.checkpoint.storage.latest_runs import latest_runs  # no run asks for it

        return await latest_runs(self, prefix, after=after, limit=limit, reasons=reasons)

    # List.

    @abstractmethod
    async def list(self, graph_id: str | None = None) -> Listing:
        """The checkpoints of a graph, by sequence; with None those of all graphs, by graph id and sequence.

        It reads names or headers, never payloads. What it finds in the place of a record and can't read is among the
        ``damaged``, as is all that might belong to the graph. An unknown graph id is an empty listing.
        """

    async def query(self, query: CheckpointQuery) -> Listing:
        """The checkpoints that a query asks for, and the damaged records that the search found.

        Where it asks for lines ``with_metadata``, they have that of the records' headers, and their parents. A store that can
        search does so itself. Here names are looked at first, and records only where metadata is asked for.
        """
        listing = await self.list(query.graph_id)
        wanted = [info for info in query.ordered(listing.infos) if query.covers(info.timestamp)]
        if not query.metadata and not query.with_metadata:
            return Listing(wanted[: query.limit], listing.damaged)
        return await _with_metadata(self, Listing(wanted, listing.damaged), query)

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Names:
        """The ids of the graphs that have records, in the order of code points.

        Damaged ones count, too. Only where a store can't tell the graph of a damaged record, it names none; ``list`` reports
        the damage in any case. A store that finds ids without looking at each record does so. Here it is ``list``.

        :param prefix: only ids that begin with this text.
        :param after: only ids that come after this text: the last id of a page asks for the next one.
        :param limit: at most this many; None means all.
        """
        listing = await self.list()
        readable = {info.graph_id for info in listing.infos}
        damaged = {each.graph_id for each in listing.damaged if each.graph_id is not None}
        return page_of(readable | damaged, prefix, after=after, limit=limit)

    async def usage(self, graph_ids: Sequence[str] | None = None) -> dict[str, Usage]:
        """What these graphs take up, by graph id, as far as they have anything; with None, all of them, in the order of ids.

        A store that can add up by itself does so. Here it is ``list``, and then large values are read to see how long they are.
        """
        from spark.graphs.checkpoint.storage.usage import measured  # no run asks for it

        return await measured(self, await self.graph_ids() if graph_ids is None else graph_ids)

    # Delete.

    @abstractmethod
    async def delete(self, graph_id: str, sequence: int) -> bool:
        """Delete a record; False when there is none. Its sequence stays used."""

    async def delete_many(self, graph_id: str, sequences: Sequence[int]) -> Sequences:
        """Delete several records of a graph; the sequences of those that this call deleted.

        A store that can delete many in one request does so. Here one is deleted after the other, in the order given.

        :raises DeletionError: the storage failed part-way; its ``deleted`` says which are deleted.
        """
        deleted: Sequences = []
        for sequence in sequences:
            try:
                if await self.delete(graph_id, sequence):
                    deleted.append(sequence)
            except Exception as error:
                if not deleted:
                    raise
                raise DeletionError(
                    f"The {self.name} backend deleted {len(deleted)} of {len(sequences)} checkpoints of graph {graph_id!r}, and "
                    f"failed at sequence {sequence}: {type(error).__name__}: {error}",
                    deleted=deleted,
                ) from error
        return deleted

    async def forget(self, graph_id: str) -> Sequences:
        """Remove every trace of a graph, so that a run under its id starts from scratch; returns the sequences of its records.

        That is all records, including those made by hand and damaged ones, all large values, and the memory of used sequences.
        Records go before the large values that they need. Stopped part-way, it is finished by calling it again; until then,
        no sequence can be used again. No run of the graph may be under way.

        A store does all that itself. Here is what can be done with the other methods: what tells of used sequences stays.

        :raises DeletionError: the storage failed part-way; its ``deleted`` says which records are deleted.
        """
        deleted = await self.delete_many(graph_id, (await self.list(graph_id)).sequences())
        await self.delete_blobs(graph_id, await self.blob_names(graph_id))
        return deleted

    async def forget_empty(self, prefix: str, *, older_than: timedelta) -> int:
        """Forget those graphs that have had no record for so long, and with them that their sequences were used; how many.

        The core asks for it where nobody relies on old sequences any more: for the claims of runs that have ended. A store does
        it in which such graphs make listings longer. Here none is forgotten.

        :param prefix: only of ids that begin with this text.
        """
        return 0

    # Large values: for a store with ``keeps_blobs``, which has all but the first.

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        """Store large values ahead of the record that will refer to them, and return True when all are durable.

        So a run that saves much at once need not hold all of it encoded. A value that is there already is the same, and stays.
        What no record ever refers to is removed with other orphans. A store that can't do this returns False: the values then
        come with the record.

        :param blobs: name to content.
        :raises BackendError: the storage failed. Any of them may be stored, and will be put again.
        """
        return False

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Name to content of these large values of a graph, as far as they are there."""
        return {}

    async def blob_names(self, graph_id: str) -> Names:
        """The names of all large values of a graph, in any order."""
        return []

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:  # noqa: B027 - most stores have none
        """Delete large values that no record needs any more, as far as they are there."""

    # Housekeeping.

    async def leftovers(self, *, remove: bool = False) -> Names:
        """What crashed writers left behind and nobody needs: temporary files, for instance, each by its name.

        :param remove: delete them, too.
        """
        return []

    async def close(self) -> None:  # noqa: B027 - most stores have nothing to release
        """Release threads, connections and files. The backend can't be used afterwards; closing twice is fine."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


async def _with_metadata(backend: CheckpointBackend, listing: Listing, query: CheckpointQuery) -> Listing:
    found: list[CheckpointInfo] = []
    damaged = [*listing.damaged]
    for batch in in_batches(listing.infos):
        read = await backend.get_many(batch[0].graph_id, [info.sequence for info in batch])
        damaged += read.damaged
        headers = {sequence: record.header for sequence, record in read.records.items()}
        found += [
            replace(info, metadata=headers[info.sequence].metadata, parent=headers[info.sequence].parent)
            for info in batch
            if info.sequence in headers and query.fits(headers[info.sequence].metadata)
        ]
        if query.limit is not None and len(found) >= query.limit:
            break
    return Listing(found[: query.limit], damaged)


def _place(graph_id: str, sequence: int | None = None) -> str:
    return f"{'the latest checkpoint' if sequence is None else f'checkpoint {sequence}'} of graph {graph_id!r}"
