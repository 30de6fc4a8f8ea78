"""The s3 backend: the promise of ``CheckpointBackend``, kept with objects in a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import (
    CheckpointBackend,
    CheckpointInfo,
    CheckpointQuery,
    LatestHeaders,
    Listing,
    Record,
    Records,
    Usage,
    parse_automatic_id,
    split_options,
    wait_uncancellable,
)
from spark_backend_s3.blobs import Blobs
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.deleter import RecordDeleter
from spark_backend_s3.listing.emptied import EmptiedGraphs
from spark_backend_s3.location import Location, options_of
from spark_backend_s3.names import LAST_SEQUENCE, Keys, is_sequence, quote
from spark_backend_s3.objects import Objects
from spark_backend_s3.reader import RecordReader
from spark_backend_s3.records import RecordObjects
from spark_backend_s3.scan import TRUST, Trust
from spark_backend_s3.view_cache import ViewCache
from spark_backend_s3.writer import RecordWriter

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage import CheckpointSerializer, Chosen, Codec, Format, ReadLimits

Names: TypeAlias = list[str]
Sequences: TypeAlias = list[int]


class S3CheckpointBackend(CheckpointBackend):
    """Keeps checkpoints as objects in a bucket, one for each, made by one conditional PUT.

    :param bucket: the bucket, which must exist.
    :param prefix: the text that all keys begin with; stores with different prefixes don't see each other.
    :param endpoint_url: of a store other than AWS, or ``AWS_ENDPOINT_URL``.
    :param region: of the bucket, where the environment or the profile does not say it.
    :param profile: in ``~/.aws/config``.
    :param key: the access key, with ``secret``, and ``token`` if it is a temporary one; without them the environment, profile
        or role of the machine gives them.
    :param single_writer: accept a store without conditional writes. Nobody else may then write to the same graph ids.
    :param timeout: seconds after which a request that does not succeed, retried again and again, fails.
    :param trust: how long what was seen of a graph counts, for a store whose clocks differ by more than usual, and for tests.
    :param format: how the payload is written.
    :param compression: True or ``"gzip"`` to compress it.
    :param pretty_print: indent it, where the format is readable.
    :param codec: transforms stored bytes, such as by encryption: a ``Codec``, a name, ``{name: options}``, or a list of these.
    :param serializer: converts your own objects to plain values and back.
    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :param inline_io: makes no difference, since nothing here blocks the event loop; taken because every backend takes it.
    :param create: makes no difference: a bucket that does not exist is never made, and raises ``StoreNotFoundError``. A prefix
        without objects is an empty store.
    :raises ValueError: an argument can't be used.
    """

    name = "s3"
    keeps_blobs = True

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        token: str | None = None,
        single_writer: bool = False,
        timeout: float = 60.0,
        trust: Trust = TRUST,
        format: Chosen[Format] = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        codec: Chosen[Codec] | Sequence[Chosen[Codec]] | None = None,
        serializer: Chosen[CheckpointSerializer] | None = None,
        limits: ReadLimits | Mapping[str, int] | None = None,
        inline_io: bool = True,
        create: bool = True,
    ) -> None:
        super().__init__(
            format=format,
            compression=compression,
            pretty_print=pretty_print,
            codec=codec,
            serializer=serializer,
            limits=limits,
            inline_io=inline_io,
            create=create,
        )
        if not timeout > 0:
            raise ValueError(f"timeout={timeout!r}: the s3 backend takes a positive number of seconds.")
        self._location = Location(
            bucket=bucket,
            prefix=prefix,
            endpoint_url=endpoint_url,
            region=region,
            profile=profile,
            key=key,
            secret=secret,
            token=token,
        )
        self._objects = Objects(self._location, timeout=timeout, has_conditions=not single_writer)
        keys = Keys(self._location.root)
        records = RecordObjects(self._objects, keys, bucket=bucket)
        self._views = ViewCache(self._objects, keys, trust=trust)
        self._blobs = Blobs(self._objects, keys)
        self._emptied = EmptiedGraphs(self._objects, keys)
        self._writer = RecordWriter(
            self._objects,
            keys,
            self._location,
            records=records,
            blobs=self._blobs,
            views=self._views,
            is_single_writer=single_writer,
        )
        self._reader = RecordReader(self._objects, keys, records, clock=trust.clock)
        self._deleter = RecordDeleter(
            self._objects, keys, records=records, views=self._views, has_conditions=not single_writer
        )

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The backend of the bucket and prefix that ``s3://bucket/prefix?endpoint_url=…&region=…`` names.

        :raises ValueError: the URL names no bucket, or its query holds what is not known.
        """
        address, common = split_options(url)
        return cls(**options_of(address) | common | options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._location.shown!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "An s3 backend can't be pickled or copied, as its credentials would go with it; make a new one from its URL."
        )

    # Write.

    async def put(self, record: Record) -> None:
        header = record.header
        action = f"save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}"
        if not is_sequence(header.sequence):
            raise BackendError(f"The s3 backend can't {action}: sequences go from 1 to {LAST_SEQUENCE:,}.")
        cancelled = asyncio.Event()
        await wait_uncancellable(self._writer.put(record, action=action, cancelled=cancelled), on_cancel=cancelled.set)

    async def next_sequence(self, graph_id: str) -> int:
        action = f"find the next sequence of graph {graph_id[:80]!r}"
        return (await self._views.look(quote(graph_id), action=action)).highest + 1

    # Read one.

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        if not is_sequence(sequence):
            return None
        action = f"read checkpoint {sequence} of graph {graph_id[:80]!r}"
        return await self._reader.get(graph_id, sequence, action=action)

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return await self._reader.latest(graph_id, action=f"find the latest checkpoint of graph {graph_id[:80]!r}")

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        action = f"look for checkpoint {checkpoint_id[:80]!r}"
        given = await self._reader.find_given(checkpoint_id, action=action)
        address = parse_automatic_id(checkpoint_id)
        if given is not None or address is None or not is_sequence(address[1]):
            return given
        return await self._reader.line(*address, action=action)

    # Read many.

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        return await self._reader.get_many(graph_id, sequences, action=f"read checkpoints of graph {graph_id[:80]!r}")

    async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        return await self._reader.latest_headers(graph_ids, action="find the latest checkpoints of graphs")

    async def latest_runs(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int | None = None,
        reasons: Collection[str] | None = None,
    ) -> LatestHeaders:
        action = "find the latest runs"
        return await self._reader.latest_runs(prefix, after=after, limit=limit, reasons=reasons, action=action)

    # List.

    async def list(self, graph_id: str | None = None) -> Listing:
        action = "list all checkpoints" if graph_id is None else f"list the checkpoints of graph {graph_id[:80]!r}"
        return await self._reader.query(CheckpointQuery(graph_id=graph_id), action=action)

    async def query(self, query: CheckpointQuery) -> Listing:
        return await self._reader.query(query, action="search for checkpoints")

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Names:
        return await self._reader.graph_ids(prefix, after=after, limit=limit, action="list the ids of graphs")

    async def usage(self, graph_ids: Sequence[str] | None = None) -> dict[str, Usage]:
        ids = await self.graph_ids() if graph_ids is None else [*dict.fromkeys(graph_ids)]
        found = await in_parallel(self._usage_of, ids)
        return {graph_id: usage for graph_id, usage in zip(ids, found, strict=True) if usage.checkpoints}

    async def _usage_of(self, graph_id: str) -> Usage:
        action = f"measure graph {graph_id[:80]!r}"
        sizes = await self._reader.sizes(graph_id, action=action)
        return Usage(len(sizes), sum(sizes) + await self._blobs.nbytes(graph_id, action=action) if sizes else 0)

    # Delete.

    async def delete(self, graph_id: str, sequence: int) -> bool:
        action = f"delete checkpoint {sequence} of graph {graph_id[:80]!r}"
        return bool(await self._delete(graph_id, [sequence], action))

    async def delete_many(self, graph_id: str, sequences: Sequence[int]) -> Sequences:
        action = f"delete {len(sequences)} checkpoints of graph {graph_id[:80]!r}"
        return await self._delete(graph_id, sequences, action)

    async def _delete(self, graph_id: str, sequences: Sequence[int], action: str) -> Sequences:
        possible = [sequence for sequence in sequences if is_sequence(sequence)]
        if not possible:
            return []
        try:
            return await wait_uncancellable(self._deleter.delete(graph_id, possible, action=action))
        finally:
            self._reader.forget(graph_id)

    async def forget(self, graph_id: str) -> Sequences:
        action = f"forget graph {graph_id[:80]!r}"
        try:
            return await wait_uncancellable(self._deleter.forget(graph_id, action=action))
        finally:
            self._reader.forget(graph_id)

    async def forget_empty(self, prefix: str, *, older_than: timedelta) -> int:
        age = max(older_than, timedelta(seconds=self._views.trust.grace))
        return await self._emptied.forget(prefix, age=age, action="forget graphs without checkpoints")

    # Large values.

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        action = f"save large values of graph {graph_id[:80]!r}"
        await wait_uncancellable(self._blobs.add(graph_id, blobs, action=action))
        return True

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        return await self._blobs.read(graph_id, names, action=f"read large values of graph {graph_id[:80]!r}")

    async def blob_names(self, graph_id: str) -> Names:
        return await self._blobs.names(graph_id, action=f"list the large values of graph {graph_id[:80]!r}")

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        action = f"delete large values of graph {graph_id[:80]!r}"
        await wait_uncancellable(self._blobs.remove(graph_id, names, action=action))

    # Housekeeping.

    async def leftovers(self, *, remove: bool = False) -> Names:
        action = "look for leftovers"
        found = await self._writer.leftovers(action=action)
        if found and remove:
            refused = await self._objects.remove(found, action=action)
            for code in refused.values():
                raise self._objects.refusal(action, code)
        return [key.removeprefix(self._location.root) for key in found]

    async def close(self) -> None:
        await self._objects.connections.close()
