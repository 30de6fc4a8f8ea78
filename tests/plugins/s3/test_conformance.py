"""The S3 backend keeps the promise of backends, over a real S3 server."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from spark.errors import BackendError, CheckpointDamagedError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointManager
from spark.graphs.checkpoint.storage import CheckpointQuery
from spark_backend_s3 import S3CheckpointBackend
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.connections import Connections
from spark_backend_s3.location import Location
from spark_backend_s3.names import Keys
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from spark_testing.records import make_record
from tests.plugins.support.file_faults import run_in_child, start_in_child
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import list_at_most, open_store, watch
from tests.support.running import countdown, every_step

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket()


@pytest.fixture
def prefix() -> str:
    """A place in the bucket where nothing is."""
    return f"test {next(_NUMBERS)}/runs"


@pytest.fixture
async def backend(s3_server: S3Server, bucket: str, prefix: str) -> AsyncIterator[S3CheckpointBackend]:
    async with open_store(s3_server, bucket, prefix) as backend:
        yield backend


@pytest.fixture
def read_raw(s3_server: S3Server, bucket: str, prefix: str) -> ReadRaw:
    def read(graph_id: str, sequence: int) -> bytes | None:
        # Test ids that are looked up so are plain, and so are their keys.
        key = Keys(f"{prefix}/").record(graph_id, sequence)
        return s3_server.read(bucket, key) or None if key in s3_server.keys(bucket, key) else None

    return read


class TestS3Backend(CheckpointBackendConformance):
    capabilities = ("persistent", "processes", "concurrent_processes", "keeps_blobs")
    # Each call is a few requests; `test_backend_s3_names.py` tries what becomes of each id.
    hostile_ids = ("../x", "é")
    random_records = 10
    kills = 1
    megabytes = 1
    many_graphs = 60
    many_blobs = 60

    @pytest.fixture
    async def backend(self, s3_server: S3Server, bucket: str, prefix: str) -> AsyncIterator[S3CheckpointBackend]:
        async with open_store(s3_server, bucket, prefix) as backend:
            yield backend

    @pytest.fixture
    def open_another(self, s3_server: S3Server, bucket: str, prefix: str) -> OpenAnother:
        return lambda: open_store(s3_server, bucket, prefix)

    @pytest.fixture
    def read_raw(self, read_raw: ReadRaw) -> ReadRaw:
        return read_raw

    @pytest.fixture
    def spoil(self, s3_server: S3Server, bucket: str, prefix: str) -> Spoil:
        keys = Keys(f"{prefix}/")
        return lambda graph_id, sequence: s3_server.write(bucket, keys.record(graph_id, sequence), b"something else")


# what lies where


async def test_a_json_checkpoint_is_one_json_document(backend: S3CheckpointBackend, read_raw: ReadRaw) -> None:
    await backend.put(make_record(payload=b'{"graph_state": {"n": 1}}'))

    document = json.loads(read_raw("g", 1) or b"")

    assert document["header"]["sequence"] == 1
    assert document["payload"] == {"graph_state": {"n": 1}}


async def test_compressed_json_is_one_json_document_for_zcat(backend: S3CheckpointBackend, read_raw: ReadRaw) -> None:
    await backend.put(make_record(compression="gzip", payload=gzip.compress(b'{"n": 1}')))

    document = json.loads(gzip.decompress(read_raw("g", 1) or b""))

    assert document["header"]["compression"] == "gzip"
    assert document["payload"] == {"n": 1}


async def test_nothing_is_written_outside_of_the_prefix(
    backend: S3CheckpointBackend, s3_server: S3Server, bucket: str, prefix: str
) -> None:
    before = [key for key in s3_server.keys(bucket) if not key.startswith(f"{prefix}/")]

    for number, graph_id in enumerate(("../x", "/etc", "a/../../b")):
        await backend.put(make_record(graph_id, 1, checkpoint_id=f"../../{number}"))

    assert [key for key in s3_server.keys(bucket) if not key.startswith(f"{prefix}/")] == before
    parts = {part for key in s3_server.keys(bucket, prefix) for part in key.split("/")}
    assert not parts & {"", ".", ".."}


async def test_stores_with_different_prefixes_do_not_see_each_other(
    s3_server: S3Server, bucket: str, prefix: str
) -> None:
    async with (
        open_store(s3_server, bucket, f"/{prefix}/é ?#/a/") as one,
        open_store(s3_server, bucket, f"{prefix}/é ?#/ab") as other,
    ):
        await one.put(make_record("g", 1, checkpoint_id="mine"))

        assert (await other.list()).infos == []
        assert await other.find("mine") is None
        assert [info.checkpoint_id for info in (await one.list()).infos] == ["mine"]


async def test_a_bucket_can_be_used_without_a_prefix(s3_server: S3Server) -> None:
    async with open_store(s3_server, s3_server.new_bucket(), "") as backend:
        await backend.put(make_record("g", 1))

        assert [info.sequence for info in (await backend.list()).infos] == [1]


async def test_what_others_keep_there_is_left_alone(
    backend: S3CheckpointBackend, s3_server: S3Server, bucket: str, prefix: str
) -> None:
    await backend.put(make_record("g", 1))
    strangers = [f"{prefix}/graphs/g/{name}" for name in ("notes.txt", "000000000001-000000000002.ckpt", "x/1.ckpt")]
    for key in [*strangers, f"{prefix}/graphs/lonely", f"{prefix}/ids/x"]:
        s3_server.write(bucket, key, b"not ours")

    assert [info.sequence for info in (await backend.list()).infos] == [1]
    assert await backend.delete_many("g", [1, 2]) == [1]
    assert set(strangers) <= set(s3_server.keys(bucket, prefix))


# damage


async def test_a_listing_names_what_is_damaged(
    backend: S3CheckpointBackend, s3_server: S3Server, bucket: str, prefix: str
) -> None:
    for sequence in (1, 2, 3):
        await backend.put(make_record("g", sequence))
    key = Keys(f"{prefix}/").record("g", 3)
    s3_server.write(bucket, key, b"something else")

    for listing in (await backend.list("g"), await backend.list()):
        assert [info.sequence for info in listing.infos] == [1, 2]
        assert [(each.graph_id, each.sequence) for each in listing.damaged] == [("g", 3)]
        assert key in listing.damaged[0].place
    with pytest.raises(CheckpointDamagedError, match="000000000003"):
        await backend.latest("g")
    with pytest.raises(CheckpointDamagedError, match="000000000003"):
        await backend.get("g", 3)


async def test_a_record_in_anothers_place_is_damage(
    backend: S3CheckpointBackend, s3_server: S3Server, bucket: str, prefix: str, read_raw: ReadRaw
) -> None:
    await backend.put(make_record("g", 1))
    s3_server.write(bucket, Keys(f"{prefix}/").record("g", 2), read_raw("g", 1) or b"")

    with pytest.raises(CheckpointDamagedError, match="holds checkpoint 1 of graph 'g', which belongs elsewhere"):
        await backend.get("g", 2)


@pytest.mark.parametrize("cut", [slice(0, 40), slice(0, -1), slice(1, None)])
async def test_a_cut_record_is_damage(
    backend: S3CheckpointBackend, s3_server: S3Server, bucket: str, prefix: str, read_raw: ReadRaw, cut: slice
) -> None:
    await backend.put(make_record("g", 1))
    s3_server.write(bucket, Keys(f"{prefix}/").record("g", 1), (read_raw("g", 1) or b"")[cut])

    with pytest.raises(CheckpointDamagedError, match="is damaged"):
        await backend.get("g", 1)


# how much is asked of the store


async def test_the_latest_costs_one_listing_and_one_read(s3_server: S3Server, bucket: str, prefix: str) -> None:
    config = every_step(open_store(s3_server, bucket, prefix))
    await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 12})
    assert config.backend is not None
    await config.backend.close()
    async with open_store(s3_server, bucket, prefix) as reader:
        gate = watch(reader)

        latest = await CheckpointManager(reader).load_latest("g")

        assert latest is not None
        assert latest.sequence == 12
        assert gate.requests == ["list_objects_v2", "get_object"]


async def test_the_next_sequence_costs_one_listing_however_long_the_history(backend: S3CheckpointBackend) -> None:
    for sequence in range(1, 15):
        await backend.put(make_record("g", sequence))
    gate = watch(backend)

    assert await backend.next_sequence("g") == 15
    assert gate.requests == ["list_objects_v2"]


async def test_headers_are_read_once(s3_server: S3Server, bucket: str, prefix: str) -> None:
    async with open_store(s3_server, bucket, prefix) as writer, open_store(s3_server, bucket, prefix) as reader:
        for sequence in (1, 2, 3):
            await writer.put(make_record("g", sequence))
        gate = watch(reader)
        first = (await reader.list("g")).infos
        assert gate.requests == ["list_objects_v2", *["get_object"] * 3]
        gate.requests.clear()

        assert (await reader.list("g")).infos == first
        assert (await reader.query(CheckpointQuery(metadata={"iteration": 2}))).infos == first[1:2]
        assert gate.requests == ["list_objects_v2"] * 2


async def test_what_was_deleted_by_others_is_not_handed_out(s3_server: S3Server, bucket: str, prefix: str) -> None:
    async with open_store(s3_server, bucket, prefix) as writer, open_store(s3_server, bucket, prefix) as reader:
        await writer.put(make_record("g", 1))
        await reader.list()
        await reader.latest("g")
        await reader.get("g", 1)

        await writer.delete("g", 1)

        assert await reader.get("g", 1) is None
        assert await reader.latest("g") is None
        assert (await reader.list()).infos == []


async def test_a_record_that_was_found_as_the_latest_is_not_handed_out_after_its_deletion(
    s3_server: S3Server, bucket: str, prefix: str
) -> None:
    async with open_store(s3_server, bucket, prefix) as writer, open_store(s3_server, bucket, prefix) as reader:
        await writer.put(make_record("g", 1))
        await reader.latest("g")

        await reader.delete("g", 1)

        assert await reader.get("g", 1) is None


async def test_a_header_longer_than_the_first_look_is_read_whole(s3_server: S3Server, bucket: str, prefix: str) -> None:
    metadata = {f"key {number}": "x" * 190 for number in range(40)}
    async with open_store(s3_server, bucket, prefix) as writer, open_store(s3_server, bucket, prefix) as reader:
        record = make_record("g", 1, metadata=metadata, payload=b'"' + b"x" * 2_000_000 + b'"')
        await writer.put(record)

        assert await reader.latest("g") == record.info()
        assert (await reader.list()).infos == [record.info()]
        assert await reader.get("g", 1) == record


async def test_a_header_too_long_to_be_read_back_is_refused(backend: S3CheckpointBackend) -> None:
    with pytest.raises(BackendError, match="its header takes"):
        await backend.put(make_record(metadata={f"key {number}": "x" * 190 for number in range(400)}))
    assert (await backend.list()).infos == []


async def test_more_than_a_page_is_listed_found_and_deleted(backend: S3CheckpointBackend, prefix: str) -> None:
    """What is in the way here are the empty places of deleted records."""
    list_at_most(backend, 50)
    keys = Keys(f"{prefix}/")
    for sequence in (1, 2, 3):
        await backend.put(make_record("g", sequence))

    async def leave_place(sequence: int) -> None:
        await backend._objects.write(keys.record("g", sequence), b"", action="leave an empty place")

    await in_parallel(leave_place, range(4, 63))
    gate = watch(backend)

    assert await backend.next_sequence("g") == 63
    assert gate.requests == ["list_objects_v2"]
    latest = await backend.latest("g")
    assert latest is not None
    assert latest.sequence == 3
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3]
    assert [info.sequence for info in (await backend.list()).infos] == [1, 2, 3]
    gate.requests.clear()
    assert await backend.delete_many("g", [2, 1, 9]) == [1, 2]
    assert gate.requests.count("list_objects_v2") == 2, "what lies between is passed over"
    assert [info.sequence for info in (await backend.list()).infos] == [3]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_limited_search_of_a_graph_reads_no_more_pages_than_it_needs(
    backend: S3CheckpointBackend, newest_first: bool
) -> None:
    list_at_most(backend, 2)
    for sequence in range(1, 8):
        await backend.put(make_record("g", sequence))
    gate = watch(backend)

    found = (await backend.query(CheckpointQuery(graph_id="g", limit=2, newest_first=newest_first))).infos

    assert [info.sequence for info in found] == ([7, 6] if newest_first else [1, 2])
    assert len(gate.requests) == (1 if newest_first else 4)


async def test_the_ids_of_graphs_cost_one_listing_for_each_and_not_for_their_records(
    backend: S3CheckpointBackend,
) -> None:
    for graph_id in ("a", "b 1", "b 2", "c"):
        for sequence in range(1, 8):
            await backend.put(make_record(graph_id, sequence))
    await backend.delete_many("b 2", range(1, 8))
    list_at_most(backend, 3)
    gate = watch(backend)

    assert await backend.graph_ids("b ") == ["b 1"]
    assert len(gate.requests) <= 4, "one for the seven records of the first, and three for the places of the second"


async def test_the_latest_headers_cost_one_listing_and_one_read_for_each_graph(
    s3_server: S3Server, bucket: str, prefix: str
) -> None:
    async with open_store(s3_server, bucket, prefix) as writer, open_store(s3_server, bucket, prefix) as reader:
        for graph_id in ("a", "b", "c"):
            for sequence in range(1, 4):
                await writer.put(make_record(graph_id, sequence))
        gate = watch(reader)

        first = await reader.latest_headers(["a", "b", "c", "nobody"])
        assert sorted(gate.requests) == ["get_object"] * 3 + ["list_objects_v2"] * 4
        gate.requests.clear()

        assert await reader.latest_headers(["a", "b", "c", "nobody"]) == first
        assert gate.requests == ["list_objects_v2"] * 4, "headers are read once"


async def test_a_worker_that_has_nothing_to_do_lists_no_graph_by_itself(
    s3_server: S3Server, bucket: str, prefix: str
) -> None:
    """However many are complete: it looks at the claims and at a page of graphs, whose headers it reads once."""
    count, build = 8, lambda graph_id: Graph(countdown(), id=graph_id)
    async with open_store(s3_server, bucket, prefix) as writer, open_store(s3_server, bucket, prefix) as store:
        ids = [f"order-{number}" for number in range(count)]
        await in_parallel(lambda graph_id: writer.put(make_record(graph_id, 1, metadata={"reason": "completed"})), ids)
        gate, manager = watch(store), CheckpointManager(store)

        for is_first in (True, False):
            gate.requests.clear()
            await manager.work(build, idle_exit=0)
            assert gate.requests.count("list_objects_v2") <= 6
            assert gate.requests.count("get_object") == (count if is_first else 0)


async def test_a_range_is_listed_from_its_end_to_its_beginning_only(backend: S3CheckpointBackend) -> None:
    for sequence in range(1, 15):
        await backend.put(make_record("g", sequence))
    list_at_most(backend, 2)
    gate = watch(backend)

    assert [*(await backend.get_many("g", range(5, 8))).records] == [5, 6, 7]
    assert sorted(gate.requests) == ["get_object"] * 3 + ["list_objects_v2"] * 2
    gate.requests.clear()
    assert [*(await backend.get_many("g", [9, 4, 20])).records] == [4, 9]
    assert gate.requests == ["get_object"] * 3


# event loops, threads, processes


async def test_threads_use_one_backend_at_the_same_time(backend: S3CheckpointBackend) -> None:
    def work(number: int) -> None:
        async def save() -> None:
            for sequence in (1, 2, 3):
                await backend.put(make_record(f"g{number}", sequence))

        asyncio.run(save())

    await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(3)))

    assert len((await backend.list()).infos) == 9


async def test_closing_ends_the_connections_of_other_threads_too(s3_server: S3Server, bucket: str, prefix: str) -> None:
    """Warnings about what is left open are errors in these tests."""
    backend = open_store(s3_server, bucket, prefix)
    saved, closed = threading.Event(), threading.Event()

    def work() -> None:
        async def save() -> None:
            await backend.put(make_record("g", 1))
            saved.set()
            await asyncio.to_thread(closed.wait)
            with pytest.raises(BackendError, match="is closed"):
                await backend.list()

        asyncio.run(save())

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(saved.wait)
    await backend.put(make_record("h", 1))
    await backend.close()
    closed.set()
    thread.join()

    assert backend._objects.connections._open == {}


async def test_a_loop_that_ends_closes_what_it_opened(s3_server: S3Server, bucket: str, prefix: str) -> None:
    backend = open_store(s3_server, bucket, prefix)

    for sequence in (1, 2):
        await asyncio.to_thread(asyncio.run, backend.put(make_record("g", sequence)))

    assert backend._objects.connections._open == {}


async def test_no_task_is_left_behind(backend: S3CheckpointBackend) -> None:
    before = asyncio.all_tasks()
    await backend.put(make_record("g", 1))
    await backend.list()

    await backend.close()

    assert asyncio.all_tasks() == before


async def test_a_closed_backend_says_so(backend: S3CheckpointBackend) -> None:
    await backend.close()

    for use in (backend.put(make_record()), backend.get("g", 1), backend.list(), backend.delete("g", 1)):
        with pytest.raises(BackendError, match="The s3 backend is closed"):
            await use


def test_a_fork_can_go_on_using_it(s3_server: S3Server, bucket: str, prefix: str) -> None:
    """The child has the object, and sockets that are its parent's."""
    backend = open_store(s3_server, bucket, prefix)

    async def use() -> str:
        await backend.put(make_record("g", 1))
        # The parent's loop does not run on in the child, which begins one of its own in another thread.
        wait = start_in_child(
            lambda: ThreadPoolExecutor(1).submit(asyncio.run, backend.put(make_record("g", 2))).result()
        )
        told = await asyncio.to_thread(wait)
        await backend.put(make_record("g", 3))
        assert [info.sequence for info in (await backend.list()).infos] == [1, 2, 3]
        await backend.close()
        return told

    assert asyncio.run(use()) == "None"


def test_a_fork_does_not_wait_for_a_thread_of_its_parent() -> None:
    """If another thread was just opening or closing a connection, the child would find that locked for ever."""
    connections = Connections(Location(bucket="b", key="k", secret="s", region="eu-west-1"), read_timeout=5)

    async def use() -> None:
        await connections.filesystem()
        await connections.close()

    with connections._lock:
        told = run_in_child(lambda: ThreadPoolExecutor(1).submit(asyncio.run, use()).result(10))

    assert told == "None"
    asyncio.run(use())
