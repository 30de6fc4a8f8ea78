"""Large values are encoded and decoded in threads: those of steps elsewhere don't hold up the event loop of the run."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from spark.errors import DeserializationError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.executors.values import Sent, ValueCodec
from tests.support.pickled_executor import PickledExecutor

LARGE = list(range(100_000))


class Reads(Node):
    async def process(self, context: NodeContext) -> Any:
        return len(await context.graph_state.get("large"))


class Emits(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.emit(LARGE)


class Commits(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.set("large", LARGE)
        await context.commit()


class Calls(Node):
    async def process(self, context: NodeContext) -> Any:
        return len(await context.run("many", LARGE.copy))


class Returns(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"large": LARGE}


class EmitsForEver(Node):
    async def process(self, context: NodeContext) -> Any:
        context.emit(LARGE)
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "start", [Reads(), Emits(), Commits(), Calls(), Returns()], ids=lambda node: type(node).__name__
)
async def test_it_happens_in_threads(monkeypatch: pytest.MonkeyPatch, start: Node) -> None:
    here, inline = threading.current_thread(), []
    encode, decode = ValueCodec.encode, ValueCodec.decode

    def encoded(codec: ValueCodec, value: Any, path: str) -> Sent:
        sent = encode(codec, value, path)
        if threading.current_thread() is here and sent.is_large:
            inline.append(f"encoding {path}")
        return sent

    def decoded(codec: ValueCodec, sent: Sent, path: str) -> Any:
        if threading.current_thread() is here and sent.is_large:
            inline.append(f"decoding {path}")
        return decode(codec, sent, path)

    monkeypatch.setattr(ValueCodec, "encode", encoded)
    monkeypatch.setattr(ValueCodec, "decode", decoded)
    with PickledExecutor() as executor:
        config = CheckpointConfig(backend=InMemoryCheckpointBackend())
        await emitted_by(Graph(start, id="g", state={"large": LARGE}, executor=executor, checkpoint_config=config))

    assert inline == []


async def test_a_run_that_ends_meanwhile_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, decoding, go_on = ValueCodec.decode, threading.Event(), threading.Event()

    def decoded(codec: ValueCodec, sent: Sent, path: str) -> Any:
        if "emit" in path:
            decoding.set()
            go_on.wait(60)
        return decode(codec, sent, path)

    monkeypatch.setattr(ValueCodec, "decode", decoded)
    with PickledExecutor() as executor:
        running = asyncio.create_task(emitted_by(Graph(EmitsForEver(), executor=executor)))
        await asyncio.to_thread(decoding.wait, 60)
        running.cancel()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await running

    assert [task.get_name() for task in asyncio.all_tasks() if "large" in task.get_name()] == []


async def test_an_emitted_value_that_can_t_be_read_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = ValueCodec.decode

    def decoded(codec: ValueCodec, sent: Sent, path: str) -> Any:
        if "emit" in path:
            raise DeserializationError(f"{path} is not known here")
        return decode(codec, sent, path)

    monkeypatch.setattr(ValueCodec, "decode", decoded)
    with PickledExecutor() as executor, pytest.raises(DeserializationError, match="'EmitsOne' sends"):
        await emitted_by(Graph(EmitsOne(), executor=executor))


class EmitsOne(Node):
    async def process(self, context: NodeContext) -> Any:
        context.emit(1)


async def emitted_by(graph: Graph) -> list[Any]:
    return [event async for event in graph.stream(buffer=10)]
