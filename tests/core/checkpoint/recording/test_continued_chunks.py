"""The next run of a graph goes on from the chunks that are stored: it costs what it adds, and never refers to what may go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from spark.errors import BackendError, CheckpointConflictError, CheckpointDamagedError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.maintenance import garbage
from spark.graphs.checkpoint.maintenance.garbage import collect_garbage
from spark.graphs.checkpoint.recording import continuation, encoder, history
from spark.graphs.checkpoint.records.blobs import writer_of
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Record
from spark.graphs.resuming import session
from tests.core.checkpoint.encoding.planted_chunk_bugs import Planted, edited
from tests.plugins.support.kinds import SELDOM_S3, store_of
from tests.support.aes_gcm import AesGcm
from tests.support.variants import first_of

MESSAGES: Final = 200
"""Of about 1 KB each."""
TURN: Final = 40_000
"""More bytes than a turn writes: its messages, what a chunk would not be worth yet, and references."""


class Chunked(InMemoryCheckpointBackend):
    """Has the chunks of a store that keeps bytes."""

    keeps_records = False


@pytest.fixture(params=[*first_of(["memory", "file", "sqlite"], always=2), SELDOM_S3])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    made = Chunked() if request.param == "memory" else store_of(request.param, request, tmp_path)
    async with made:
        made.blob_cost = 8 * 1024
        yield made


def message(number: int) -> dict[str, Any]:
    return {"id": number, "text": f"message {number} ".ljust(1_000, ".")}


def messages(count: int) -> list[dict[str, Any]]:
    return [message(number) for number in range(count)]


Act = Callable[[], Awaitable[Any]]


class Marking(CheckpointSerializer):
    """Could change anything, and changes nothing."""


class Turn(Node):
    """A turn of a conversation: two messages, and a note about them in a mapping of the node's own."""

    def __init__(self, act: Act | None = None) -> None:
        self._act = act

    async def process(self, context: NodeContext) -> None:
        if self._act is not None:
            await self._act()
        count = await context.graph_state.length("messages")
        await context.graph_state.append("messages", message(count), message(count + 1))
        context.state.set_item("notes", f"turn {count}", f"about {count}".ljust(100))


def graph_on(store: CheckpointBackend, *, act: Act | None = None, id: str = "talk", **settings: Any) -> Graph:
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, **{"auto_cleanup": False} | settings)
    return Graph(Turn(act), id=id, checkpoint_config=config)


async def begun(store: CheckpointBackend, **settings: Any) -> Graph:
    """A conversation that has been stored twice, so that most of it is in chunks."""
    graph = graph_on(store, **settings)
    await graph.set_state("messages", messages(MESSAGES))
    await graph.set_state("book", {f"page {number}": "x" * 300 for number in range(200)})
    await graph.run()
    await graph.run()
    return graph


async def refs_of(store: CheckpointBackend) -> dict[int, set[str]]:
    """The names that each record refers to, by sequence."""
    records = (await store.get_many("talk", range(1, 100))).records
    return {number: {ref.name for ref in store.record_codec.references(record)} for number, record in records.items()}


async def check(store: CheckpointBackend, turns: int, graph_id: str = "talk") -> None:
    """All is there and intact."""
    manager = CheckpointManager(store)
    latest = await manager.load_latest(graph_id)
    assert latest is not None
    assert latest.graph_state["messages"] == messages(MESSAGES + 2 * turns)
    assert list(latest.graph_state["book"]) == [f"page {number}" for number in range(200)]
    assert list(latest.node_states["Turn"]["notes"]) == [f"turn {MESSAGES + 2 * turn}" for turn in range(turns)]
    assert (await manager.verify()).is_fine


async def check_nothing_is_left_behind(store: CheckpointBackend) -> None:
    assert set(await store.blob_names("talk")) == set().union(*(await refs_of(store)).values())


class Written:
    """Bytes of the records that a store gets, and of what they bring."""

    def __init__(self, store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self._inside = False
        put, put_and_delete = store.put, store.put_and_delete

        def account(record: Record) -> None:
            if not self._inside:
                self.sizes.append(len(record.payload) + sum(map(len, record.blobs.values())))

        async def putting(record: Record) -> None:
            account(record)
            await put(record)

        async def putting_and_deleting(record: Record, *more: Any) -> Any:
            account(record)
            self._inside = True
            try:
                return await put_and_delete(record, *more)
            finally:
                self._inside = False

        monkeypatch.setattr(store, "put", putting)
        monkeypatch.setattr(store, "put_and_delete", putting_and_deleting)

    def take(self) -> list[int]:
        taken, self.sizes = self.sizes, []
        return taken


# It costs what it adds.

KEEP: Final = [
    pytest.param({}, id="all"),
    pytest.param({"auto_cleanup": True, "max_checkpoints": 1}, id="one"),
]


@pytest.mark.parametrize("settings", KEEP)
async def test_a_turn_costs_what_it_adds_in_one_process(
    store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    graph = await begun(store, **settings)
    written = Written(store, monkeypatch)

    for _ in range(6):
        await graph.run()

    assert len(written.sizes) >= 6
    assert max(written.sizes) < TURN
    await check(store, 8)
    await check_nothing_is_left_behind(store)


@pytest.mark.parametrize("settings", KEEP)
async def test_a_turn_costs_what_it_adds_across_processes(
    store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    await begun(store, **settings)
    written = Written(store, monkeypatch)

    for turn in range(20):
        graph = graph_on(store, **settings)
        if turn % 2:
            await graph.load()
        await graph.run(resume="state")

    assert max(written.sizes) < TURN
    assert sum(written.sizes) / len(written.sizes) < TURN / 2
    await check(store, 22)
    await check_nothing_is_left_behind(store)


async def test_a_run_that_was_interrupted_goes_on_from_its_chunks(
    store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(store)
    written = Written(store, monkeypatch)
    fails = True

    async def fail() -> None:
        if fails:
            raise ValueError("not yet")

    graph = graph_on(store, act=fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="not yet"):
            await graph.run(resume="state" if not written.sizes else True)
    fails = False
    assert (await graph.run(resume=True)).resumed

    assert max(written.sizes) < TURN
    await check(store, 3)


async def test_what_is_set_between_loading_and_running_is_stored(
    store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(store)
    written = Written(store, monkeypatch)
    graph = graph_on(store)
    await graph.load()
    await graph.set_state("book", {f"page {number}": "y" if number == 7 else "x" * 300 for number in range(200)})

    await graph.run(resume="state")

    latest = await CheckpointManager(store).load_latest("talk")
    assert latest is not None
    assert latest.graph_state["book"]["page 7"] == "y"
    assert max(written.sizes) < TURN + 60_000, "the messages are not written again"
    await check(store, 3)


async def test_the_cost_of_waiting_in_the_record_is_counted_on_across_processes(store: CheckpointBackend) -> None:
    """Else what is small would never be put into a chunk where each process makes one checkpoint."""
    store.blob_cost = 64 * 1024
    await begun(store)
    for _ in range(30):
        await graph_on(store).run(resume="state")

    record = await store.get_latest("talk")
    assert record is not None
    assert len(record.payload) < 90_000
    await check(store, 32)


# Nothing is referred to that may go.


async def own_only(store: CheckpointBackend) -> bool:
    """Whether the latest record refers only to what was made for it, or by the run that made it."""
    refs = await refs_of(store)
    record = await store.get_latest("talk")
    assert record is not None
    return {writer_of(name) for name in refs[record.sequence]} <= {record.header.nonce.rpartition("-")[0]}


async def test_a_run_from_an_older_checkpoint_refers_to_nothing_of_others(store: CheckpointBackend) -> None:
    await begun(store)
    manager = CheckpointManager(store)
    older = await manager.load_checkpoint("ckpt_talk_000001")

    graph = Graph.from_checkpoint(older, start=Turn(), checkpoint_config=graph_on(store).checkpoint_config)
    graph.start = graph.start  # a new run
    await graph.run()

    assert await own_only(store)
    assert (await manager.verify()).is_fine


async def test_a_graph_that_goes_back_refers_to_nothing_of_what_it_had(store: CheckpointBackend) -> None:
    """The values that it begins with are not those that it has stored last."""
    graph = await begun(store)
    older = await CheckpointManager(store).load_checkpoint("ckpt_talk_000001")
    older.frontier = None

    await graph.run(resume=older)

    assert await own_only(store)
    latest = await CheckpointManager(store).load_latest("talk")
    assert latest is not None
    assert latest.graph_state["messages"] == messages(MESSAGES + 4)


async def test_a_fork_refers_to_nothing_of_its_origin(store: CheckpointBackend) -> None:
    await begun(store)
    manager = CheckpointManager(store)
    latest = await manager.load_latest("talk")
    assert latest is not None

    fork = Graph.from_checkpoint(
        latest.fork("other"), start=Turn(), checkpoint_config=graph_on(store).checkpoint_config
    )
    fork.start = fork.start
    await fork.run()
    await manager.delete_all_checkpoints("talk")
    await manager.remove_orphans("talk")

    await check(store, 3, "other")


async def test_a_record_that_was_deleted_meanwhile_is_not_continued(store: CheckpointBackend) -> None:
    """Whoever deletes everything while no run is under way may remove what nothing refers to, too."""
    await begun(store)
    other, manager = graph_on(store), CheckpointManager(store)
    await other.load()
    await manager.delete_all_checkpoints("talk")
    await manager.remove_orphans("talk")

    await other.run(resume="state")

    assert await own_only(store)
    await check(store, 3)


async def test_one_that_takes_the_place_of_a_forgotten_one_is_not_continued(store: CheckpointBackend) -> None:
    await begun(store)
    late = graph_on(store)
    await late.load()
    await CheckpointManager(store).forget("talk")
    await begun(store)

    await late.run(resume="state")

    await check(store, 3)
    assert await own_only(store)


async def test_the_latest_record_may_be_deleted_by_hand_beside_a_run(store: CheckpointBackend) -> None:
    await begun(store)
    manager = CheckpointManager(store)

    async def delete() -> None:
        await manager.delete_checkpoint("ckpt_talk_000002")
        await collect_garbage(store, "talk")

    await graph_on(store, act=delete).run(resume="state")

    assert not await own_only(store), "it refers to chunks of the one that was deleted"
    await check(store, 3)


@pytest.mark.parametrize("keep", [1, 2])
async def test_of_two_that_continue_one_record_the_loser_takes_nothing_away(
    store: CheckpointBackend, keep: int
) -> None:
    settings = {"auto_cleanup": True, "max_checkpoints": keep}
    await begun(store, **settings)

    turns = [3, 2, 1]

    async def overtake() -> None:
        while turns:
            turns.pop()
            await graph_on(store, **settings).run(resume="state")

    loser = graph_on(store, act=overtake, **settings)
    with pytest.raises(CheckpointConflictError):
        await loser.run(resume="state")

    await check(store, 5)
    await loser.run()
    assert await own_only(store), "its own state is not what the winner has stored"
    assert (await CheckpointManager(store).verify()).is_fine


async def test_garbage_of_earlier_writers_is_collected_and_nothing_else(store: CheckpointBackend) -> None:
    settings = {"auto_cleanup": True, "max_checkpoints": 1}
    await begun(store, **settings)
    for _ in range(3):
        await graph_on(store, **settings).run(resume="state")
        await CheckpointManager(store).remove_orphans("talk", at_rest=False)

    await check(store, 5)
    await check_nothing_is_left_behind(store)


async def test_what_can_not_be_read_is_not_referred_to_again(store: CheckpointBackend) -> None:
    graph = await begun(store)
    name = sorted((await refs_of(store))[2])[0]
    await store.delete_blobs("talk", [name])
    with pytest.raises(CheckpointDamagedError, match=name):
        await graph.run(resume="state")

    await graph.run()

    assert name not in (await refs_of(store))[3]
    latest = await CheckpointManager(store).load_latest("talk")
    assert latest is not None
    assert latest.graph_state["messages"] == messages(MESSAGES + 6)


async def test_what_could_not_be_stored_is_not_referred_to(
    store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.blob_cost = 128
    graph = await begun(store, trigger_on_start=True)
    put = store.put

    async def refuse(record: Record) -> None:
        if record.header.metadata["reason"] != "started":
            raise OSError("no space left")
        await put(record)

    monkeypatch.setattr(store, "put", refuse)
    with pytest.raises(BackendError, match="no space left"):
        await graph.run()
    monkeypatch.setattr(store, "put", put)
    await graph.run()

    await check(store, 4)


async def test_garbage_is_not_what_a_record_refers_to_that_came_while_others_were_read(
    store: CheckpointBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record that was listed is gone, and its successor was not listed."""
    settings = {"auto_cleanup": True, "max_checkpoints": 1}
    await begun(store, **settings)
    get_many, turns = store.get_many, [1]

    async def held_up(*args: Any) -> Any:
        if turns:
            turns.pop()
            await graph_on(store, **settings).run(resume="state")
        return await get_many(*args)

    monkeypatch.setattr(store, "get_many", held_up)
    await collect_garbage(store, "talk")

    await check(store, 3)


# What is written in another way is written anew.


@pytest.mark.parametrize("other", [{"format": "msgpack"}, {"codec": AesGcm("00" * 32)}, {"serializer": Marking()}])
async def test_what_is_written_in_another_way_is_written_anew(tmp_path: Path, other: dict[str, Any]) -> None:
    async with FileCheckpointBackend(tmp_path) as first:
        first.blob_cost = 8 * 1024
        await begun(first)
    async with FileCheckpointBackend(tmp_path, **other) as second:
        second.blob_cost = 8 * 1024
        await graph_on(second).run(resume="state")

        assert await own_only(second)
        await check(second, 3)


async def test_one_that_was_copied_to_another_place_is_written_anew(tmp_path: Path) -> None:
    """Names say when large values were made: there, they would say that something else had to refer to them."""
    store, other = Chunked(), Chunked()
    store.blob_cost = other.blob_cost = 8 * 1024
    await begun(store)
    await turn_with_book(store, "w")
    for _ in range(3):
        await graph_on(store).run(resume="state")
    record = await store.get("talk", 6)
    assert record is not None
    names = (await refs_of(store))[6]
    header = replace(record.header, sequence=1, checkpoint_id="ckpt_talk_000001")
    header.checksum = checksum("crc32", header.canonical(), record.payload)
    await other.put(Record(header, record.payload).with_blobs(await store.get_blobs("talk", names)))

    settings = {"auto_cleanup": True, "max_checkpoints": 2}
    await graph_on(other, **settings).run(resume="state")
    await turn_with_book(other, "x", **settings)

    await check(other, 8)


async def turn_with_book(store: CheckpointBackend, text: str, **settings: Any) -> None:
    graph = graph_on(store, **settings)
    await graph.load()
    await graph.set_state("book", {f"page {number}": text * 300 for number in range(200)})
    await graph.run(resume="state")


# Mistakes are found.

PLANTED: Final[dict[str, tuple[Planted, str]]] = {
    "a record that is not there any more is continued": (
        edited(
            history,
            history.History,
            "continues",
            "if found is None or (found.sequence, found.timestamp) != (info.sequence, info.timestamp):",
            "if False:",
        ),
        "deleted",
    ),
    "another record with the same sequence is continued": (
        edited(
            history,
            history.History,
            "continues",
            "(found.sequence, found.timestamp) != (info.sequence, info.timestamp)",
            "found.sequence != info.sequence",
        ),
        "forgotten",
    ),
    "a record that could not be read is continued": (
        edited(session, session.GraphSession, "choose_origin", "self.stored = None", "pass"),
        "damaged",
    ),
    "what was not stored is continued": (
        edited(encoder, encoder.RunEncoder, "left", "if self._blobs is None or not self._is_stored:", "if False:"),
        "refused",
    ),
    "what a fork or an older checkpoint begins with is taken for the latest": (
        edited(
            session,
            session.GraphSession,
            "begin_at",
            "self._with_state(stored) if stored is not None else None",
            "self._with_state(stored) if stored is not None else self.stored",
        ),
        "older",
    ),
    "garbage is looked for in what was listed first": (
        edited(garbage, None, "find_orphans", "if not (orphans and vanished):", "if True:"),
        "collected",
    ),
    "large values with other births are continued": (
        edited(
            continuation,
            continuation.LoadedRecord,
            "known",
            "if any(not 0 < (birth(ref.name) or 0) <= self.info.sequence for ref in refs):",
            "if False:",
        ),
        "copied",
    ),
}


async def goes_wrong(what: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    store = Chunked()
    store.blob_cost = 8 * 1024
    checks: dict[str, Callable[[], Awaitable[None]]] = {
        "deleted": lambda: test_a_record_that_was_deleted_meanwhile_is_not_continued(store),
        "forgotten": lambda: test_one_that_takes_the_place_of_a_forgotten_one_is_not_continued(store),
        "damaged": lambda: test_what_can_not_be_read_is_not_referred_to_again(store),
        "refused": lambda: test_what_could_not_be_stored_is_not_referred_to(store, monkeypatch),
        "older": lambda: test_a_graph_that_goes_back_refers_to_nothing_of_what_it_had(store),
        "collected": lambda: test_garbage_is_not_what_a_record_refers_to_that_came_while_others_were_read(
            store, monkeypatch
        ),
        "copied": lambda: test_one_that_was_copied_to_another_place_is_written_anew(path),
    }
    try:
        await checks[what]()
    except Exception:
        return True
    return False


@pytest.mark.parametrize("name", PLANTED)
async def test_mistakes_are_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (owner, attribute, wrong), found_by = PLANTED[name]
    monkeypatch.setattr(owner, attribute, wrong)
    assert await goes_wrong(found_by, tmp_path, monkeypatch)
