"""In memory, a checkpoint is encoded when somebody reads it: nobody can tell, except by the clock."""

from __future__ import annotations

import asyncio
import gc
import pickle
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext, node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_format_pickle import PickleFormat


class Counting(JsonFormat):
    """Counts what it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        write = self.dumps

        def dumps(tree: Any) -> bytes:
            self.written += 1
            return write(tree)

        self.dumps = dumps  # type: ignore[method-assign]


def every_step(backend: CheckpointBackend, **more: Any) -> CheckpointConfig:
    return CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False, **more)


def looping(act: Callable[[NodeContext], Any], *, steps: int) -> Node:
    """A loop that acts in each of its steps."""

    @node
    async def step(context: NodeContext) -> dict[str, Any]:
        output = await act(context)
        return {"more": context.iteration + 1 < steps, "output": output}

    step.on(more=True) >> step
    step.on(more=False) >> ExitNode()
    return step


async def all_of(backend: CheckpointBackend) -> list[GraphCheckpoint]:
    manager = CheckpointManager(backend)
    return [await manager.load_checkpoint(info.checkpoint_id) for info in await manager.list_checkpoints("g")]


@pytest.fixture
async def memory() -> AsyncIterator[InMemoryCheckpointBackend]:
    async with InMemoryCheckpointBackend(format=Counting()) as backend:
        yield backend


async def do_everything(context: NodeContext) -> list[int]:
    """Change whatever there is: in the state, by item and as a whole, and what was handed out, after it was handed over."""
    number, state = context.iteration, context.graph_state
    seen = await state.get("seen", [])
    seen.append(number)
    await state.set("seen", seen)
    seen.append("too late")
    item = {"number": [number]}
    await state.append("items", item)
    item["number"].append("too late")
    await state.set_item("mapping", f"key {number % 5}", item)
    if number > 5:
        await state.delete_item("mapping", f"key {(number + 2) % 5}")
    item["number"].append("too late again")
    own = context.state.get("own", [])
    own.append(number)
    context.state["own"] = own
    if number % 3 == 0:
        await state.set(f"third {number}", number)
    if number % 3 == 2:
        await state.delete(f"third {number - 2}")
    inputs = context.inputs
    if isinstance(inputs, dict) and isinstance(inputs.get("content"), dict):
        inputs["content"]["changed"] = True
    return seen


async def test_checkpoints_are_those_of_a_store_that_encodes_at_once(tmp_path: Path, memory: Any) -> None:
    """Read at the end, each is what it was when it was made, in the same order."""
    async with FileCheckpointBackend(tmp_path) as files:
        for backend in (files, memory):
            await Graph(looping(do_everything, steps=25), id="g", checkpoint_config=every_step(backend)).run({"a": [1]})
        expected, found = await all_of(files), await all_of(memory)

    assert len(found) == len(expected) == 26
    for one, other in zip(found, expected, strict=True):
        for name in ("graph_state", "node_states", "topology"):
            assert _ordered(getattr(one, name)) == _ordered(getattr(other, name))
        assert one.frontier is not None
        assert other.frontier is not None
        assert _ordered(one.frontier) == _ordered(other.frontier)
        assert one.config["inputs"] == other.config["inputs"]
        assert one.execution_metadata["iteration"] == other.execution_metadata["iteration"]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, _ordered(item)) for key, item in value.items()]
    return [_ordered(item) for item in value] if isinstance(value, list) else value


async def test_nothing_is_encoded_before_it_is_read(memory: InMemoryCheckpointBackend) -> None:
    format: Any = memory.record_codec.format

    async def count(context: NodeContext) -> None:
        await context.graph_state.set("text", "x" * 1000 + str(context.iteration))

    await Graph(looping(count, steps=2), id="warm", checkpoint_config=every_step(memory)).run()
    first = format.written
    await Graph(looping(count, steps=50), id="g", checkpoint_config=every_step(memory)).run()
    infos = await CheckpointManager(memory).list_checkpoints("g")

    assert len(infos) == 51
    assert 0 < format.written <= 2 * first  # only the first one of each run
    await CheckpointManager(memory).load_checkpoint(infos[-1].checkpoint_id)
    assert format.written > first


async def test_a_size_is_found_when_it_is_read(memory: InMemoryCheckpointBackend) -> None:
    await Graph(looping(do_everything, steps=4), id="g", checkpoint_config=every_step(memory)).run()
    listed = (await memory.list("g")).infos
    again = (await memory.list("g")).infos
    records = [await memory.get("g", info.sequence) for info in listed]

    assert [info.size for info in listed] == [len(record.payload) for record in records if record is not None]
    assert listed == again
    assert [*map(hash, listed)] == [*map(hash, again)]
    assert pickle.loads(pickle.dumps(listed)) == listed
    assert f"size={listed[-1].size}, " in repr(listed[-1])
    assert all(record is not None and record.is_intact() for record in records)


async def test_an_info_is_pickled_without_what_it_is_found_by(memory: InMemoryCheckpointBackend) -> None:
    await Graph(looping(do_everything, steps=4), id="g", checkpoint_config=every_step(memory)).run()
    info = (await memory.list("g")).infos[-1]

    assert len(pickle.dumps(info)) < 600
    assert pickle.loads(pickle.dumps(info)) == info


async def test_what_a_handler_changes_is_its_own(memory: InMemoryCheckpointBackend) -> None:
    class Spoils(CheckpointHandler):
        async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            checkpoint.graph_state["items"].append("spoilt")
            checkpoint.node_states.clear()
            assert checkpoint.frontier is not None
            for content in checkpoint.frontier["contents"].values():
                content["spoilt"] = True

    config = every_step(memory, handler=Spoils())
    await Graph(looping(do_everything, steps=4), id="g", checkpoint_config=config).run()

    for checkpoint in await all_of(memory):
        assert "spoilt" not in repr(checkpoint)
        assert checkpoint.node_states


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


COLLIDING = {number * (2**61 - 1): number for number in range(1, 200)}
"""All keys have the same hash."""


async def set_object(context: NodeContext) -> Any:
    await context.graph_state.set("bad", [1, object()])


async def set_colliding(context: NodeContext) -> Any:
    await context.graph_state.set("bad", COLLIDING)


async def set_colliding_set(context: NodeContext) -> Any:
    await context.graph_state.set("bad", {"a": {*COLLIDING}})


async def set_own(context: NodeContext) -> Any:
    context.state["bad"] = {"a": object()}


async def append_object(context: NodeContext) -> Any:
    await context.graph_state.append("bad", 1, [object()])


async def set_item_object(context: NodeContext) -> Any:
    await context.graph_state.set_item("bad", "key", object())


async def update_to_object(context: NodeContext) -> Any:
    await context.graph_state.update("bad", lambda value: object(), default=1)


async def return_object(context: NodeContext) -> Any:
    return {"a": object()}


async def return_colliding(context: NodeContext) -> Any:
    return COLLIDING


BAD = [
    set_object,
    set_colliding,
    set_colliding_set,
    set_own,
    append_object,
    set_item_object,
    update_to_object,
    return_object,
    return_colliding,
]


@pytest.mark.parametrize("act", BAD, ids=lambda act: act.__name__)
async def test_what_can_not_be_saved_fails_in_its_step_as_in_files(act: Any, tmp_path: Path, memory: Any) -> None:
    async def third(context: NodeContext) -> Any:
        return await act(context) if context.iteration == 2 else None

    errors = []
    async with FileCheckpointBackend(tmp_path) as files:
        for backend in (files, memory):
            with pytest.raises(SerializationError) as caught:
                await Graph(looping(third, steps=5), id="g", checkpoint_config=every_step(backend)).run()
            errors.append((caught.value.path, str(caught.value)))
            assert [info.sequence for info in (await backend.list("g")).infos][:2] == [1, 2]
            assert len([*map(str, await all_of(backend))]) >= 2

    assert errors[0] == errors[1]


async def test_what_is_nested_too_deep_for_a_checkpoint_fails_in_its_step(memory: InMemoryCheckpointBackend) -> None:
    async def third(context: NodeContext) -> Any:
        return nested(186) if context.iteration == 2 else None

    with pytest.raises(SerializationError, match="nested deeper"):
        await Graph(looping(third, steps=5), id="g", checkpoint_config=every_step(memory)).run()

    assert len(await all_of(memory)) >= 2


async def test_what_a_run_begins_with_is_encoded_at_its_first_checkpoint(memory: InMemoryCheckpointBackend) -> None:
    """A checkpoint may have been edited by hand; nothing has checked that."""
    await Graph(looping(do_everything, steps=3), id="g", checkpoint_config=every_step(memory)).run()
    checkpoint = (await all_of(memory))[0]
    checkpoint.graph_state["bad"] = lambda: None

    graph = Graph(looping(do_everything, steps=3), id="g", checkpoint_config=every_step(memory))
    with pytest.raises(SerializationError) as caught:
        await graph.run(resume=checkpoint)

    assert caught.value.path.startswith("graph_state['bad']")


async def test_old_checkpoints_are_read_in_other_threads_while_the_run_goes_on(
    memory: InMemoryCheckpointBackend,
) -> None:
    found: list[asyncio.Task[bytes]] = []

    async def grow(context: NodeContext) -> None:
        await context.graph_state.append("items", {"number": context.iteration})
        await context.graph_state.set_item("mapping", f"key {context.iteration % 7}", context.iteration)
        if context.iteration > 0:
            record = memory._graphs["g"][context.iteration]
            found.append(asyncio.create_task(asyncio.to_thread(getattr, record, "payload")))
            await asyncio.sleep(0)

    await Graph(looping(grow, steps=150), id="g", checkpoint_config=every_step(memory)).run()

    counts = [payload.count(b'"number":') for payload in await asyncio.gather(*found)]
    assert counts == [*range(1, 150)]


async def test_a_run_that_failed_is_resumed_in_memory(memory: InMemoryCheckpointBackend) -> None:
    fails = True

    async def act(context: NodeContext) -> None:
        await context.graph_state.append("items", context.iteration)
        if fails and context.iteration == 7:
            raise RuntimeError("killed")

    graph = Graph(looping(act, steps=12), id="g", checkpoint_config=every_step(memory))
    with pytest.raises(RuntimeError, match="killed"):
        await graph.run()
    fails = False
    await graph.run(resume=True)

    assert (await all_of(memory))[-1].graph_state["items"] == [*range(12)]


async def test_a_fork_of_an_old_checkpoint_continues_from_there(memory: InMemoryCheckpointBackend) -> None:
    async def act(context: NodeContext) -> None:
        await context.graph_state.append("items", context.iteration)

    await Graph(looping(act, steps=9), id="g", checkpoint_config=every_step(memory)).run()
    fork = (await all_of(memory))[3].fork("fork")
    await fork.save(memory)
    graph = Graph(looping(act, steps=9), id="fork", checkpoint_config=every_step(memory))
    await graph.run(resume=True)

    assert await graph.get_state("items") == [*range(9)]


async def test_a_long_history_costs_what_changed_and_reading_it_keeps_nothing() -> None:
    backend = InMemoryCheckpointBackend()

    async def grow(context: NodeContext) -> None:
        await context.graph_state.append("messages", f"{context.iteration:4}" * 256)

    await Graph(looping(grow, steps=3), id="warm", checkpoint_config=every_step(backend)).run()
    tracemalloc.start()
    try:
        await Graph(looping(grow, steps=200), id="g", checkpoint_config=every_step(backend)).run()
        kept, _ = tracemalloc.get_traced_memory()
        for sequence in range(150, 200):
            record = await backend.get("g", sequence)
            assert record is not None
            assert len(record.payload) > sequence * 1024
        del record
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 200 * (1024 + 4500)
    assert after - kept < 2_500_000  # of 8 MB that were read


class Branch(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"node": context.node, "list": [1]}


class Gathers(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return {"done": True}


async def test_tokens_of_old_checkpoints_are_what_they_were(tmp_path: Path, memory: Any) -> None:
    def fan() -> Node:
        start, join = Branch(), Gathers()
        for _ in range(30):
            branch = Branch()
            start >> branch
            branch >> join
        return start

    async with FileCheckpointBackend(tmp_path) as files:
        for backend in (files, memory):
            await Graph(fan(), id="g", checkpoint_config=every_step(backend)).run()
        expected, found = await all_of(files), await all_of(memory)

    assert len(found) == len(expected) == 32
    assert [each.frontier for each in found] == [each.frontier for each in expected]


class Marks:
    """A serializer that is asked about every value."""

    def serialize(self, value: Any) -> Any:
        return value

    def deserialize(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize(
    "options", [{"format": PickleFormat(signing_key=b"k" * 32)}, {"serializer": Marks()}], ids=["pickle", "serializer"]
)
async def test_where_a_check_does_not_tell_all_checkpoints_are_encoded_at_once(options: dict[str, Any]) -> None:
    async with InMemoryCheckpointBackend(**options) as backend:
        assert not backend.record_codec.defers
        await Graph(looping(do_everything, steps=6), id="g", checkpoint_config=every_step(backend)).run()

        assert [each.graph_state["seen"] for each in await all_of(backend)] == [
            *([*range(number)] for number in range(1, 7)),
            [*range(6)],
        ]


async def objects_per_checkpoint(kept: int, memory: InMemoryCheckpointBackend) -> float:
    """How many objects the garbage collector has to look at, at the end of a fan-out, for each checkpoint that is kept."""
    start, join = Branch(), Gathers()
    start >> [Branch() for _ in range(kept)] >> join
    graph = Graph(start, id=f"fan {kept}", checkpoint_config=every_step(memory))
    gc.collect()
    before = len(gc.get_objects())
    await graph.run()
    gc.collect()
    return (len(gc.get_objects()) - before) / kept


async def test_a_kept_checkpoint_is_a_few_objects(memory: InMemoryCheckpointBackend) -> None:
    """A history of thousands would keep the garbage collector busy, so that each step of a wide fan-out took longer."""
    await objects_per_checkpoint(20, memory)

    assert await objects_per_checkpoint(400, memory) < 12  # two of them are what the branch returned
