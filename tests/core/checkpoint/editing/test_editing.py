"""An edit changes what it names, costs what it changes, and knows nothing of all other values."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spark.errors import (
    CheckpointConflictError,
    CheckpointNotFoundError,
    ClaimedError,
    GraphDefinitionError,
    RunError,
    SerializationError,
)
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.running import Does, Failure, every_step

VALUES: dict[str, Any] = {
    "plain": {"a": [1, 2.5, None, True], "$odd": 1},
    "tagged": (1, {2, 3}, b"bytes", datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.50")),
    "like a tag": {"$dict": 1},
    "pairs": {1: "one", (2, 3): "more"},
    "list": ["first"],
    "large": b"\x00\x01" * 100_000,
    "text": "é" * 50_000,
}


async def set_all(context: NodeContext) -> Any:
    for key, value in VALUES.items():
        await context.graph_state.set(key, value)
    await context.graph_state.set("many", [{"number": number, "text": "x" * 40} for number in range(600)])
    await context.graph_state.set("by key", {f"key {number}": "y" * 60 for number in range(600)})
    return {}


def failing(store: CheckpointBackend) -> Graph:
    """A graph that has all kinds of values, and adds to some in ten steps before it fails."""

    async def grow(context: NodeContext) -> Any:
        await context.graph_state.append("many", {"number": -context.iteration})
        await context.graph_state.set(f"step {context.iteration}", "z" * 5_000)
        return {"more": context.iteration < 10}

    def fail(context: NodeContext) -> Any:
        raise Failure("here")

    begin, loop, end = Does(set_all, name="begin"), Does(grow, name="grow"), Does(fail, name="end")
    begin >> loop
    loop.on(more=True) >> loop
    loop.on(more=False) >> end
    return Graph(begin, id="g", checkpoint_config=every_step(store))


async def stopped(store: CheckpointBackend) -> GraphCheckpoint:
    with pytest.raises(Failure):
        await failing(store).run()
    return await latest(store)


async def latest(store: CheckpointBackend) -> GraphCheckpoint:
    found = await CheckpointManager(store).load_latest("g")
    assert found is not None
    return found


class TestValues:
    async def test_what_is_not_named_stays_as_it_was(self, backend: CheckpointBackend) -> None:
        before = await stopped(backend)

        await CheckpointManager(backend).edit(
            "g",
            set={"plain": (1, 2), "new": {3}},
            append={"list": [b"second"], "many": [{"number": 7}, None]},
            delete=["text", "step 4"],
        )

        after = (await latest(backend)).graph_state
        expected = {
            **before.graph_state,
            "plain": (1, 2),
            "list": ["first", b"second"],
            "many": [*before.graph_state["many"], {"number": 7}, None],
            "new": {3},
        }
        del expected["text"], expected["step 4"]
        assert after == expected
        assert [*after] == [*expected]
        assert not (await CheckpointManager(backend).verify()).damaged

    async def test_an_edited_state_can_be_edited_again_and_run_on(self, backend: CheckpointBackend) -> None:
        await stopped(backend)
        manager = CheckpointManager(backend)
        before = await latest(backend)

        await manager.edit("g", delete=["by key", "large"])
        await manager.edit("g", append={"many": ["more"]}, set={"by key": {"again": 1}})
        with pytest.raises(Failure):
            await failing(backend).run(resume=True)

        after = (await latest(backend)).graph_state
        assert after["many"] == [*before.graph_state["many"], "more"]
        assert after["by key"] == {"again": 1}
        assert "large" not in after
        assert not (await manager.verify()).orphans

    async def test_a_large_state_is_not_written_again(self, tmp_path: Path) -> None:
        store = FileCheckpointBackend(tmp_path)
        await stopped(store)
        manager = CheckpointManager(store)
        names = set(await store.blob_names("g"))
        before = (await manager.usage(["g"]))["g"].bytes

        await manager.edit("g", set={"new": 1}, append={"list": ["second"]})

        grown = (await manager.usage(["g"]))["g"].bytes - before
        assert grown < 60_000 < before / 10
        assert names == set(await store.blob_names("g"))
        await store.close()

    async def test_a_large_new_value_is_a_large_value_of_its_own(self, backend: CheckpointBackend) -> None:
        await stopped(backend)
        names = set(await backend.blob_names("g"))

        info = await CheckpointManager(backend).edit("g", set={"huge": "h" * 700_000})

        assert info.size < 600_000
        assert len(set(await backend.blob_names("g")) - names) == 1
        assert (await latest(backend)).graph_state["huge"] == "h" * 700_000

    async def test_a_value_that_cant_be_saved_changes_nothing(self, backend: CheckpointBackend) -> None:
        before = await stopped(backend)

        with pytest.raises(SerializationError, match=r"graph_state\['new'\]\[1\]"):
            await CheckpointManager(backend).edit("g", set={"plain": 1, "new": [1, object()]})

        assert (await latest(backend)).checkpoint_id == before.checkpoint_id


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"delete": ["nobody"]}, "no key 'nobody'"),
            ({"append": {"nobody": [1]}}, "no key 'nobody'"),
            ({"append": {"plain": [1]}}, "no list under 'plain'"),
            ({"append": {"tagged": [1]}}, "no list under 'tagged'"),
        ],
    )
    async def test_what_is_not_there_is_named(self, changes: Any, message: str) -> None:
        store = InMemoryCheckpointBackend()
        before = await stopped(store)

        with pytest.raises(RunError, match=message):
            await CheckpointManager(store).edit("g", set={"other": 1}, **changes)

        assert (await latest(store)).checkpoint_id == before.checkpoint_id

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"set": ["key"]},
            {"set": {1: 2}},
            {"append": {"list": "text"}},
            {"delete": "list"},
            {"set": {"list": []}, "delete": ["list"]},
            {"output": {"a": 1}},
            {"as_node": 3},
            {"set": {"list": []}, "reason": 7},
        ],
    )
    async def test_what_can_t_be_meant_is_refused(self, changes: Any) -> None:
        with pytest.raises(GraphDefinitionError):
            await CheckpointManager(InMemoryCheckpointBackend()).edit("g", **changes)

    async def test_a_graph_that_is_not_there_is_not_edited(self) -> None:
        with pytest.raises(CheckpointNotFoundError, match="Check the graph id"):
            await CheckpointManager(InMemoryCheckpointBackend()).edit("g", set={"a": 1})

    async def test_two_edits_of_one_checkpoint_don_t_both_count(self, backend: CheckpointBackend) -> None:
        before = await stopped(backend)
        manager = CheckpointManager(backend)
        await manager.edit("g", set={"a": 1}, expected=before.checkpoint_id)

        with pytest.raises(CheckpointConflictError, match="has moved on"):
            await manager.edit("g", set={"a": 2}, expected=before.sequence)

        assert (await latest(backend)).graph_state["a"] == 1

    async def test_somebody_who_is_faster_is_not_overwritten(self) -> None:
        class Faster(InMemoryCheckpointBackend):
            async def get_latest(self, graph_id: str) -> Any:
                found = await super().get_latest(graph_id)
                if self.is_beaten:
                    self.is_beaten = False
                    await CheckpointManager(self).edit("g", set={"a": "theirs"})
                return found

            is_beaten = False

        store = Faster()
        await stopped(store)
        store.is_beaten = True

        with pytest.raises(CheckpointConflictError, match="written by somebody else"):
            await CheckpointManager(store).edit("g", set={"a": "mine"})

        assert (await latest(store)).graph_state["a"] == "theirs"

    async def test_a_graph_that_runs_here_or_is_claimed_is_left_alone(self) -> None:
        store = InMemoryCheckpointBackend()

        async def edits(context: NodeContext) -> Any:
            with pytest.raises((RunError, ClaimedError)) as refused:
                await CheckpointManager(store).edit("h", set={"a": 1})
            found.append(type(refused.value))

        found: list[type] = []
        begin, end = Does(lambda context: {}, name="begin"), Does(edits, name="end")
        begin >> end
        graph = Graph(begin, id="h", checkpoint_config=every_step(store))

        await graph.run()
        await graph.run(claim=True)

        assert found == [RunError, ClaimedError]
        await CheckpointManager(store).edit("h", set={"a": 1})


class TestTelling:
    async def test_observers_are_notified_and_the_history_says_who_and_why(self) -> None:
        @dataclass
        class Notes(CheckpointHandler):
            seen: list[str] = field(default_factory=list)

            def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
                self.seen.append(checkpoint.execution_metadata["reason"])

        store, notes = InMemoryCheckpointBackend(), Notes()
        await stopped(store)
        manager = CheckpointManager(store, handler=notes)

        info = await manager.edit("g", set={"a": 1}, reason="wrong number", by="ann")

        assert notes.seen == ["edited"]
        assert (info.metadata["edit_reason"], info.metadata["edited_by"]) == ("wrong number", "ann")
        again = await manager.edit("g", set={"a": 2})
        assert "edit_reason" not in again.metadata

    async def test_the_status_says_how_the_run_stands(self) -> None:
        store = InMemoryCheckpointBackend()
        manager = CheckpointManager(store)

        async def asks(context: NodeContext) -> Any:
            return await context.interrupt("?")

        await Graph(Does(lambda c: {}, name="n"), id="done", checkpoint_config=every_step(store)).run()
        await Graph(Does(asks, name="n"), id="asks", checkpoint_config=every_step(store)).run()
        await stopped(store)
        for graph_id in ("done", "asks", "g"):
            await manager.edit(graph_id, set={"a": 1})

        assert {run.graph_id: run.status for run in await manager.runs()} == {
            "done": "completed",
            "asks": "interrupted",
            "g": "edited",
        }
        assert [run.graph_id for run in await manager.runs("interrupted")] == ["asks"]
        assert [run.graph_id for run in await manager.runs(["edited", "forked"], limit=1)] == ["g"]
        recovery = await manager.resume_all(lambda graph_id: failing(store))
        assert [*recovery.failed] == ["g"]


EDITS = """
import asyncio, sys
from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend

async def main():
    manager = CheckpointManager(FileCheckpointBackend(sys.argv[1]))
    await manager.edit("g", set={"plain": 2}, as_node="end", output={"ok": True})
    await manager.fork((await manager.list_checkpoints("g"))[-1].checkpoint_id, "h", delete=["plain"])

asyncio.run(main())
"""


@dataclass
class Order:
    """A type of the program."""

    number: int
    lines: list[str]


async def test_a_process_without_the_program_s_types_can_edit(tmp_path: Path) -> None:
    store = FileCheckpointBackend(tmp_path)

    async def orders(context: NodeContext) -> Any:
        await context.graph_state.set("order", Order(1, ["a"]))
        await context.graph_state.set("orders", [Order(2, []), Order(3, ["b"])])
        await context.graph_state.set("plain", 1)
        return {"order": Order(4, [])}

    def ends(context: NodeContext) -> Any:
        raise Failure("not yet")

    begin, end = Does(orders, name="begin"), Does(ends, name="end")
    begin >> end
    with pytest.raises(Failure):
        await Graph(begin, id="g", checkpoint_config=CheckpointConfig(backend=store, trigger_on_iteration=1)).run()

    command = [sys.executable, "-c", EDITS, str(tmp_path)]
    await asyncio.to_thread(subprocess.run, command, check=True)

    after = (await latest(store)).graph_state
    assert after == {"order": Order(1, ["a"]), "orders": [Order(2, []), Order(3, ["b"])], "plain": 2}
    fork = await CheckpointManager(store).load_latest("h")
    assert fork is not None
    assert fork.graph_state == {"order": Order(1, ["a"]), "orders": [Order(2, []), Order(3, ["b"])]}
    assert fork.origin == (await latest(store)).checkpoint_id
    assert fork.execution_metadata["status"] == "completed"
    await store.close()
