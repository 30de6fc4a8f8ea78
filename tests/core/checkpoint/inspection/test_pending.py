"""What a checkpoint has left to do: its steps, what they wait for, and how far its maps are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, JoinNode, Node, NodeContext, Retry, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from spark_testing import FakeClock

GOLDEN = Path(__file__).parents[2] / "golden"


async def left(start: Node, *, raw: bool = True) -> GraphCheckpoint:
    """The latest checkpoint of a graph that has run until it waits."""
    store, clock = InMemoryCheckpointBackend(), FakeClock()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1)
    await Graph(start, id="g", checkpoint_config=config, clock=clock).run(wait=False)
    latest = await store.latest("g")
    assert latest is not None
    return await CheckpointManager(store).load_checkpoint(latest.checkpoint_id, raw=raw)


def of(frontier: Any, topology: Any = None) -> GraphCheckpoint:
    return GraphCheckpoint("c", "g", datetime(2026, 1, 31, tzinfo=UTC), frontier=frontier, topology=topology)


@node
async def begin(context: NodeContext) -> None: ...


@node
async def ask(context: NodeContext) -> Any:
    return await context.interrupt({"amount": 42}, key="approve")


@node
async def listen(context: NodeContext) -> Any:
    await context.run("charge", dict, receipt="r1")
    return await context.wait_for("paid")


@node
async def rest(context: NodeContext) -> None:
    await context.sleep(3600)


@node(retry=Retry(max_attempts=3, initial_interval=60, jitter=False))
async def flaky(context: NodeContext) -> None:
    raise ConnectionError("no answer")


@node
async def quick(context: NodeContext) -> int:
    return 1


@pytest.mark.parametrize("raw", [True, False])
async def test_every_step_says_what_it_waits_for(raw: bool) -> None:
    begin >> [ask, listen, rest, flaky, quick]

    work = (await left(begin, raw=raw)).pending()

    told = {step.node: (step.state, step.attempt, [(wait.kind, wait.name) for wait in step.waits]) for step in work}
    (question,) = (wait.name for step in work for wait in step.waits if wait.kind == "interrupt")
    assert told == {
        "ask": ("waiting", 1, [("interrupt", question)]),
        "listen": ("waiting", 1, [("signal", "paid")]),
        "rest": ("waiting", 1, [("sleep", "")]),
        "flaky": ("waiting", 2, [("retry", "")]),
    }
    assert len(work) == 4
    assert work.sources == {"begin"}
    (listening,) = (step for step in work.with_entries() if step.node == "listen")
    assert [(each.kind, each.key, each.is_wait) for each in listening.entries] == [
        ("call", "charge", False),
        ("signal", "paid", True),
    ]
    due = {step.node: wait.due - wait.since for step in work for wait in step.waits if wait.due and wait.since}
    assert {node: length.total_seconds() for node, length in due.items()} == {"rest": 3600, "flaky": 60}


async def test_what_has_come_to_a_join_waits_there() -> None:
    gather = JoinNode(name="gather")
    first, waits = node(quick.process, name="first"), node(rest.process, name="waits")
    start = node(begin.process, name="start")
    start >> [first, waits] >> gather

    groups = (await left(start)).pending().groups()

    assert [(group.node, group.state) for group in groups] == [("waits", "waiting"), ("gather", "at_join")]


async def test_maps_are_counted_and_their_steps_grouped() -> None:
    @node
    async def split(context: NodeContext) -> dict[str, Any]:
        return {"pages": list(range(40))}

    @node
    async def read(context: NodeContext) -> Any:
        return await context.wait_for("paid") if context.inputs % 4 == 0 else context.inputs

    split.each("pages", limit=8) >> read >> JoinNode(name="gather")

    work = (await left(split)).pending()

    (map,) = work.maps
    assert (map.source, map.node, map.key) == ("split", "read", "pages")
    assert map.done + map.running + map.waiting == map.total == 40
    waiting = [step for step in work if step.state == "waiting"]
    (group,) = work.groups()
    assert (group.node, group.count, [wait.name for wait in group.waits]) == ("read", len(waiting), ["paid"])
    assert map.running == len(waiting)
    assert all(step.item is not None and step.item % 4 == 0 for step in waiting)


def test_older_releases_listed_their_tokens() -> None:
    _, payload = (GOLDEN / "record_1.0.0.txt").read_text().split("\n", 1)
    frontier = json.loads(payload)["frontier"]
    assert isinstance(frontier["tokens"], list)

    work = of(frontier).pending()

    assert [(step.id, step.node) for step in work] == [(str(each["id"]), each["node"]) for each in frontier["tokens"]]


def test_many_are_counted_without_making_each() -> None:
    tokens = {str(id): {"node": "work", "source": "split", "scope": [1, id]} for id in range(2, 20_002)}
    frontier = {
        "tokens": {"1": {"node": "work", "over": "items", "content": "1"}} | tokens,
        "contents": {"1": [0] * 40_000},
    }

    work = of(frontier).pending()
    (group,) = work.groups()
    (map,) = work.maps

    assert (len(work), group.count, group.state) == (20_000, 20_000, "ready")
    assert (map.done, map.running, map.waiting) == (0, 20_000, 20_000)


@pytest.mark.parametrize(
    "frontier",
    [
        None,
        5,
        [],
        {"tokens": 3},
        {"tokens": {"1": 5}, "journal": 7, "contents": 3},
        {"tokens": {}, "journal": {"1/sleep": 3, "2/sleep:1": {}, 7: 8}},
        {"tokens": [3, None], "contents": [1]},
    ],
)
def test_what_no_run_would_write_is_no_pending_work(frontier: Any) -> None:
    work = of(frontier, topology=frontier).pending()

    assert (len(work), [*work], [*work.with_entries()], work.groups(), work.maps) == (0, [], [], [], ())


def test_it_is_read_as_far_as_it_can_be() -> None:
    frontier = {
        "tokens": {
            "1": {"node": 5, "failures": "x", "scope": 3, "source": ["y"]},
            "2": {"node": "a", "scope": [7, 2]},
            "3": {"over": "items", "content": ["q"]},
        },
        "journal": {"1/sleep:1": {"due": "never"}, "1/call:x": {}, "2/signal:1": {"signal": "s", "value": 1}},
    }

    work = of(frontier).pending()

    assert [(step.node, step.state, step.item, [wait.kind for wait in step.waits]) for step in work] == [
        ("5", "waiting", None, ["sleep"]),
        ("a", "ready", 2, []),
    ]
    assert [(group.node, group.due) for group in work.groups()] == [("5", None), ("a", None)]
