"""Large values are stored once for each change, come back in every checkpoint, and go when no checkpoint needs them."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointInfo,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    Retention,
)
from spark.graphs.checkpoint.records.blobs import LARGE_FROM, birth, garbage
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Record, RecordCodec, RecordHeader, Records
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import NOON, make_record
from spark_testing.suites.blob_memory import PlainMemory
from tests.support.running import Failure

STEADY = "steady " * LARGE_FROM


def text_of(step: int) -> str:
    """A large value that tells which step set it."""
    return f"step {step} " * LARGE_FROM


class Loop(Node):
    """Sets a large value at some of its steps, and a small one at each."""

    def __init__(self, steps: int, *, changes_at: Callable[[int], bool] = lambda step: True, fails_at: int = 0) -> None:
        self._steps = steps
        self._fails_at = fails_at
        self._changes_at = changes_at

    async def process(self, context: NodeContext) -> Any:
        step = await context.graph_state.get("step", 0) + 1
        if step == self._fails_at:
            raise Failure("at this step")
        if self._changes_at(step):
            await context.graph_state.set("text", text_of(step))
        await context.graph_state.set("step", step)
        return {"more": step % self._steps != 0}


def graph_of(backend: CheckpointBackend, loop: Node, **settings: Any) -> Graph:
    loop.on(more=True) >> loop
    backend.blob_cost = 4 * LARGE_FROM  # so that the configuration of the graph is not worth a blob
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, **settings)
    return Graph(start=loop, id="g", state={"steady": STEADY}, checkpoint_config=config)


async def stored(backend: CheckpointBackend) -> list[int]:
    """The sequences of the records that the stored large values were written for."""
    return sorted(birth(name) or 0 for name in await backend.blob_names("g"))


async def texts(backend: CheckpointBackend) -> list[str]:
    """The large value in each checkpoint, which also holds the steady one."""
    manager = CheckpointManager(backend)
    checkpoints = [await manager.load_checkpoint(info.checkpoint_id) for info in (await backend.list("g")).infos]
    assert all(checkpoint.graph_state["steady"] == STEADY for checkpoint in checkpoints)
    return [checkpoint.graph_state["text"] for checkpoint in checkpoints]


# what is written


async def test_a_value_is_stored_once_for_each_change(backend: CheckpointBackend) -> None:
    await graph_of(backend, Loop(6, changes_at=lambda step: step in (1, 4)), auto_cleanup=False).run()

    assert await stored(backend) == [1, 1, 4]
    assert await texts(backend) == [text_of(1)] * 3 + [text_of(4)] * 3


async def test_a_record_is_small_and_readable(tmp_path: Path) -> None:
    async with FileCheckpointBackend(tmp_path) as backend:
        await graph_of(backend, Loop(2)).run()

    content = (tmp_path / "g" / "000000000002.ckpt").read_bytes()
    assert len(content) < 4000
    tree, _ = json.JSONDecoder().raw_decode(content[content.index(b'{"graph_state"') :].decode())
    stored = tree["graph_state"]["$chunks"]
    assert stored["tail"]["values"]["step"] == 2
    sequence, count, size, raw_size, digest = stored["refs"][-1]
    name = f"{sequence:012d}-{stored['writer']}-{count}"
    content = (tmp_path / "g" / "blobs" / f"{name}.blob").read_bytes()
    assert json.loads(content)["values"] == {"text": text_of(2)}
    assert (size, raw_size) == (len(content), size)
    assert digest == urlsafe_b64encode(sha256(content).digest()[:16])[:22].decode()


async def test_a_small_value_stays_in_the_record(backend: CheckpointBackend) -> None:
    """Up to the limit, whether it was large before or not."""

    class Shrinks(Node):
        async def process(self, context: NodeContext) -> Any:
            await context.graph_state.set("steady", "x" * (LARGE_FROM - 20))
            return {}

    await graph_of(backend, Shrinks(), max_checkpoints=1).run()

    assert await stored(backend) == []


@dataclass
class Page:
    """An object of the program's own."""

    text: str


async def test_a_large_object_of_ones_own_is_a_large_value_too(backend: CheckpointBackend) -> None:
    page = Page("page " * 100_000)
    graph = graph_of(backend, Loop(1))
    await graph.set_state("page", page)
    await graph.run()

    loaded = await CheckpointManager(backend).load_latest("g")
    assert loaded is not None
    assert loaded.graph_state["page"] == page


async def test_large_states_of_nodes_are_kept_so_too(backend: CheckpointBackend) -> None:
    class Hoards(Node):
        async def process(self, context: NodeContext) -> Any:
            context.state["text"] = text_of(1)
            return {}

    await graph_of(backend, Hoards()).run()

    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None
    assert latest.node_states == {"Hoards": {"text": text_of(1)}}
    assert len(await stored(backend)) == 2


async def test_a_value_that_looks_like_a_reference_is_a_value(backend: CheckpointBackend) -> None:
    lookalike = {"$blob": ["000000000001-x-1", 1, 1, "sha256:00", ""]}

    class Says(Node):
        async def process(self, context: NodeContext) -> Any:
            await context.graph_state.set("small", lookalike)
            await context.graph_state.set("large", [lookalike] * LARGE_FROM)
            return {}

    await graph_of(backend, Says()).run()

    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None
    assert latest.graph_state["small"] == lookalike
    assert latest.graph_state["large"] == [lookalike] * LARGE_FROM


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_large_values_are_compressed_as_the_rest_is(tmp_path: Path, compression: str) -> None:
    async with FileCheckpointBackend(tmp_path, compression=compression) as backend:
        await graph_of(backend, Loop(1)).run()
        sizes = [file.stat().st_size for file in (tmp_path / "g" / "blobs").iterdir()]
        assert max(sizes) < len(STEADY) / 10
        assert await texts(backend) == [text_of(1)]


async def test_a_store_without_large_values_keeps_them_where_they_are() -> None:
    backend = PlainMemory()

    await graph_of(backend, Loop(2)).run()

    assert await texts(backend) == [text_of(1), text_of(2)]
    assert await stored(backend) == []


@pytest.mark.filterwarnings("ignore:Checkpoints in the pickle format are not signed")
@pytest.mark.parametrize("options", [{"format": "pickle"}, {"pretty_print": True}])
async def test_formats_that_write_everything_at_once_keep_values_in_the_record(tmp_path: Path, options: Any) -> None:
    async with FileCheckpointBackend(tmp_path, **options) as backend:
        await graph_of(backend, Loop(2)).run()

        assert await stored(backend) == []
        assert await texts(backend) == [text_of(1), text_of(2)]


# what goes


@pytest.mark.parametrize("backend", ["file", "sqlite", "s3"], indirect=True)
async def test_a_value_goes_with_the_last_checkpoint_that_needs_it(backend: CheckpointBackend) -> None:
    await graph_of(backend, Loop(9, changes_at=lambda step: step % 3 == 1), max_checkpoints=3).run()

    assert await texts(backend) == [text_of(7)] * 3
    assert await stored(backend) == [1, 7]


class Drops(Node):
    """Sets a large value beside a small one at its first step, and deletes it at its second."""

    async def process(self, context: NodeContext) -> Any:
        step = await context.graph_state.get("step", 0) + 1
        await context.graph_state.set("step", step)
        if step == 1:
            await context.graph_state.set("text", text_of(step))
        else:
            await context.graph_state.delete("text")
        return {"more": step < 4}


@pytest.mark.parametrize("others", [0, 1, 30])
async def test_a_value_that_is_deleted_goes_however_many_others_there_are(
    backend: CheckpointBackend, others: int
) -> None:
    drops = Drops()
    drops.on(more=True) >> drops
    backend.blob_cost = 4 * LARGE_FROM
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=2)
    state = {f"other {number}": number for number in range(others)}
    await Graph(drops, id="g", state=state, checkpoint_config=config).run()

    assert await stored(backend) == []


class Anniversaries(Retention):
    """Keeps the fourth, the eighth, and the newest."""

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return checkpoint.sequence % 4 == 0 or age == 0


async def test_what_a_checkpoint_in_the_middle_of_the_history_needs_stays(backend: CheckpointBackend) -> None:
    await graph_of(backend, Loop(9), retention=Anniversaries()).run()

    assert await texts(backend) == [text_of(4), text_of(8), text_of(9)]
    assert await stored(backend) == [1, 4, 8, 9]


async def test_the_next_run_removes_what_a_killed_one_left(backend: CheckpointBackend) -> None:
    """A save that was killed before its record was there leaves its large values, as files do."""
    await graph_of(backend, Loop(2)).run()
    left = "000000000003-killed-1"
    await plant(backend, left)

    first = await backend.next_sequence("g")
    await graph_of(backend, Loop(6), max_checkpoints=3).run()

    assert await texts(backend) == [text_of(4), text_of(5), text_of(6)]
    needed = [first, first + 3, first + 4, first + 5]
    assert await stored(backend) == needed, "what the earlier run wrote has gone with its checkpoints"
    assert left not in await backend.blob_names("g")


async def test_what_a_writer_beside_us_has_just_stored_is_left_alone(backend: CheckpointBackend) -> None:
    """It may belong to the record that is being written right now."""
    await graph_of(backend, Loop(2)).run()
    await plant(backend, "000000000004-other-1")

    await CheckpointManager(backend).delete_checkpoint("ckpt_g_000001")

    assert "000000000004-other-1" in await backend.blob_names("g")


@pytest.mark.parametrize(
    ("names", "latest", "expected"),
    [
        (["000000000003-a-1"], 3, ["000000000003-a-1"]),
        (["000000000003-a-1"], 2, []),
        (["not ours", "3-a-1", "-a-1", "000000000000-a-1"], 9, []),
    ],
)
def test_garbage_is_what_is_too_old_to_be_needed_yet(names: list[str], latest: int, expected: list[str]) -> None:
    assert garbage(names, latest=latest) == expected


async def test_deleting_by_hand_takes_the_values_along(backend: CheckpointBackend) -> None:
    manager = CheckpointManager(backend)
    await graph_of(backend, Loop(4), auto_cleanup=False).run()

    for sequence in (1, 2):
        await manager.delete_checkpoint(f"ckpt_g_{sequence:06d}")

    assert await stored(backend) == [1, 3, 4]
    assert await texts(backend) == [text_of(3), text_of(4)]


async def test_what_is_left_of_a_graph_that_never_runs_again_can_be_removed(backend: CheckpointBackend) -> None:
    manager = CheckpointManager(backend)
    await graph_of(backend, Loop(2)).run()
    await manager.delete_all_checkpoints("g")
    assert await stored(backend) != []

    assert await manager.remove_orphans("g") == 3

    assert await stored(backend) == []
    assert await manager.remove_orphans("g") == 0
    await graph_of(backend, Loop(2)).run()
    assert await manager.remove_orphans("g") == 0
    assert await texts(backend) == [text_of(1), text_of(2)]


# what comes back


async def test_a_run_goes_on_with_large_values(backend: CheckpointBackend) -> None:
    with pytest.raises(Failure):
        await graph_of(backend, Loop(9, changes_at=lambda step: step <= 3, fails_at=5)).run()

    await graph_of(backend, Loop(9, changes_at=lambda step: False), max_checkpoints=3).run(resume=True)

    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None
    assert latest.graph_state == {"steady": STEADY, "text": text_of(3), "step": 9}
    assert len(await stored(backend)) == 2


async def test_a_checkpoint_saved_by_hand_elsewhere_holds_everything(
    backend: CheckpointBackend, tmp_path: Path
) -> None:
    await graph_of(backend, Loop(1)).run()
    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None

    async with FileCheckpointBackend(tmp_path / "copy") as copy:
        await latest.save(copy)
        await CheckpointManager(backend).delete_all_checkpoints("g")
        assert await texts(copy) == [text_of(1)]
        assert await stored(copy) == []


async def test_a_fork_has_values_of_its_own(backend: CheckpointBackend) -> None:
    await graph_of(backend, Loop(2)).run()
    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None

    await latest.fork("h").save(backend)
    await CheckpointManager(backend).delete_all_checkpoints("g")
    await CheckpointManager(backend).remove_orphans("g")

    copied = await CheckpointManager(backend).load_latest("h")
    assert copied is not None
    assert copied.graph_state == {"steady": STEADY, "text": text_of(2), "step": 2}


class Interrupted(FileCheckpointBackend):
    """Its third save is cancelled when it has happened, and so nobody is told of it."""

    async def put(self, record: Record) -> None:
        await super().put(record)
        if record.sequence == 3:
            raise asyncio.CancelledError


async def test_a_record_that_was_stored_without_our_knowing_keeps_its_values(tmp_path: Path) -> None:
    """The run saves another one behind it, which needs other values than the one it does not know."""
    async with Interrupted(tmp_path / "store") as backend:
        graph = graph_of(backend, Loop(9), auto_cleanup=False)
        with pytest.raises(asyncio.CancelledError):
            await graph.run()
        found = await texts(backend)

    assert found[:3] == [text_of(1), text_of(2), text_of(3)]


class Taken(FileCheckpointBackend):
    """The acknowledgement of every save is lost, and the next try finds the sequence in use."""

    async def put(self, record: Record) -> None:
        await super().put(record)
        raise SequenceTakenError("it is there already")


async def test_a_lost_acknowledgement_loses_no_value(tmp_path: Path) -> None:
    async with Taken(tmp_path / "store") as backend:
        await graph_of(backend, Loop(3)).run()

        assert await texts(backend) == [text_of(1), text_of(2), text_of(3)]
        assert await stored(backend) == [1, 1, 2, 3]


# what is wrong


async def plant(backend: CheckpointBackend, name: str) -> None:
    """Leave a large value in the store, as a killed save may."""
    if isinstance(backend, FileCheckpointBackend):
        await asyncio.to_thread((Path(backend.directory) / "g" / "blobs" / f"{name}.blob").write_bytes, b'"left"')
        return
    record = await backend.get("g", 1)
    assert record is not None
    header = replace(record.header, sequence=await backend.next_sequence("g"), manual=True, checkpoint_id="planted")
    await backend.put(Record(header, record.payload).with_blobs({name: b'"left"'}))
    await backend.delete("g", header.sequence)


async def damage(backend: CheckpointBackend, sequence: int) -> str:
    """Remove a large value from behind; its name."""
    (name,) = [name for name in await backend.blob_names("g") if birth(name) == sequence and "killed" not in name]
    await backend.delete_blobs("g", [name])
    return name


async def test_values_stored_by_others_stay_as_long_as_their_record(backend: CheckpointBackend) -> None:
    """Nobody can tell from a payload that the core did not make what it refers to: then it may be anything."""
    await graph_of(backend, Loop(3)).run()
    record, manager = await backend.get("g", 3), CheckpointManager(backend)
    assert record is not None
    await plant(backend, "000000000001-killed-1")
    theirs = replace(record.header, sequence=await backend.next_sequence("g"))
    theirs.checksum = checksum("sha256", theirs.canonical(), record.payload)
    await backend.put(Record(theirs, record.payload, blobs={"000000000002-theirs-1": b"theirs"}))
    before = sorted(await backend.blob_names("g"))

    found = await manager.verify()
    assert await manager.remove_orphans("g") == 0
    await manager.delete_checkpoint("ckpt_g_000001")

    assert (found.is_fine, found.orphans) == (True, [])
    assert sorted(await backend.blob_names("g")) == before
    await backend.delete("g", theirs.sequence)
    assert await manager.remove_orphans("g") > 0
    assert not {"000000000001-killed-1", "000000000002-theirs-1"} & {*await backend.blob_names("g")}


async def test_a_record_that_is_given_values_says_that_its_payload_may_not_name_them() -> None:
    """Except where whoever gives them says that it does; what was signed is not changed."""
    checkpoint = GraphCheckpoint("c", "g", NOON, graph_state={"n": 1})
    record = RecordCodec().encode(checkpoint, sequence=1, manual=False, nonce="n")

    theirs, ours = Record(record.header, record.payload, blobs={"theirs": b"x"}), record.with_blobs({"ours": b"x"})

    assert (record.header.references_in_payload, ours.header.references_in_payload) == (True, True)
    assert (theirs.header.references_in_payload, theirs.is_intact(), theirs == record) == (False, True, False)
    assert (ours.blobs, ours == record) == ({"ours": b"x"}, True)
    for each in (record, theirs):
        assert RecordHeader.from_json(each.header.to_json()) == each.header
    assert b"references" not in record.header.to_json() + record.header.canonical(), "older releases read it as it was"
    with pytest.raises(ValueError, match="with_blobs"):
        Record(replace(record.header, signature="ab"), record.payload, blobs={"theirs": b"x"})


async def test_a_value_that_is_missing_is_named(backend: CheckpointBackend) -> None:
    await graph_of(backend, Loop(3)).run()
    name = await damage(backend, 2)

    with pytest.raises(CheckpointDamagedError, match=f"'ckpt_g_000002'.*its large value '{name}' is missing"):
        await CheckpointManager(backend).load_checkpoint("ckpt_g_000002")


async def test_a_value_that_was_changed_is_named(tmp_path: Path) -> None:
    async with FileCheckpointBackend(tmp_path) as backend:
        await graph_of(backend, Loop(1)).run()
        (file, *_) = (tmp_path / "g" / "blobs").iterdir()
        file.write_bytes(b"x" + file.read_bytes()[1:])

        with pytest.raises(CheckpointDamagedError, match=f"{file.stem}' is not what was written"):
            await CheckpointManager(backend).load_latest("g")


async def test_verify_finds_damage_and_orphans(backend: CheckpointBackend) -> None:
    manager = CheckpointManager(backend)
    await graph_of(backend, Loop(3)).run()
    assert (await manager.verify()).is_fine
    assert (await manager.verify("g")).intact == 3
    await plant(backend, "000000000002-killed-1")
    assert (await manager.verify()).orphans == [("g", "000000000002-killed-1")]

    await damage(backend, 2)
    found = await manager.verify()

    assert found.intact == 2
    assert [info.sequence for info, _ in found.damaged] == [2]
    assert not found.is_fine


async def test_nothing_is_removed_where_a_record_can_not_be_read(tmp_path: Path) -> None:
    """It may need any of the values."""
    async with FileCheckpointBackend(tmp_path) as backend:
        await graph_of(backend, Loop(4), auto_cleanup=False).run()
        before = await backend.blob_names("g")
        record = tmp_path / "g" / "000000000003.ckpt"
        record.write_bytes(record.read_bytes()[:-5] + b"xxxxx")

        await CheckpointManager(backend).delete_checkpoint("ckpt_g_000001")
        with pytest.raises(CheckpointDamagedError):
            await CheckpointManager(backend).remove_orphans("g")

        assert sorted(await backend.blob_names("g")) == sorted(before)


async def test_nothing_is_removed_where_a_record_can_not_even_be_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A row whose time is broken still names what it needs, however little is logged."""
    caplog.set_level(logging.CRITICAL, "spark")
    path = tmp_path / "checkpoints.db"
    async with DatabaseCheckpointBackend(f"sqlite:///{path}") as backend:
        await graph_of(backend, Loop(4), auto_cleanup=False).run()
        before = await backend.blob_names("g")
        await asyncio.to_thread(break_time, path, 3)

        await CheckpointManager(backend).delete_checkpoint("ckpt_g_000001")
        found = await CheckpointManager(backend).verify()

        assert (found.intact, len(found.unlisted), found.orphans, found.is_fine) == (2, 1, [], False)
        assert [(damaged.graph_id, damaged.sequence) for damaged in found.unlisted] == [("g", 3)]
        with pytest.raises(CheckpointDamagedError, match="not known which large values graph 'g' needs"):
            await CheckpointManager(backend).remove_orphans("g")
        assert sorted(await backend.blob_names("g")) == sorted(before)


def break_time(path: Path, sequence: int) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE checkpoints SET timestamp = 'no time' WHERE sequence = ?", (sequence,))


@pytest.mark.filterwarnings("ignore:Checkpoints in the pickle format are not signed")
async def test_records_that_hold_everything_need_not_be_loaded_to_tell_what_nobody_needs(tmp_path: Path) -> None:
    async with FileCheckpointBackend(tmp_path, format="pickle") as backend:
        await graph_of(backend, Loop(2)).run()
    async with FileCheckpointBackend(tmp_path) as backend:
        (tmp_path / "g" / "blobs").mkdir()
        await plant(backend, "000000000001-killed-1")

        assert await CheckpointManager(backend).remove_orphans("g") == 1


async def test_verify_tells_how_far_it_has_come_and_what_it_can_not_read(tmp_path: Path) -> None:
    async with FileCheckpointBackend(tmp_path) as backend:
        await graph_of(backend, Loop(2)).run()
        record = make_record("g", 3, format="nowhere")
        header = replace(record.header, checksum=checksum("sha256", record.header.canonical(), record.payload))
        await backend.put(Record(header, record.payload))
        told: list[tuple[int, int]] = []

        found = await CheckpointManager(backend).verify(report=lambda done, total: told.append((done, total)))

    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (found.intact, [info.sequence for info, _ in found.unreadable], found.is_fine) == (2, [3], True)


async def test_verify_reads_each_record_once(tmp_path: Path) -> None:
    """A request each, where the store is far away."""

    class Counting(FileCheckpointBackend):
        reads = 0

        async def get(self, graph_id: str, sequence: int) -> Record | None:
            self.reads += 1
            return await super().get(graph_id, sequence)

        async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
            records = await super().get_many(graph_id, sequences)
            self.reads += len(records.records)
            return records

    async with Counting(tmp_path) as backend:
        await graph_of(backend, Loop(3), auto_cleanup=False).run()
        before = backend.reads
        await CheckpointManager(backend).verify()

        assert backend.reads - before == 3


async def test_orphans_that_may_be_removed_beside_a_run_are_those_that_verify_shows(
    backend: CheckpointBackend,
) -> None:
    manager = CheckpointManager(backend)
    await graph_of(backend, Loop(2)).run()
    await plant(backend, "000000000002-killed-1")
    await plant(backend, "000000000009-running-1")
    assert (await manager.verify()).orphans == [("g", "000000000002-killed-1")]

    assert await manager.remove_orphans("g", at_rest=False) == 1
    assert await manager.remove_orphans("g") == 1
