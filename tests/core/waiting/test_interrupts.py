"""Questions to people: each case of asking and answering that users may come upon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from spark.errors import (
    DeserializationError,
    GraphDefinitionError,
    InputConflictError,
    NodeError,
    RunError,
    SerializationError,
)
from spark.graphs import Graph, Interrupt, JoinNode, Message, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark_testing.clock import SkippingClock
from tests.support.running import Does, Failure, Work, every_step, history


class Desk:
    """A graph id under which graphs are made anew, as other processes would."""

    def __init__(self, *works: Work, stored: bool = True, **config: Any) -> None:
        self.backend = InMemoryCheckpointBackend()
        self.clock = SkippingClock()
        self.works = works
        self.config = every_step(self.backend, **config) if stored else None
        self.asked: tuple[Interrupt, ...] = ()
        self.manager = CheckpointManager(self.backend)

    def wired(self) -> Node:
        start = Does(lambda context: context.inputs, name="start")
        branches = [Does(work, name=name) for name, work in zip("abcdef", self.works, strict=False)]
        start >> branches >> JoinNode(name="join")
        return start

    def graph(self, id: str = "desk") -> Graph:
        return Graph(self.wired(), id=id, checkpoint_config=self.config, clock=self.clock)

    async def begin(self, inputs: Any = None) -> tuple[Interrupt, ...]:
        """The questions of a new run."""
        return self._noted(await self.graph().run(inputs))

    async def answer(self, *answers: Any, **more: Any) -> Message:
        """Answer the first questions that were asked last, in a new graph."""
        ids = [each.id for each in self.asked]
        message = await self.graph().run(resume=dict(zip(ids, answers, strict=False)), **more)
        self._noted(message)
        return message

    def _noted(self, message: Message) -> tuple[Interrupt, ...]:
        self.asked = message.interrupts
        return self.asked


def asks(*payloads: Any, **options: Any) -> Work:
    """Asks one question after another, and returns the answers."""

    async def work(context: NodeContext) -> Any:
        return [await context.interrupt(payload, **options) for payload in payloads]

    return work


async def asks_at_once(context: NodeContext) -> Any:
    return await asyncio.gather(*(context.interrupt(each) for each in ("x?", "y?", "z?")))


async def asks_in_a_task_group(context: NodeContext) -> Any:
    async def inner(payload: str) -> Any:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(context.interrupt(payload, key=payload))
        return task.result()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(inner(each)) for each in ("x?", "y?", "z?")]
    return [task.result() for task in tasks]


def result_of(message: Message) -> Any:
    """What the only branch returned."""
    assert message.status == "completed"
    return message.content["results"][0]


class TestAsking:
    async def test_a_question_says_who_asks_what_and_since_when(self) -> None:
        desk = Desk(asks({"amount": 5}, key="review"))
        (asked,) = await desk.begin()

        assert (asked.node, asked.key, asked.payload) == ("a", "review", {"amount": 5})
        assert (asked.schema, asked.error, asked.path) == (None, None, ())
        assert asked.since == desk.clock.utc_now()

    async def test_other_branches_go_on_and_all_questions_are_returned_together(self) -> None:
        desk = Desk(asks("one?"), asks("two?"), lambda context: "done")
        message = await desk.graph().run()

        assert message.status == "interrupted"
        assert [(each.node, each.payload) for each in message.interrupts] == [("a", "one?"), ("b", "two?")]
        frontier = (await history(desk.graph()))[-1].frontier
        assert frontier is not None
        assert "done" in frontier["contents"].values()

    @pytest.mark.parametrize("work", [asks_at_once, asks_in_a_task_group])
    async def test_one_step_asks_several_at_once(self, work: Work) -> None:
        desk = Desk(work)
        assert [each.payload for each in await desk.begin()] == ["x?", "y?", "z?"]
        assert result_of(await desk.answer(1, 2, 3)) == [1, 2, 3]

    @pytest.mark.parametrize("work", [asks_at_once, asks_in_a_task_group])
    async def test_answers_come_in_any_order_and_in_parts(self, work: Work) -> None:
        desk = Desk(work)
        x, y, z = await desk.begin()
        left = await desk.graph().run(resume={z.id: 3, x.id: 1})
        assert left.interrupts == (y,)
        assert result_of(await desk.graph().run(resume={y.id: 2})) == [1, 2, 3]

    async def test_one_after_the_other(self) -> None:
        desk = Desk(asks("one?", "two?"))
        await desk.begin()
        second = await desk.answer(1)
        assert [each.payload for each in second.interrupts] == ["two?"]
        assert result_of(await desk.answer(2)) == [1, 2]

    async def test_what_is_asked_beside_a_question_waits_for_calls_that_are_under_way(self) -> None:
        async def slow() -> str:
            for _ in range(20):
                await asyncio.sleep(0)
            return "looked up"

        async def looks_up(context: NodeContext) -> Any:
            return await context.interrupt(await context.run("look up", slow))

        async def work(context: NodeContext) -> Any:
            async with asyncio.TaskGroup() as group:
                group.create_task(context.interrupt("at once"))
                group.create_task(looks_up(context))

        assert [each.payload for each in await Desk(work).begin()] == ["at once", "looked up"]

    async def test_a_loop_that_asks_again_asks_another_question(self) -> None:
        async def work(context: NodeContext) -> Any:
            return {"go on": await context.interrupt("again?", key="again")}

        loop = Does(work, name="loop")
        loop.on(**{"go on": True}) >> loop
        backend = InMemoryCheckpointBackend()
        graph = Graph(loop, id="loop", checkpoint_config=every_step(backend))
        seen = {(await graph.run()).interrupts[0].id}
        for answer in (True, True, False):
            (open,) = await CheckpointManager(backend).interrupts("loop")
            seen.add(open.id)
            message = await graph.run(resume={open.id: answer})
        assert message.content == {"go on": False}
        assert len(seen) == 3

    async def test_another_run_asks_another_question(self) -> None:
        desk = Desk(asks("sure?"))
        (first,) = await desk.begin()
        (second,) = await desk.begin()
        assert first.id != second.id
        with pytest.raises(RunError, match=f"no question with this id is open.*{second.id}"):
            await desk.graph().run(resume={first.id: True})

    async def test_keys_never_meet_whatever_they_are(self) -> None:
        async def work(context: NodeContext) -> Any:
            keys = ["1", None, "a#2", "a", "a", "/", "x\ud800"]
            return await asyncio.gather(*(context.interrupt(number, key=key) for number, key in enumerate(keys)))

        desk = Desk(work)
        await desk.begin()
        assert [each.key for each in desk.asked] == ["1", None, "a#2", "a", "a", "/", "x\ud800"]
        assert result_of(await desk.answer(*range(7))) == [*range(7)]

    @pytest.mark.parametrize("key", ["", 5, b"x"])
    async def test_a_key_is_a_text(self, key: Any) -> None:
        with pytest.raises(TypeError, match="the key of a question is a text"):
            await Desk(asks("?", key=key)).begin()

    async def test_a_payload_that_cannot_be_saved_fails_the_step(self) -> None:
        with pytest.raises(SerializationError, match="the payload of an interrupt of node 'a'"):
            await Desk(asks(lambda: 1)).begin()

    async def test_items_of_maps_ask_each_with_its_place(self) -> None:
        async def split(context: NodeContext) -> Any:
            return {"regions": {"north": [1, 2], "south": [3]}}

        async def shops(context: NodeContext) -> Any:
            return {"shops": context.inputs}

        async def shop(context: NodeContext) -> Any:
            return [context.inputs, await context.interrupt(f"shop {context.inputs}?")]

        def graph() -> Graph:
            first, second = Does(split, name="split"), Does(shops, name="region")
            first.each("regions") >> second
            second.each("shops") >> Does(shop, name="shop") >> JoinNode(name="inner") >> JoinNode(name="outer")
            return Graph(first, id="maps", checkpoint_config=every_step(backend))

        backend = InMemoryCheckpointBackend()
        asked = (await graph().run()).interrupts
        assert [(each.payload, each.path) for each in asked] == [
            ("shop 1?", ("north", 0)),
            ("shop 2?", ("north", 1)),
            ("shop 3?", ("south", 0)),
        ]
        left = await graph().run(resume={asked[1].id: "two"})
        assert left.interrupts == (asked[0], asked[2])
        done = await graph().run(resume={asked[0].id: "one", asked[2].id: "three"})
        assert done.content == {"results": [{"results": [[1, "one"], [2, "two"]]}, {"results": [[3, "three"]]}]}

    @pytest.mark.parametrize(
        "waits", [lambda context: context.interrupt("?"), lambda context: context.sleep(timedelta(hours=1))]
    )
    async def test_a_durable_call_can_neither_ask_nor_wait(self, waits: Work) -> None:
        async def in_call(context: NodeContext) -> Any:
            async def inner() -> Any:
                return await waits(context)

            return await context.run("call", inner)

        with pytest.raises(NodeError, match=r"waits \(.*\) within its durable call 'call'"):
            await Desk(in_call).begin()

    async def test_a_plain_node_is_told_to_be_async(self) -> None:
        class Plain(Node):
            def process(self, context: NodeContext) -> Any:
                return context.interrupt("?")

        with pytest.raises(NodeError, match=r"'Plain' is a plain function.*context.interrupt\(\).*Make the node async"):
            await Graph(Plain()).run()


class TestNodesThatHandleErrors:
    async def test_except_exception_lets_a_question_pass_and_finally_runs(self) -> None:
        left: list[str] = []

        async def work(context: NodeContext) -> Any:
            try:
                return await context.interrupt("?")
            except Exception:
                return "caught"
            finally:
                left.append("left")

        desk = Desk(work)
        await desk.begin()
        assert left == ["left"]
        assert result_of(await desk.answer("yes")) == "yes"

    async def test_a_failure_beside_a_question_is_the_failure_alone(self) -> None:
        async def fails() -> None:
            raise Failure("beside")

        async def work(context: NodeContext) -> Any:
            async with asyncio.TaskGroup() as outer:
                outer.create_task(context.interrupt("never open"))
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(context.interrupt("nor this"))
                    inner.create_task(fails())

        desk = Desk(work)
        with pytest.raises(ExceptionGroup) as raised:
            await desk.begin()
        assert raised.value.subgroup(Failure) is not None
        assert raised.value.split(Exception)[1] is None
        assert await desk.manager.interrupts("desk") == ()
        assert (await history(desk.graph()))[-1].execution_metadata["reason"] == "failed"

    async def test_results_of_gather_that_hold_the_suspension_are_an_error(self) -> None:
        async def work(context: NodeContext) -> Any:
            await asyncio.gather(context.interrupt("?"), return_exceptions=True)
            return "went on"

        with pytest.raises(NodeError, match="caught StepSuspended"):
            await Desk(work).begin()

    async def test_what_the_step_gives_up_is_not_asked(self) -> None:
        async def work(context: NodeContext) -> Any:
            question = asyncio.ensure_future(context.interrupt("too slow?"))
            await asyncio.sleep(0)
            question.cancel()
            await asyncio.wait([question])
            return "without"

        desk = Desk(work)
        assert result_of(await desk.graph().run()) == "without"

    async def test_a_task_that_outlives_its_step_can_neither_ask_nor_call(self) -> None:
        tasks: list[asyncio.Task[Any]] = []

        async def late(context: NodeContext, ask: Callable[[], Any]) -> Any:
            for _ in range(50):
                await asyncio.sleep(0)
            return await ask()

        async def work(context: NodeContext) -> Any:
            asking = (lambda: context.interrupt("?"), lambda: context.run("late", int))
            tasks.extend(asyncio.create_task(late(context, ask)) for ask in asking)
            return "done"

        await Desk(work, stored=False).graph().run()
        for each in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(each, RunError)
            assert "has ended" in str(each)

    async def test_a_failure_elsewhere_leaves_the_question_open(self) -> None:
        fail = [True]

        async def fails(context: NodeContext) -> Any:
            if fail:
                raise Failure("for once")
            return "went well"

        desk = Desk(asks("sure?"), fails)
        with pytest.raises(Failure):
            await desk.begin()
        (open,) = await desk.manager.interrupts("desk")

        fail.clear()
        done = await desk.graph().run(resume={open.id: "yes"})
        assert done.content == {"results": [["yes"], "went well"]}


class TestAnswering:
    async def test_an_unknown_id_is_refused_with_those_that_are_open_and_nothing_is_changed(self) -> None:
        desk = Desk(asks("one?"))
        (open,) = await desk.begin()
        before = await history(desk.graph())
        graph = desk.graph()
        with pytest.raises(RunError, match=f"'nonsense'.*Open are '{open.id}'"):
            await graph.run(resume={"nonsense": 1, open.id: 2})

        assert await history(desk.graph()) == before
        assert result_of(await graph.run(resume={open.id: 2})) == [2]

    async def test_the_same_answer_twice_is_one_and_another_one_is_refused(self) -> None:
        desk = Desk(asks_at_once)
        x, *_ = await desk.begin()
        await desk.graph().run(resume={x.id: 1})
        again = await desk.graph().run(resume={x.id: 1})
        assert [each.payload for each in again.interrupts] == ["y?", "z?"]
        for other in (True, 1.0, 2):
            with pytest.raises(RunError, match="already has another answer"):
                await desk.graph().run(resume={x.id: other})

    async def test_a_complete_run_has_no_question(self) -> None:
        desk = Desk(asks("one?"))
        (asked,) = await desk.begin()
        await desk.answer(1)
        with pytest.raises(RunError, match="None is open"):
            await desk.graph().run(resume={asked.id: 1})

    async def test_a_graph_that_never_ran_has_none_either(self) -> None:
        desk = Desk(asks("one?"))
        with pytest.raises(RunError, match="there is no run that has asked anything"):
            await desk.graph().run(resume={"id": 1})
        with pytest.raises(GraphDefinitionError, match="nothing to resume from"):
            await Graph(desk.wired()).run(resume={"id": 1})

    async def test_a_new_run_that_gives_up_one_with_open_questions_says_so(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk = Desk(asks_at_once)
        await desk.begin()
        assert not caplog.records
        await desk.begin()
        assert "abandons the previous one, which is interrupted with 3 open questions" in caplog.text
        await desk.answer(1, 2, 3)
        caplog.clear()
        await desk.begin()
        assert not caplog.records

    async def test_questions_of_so_many_items_that_they_are_stored_in_chunks_are_found(self, tmp_path: Path) -> None:
        start = Does(lambda context: {"items": [*range(1_000)]}, name="start")
        start.each("items") >> Does(lambda context: context.interrupt(context.index), name="ask") >> JoinNode()
        config = CheckpointConfig(backend=f"sqlite:///{tmp_path / 'store.db'}")
        graph = Graph(start, id="many", checkpoint_config=config)
        asked = (await graph.run()).interrupts
        assert len(asked) == 1_000

        assert graph.checkpoint_backend is not None
        manager = CheckpointManager(graph.checkpoint_backend)
        assert await manager.interrupts("many") == asked
        latest = await manager.load_latest("many")
        assert latest is not None
        assert latest.sequence is not None
        assert latest.sequence < 100  # what is asked at the same time is saved at the same time

    async def test_no_answers_resume_the_run(self) -> None:
        desk = Desk(asks("one?"))
        asked = await desk.begin()
        assert (await desk.graph().run(resume={})).interrupts == asked
        assert (await desk.graph().run(resume=True)).interrupts == asked

    async def test_inputs_beside_answers_are_those_of_the_run(self) -> None:
        desk = Desk(asks("one?"))
        (asked,) = await desk.begin({"order": 7})
        with pytest.raises(InputConflictError):
            await desk.graph().run({"order": 8}, resume={asked.id: 1})
        assert result_of(await desk.graph().run({"order": 7}, resume={asked.id: 1})) == [1]

    async def test_ids_are_texts(self) -> None:
        with pytest.raises(GraphDefinitionError, match="to answer its questions"):
            await Desk(asks("one?")).graph().run(resume={1: "one"})  # type: ignore[dict-item]

    async def test_an_answer_that_cannot_be_saved_is_refused_before_anything_is_changed(self) -> None:
        desk = Desk(asks_at_once)
        x, y, _ = await desk.begin()
        with pytest.raises(SerializationError, match=f"the answer to '{y.id}'"):
            await desk.graph().run(resume={x.id: 1, y.id: lambda: 1})
        assert len(await desk.manager.interrupts("desk")) == 3

    async def test_answers_keep_their_types_and_are_the_steps_own(self) -> None:
        answer = {"at": datetime(2026, 1, 2, tzinfo=UTC), "pair": (1, [2])}

        async def work(context: NodeContext) -> Any:
            got = await context.interrupt("one?")
            got["pair"][1].append("changed")
            await context.interrupt("two?")
            return got

        desk = Desk(work)
        await desk.begin()
        await desk.answer(answer)
        assert result_of(await desk.answer(None)) == {**answer, "pair": (1, [2, "changed"])}
        assert answer["pair"] == (1, [2])

    async def test_an_answer_is_durable_before_the_next_step(self) -> None:
        kill = [True]

        async def work(context: NodeContext) -> Any:
            answer = await context.interrupt("one?")
            if kill:
                raise SystemExit  # as if it were killed: nothing is saved after this
            return answer

        desk = Desk(work, trigger_on_cancel=False)
        await desk.begin()
        with pytest.raises(SystemExit):
            await desk.answer("yes")
        assert (await history(desk.graph()))[-1].execution_metadata["reason"] == "answered"
        assert await desk.manager.interrupts("desk") == ()

        kill.clear()
        assert result_of(await desk.graph().run(resume=True)) == "yes"

    async def test_what_was_answered_in_part_goes_on_after_a_kill(self) -> None:
        """The part that has its answer does its work, although another part still waits."""
        done: list[str] = []
        at_answer, is_killed = asyncio.Event(), [True]

        async def flow(context: NodeContext, name: str) -> Any:
            answer = await context.interrupt(name, key=name)
            if is_killed:
                at_answer.set()
                await asyncio.Event().wait()
            await context.run(f"do {name}", done.append, name)
            return answer

        async def work(context: NodeContext) -> Any:
            return await asyncio.gather(flow(context, "x"), flow(context, "y"))

        desk = Desk(work, trigger_on_cancel=False)
        x, y = await desk.begin()
        running = asyncio.create_task(desk.graph().run(resume={x.id: 1}))
        await at_answer.wait()
        running.cancel()
        await asyncio.wait([running])

        is_killed.clear()
        assert (await desk.graph().run(resume=True)).interrupts == (y,)
        assert done == ["x"]
        assert result_of(await desk.graph().run(resume={y.id: 2})) == [1, 2]

    @pytest.mark.parametrize("durability", ["async", "exit"])
    async def test_whatever_the_durability(self, durability: str) -> None:
        desk = Desk(asks("one?", "two?"), durability=durability)
        await desk.begin()
        await desk.answer(1)
        assert len(await desk.manager.interrupts("desk")) == 1
        assert result_of(await desk.answer(2)) == [1, 2]

    async def test_without_checkpoints_the_graph_itself_keeps_the_run(self) -> None:
        desk = Desk(asks("one?", "two?"), lambda context: "beside", stored=False)
        graph = desk.graph()
        await graph.set_state("kept", 1)
        (asked,) = (await graph.run()).interrupts
        with pytest.raises(RunError, match="no question with this id"):
            await graph.run(resume={"nonsense": 1})
        (asked,) = (await graph.run(resume={asked.id: 1})).interrupts
        done = await graph.run(resume={asked.id: 2})
        assert done.content == {"results": [[1, 2], "beside"]}
        assert await graph.get_state("kept") == 1
        with pytest.raises(GraphDefinitionError, match="nothing to resume from"):
            await graph.run(resume={asked.id: 2})

    async def test_without_checkpoints_a_new_run_gives_the_old_one_up(self) -> None:
        graph = Desk(asks("one?"), stored=False).graph()
        (old,) = (await graph.run()).interrupts
        (new,) = (await graph.run()).interrupts
        with pytest.raises(RunError, match=f"Open are '{new.id}'"):
            await graph.run(resume={old.id: 1})

    async def test_a_graph_that_loaded_its_checkpoint_is_answered(self) -> None:
        desk = Desk(asks("one?"))
        (asked,) = await desk.begin()
        graph = desk.graph()
        assert await graph.load() is not None
        assert result_of(await graph.run(resume={asked.id: 1})) == [1]

    async def test_a_graph_made_from_a_checkpoint_is_answered(self) -> None:
        desk = Desk(asks("one?"))
        (asked,) = await desk.begin()
        checkpoint = (await history(desk.graph()))[-1]
        graph = Graph.from_checkpoint(checkpoint, start=desk.wired())
        assert result_of(await graph.run(resume={asked.id: 1})) == [1]

    async def test_a_checkpoint_that_is_resumed_by_hand_is_answered(self) -> None:
        desk = Desk(asks("one?"))
        (asked,) = await desk.begin()
        checkpoint = (await history(desk.graph()))[-1]
        graph = desk.graph()
        assert (await graph.run(resume=checkpoint)).interrupts == (asked,)
        assert result_of(await graph.run(resume={asked.id: 1})) == [1]

    async def test_a_fork_asks_the_same_question_and_is_answered_by_itself(self) -> None:
        desk = Desk(asks("one?"))
        (asked,) = await desk.begin()
        await (await history(desk.graph()))[-1].fork("other").save(desk.backend)

        assert await desk.manager.interrupts("other") == (asked,)
        assert result_of(await desk.graph("other").run(resume={asked.id: "fork"})) == ["fork"]
        assert await desk.manager.interrupts("desk") == (asked,)

    async def test_the_node_may_have_another_name_by_then(self) -> None:
        async def work(context: NodeContext) -> Any:
            return await context.interrupt("one?")

        backend = InMemoryCheckpointBackend()
        (asked,) = (await Graph(Does(work, name="old"), id="g", checkpoint_config=every_step(backend)).run()).interrupts
        graph = Graph(Does(work, name="new"), id="g", checkpoint_config=every_step(backend))
        done = await graph.run(resume={asked.id: 1}, rename={"old": "new"})
        assert (done.content, done.node) == (1, "new")


class Refund(BaseModel):
    amount: int
    at: datetime | None = None


class TestSchema:
    async def test_the_answer_is_returned_as_what_the_schema_says(self) -> None:
        desk = Desk(asks("how much?", schema=Refund))
        (asked,) = await desk.begin()
        assert asked.schema == Refund.model_json_schema()

        message = await desk.answer({"amount": "5", "at": "2026-01-02T00:00:00Z"})
        assert result_of(message) == [Refund(amount=5, at=datetime(2026, 1, 2, tzinfo=UTC))]

    async def test_an_answer_may_be_the_model_itself(self) -> None:
        desk = Desk(asks("how much?", schema=Refund))
        await desk.begin()
        assert result_of(await desk.answer(Refund(amount=5))) == [Refund(amount=5)]

    async def test_an_answer_that_does_not_fit_leaves_the_question_open(self) -> None:
        desk = Desk(asks("how much?", schema=Refund))
        (asked,) = await desk.begin()
        for wrong in ({"amount": "much"}, {"amount": "more"}, {"amount": "more"}):
            message = await desk.answer(wrong)
            (open,) = message.interrupts
            assert message.status == "interrupted"
            assert (open.id, open.payload, open.since) == (asked.id, asked.payload, asked.since)
            assert open.error is not None
            assert open.error.startswith("amount: Input should be a valid integer")
            assert await desk.manager.interrupts("desk") == (open,)
        assert result_of(await desk.answer({"amount": 5})) == [Refund(amount=5)]

    @pytest.mark.parametrize(
        ("schema", "answer", "value"),
        [(Literal["yes", "no"], "yes", "yes"), (list[int], ["1"], [1]), (timedelta, "PT1H", timedelta(hours=1))],
    )
    async def test_whatever_pydantic_takes_is_a_schema(self, schema: Any, answer: Any, value: Any) -> None:
        desk = Desk(asks("?", schema=schema))
        (asked,) = await desk.begin()
        assert asked.schema
        assert result_of(await desk.answer(answer)) == [value]

    @pytest.mark.parametrize(
        ("schema", "problem"),
        [
            (object(), "pydantic can't validate this"),
            (list["Nowhere"], "pydantic can't validate this"),  # type: ignore[name-defined]  # noqa: F821
            ({"type": "boolean"}, "this is a JSON schema"),
            ({}, "this is a JSON schema"),
            ("bool", "this is text"),
        ],
    )
    async def test_what_is_not_a_type_is_refused(self, schema: object, problem: str) -> None:
        with pytest.raises(GraphDefinitionError, match=f"{problem}.* Give a type"):
            await Desk(asks("?", schema=schema)).begin()

    async def test_a_wrong_answer_beside_a_right_one(self) -> None:
        async def work(context: NodeContext) -> Any:
            return await asyncio.gather(context.interrupt("x?", schema=int), context.interrupt("y?", schema=int))

        desk = Desk(work)
        x, y = await desk.begin()
        (left,) = (await desk.graph().run(resume={x.id: "one", y.id: "2"})).interrupts
        assert left.id == x.id
        assert result_of(await desk.graph().run(resume={x.id: "1"})) == [1, 2]


class TestAfterAFailure:
    async def test_a_run_that_asks_after_it_has_failed_shows_no_error_any_more(self) -> None:
        fails = [True, False]

        async def work(context: NodeContext) -> Any:
            if fails.pop(0):
                raise OSError("no network")
            return await context.interrupt("go on?")

        desk = Desk(work)
        with pytest.raises(OSError, match="no network"):
            await desk.begin()
        (failed,) = await desk.manager.runs()
        assert failed.error == "OSError: no network"
        await desk.graph().run(resume=True)

        (asking,) = await desk.manager.runs()
        assert (asking.status, asking.error) == ("interrupted", None)


class TestQuestionsThatAreNoLongerAsked:
    async def test_only_what_the_step_waits_for_is_open(self) -> None:
        """The second question depends on the first answer; the third takes its place, and is not listed beside it."""

        async def work(context: NodeContext) -> Any:
            async def escalates() -> Any:
                await context.sleep(timedelta(days=1))
                return await context.interrupt("boss?", key="boss")

            if not is_late:
                return await asyncio.gather(context.interrupt("clerk?", key="clerk"), escalates())
            return await escalates()

        desk, is_late = Desk(work), list[bool]()
        (clerk,) = await desk.begin()
        is_late.append(True)
        desk.clock.advance(86_400)
        (boss,) = (await desk.graph().run(resume=True)).interrupts
        assert (clerk.payload, boss.payload) == ("clerk?", "boss?")
        assert await desk.manager.interrupts("desk") == (boss,)

        late = await desk.graph().run(resume={clerk.id: "late"})  # it is still known, and nobody needs it
        assert late.interrupts == (boss,)
        assert result_of(await desk.graph().run(resume={boss.id: "yes"})) == "yes"


class TestReading:
    async def test_a_store_says_what_is_asked(self) -> None:
        desk = Desk(asks("one?"), asks({"two": 2}, key="two", schema=int))
        asked = await desk.begin()
        assert await desk.manager.interrupts("desk") == asked
        assert (await history(desk.graph()))[-1].interrupts() == asked
        assert await desk.manager.interrupts("unknown") == ()

    async def test_it_takes_none_of_the_programs_types(self, tmp_path: Path) -> None:
        """Another process lists what is asked; it knows neither the state nor what the nodes returned."""
        program = f"""
import asyncio, dataclasses
from spark.graphs import Graph, Node
from spark.graphs.checkpoint import CheckpointConfig

@dataclasses.dataclass
class Own:
    text: str

class Start(Node):
    async def process(self, context):
        await context.graph_state.set("own", Own("x" * 200_000))
        return {{"own": [Own("item")]}}

class Ask(Node):
    async def process(self, context):
        return await context.interrupt({{"of": context.inputs.text}}, key="ask")

start = Start()
start.each("own") >> Ask()
config = CheckpointConfig(backend="sqlite:///{tmp_path / "runs.db"}")
asyncio.run(Graph(start, id="program", checkpoint_config=config).run())
"""
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=True)
        manager = CheckpointManager(f"sqlite:///{tmp_path / 'runs.db'}")
        async with manager.backend:
            (asked,) = await manager.interrupts("program")
            assert (asked.payload, asked.path) == ({"of": "item"}, (0,))
            with pytest.raises(DeserializationError):
                await manager.load_latest("program")

    async def test_what_is_returned_is_the_callers_own(self) -> None:
        desk = Desk(asks({"list": [1]}), stored=False)
        graph = desk.graph()
        (asked,) = (await graph.run()).interrupts
        asked.payload["list"].append(2)
        (again,) = (await graph.run(resume={})).interrupts
        assert again.payload == {"list": [1]}
