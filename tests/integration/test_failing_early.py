"""What the graph's store can't save fails in the step that set or returned it, not at a checkpoint an hour later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from tests.core.checkpoint_values import Note, Page, Size


class Client:
    """Can be copied and pickled, but nobody said how to save it."""


@dataclass(frozen=True)
class Handle:
    number: int = 0

    def __del__(self) -> None:
        """So that it is refused, though it can be a key."""


class Moon(tzinfo):
    pass


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append({"a": value})
    return value


BAD: dict[str, Callable[[], Any]] = {
    "client": Client,
    "class": lambda: Client,
    "function": lambda: deep,
    "range": lambda: range(3),
    "key": lambda: {Handle(): 1},
    "in a dataclass": lambda: Note([Client()]),
    "zone": lambda: datetime(2024, 1, 1, tzinfo=Moon()),
    "too deep": lambda: deep(191),
    "cyclic": cyclic,
}


class Sets(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.set("results", [0, make()])
        return {}


class Updates(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.update("results", lambda old: [0, make()])
        return {}


class SetsInABlock(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        async with context.graph_state.transaction() as block:
            await block.set("results", [0, make()])
        return {}


class Keeps(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        context.state["results"] = [0, make()]
        return {}


class Returns(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"results": [0, make()]}


class Begins(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"begun": True}


make: Callable[[], Any] = Client
PLACES: dict[type[Node], str] = {
    Sets: "graph_state['results']",
    Updates: "graph_state['results']",
    SetsInABlock: "graph_state['results']",
    Keeps: "node_states['Keeps']['results']",
    Returns: "the output of node 'Returns'['results']",
}


def keeping_nothing_yet(start: Node, **options: Any) -> Graph:
    """A graph whose checkpoints would come much later."""
    config = CheckpointConfig(
        backend=InMemoryCheckpointBackend(**options), trigger_on_iteration=1000, trigger_on_failure=False
    )
    return Graph(start, id="early", checkpoint_config=config)


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", BAD)
async def test_a_value_that_can_t_be_saved_fails_in_its_step(
    monkeypatch: pytest.MonkeyPatch, kind: type[Node], name: str
) -> None:
    monkeypatch.setattr("tests.integration.test_failing_early.make", BAD[name])
    start, after = Begins(), Begins(name="after")
    start >> kind() >> after
    graph = keeping_nothing_yet(start)

    with pytest.raises(SerializationError) as raised:
        await graph.run()

    assert raised.value.path.startswith(PLACES[kind] + "[1]")
    assert kind.__name__ in "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert graph.progress is not None
    assert graph.progress.last_node == "Begins"


async def test_inputs_first_values_and_set_state_fail_at_once() -> None:
    graph = keeping_nothing_yet(Begins())
    config = CheckpointConfig(backend=InMemoryCheckpointBackend())

    with pytest.raises(SerializationError, match=r"inputs\['a'\]"):
        await graph.run({"a": Client()})
    with pytest.raises(SerializationError, match=r"graph_state\['a'\]"):
        await graph.set_state("a", Client())
    with pytest.raises(SerializationError, match=r"graph_state\['a'\]"):
        Graph(Begins(), state={"a": Client()}, checkpoint_config=config)


async def test_a_graph_that_keeps_no_checkpoints_takes_whatever_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.test_failing_early.make", Client)
    start = Sets()
    start >> Returns()

    result = await Graph(start).run({"a": Client()})

    assert type(result.content["results"][1]) is Client


@pytest.mark.parametrize("value", [Client, lambda: Note([Size(1)]), lambda: deep(150), lambda: Page.model_construct()])
async def test_what_the_format_takes_is_taken(monkeypatch: pytest.MonkeyPatch, value: Callable[[], Any]) -> None:
    monkeypatch.setattr("tests.integration.test_failing_early.make", value)
    start = Sets()
    start >> Keeps() >> Returns()
    monkeypatch.setenv("SPARK_PICKLE_KEY", "key")
    options = {"format": "pickle"} if value is Client else {}

    result = await keeping_nothing_yet(start, **options).run()

    assert type(result.content["results"][1]) is type(value())


async def test_the_message_says_where_pickle_would_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, is_said in ((Client, True), (lambda: lambda: 1, False)):
        monkeypatch.setattr("tests.integration.test_failing_early.make", value)

        with pytest.raises(SerializationError) as raised:
            await keeping_nothing_yet(Sets()).run()

        assert ("format='pickle'" in str(raised.value)) is is_said


async def test_what_pickle_can_t_take_fails_early_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.integration.test_failing_early.make", lambda: lambda: 1)
    monkeypatch.setenv("SPARK_PICKLE_KEY", "key")

    with pytest.raises(SerializationError, match=r"graph_state\['results'\]\[1\].*pickle"):
        await keeping_nothing_yet(Sets(), format="pickle").run()
