"""What a page says of a run at one checkpoint: its pending work, its journal, its error, its place in the history."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from spark.graphs import Graph, JoinNode, Node, NodeContext, Retry, node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    InMemoryCheckpointBackend,
    KeepAll,
    KeepLast,
    PendingWork,
)
from spark_testing import FakeClock
from spark_ui.views.changed import parts_of
from spark_ui.views.failure import failure_of, stack_of
from spark_ui.views.journal import Journal
from spark_ui.views.moment import Moment, moment_of, position_of
from spark_ui.views.past import Past
from spark_ui.views.pending import work_of
from tests.support.running import countdown


class Stored:
    """A graph that has run, and what a page would show of it."""

    def __init__(self) -> None:
        self.store = InMemoryCheckpointBackend()
        self.clock = FakeClock()
        self.manager = CheckpointManager(self.store, clock=self.clock)

    async def run(self, start: Node, **how: Any) -> None:
        config = CheckpointConfig(backend=self.store, trigger_on_iteration=1, retention=KeepAll())
        with suppress(ValueError):
            await Graph(start, id="g", checkpoint_config=config, clock=self.clock).run(**how)

    async def past(self) -> Past:
        return Past(await self.manager.history("g"))

    async def moment(self, place: int = -1) -> Moment:
        past = await self.past()
        place = place % len(past)
        id = past.entries[place].checkpoint_id
        assert id is not None
        checkpoint = await self.manager.load_checkpoint(id, raw=True)
        return moment_of(checkpoint, position_of(past, place), done=past.nodes_until(place))


@node
async def ask(context: NodeContext) -> Any:
    return await context.interrupt({"amount": 42}, key="approve")


@node
async def wait(context: NodeContext) -> Any:
    return await context.wait_for("paid")


@node
async def rest(context: NodeContext) -> None:
    await context.sleep(3600)


@node
async def pay(context: NodeContext) -> None:
    await context.run("charge", dict, receipt="r1")
    await context.run("name", lambda: context.idempotency_key)
    await context.interrupt("go on?")


async def test_what_branches_wait_for_lights_their_nodes() -> None:
    @node
    async def begin(context: NodeContext) -> None: ...

    gather = JoinNode(name="gather")

    @node
    async def quick(context: NodeContext) -> int:
        return 1

    for branch in (ask, wait, rest, quick):
        begin >> branch >> gather
    stored = Stored()
    await stored.run(begin, wait=False)

    moment = await stored.moment()

    assert moment.status == "interrupted"
    assert moment.work.marks == {
        "begin": "done",
        "ask": "interrupted",
        "wait": "waiting",
        "rest": "waiting",
        "quick": "done",
        "gather": "waiting",
    }
    assert {one.node: (one.doing, one.what) for one in moment.work.pending} == {
        "ask": ("interrupted", "answer approve"),
        "wait": ("waiting", "signal paid"),
        "rest": ("waiting", "a time"),
        "gather": ("at join", "arrived, and waits for the other branches"),
    }
    assert [(question.node, question.key, question.payload) for question in moment.journal.questions] == [
        ("ask", "approve", {"amount": 42})
    ]
    assert [(each.node, each.signal, each.due is None) for each in moment.journal.waits] == [
        ("wait", "paid", True),
        ("rest", "", False),
    ]


async def test_a_map_says_how_far_it_is() -> None:
    @node
    async def split(context: NodeContext) -> dict[str, Any]:
        return {"pages": list(range(40))}

    @node
    async def work(context: NodeContext) -> Any:
        return await context.wait_for("paid") if context.inputs == 12 else context.inputs

    split.each("pages") >> work >> JoinNode(name="gather")
    stored = Stored()
    await stored.run(split, wait=False)

    moment = await stored.moment()
    under_way = await stored.moment(20)

    assert moment.work.counts == {"work": "39 of 40"}
    assert [(map.done, map.running, map.total) for map in moment.work.maps] == [(39, 1, 40)]
    assert under_way.status == "running"
    assert under_way.work.marks["work"] == "running"


async def test_a_failure_is_shown_with_the_stack_of_the_program_and_ours_folded() -> None:
    def broken() -> None:
        raise ValueError("<b>no</b>")

    @node
    async def parse(context: NodeContext) -> None:
        await context.run("read", broken)

    stored = Stored()
    await stored.run(parse)

    moment = await stored.moment()

    assert moment.failure is not None
    assert (moment.failure.type, moment.failure.message, moment.failure.node) == ("ValueError", "<b>no</b>", "parse")
    assert [part.are_ours for part in moment.failure.stack] == [False, True, False]
    assert moment.failure.stack[-1].frames[-1].function.endswith("broken")
    assert moment.work.marks == {"parse": "failed"}
    assert [(one.doing, one.what) for one in moment.work.pending] == [("failed", "1 attempt failed")]
    assert [(each.attempt, each.is_waiting) for each in moment.journal.attempts] == [(1, False)]


async def test_a_retry_says_when_it_is_due() -> None:
    @node(retry=Retry(max_attempts=3, initial_interval=60, jitter=False))
    async def flaky(context: NodeContext) -> None:
        raise ConnectionError("no answer")

    stored = Stored()
    await stored.run(flaky, wait=False)

    (attempt,) = (await stored.moment()).journal.attempts

    assert (attempt.attempt, attempt.error, attempt.is_waiting) == (1, "ConnectionError: no answer", True)
    assert attempt.due is not None
    assert attempt.time is not None
    assert (attempt.due - attempt.time).total_seconds() == 60


async def test_recorded_calls_are_shown_with_their_results() -> None:
    stored = Stored()
    await stored.run(pay)

    charge, name = (await stored.moment()).journal.calls

    assert (charge.node, charge.key, charge.state, charge.value) == ("pay", "charge", "done", {"receipt": "r1"})
    assert name.idempotency_key == name.value


@pytest.mark.parametrize(
    "frontier",
    [
        None,
        [],
        {"tokens": 3},
        {
            "tokens": {"1": None, "2": {"node": ["x"]}},
            "contents": {"1": 2},
            "journal": {"2/interrupt:": {}, "9/x": 1, 7: 8},
        },
        {"tokens": [{"node": "a"}], "contents": None, "journal": {"0/sleep:1": {"due": "tomorrow", "since": 4}}},
        {"tokens": {"1": {"node": "a", "over": "x", "content": "1", "scope": "abc"}}, "contents": {"1": {"a": 1}}},
        {"tokens": {"1": {"node": "a", "scope": [{}, []]}, "2": {"node": "b", "scope": [None]}}},
    ],
)
def test_a_frontier_that_no_run_would_write_is_shown_as_far_as_it_goes(frontier: Any) -> None:
    pending = PendingWork(frontier)

    assert len(work_of(pending, status="running").pending) >= len(pending) > -1
    assert Journal.of(pending).calls == ()


@pytest.mark.parametrize("error", [None, 3, {}, {"stack": "x"}, {"stack": [["a"], 1, ["b", "c", "d"]], "attempt": "x"}])
def test_an_error_that_no_run_would_write_is_shown_as_far_as_it_goes(error: Any) -> None:
    failure = failure_of(error)

    assert failure is None or failure.type == "unknown error"


async def test_a_run_that_was_resumed_from_an_earlier_checkpoint_is_another_line() -> None:
    @node
    async def count(context: NodeContext) -> dict[str, Any]:
        total = await context.graph_state.get("total", 0) + 1
        await context.graph_state.set("total", total)
        return {"more": total < 5}

    count.on(more=True) >> count
    stored = Stored()
    await stored.run(count)
    third = (await stored.past()).entries[2].checkpoint_id
    assert third is not None
    await stored.run(count, resume=await stored.manager.load_checkpoint(third))

    past = await stored.past()
    newest, older = past.lines

    assert [past.sequences[place] for place in newest.entries][:3] == [1, 2, 3]
    assert (newest.start, older.start) == (None, 3)
    assert past.sequences[older.entries[0]] == 4
    assert set(newest.entries) | set(older.entries) == set(range(len(past)))
    assert past.entries[past.before[newest.entries[3]] or 0].sequence == 3


async def test_where_checkpoints_were_deleted_the_last_one_left_stands_before() -> None:
    @node
    async def count(context: NodeContext) -> dict[str, Any]:
        await context.graph_state.update("total", lambda total: total + 1, default=0)
        return {"more": await context.graph_state.get("total") < 9}

    count.on(more=True) >> count
    stored = Stored()
    await stored.run(count)
    for entry in (await stored.past()).entries[2:6]:
        assert entry.checkpoint_id is not None
        await stored.manager.delete_checkpoint(entry.checkpoint_id)

    past = await stored.past()

    assert len(past.lines) == 1
    assert position_of(past, 2).steps == 5


async def test_after_pruning_branches_stay_apart() -> None:
    stored = Stored()
    await stored.run(countdown(), task={"limit": 5})
    await stored.run(countdown(), resume=await stored.manager.load_checkpoint_at("g", 2))
    await stored.manager.prune(KeepLast(2))

    past = await stored.past()

    assert [(line.start, len(line.entries)) for line in past.lines] == [(None, 2), (None, 2)]
    assert past.before == [None, 0, None, 2]


async def test_what_changed_is_told_by_item_and_by_line() -> None:
    @node
    async def begin(context: NodeContext) -> None:
        await context.graph_state.set("text", "".join(f"line {number}\n" for number in range(50)))
        await context.graph_state.set("log", [{"by": "begin"}])
        await context.graph_state.set("old", 1)

    @node
    async def change(context: NodeContext) -> None:
        text = await context.graph_state.get("text")
        await context.graph_state.set("text", text.replace("line 25", "LINE 25"))
        await context.graph_state.append("log", {"by": "change"})
        await context.graph_state.delete("old")

    begin >> change
    stored = Stored()
    await stored.run(begin)
    first, second, *_ = (await stored.past()).entries
    assert first.checkpoint_id is not None
    assert second.checkpoint_id is not None

    parts = parts_of(await stored.manager.diff(first.checkpoint_id, second.checkpoint_id))

    rows = {row.path: row for row in parts[0].rows}
    assert (parts[0].title, parts[0].is_quiet) == ("State", False)
    assert {"-": "line 25", "+": "LINE 25"}.items() <= {line.sign: line.text for line in rows["text"].lines}.items()
    assert len(rows["text"].lines) < 10
    assert (rows["log"].note, rows["log"].items[0].preview) == ("1 item added at 1", '{"by": "change"}')
    assert rows["old"].change == "removed"
    assert all(part.is_quiet for part in parts[1:])


def test_five_thousand_checkpoints_are_a_small_answer() -> None:
    @node
    async def count(context: NodeContext) -> dict[str, Any]:
        return {"more": context.inputs["more"]}

    stored = Stored()
    asyncio.run(stored.run(count, task={"more": False}))
    (entry, *_) = asyncio.run(stored.past()).entries
    from dataclasses import replace

    many = Past([replace(entry, sequence=number, parent=number - 1 or None) for number in range(1, 5001)])

    data = many.to_data()

    assert len(data["sequences"]) == 5000
    assert len(str(data)) < 250_000
    assert many.to_data(after=4998)["sequences"] == [4999, 5000]


async def test_items_of_a_map_that_wait_for_the_same_are_one_line() -> None:
    @node
    async def split(context: NodeContext) -> dict[str, Any]:
        return {"pages": list(range(40))}

    @node
    async def settle(context: NodeContext) -> Any:
        return await context.wait_for("paid")

    split.each("pages") >> settle >> JoinNode(name="gather")
    stored = Stored()
    await stored.run(split, wait=False)

    (line,) = (await stored.moment()).journal.waits

    assert (line.node, line.signal, line.count) == ("settle", "paid", 40)


def test_frames_of_a_recursion_are_one_line() -> None:
    stack = [["/app/walk.py", 7, "walk"]] * 50 + [["/app/walk.py", 9, "walk"]]

    (frames,) = stack_of(stack)

    assert [(frame.line, frame.times) for frame in frames.frames] == [(7, 50), (9, 1)]
