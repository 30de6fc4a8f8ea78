"""What is left of a run that fails: what its siblings did, why it failed, and the history before it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spark.errors import (
    BackendError,
    BudgetExceededError,
    ConditionError,
    GraphDefinitionError,
    RuleError,
    SerializationError,
)
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    Boundary,
    CheckpointBackend,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointInfo,
    EveryIterations,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepLast,
    Retention,
    Trigger,
)
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import FakeClock
from tests.plugins.support.kinds import store_of
from tests.support.loop_time import LoopTime
from tests.support.running import Does, FailsOnce, Failure, every_step, history
from tests.support.variants import first_of, one_apart


async def last(graph: Graph) -> GraphCheckpoint:
    return (await history(graph))[-1]


def pending(checkpoint: GraphCheckpoint) -> list[str]:
    assert checkpoint.frontier is not None
    return [token["node"] for token in checkpoint.frontier["tokens"].values()]


class Fails(Node):
    """Fails as often as it is told to, with what it is told to raise."""

    def __init__(self, *, times: int = 10**9, error: Any = None, name: str = "fails") -> None:
        super().__init__(name=name)
        self.executions = 0
        self._times = times
        self._error = error

    async def process(self, context: NodeContext) -> Any:
        self.executions += 1
        if self.executions <= self._times:
            raise self._error or Failure(f"number {self.executions}")
        return {}


class TestSiblings:
    async def test_what_runs_beside_a_failure_is_paid_for_once(self) -> None:
        calls: list[str] = []

        async def pays(context: NodeContext) -> Any:
            await asyncio.sleep(0.001)
            calls.append(context.node)
            return {"paid": context.node}

        start = Does(lambda context: {}, name="start")
        join = JoinNode(name="join")
        start >> [Fails(times=3), *(Does(pays, name=f"branch {number}") for number in range(10))] >> join
        graph = Graph(start, checkpoint_config=CheckpointConfig())
        for _ in range(3):
            with pytest.raises(Failure):
                await graph.run(resume=True)
        message = await graph.run(resume=True)

        assert sorted(calls) == sorted(f"branch {number}" for number in range(10))
        assert len(message.content["results"]) == 11

    async def test_nothing_new_begins_and_the_order_of_what_is_pending_is_the_same_whatever_finishes_first(
        self,
    ) -> None:
        async def orders(delays: tuple[int, ...]) -> tuple[list[str], list[str]]:
            begun: list[str] = []

            def slow(turns: int) -> Any:
                async def work(context: NodeContext) -> Any:
                    begun.append(context.node)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    return {}

                return work

            start = Does(lambda context: {}, name="start")
            nodes = [Does(slow(turns), name=name) for name, turns in zip("abc", delays, strict=True)]
            start >> [Fails(name="x"), *nodes, Fails(name="y"), *(Does(slow(0), name=f"never {n}") for n in range(3))]
            graph = Graph(start, max_concurrency=5, checkpoint_config=CheckpointConfig())
            with pytest.raises(Failure):
                await graph.run()
            return begun, pending(await last(graph))

        for delays in ((5, 10, 20), (20, 10, 5)):
            begun, left = await orders(delays)
            assert begun == ["a", "b", "c"]
            assert left == ["x", "y", "never 0", "never 1", "never 2"]

    async def test_the_first_error_is_raised_with_notes_on_the_others(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Fails(name="x"), Fails(name="y", error=ValueError("of y"))]
        graph = Graph(start, checkpoint_config=CheckpointConfig())

        with pytest.raises(Failure, match="number 1") as caught:
            await graph.run()

        saved, besides = caught.value.__notes__
        assert "node 'x' failed" in saved
        assert "node 'y' failed; ValueError: of y" in besides

    async def test_siblings_that_take_too_long_are_stopped(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Fails(), Does(lambda context: asyncio.Event().wait(), name="hangs")]
        graph = Graph(start, failure_grace=0.01, checkpoint_config=CheckpointConfig())

        with pytest.raises(Failure):
            await graph.run()

        assert pending(await last(graph)) == ["fails", "hangs"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_what_ends_a_run_while_siblings_finish_does_not_wait_for_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = Does(lambda context: {}, name="start")
        fails = Fails()
        start >> [fails, Does(lambda context: asyncio.Event().wait(), name="hangs")]
        graph = Graph(start, checkpoint_config=CheckpointConfig(), clock=FakeClock())  # only timers end it

        running = asyncio.create_task(graph.run())
        while not fails.executions:  # noqa: ASYNC110 - there is no event; looking for plugins takes its time once
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)  # by then the run waits for the other one
        running.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await running
        assert isinstance(caught.value.__context__, Failure)
        assert (await last(graph)).execution_metadata["reason"] == "cancelled"

        time = LoopTime(monkeypatch)
        running = asyncio.create_task(graph.run(Task(budget=Budget(max_seconds=0.01)), resume=True))
        while fails.executions < 2:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)  # by then the run waits for the other one
        time.advance(0.01)
        with pytest.raises(Failure):
            await running
        assert (await last(graph)).execution_metadata["error"]["attempt"] == 2

    async def test_no_more_begin_than_the_budget_allows(self) -> None:
        """What would have to be cancelled, and paid for again, does not begin."""
        begun: list[str] = []
        start = Does(lambda context: {}, name="start")
        start >> [Does(lambda context: begun.append(context.node), name=name) for name in "abcdef"]
        graph = Graph(start, checkpoint_config=CheckpointConfig())

        with pytest.raises(BudgetExceededError):
            await graph.run(Task(budget=Budget(max_iterations=4)))

        assert begun == ["a", "b", "c"]
        assert pending(await last(graph)) == ["d", "e", "f"]

    async def test_checkpoints_taken_while_siblings_finish_have_the_failed_step_as_pending(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Fails(), Does(lambda context: asyncio.sleep(0.001), name="slow")]
        graph = Graph(start, checkpoint_config=every_step(InMemoryCheckpointBackend()))
        with pytest.raises(Failure):
            await graph.run()

        _, beside, failed = await history(graph)
        assert (beside.execution_metadata["reason"], pending(beside)) == ("trigger", ["fails"])
        assert beside.execution_metadata["error"] == failed.execution_metadata["error"]

    @pytest.mark.parametrize(("rule", "grace"), [("finish", 3.0), ("cancel", None)])
    async def test_the_rule_is_recorded_and_holds_for_the_restored_graph(self, rule: Any, grace: Any) -> None:
        graph = Graph(Fails(), on_failure=rule, failure_grace=grace, checkpoint_config=CheckpointConfig())
        with pytest.raises(Failure):
            await graph.run()

        restored = Graph.from_checkpoint(await last(graph), start=Fails())
        config = restored.create_checkpoint().config

        assert (config["on_failure"], config["failure_grace"]) == (rule, grace)

    @pytest.mark.parametrize(
        "wrong", [{"on_failure": "stop"}, {"on_failure": None}, {"failure_grace": 0}, {"failure_grace": True}]
    )
    def test_what_is_no_rule_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(GraphDefinitionError, match=next(iter(wrong))):
            Graph(Fails(), **wrong)


@pytest.fixture(params=first_of(["memory", "file", "sqlite"], always=2))
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    async with store_of(request.param, request, tmp_path) as made:
        yield made


class Stuck:
    """Three steps, and then one at which each call of run() ends as it is told to."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._reached = asyncio.Event()
        first = Does(lambda context: {}, name="first")
        self.node = first
        (
            first
            >> Does(lambda context: {}, name="second")
            >> Does(lambda context: {}, name="third")
            >> Does(self._end, name="stuck")
        )

    async def _end(self, context: NodeContext) -> Any:
        if self._how == "failed":
            raise Failure("again")
        self._reached.set()
        await asyncio.Event().wait()

    async def run(self, graph: Graph) -> None:
        budget = Budget(max_iterations=3) if self._how == "budget" else None
        running = asyncio.create_task(graph.run(Task(budget=budget), resume=True))
        if self._how == "cancelled":
            await self._reached.wait()
            self._reached.clear()
            running.cancel()
        with suppress(Failure, BudgetExceededError, asyncio.CancelledError):
            await running


class TestRestarts:
    @pytest.mark.parametrize(("how", "most"), one_apart(["failed", "cancelled", "budget"], [4, 6]))
    async def test_ten_restarts_at_one_place_leave_one_checkpoint_there_and_the_history_before(
        self, how: str, most: int, backend: CheckpointBackend
    ) -> None:
        stuck = Stuck(how)
        for _ in range(10):
            config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=most)
            graph = Graph(stuck.node, id="g", checkpoint_config=config)
            await stuck.run(graph)

        facts = [checkpoint.execution_metadata for checkpoint in await history(graph)]
        assert [(fact["iteration"], fact["reason"]) for fact in facts] == [
            (1, "trigger"),
            (2, "trigger"),
            (3, "trigger"),
            (3, how),
        ]
        if how == "failed":
            assert facts[-1]["error"]["attempt"] == 10

    async def test_restored_from_the_one_before_it_also_keeps_one(self) -> None:
        stuck, config = Stuck("failed"), CheckpointConfig(trigger_on_iteration=1)
        graph = Graph(stuck.node, id="g", checkpoint_config=config)
        await stuck.run(graph)
        third = (await history(graph))[2]
        for _ in range(5):
            again = Graph.from_checkpoint(third, start=stuck.node)
            await stuck.run(again)

        assert [each.execution_metadata["iteration"] for each in await history(again)] == [1, 2, 3, 3]

    async def test_one_whose_state_was_edited_is_kept_when_the_one_before_it_is_tried_again(self) -> None:
        stuck, config = Stuck("failed"), CheckpointConfig(trigger_on_iteration=1)
        graph = Graph(stuck.node, id="g", checkpoint_config=config)
        await stuck.run(graph)
        failed = (await history(graph))[-1]
        edited = Graph.from_checkpoint(failed, start=stuck.node)
        await edited.set_state("edited", True)
        await stuck.run(edited)
        await stuck.run(Graph.from_checkpoint(failed, start=stuck.node))

        assert [each.graph_state.get("edited") for each in await history(graph)][-3:] == [None, True, None]

    async def test_a_run_that_came_further_keeps_both(self) -> None:
        start = FailsOnce(name="start")
        start >> FailsOnce(name="next")
        graph = Graph(start, checkpoint_config=CheckpointConfig())
        for _ in range(2):
            with pytest.raises(Failure):
                await graph.run(resume=True)

        facts = [checkpoint.execution_metadata for checkpoint in await history(graph)]
        assert [(fact["iteration"], fact["error"]["node"]) for fact in facts] == [(0, "start"), (1, "next")]

    async def test_who_keeps_everything_keeps_each_attempt(self) -> None:
        graph = Graph(Fails(), checkpoint_config=CheckpointConfig(auto_cleanup=False))
        for _ in range(3):
            with pytest.raises(Failure):
                await graph.run(resume=True)

        assert [each.execution_metadata["error"]["attempt"] for each in await history(graph)] == [1, 2, 3]


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class TestError:
    async def test_it_tells_type_message_node_attempt_time_and_stack(self) -> None:
        class Calls(Node):
            async def process(self, context: NodeContext) -> Any:
                secret = "hunter2"
                self.deeper(secret)

            def deeper(self, secret: str) -> None:
                raise ConnectionError("the service is down")

        graph = Graph(Calls(), checkpoint_config=CheckpointConfig())
        with pytest.raises(ConnectionError):
            await graph.run()

        error = (await last(graph)).execution_metadata["error"]
        assert {name: error[name] for name in ("type", "message", "node", "attempt")} == {
            "type": "ConnectionError",
            "message": "the service is down",
            "node": "Calls",
            "attempt": 1,
        }
        assert datetime.now(UTC) - datetime.fromisoformat(error["time"]) < timedelta(minutes=1)
        assert [(file, function.rpartition(".")[2]) for file, _, function in error["stack"]] == [
            (__file__, "process"),
            (__file__, "deeper"),
        ]
        assert "hunter2" not in json.dumps(error)

    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    async def test_attempts_are_counted_across_resumes_until_the_step_is_done(self, durability: Any) -> None:
        start = Fails(times=2, name="start")
        start >> Fails(times=1, name="next")
        config = every_step(InMemoryCheckpointBackend(), durability=durability)
        for _ in range(3):
            with pytest.raises(Failure):
                await Graph(start, id="g", checkpoint_config=config).run(resume=True)
        graph = Graph(start, id="g", checkpoint_config=config)
        await graph.run(resume=True)

        errors = [checkpoint.execution_metadata.get("error") for checkpoint in await history(graph)]
        told = [(error["node"], error["attempt"]) if error else None for error in errors]
        assert [each for each in told if each] == [("start", 1), ("start", 2), ("next", 1)]
        assert told[-1] is None

    @pytest.mark.parametrize(
        "error",
        [
            Unreadable(),
            Failure("x" * 10**6),
            Failure("\ud800 \x00 \x1b[31m"),
            Failure({1: object()}),
            type("Odd" * 600, (Exception,), {})("odd"),
            ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
        ],
        ids=["unreadable", "long", "surrogate", "object", "odd type", "group"],
    )
    async def test_no_error_is_too_odd_to_be_saved(self, error: Exception) -> None:
        graph = Graph(Fails(error=error), checkpoint_config=CheckpointConfig())
        with pytest.raises(type(error)) as caught:
            await graph.run()

        assert caught.value is error
        told = (await last(graph)).execution_metadata["error"]
        assert len(told["message"]) <= 2_000
        assert len(json.dumps(told)) < 20_000

    async def test_an_exception_that_takes_no_notes_is_raised_all_the_same(self) -> None:
        class Sealed(Exception):
            def __setattr__(self, name: str, value: Any) -> None:
                if name == "__notes__":
                    raise TypeError("sealed")
                super().__setattr__(name, value)

        graph = Graph(Fails(error=Sealed()), checkpoint_config=CheckpointConfig())
        with pytest.raises(Sealed):
            await graph.run()

        assert (await last(graph)).execution_metadata["reason"] == "failed"

    async def test_it_can_be_switched_off(self) -> None:
        graph = Graph(Fails(), checkpoint_config=CheckpointConfig(record_errors=False))
        with pytest.raises(Failure):
            await graph.run()

        assert "error" not in (await last(graph)).execution_metadata


class Broken(Trigger):
    def is_due(self, boundary: Boundary) -> bool:
        raise ZeroDivisionError("of the trigger")


class Keeps(Retention):
    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        raise ZeroDivisionError("of the rule")


class Tells(CheckpointHandler):
    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        raise Failure("of the handler")


def two_steps(config: CheckpointConfig) -> Graph:
    first = Does(lambda context: context.graph_state.set("first", "done"), name="first")
    first >> Does(lambda context: {}, name="second")
    return Graph(first, checkpoint_config=config)


class TestWhoIsToBlame:
    async def test_a_sibling_that_was_stopped_has_not_failed(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Fails(), Does(lambda context: asyncio.Event().wait(), name="waits")]
        graph = Graph(start, checkpoint_config=CheckpointConfig(), on_failure="cancel")

        with pytest.raises(Failure) as caught:
            await graph.run()

        frontier = (await last(graph)).frontier
        assert frontier is not None
        assert {token["node"]: token.get("failures", 0) for token in frontier["tokens"].values()} == {
            "fails": 1,
            "waits": 0,
        }
        assert all("'waits'" not in note for note in caught.value.__notes__)

    @pytest.mark.parametrize("trigger", [Broken(), EveryIterations(5) | (EveryIterations(1) & Broken())])
    async def test_a_trigger_is_named_and_the_step_before_it_is_saved(self, trigger: Trigger) -> None:
        graph = two_steps(CheckpointConfig(trigger=trigger))

        with pytest.raises(RuleError, match="The trigger Broken raised ZeroDivisionError: of the trigger") as caught:
            await graph.run()

        checkpoint = await last(graph)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert "failed" not in caught.value.__notes__[0]
        assert (checkpoint.graph_state, pending(checkpoint)) == ({"first": "done"}, ["second"])
        assert checkpoint.execution_metadata["error"]["node"] is None

    async def test_what_was_not_a_step_is_no_longer_an_error_once_the_run_continues(self) -> None:
        backend = InMemoryCheckpointBackend()
        with pytest.raises(RuleError):
            await two_steps(CheckpointConfig(backend=backend, trigger=Broken())).run()
        (graph_id,) = {info.graph_id for info in (await backend.list(None)).infos}

        graph = Graph(
            two_steps(CheckpointConfig()).start, id=graph_id, checkpoint_config=CheckpointConfig(backend=backend)
        )
        await graph.run(resume=True)

        assert "error" not in (await last(graph)).execution_metadata

    async def test_a_retention_rule_is_named_and_nothing_is_deleted(self) -> None:
        graph = two_steps(CheckpointConfig(trigger_on_iteration=1, retention=KeepLast(1) | Keeps()))
        with pytest.raises(RuleError, match=r"retention rule .*Keeps.* raised ZeroDivisionError: of the rule"):
            await graph.run()

        facts = [each.execution_metadata for each in await history(graph)]
        assert [(fact["iteration"], fact["reason"]) for fact in facts] == [(1, "trigger"), (2, "completed")]

    async def test_a_condition_is_named_and_the_node_did_not_fail(self) -> None:
        start = Does(lambda context: {}, name="start")
        start.on(lambda content: content["missing"]) >> Does(lambda context: {}, name="next")
        graph = Graph(start, checkpoint_config=CheckpointConfig())

        with pytest.raises(ConditionError, match="edge 'start' -> 'next'") as caught:
            await graph.run()

        assert "the step of node 'start' could not be committed" in caught.value.__notes__[0]
        assert pending(await last(graph)) == ["start"]

    async def test_a_function_given_to_update_is_named(self) -> None:
        graph = Graph(
            Does(lambda context: context.graph_state.update("count", lambda count: count + 1), name="start"),
            checkpoint_config=CheckpointConfig(),
        )

        with pytest.raises(TypeError) as caught:
            await graph.run()

        assert "raised by the function that was given to update('count', …)" in caught.value.__notes__[0]

    async def test_a_handler_is_named_and_its_checkpoint_stands(self) -> None:
        graph = two_steps(CheckpointConfig(trigger_on_iteration=1, handler=Tells(), handler_errors="raise"))

        with pytest.raises(Failure, match="of the handler") as caught:
            await graph.run()

        assert caught.value.__notes__ == ["spark-graphs: raised by the handler Tells in on_checkpoint_created."]
        assert [each.graph_state for each in await history(graph)] == [{"first": "done"}]

    async def test_when_a_handler_fails_siblings_finish_as_when_a_node_does(self) -> None:
        class Raises(Tells):
            async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
                has_raised.set()
                await super().on_checkpoint_created(checkpoint)

        async def finishes_later(context: NodeContext) -> None:
            await has_raised.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            await context.graph_state.set("sibling", "paid for")

        has_raised = asyncio.Event()
        start = Does(lambda context: {}, name="start")
        start >> [Does(lambda context: {}, name="quick"), Does(finishes_later, name="later")]
        config = CheckpointConfig(trigger_on_node="quick", handler=Raises(), handler_errors="raise")
        graph = Graph(start, checkpoint_config=config)

        with pytest.raises(Failure, match="of the handler"):
            await graph.run()

        assert await graph.get_state("sibling") == "paid for"

    async def test_at_exit_what_was_due_is_saved_where_the_end_cant_be(self) -> None:
        """The last step sets what can't be saved; the boundary before it is not lost with it."""
        first = Does(lambda context: context.graph_state.set("first", "done"), name="first")
        first >> Does(lambda context: context.graph_state.set("first", Does), name="second")
        config = CheckpointConfig(trigger_on_node="first", durability="exit")
        graph = Graph(first, checkpoint_config=config)

        with pytest.raises(SerializationError):
            await graph.run()

        assert (await last(graph)).graph_state == {"first": "done"}

    async def test_a_store_that_took_no_checkpoint_is_not_asked_for_another(self) -> None:
        """The run ends with the error of the store; a second attempt would only take as long again."""

        class Full(InMemoryCheckpointBackend):
            attempts = 0

            async def put(self, record: Record) -> None:
                Full.attempts += 1
                raise BackendError("The disk is full.")

        config = CheckpointConfig(backend=Full(), trigger_on_iteration=1)
        first = Does(lambda context: {}, name="first")
        first >> Does(lambda context: {}, name="second") >> Does(lambda context: {}, name="third")

        with pytest.raises(BackendError, match="The disk is full"):
            await Graph(first, checkpoint_config=config).run()

        assert Full.attempts == 1
