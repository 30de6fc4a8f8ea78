"""A fork stands by itself: nothing of the other history is needed any more, and nothing of it is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointConflictError, CheckpointDamagedError, CheckpointNotFoundError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
    KeepLast,
)
from spark_testing.faults import FaultyBackend
from tests.support.running import Does, Failure

MANY = 400


async def grow(context: NodeContext) -> Any:
    await context.graph_state.append("many", *[{"number": n, "text": "x" * 60} for n in range(MANY)])
    await context.graph_state.set("large", b"\x00\x01" * 50_000)
    return {"more": context.iteration < 5}


async def shrink(context: NodeContext) -> Any:
    await context.graph_state.set("many", [])
    return {"more": context.iteration < 5}


async def hears(context: NodeContext) -> Any:
    return {"heard": await context.wait_for("go")}


def growing(store: CheckpointBackend, graph_id: str = "g", *, keep: int = 3, work: Any = grow) -> Graph:
    loop, end = Does(work, name="grow"), Does(hears, name="hear")
    loop.on(more=True) >> loop
    loop.on(more=False) >> end
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, retention=KeepLast(keep))
    return Graph(loop, id=graph_id, state={"many": []}, checkpoint_config=config)


async def test_the_new_history_needs_nothing_of_the_old_one(backend: CheckpointBackend) -> None:
    graph, manager = growing(backend), CheckpointManager(backend)
    await graph.run(wait=False)
    before = await manager.load_latest("g")
    assert before is not None

    info = await manager.fork(before.checkpoint_id, "copy", append={"many": ["added"]}, reason="what if")
    await manager.forget("g")

    assert (info.graph_id, info.sequence) == ("copy", 1)
    copied = await manager.load_latest("copy")
    assert copied is not None
    assert copied.graph_state == {**before.graph_state, "many": [*before.graph_state["many"], "added"]}
    assert (copied.origin, copied.parent) == (before.checkpoint_id, None)
    report = await manager.verify()
    assert not report.damaged
    assert not report.orphans
    await manager.send("copy", "go", "now")
    message = await growing(backend, "copy").run(resume=True)
    assert message.content == {"heard": "now"}


async def test_a_run_of_the_copy_writes_only_what_is_new(tmp_path: Path) -> None:
    store = FileCheckpointBackend(tmp_path)
    manager = CheckpointManager(store)
    await growing(store).run(wait=False)
    latest = (await manager.list_checkpoints("g"))[-1]
    await manager.fork(latest.checkpoint_id, "copy")
    names = set(await store.blob_names("copy"))
    assert len(names) > 1

    await manager.send("copy", "go")
    await growing(store, "copy", keep=1).run(resume=True)

    written = set(await store.blob_names("copy")) - names
    assert len(written) == 1 < len(names), "what is in one piece is written again by a run that has loaded it"
    await store.close()


async def test_large_values_of_one_branch_stay_while_a_run_prunes_another(backend: CheckpointBackend) -> None:
    """Both refer to chunks that were made before they parted, and the run gives up some of these."""
    manager = CheckpointManager(backend)
    await growing(backend, keep=9).run(wait=False)
    infos = await manager.list_checkpoints("g")
    newest = await manager.load_checkpoint(infos[-1].checkpoint_id)
    await manager.fork(infos[2].checkpoint_id, set={"large": None})

    await growing(backend, keep=1, work=shrink).run(resume=True, wait=False)

    left = [info.sequence for info in await manager.list_checkpoints("g")]
    others = [info.sequence for info in infos[3:]]
    assert left[: len(others)] == others
    assert len(left) == len(others) + 1
    report = await manager.verify()
    assert not report.damaged
    assert not report.orphans
    assert (await manager.load_checkpoint(infos[-1].checkpoint_id)).graph_state == newest.graph_state


async def test_messages_to_one_of_them_are_not_received_by_the_other(backend: CheckpointBackend) -> None:
    manager = CheckpointManager(backend)
    for number in range(3):
        await manager.send("g", "other", number)
    await growing(backend).run(wait=False)
    await manager.fork((await manager.list_checkpoints("g"))[-1].checkpoint_id, "copy")
    await manager.send("g", "go", "to g")
    await manager.send("copy", "go", "to copy")

    recovery = await manager.resume_all(lambda graph_id: growing(backend, graph_id))

    assert {id: message.content for id, message in recovery.resumed.items()} == {
        "g": {"heard": "to g"},
        "copy": {"heard": "to copy"},
    }


async def test_a_graph_id_that_has_a_history_is_refused(backend: CheckpointBackend) -> None:
    manager = CheckpointManager(backend)
    await growing(backend).run(wait=False)
    latest = (await manager.list_checkpoints("g"))[-1]
    await manager.fork(latest.checkpoint_id, "copy")

    with pytest.raises(CheckpointConflictError, match="has checkpoints already"):
        await manager.fork(latest.checkpoint_id, "copy")
    with pytest.raises(CheckpointNotFoundError):
        await manager.fork("nobody", "other")

    assert len(await manager.list_checkpoints("copy")) == 1
    assert await manager.graph_ids() == ["copy", "g"]


async def test_a_checkpoint_that_misses_a_large_value_is_not_forked(backend: CheckpointBackend) -> None:
    manager = CheckpointManager(backend)
    await growing(backend).run(wait=False)
    latest = (await manager.list_checkpoints("g"))[-1]
    await backend.delete_blobs("g", await backend.blob_names("g"))

    with pytest.raises(CheckpointDamagedError, match="large value"):
        await manager.fork(latest.checkpoint_id, "copy")

    assert await manager.graph_ids() == ["g"]


@pytest.mark.parametrize("method", ["get_blobs", "put_blobs", "put"])
async def test_a_fork_that_fails_leaves_nothing_and_can_be_tried_again(method: str) -> None:
    inner = InMemoryCheckpointBackend()
    inner.keeps_records = False
    store = FaultyBackend(inner)
    manager = CheckpointManager(store)
    await growing(store).run(wait=False)
    latest = (await manager.list_checkpoints("g"))[-1]
    store.fail(method, error=OSError("no network"))

    with pytest.raises(Exception, match="no network"):
        await manager.fork(latest.checkpoint_id, "copy")

    assert await manager.graph_ids() == ["g"]
    await manager.fork(latest.checkpoint_id, "copy")
    assert await manager.graph_ids() == ["copy", "g"]


async def test_an_answer_that_is_lost_does_not_make_a_conflict() -> None:
    store = FaultyBackend(InMemoryCheckpointBackend())
    manager = CheckpointManager(store)

    def fails(context: NodeContext) -> Any:
        raise Failure("here")

    with pytest.raises(Failure):
        await Graph(Does(fails, name="f"), id="g", checkpoint_config=CheckpointConfig(backend=store)).run()
    store.lose_answer("put")

    with pytest.raises(Exception, match="lose answer"):
        await manager.edit("g", set={"a": 1})

    latest = await manager.load_latest("g")
    assert latest is not None
    assert latest.graph_state == {"a": 1}
