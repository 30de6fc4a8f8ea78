"""A step that fails for good may lead to another node, instead of stopping the run."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

from spark.errors import BackendError, ConditionError, GraphDefinitionError, GraphRestoreError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext, Retry
from spark.graphs.checkpoint import GraphCheckpoint, InMemoryCheckpointBackend
from spark_testing.clock import SkippingClock
from tests.support.running import Does, Failure, Work, every_step, history


def failing(error: Exception | type[Exception] = Failure("broken"), *, name: str = "work") -> Node:  # noqa: B008 - never changed
    async def work(context: NodeContext) -> Any:
        await context.graph_state.set("half", "done")
        raise error

    return Does(work, name=name)


def handler(name: str = "handler", work: Work = lambda context: {"handled": context.inputs}) -> Node:
    return Does(work, name=name)


class Refused(Failure):
    """A more special error."""


class TestHandlers:
    async def test_a_handler_gets_the_error_and_the_inputs_of_the_failed_step(self) -> None:
        work = failing()
        work.on_error(Failure) >> handler()
        graph = Graph(work, clock=SkippingClock())
        handled = (await graph.run({"order": 7})).content["handled"]
        assert handled == {
            "error": {
                "type": "tests.support.running.Failure",
                "message": "broken",
                "node": "work",
                "attempt": 1,
                "time": "2026-01-01T00:00:00+00:00",
            },
            "inputs": {"order": 7},
        }
        assert graph.get_state_snapshot() == {}
        assert graph.progress is not None
        assert graph.progress.iteration == 2

    async def test_its_edge_is_not_followed_by_outputs(self) -> None:
        fine = Does(lambda context: {"fine": True}, name="fine")
        fine.on_error() >> handler()
        assert (await Graph(fine).run()).content == {"fine": True}

    async def test_retries_come_first(self) -> None:
        work = failing()
        work.on_error() >> handler()
        handled = (await Graph(work, retry=Retry(max_attempts=4), clock=SkippingClock()).run()).content["handled"]
        assert handled["error"]["attempt"] == 4

    async def test_another_error_stops_the_run(self) -> None:
        work = failing()
        work.on_error(OSError, ValueError) >> handler()
        with pytest.raises(Failure):
            await Graph(work).run()

    async def test_what_is_no_exception_is_never_handled(self) -> None:
        async def work(context: NodeContext) -> Any:
            raise SystemExit(3)

        leaves = Does(work, name="leaves")
        leaves.on_error() >> handler()
        with pytest.raises(SystemExit):
            await Graph(leaves).run()

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (Refused("x"), "special"),
            (Failure("x"), "special"),
            (ConnectionResetError("x"), "os"),
            (KeyError("x"), "any"),
        ],
    )
    async def test_the_nearest_type_wins_whatever_the_order(self, error: Exception, expected: str) -> None:
        def named(name: str) -> Node:
            return handler(name, lambda context: name)

        work = failing(error)
        work.on_error() >> named("any")
        work.on_error(OSError) >> named("os")
        work.on_error(Failure) >> named("special")
        assert (await Graph(work).run()).content == expected

    async def test_edges_of_the_same_types_are_all_followed_and_no_others(self) -> None:
        seen: list[str] = []

        def notes(name: str) -> Node:
            return handler(name, lambda context: seen.append(name))

        work = failing(OSError("x"))
        work.on_error(OSError, ValueError) >> notes("a")
        work.on_error(OSError) >> notes("b")
        work.on_error(ValueError, OSError) >> notes("c")
        await Graph(work).run()
        assert seen == ["a", "c"]

    async def test_one_error_may_lead_to_several_nodes_and_their_join(self) -> None:
        work, join = failing(), JoinNode(name="join")
        work.on_error() >> [Does(lambda context: 1, name="a"), Does(lambda context: 2, name="b")] >> join
        assert (await Graph(work).run()).content == {"results": [1, 2]}

    async def test_a_commit_that_fails_is_handled_too(self) -> None:
        work = Does(lambda context: {}, name="work")
        work.on(lambda content: content["missing"]) >> ExitNode()
        work.on_error(ConditionError) >> handler()
        assert (await Graph(work).run()).content["handled"]["error"]["type"] == "spark.errors.ConditionError"

    async def test_a_handler_that_fails_is_a_step_that_fails(self) -> None:
        work = failing()
        work.on_error() >> failing(ValueError("worse"), name="handler")
        with pytest.raises(ValueError, match="worse"):
            await Graph(work).run()

    async def test_a_checkpoint_that_could_not_be_saved_is_no_error_of_the_step(self) -> None:
        class Full(InMemoryCheckpointBackend):
            async def put(self, *record: Any, **more: Any) -> None:
                raise BackendError("The disk is full.")

        async def work(context: NodeContext) -> Any:
            await context.run("call", int)

        pays = Does(work, name="pays")
        pays.on_error() >> handler()
        with pytest.raises(BackendError):
            await Graph(pays, id="shop", checkpoint_config=every_step(Full())).run()


class TestJoinsAndMaps:
    async def test_a_join_waits_for_a_handler_that_can_still_reach_it(self) -> None:
        async def slow(context: NodeContext) -> Any:
            for _ in range(9):
                await asyncio.sleep(0)
            return "handled"

        start, join, work = Does(lambda context: {}, name="start"), JoinNode(name="join"), failing()
        start >> [Does(lambda context: "other", name="other"), work] >> join
        work.on_error() >> handler(work=slow) >> join
        assert (await Graph(start).run()).content == {"results": ["other", "handled"]}

    @pytest.mark.parametrize("on_error", ["stop", "collect"])
    async def test_an_item_goes_on_with_the_handler_instead_of_failing(self, on_error: Any) -> None:
        def work(context: NodeContext) -> Any:
            if context.inputs == 2:
                raise Failure("two")
            return context.inputs

        split, join = Does(lambda context: {"items": [1, 2, 3]}, name="split"), JoinNode(name="join")
        worker = Does(work, name="worker")
        split.each("items", on_error=on_error) >> worker >> join
        worker.on_error(Failure) >> handler(work=lambda context: -context.inputs["inputs"]) >> join
        assert (await Graph(split).run()).content == {"results": [1, -2, 3]}

    async def test_the_join_itself_may_be_the_handler(self) -> None:
        split, join, worker = Does(lambda context: {"items": [1]}, name="split"), JoinNode(name="join"), failing()
        split.each("items") >> worker >> join
        worker.on_error() >> join
        (result,) = (await Graph(split).run()).content["results"]
        assert (result["error"]["message"], result["inputs"]) == ("broken", 1)


class Fragile(Node):
    """Always fails; made without arguments, so that it is found again."""

    async def process(self) -> Any:
        raise Failure("broken")


class Waits(Node):
    """Asks a question."""

    async def process(self, context: NodeContext) -> Any:
        return await context.interrupt("?")


class Apologizes(Node):
    """Handles."""

    async def process(self, context: NodeContext) -> Any:
        return f"sorry: {context.inputs['error']['message']}"


class TestStored:
    async def test_a_restored_graph_handles_errors_as_before(self) -> None:
        checkpoint = await self.interrupted(Failure)
        assert checkpoint.topology is not None
        assert checkpoint.topology["edges"][1] == {
            "source": "Fragile",
            "target": "Apologizes",
            "priority": 0,
            "errors": ["tests.support.running:Failure"],
        }
        graph = Graph.from_checkpoint(checkpoint)
        answer = {graph_question(checkpoint): "go"}
        assert (await graph.run(resume=answer)).content == "sorry: broken"

    async def test_a_type_that_is_not_loaded_is_reported_where_it_matters(self) -> None:
        checkpoint = await self.interrupted(Failure)
        assert checkpoint.topology is not None
        checkpoint.topology["edges"][1]["errors"] = ["gone:Lost", "builtins:OSError"]
        with pytest.raises(
            GraphRestoreError, match=r"'Fragile' leads to 'Apologizes' after an error depends on gone:Lost,"
        ):
            Graph.from_checkpoint(checkpoint)

    async def test_a_handler_that_was_reached_runs_after_a_kill(self) -> None:
        killed = [True]

        async def work(context: NodeContext) -> Any:
            if killed:
                raise SystemExit
            return context.inputs["error"]["message"]

        def graph() -> Graph:
            fails = failing()
            fails.on_error() >> handler(work=work)
            return Graph(fails, id="shop", checkpoint_config=config)

        config = every_step(InMemoryCheckpointBackend(), trigger_on_cancel=False)
        with pytest.raises(SystemExit):
            await graph().run()
        killed.clear()
        assert (await graph().run(resume=True)).content == "broken"

    async def interrupted(self, kind: type[Exception]) -> GraphCheckpoint:
        """A stored run that waits before the node that fails; no graph of it is left in this process."""
        start, work = Waits(), Fragile()
        start >> work
        work.on_error(kind) >> Apologizes()
        graph = Graph(start, id="shop", checkpoint_config=every_step(InMemoryCheckpointBackend()))
        await graph.run()
        last = (await history(graph))[-1]
        return last.fork("copy")


def graph_question(checkpoint: GraphCheckpoint) -> str:
    assert checkpoint.frontier is not None
    return next(entry["id"] for key, entry in checkpoint.frontier["journal"].items() if "interrupt" in key)


class TestWiring:
    def test_drawings_show_what_errors_lead_to(self) -> None:
        work = failing()
        work.on_error(OSError, Failure) >> handler("a")
        work.on_error() >> handler("b")
        assert Graph(work).mermaid() == (
            'flowchart TD\n    n0(["work"])\n    n1(["a"])\n    n2(["b"])\n'
            '    n0 -.->|"on OSError, Failure"| n1\n    n0 -.->|"on error"| n2\n'
        )

    @pytest.mark.parametrize("kind", ["OSError", Failure("x"), asyncio.CancelledError, int])
    def test_what_is_no_type_of_errors_is_refused(self, kind: Any) -> None:
        with pytest.raises(GraphDefinitionError, match=r"on_error\(.*give types of errors"):
            failing().on_error(kind)

    def test_a_failed_step_has_no_list_to_map_over(self) -> None:
        with pytest.raises(GraphDefinitionError, match=r"on_error\(…\)\.each"):
            failing().on_error().each("items")

    def test_the_same_edge_declared_twice_is_one(self) -> None:
        work, other = failing(), handler()
        work.on_error(OSError) >> other
        work.on_error(OSError) >> other
        work.on_error(ValueError) >> other
        work >> other
        assert [edge.label() for edge in work.edges] == ["on OSError", "on ValueError", ""]


class TestRestoredPolicies:
    """What a node or a graph was made with is in the checkpoint, as far as it is no code."""

    async def test_options_are_made_again(self) -> None:
        first = Waits(retry=Retry(max_attempts=7, retry_on=(OSError, Failure)), timeout=9, idle_timeout=None)
        graph = Graph(
            first, id="shop", checkpoint_config=every_step(InMemoryCheckpointBackend()), retry=Retry(), timeout=60
        )
        await graph.run()
        copy = (await history(graph))[-1].fork("copy")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            restored = Graph.from_checkpoint(copy)
        node = restored.start
        assert (node.retry, node.timeout, node.idle_timeout) == (first.retry, 9, None)
        again = restored.create_checkpoint()
        assert again.config["retry"] == Retry().to_data()
        assert again.config["timeout"] == 60
        assert again.topology == copy.topology

    async def test_code_is_not_and_that_is_said(self) -> None:
        first = Waits(retry=lambda error, attempt: 1)
        graph = Graph(
            first,
            id="shop",
            checkpoint_config=every_step(InMemoryCheckpointBackend()),
            retry=Retry(stop=lambda state: True),
        )
        await graph.run()
        with pytest.warns(match=r"its retry= is a function") as warned:
            restored = Graph.from_checkpoint((await history(graph))[-1].fork("copy"))
        assert len(warned) == 2
        assert "retry" not in restored.create_checkpoint().config

    async def test_types_that_are_not_loaded_are_not_retried_and_that_is_said(self) -> None:
        graph = Graph(
            Waits(retry=Retry(retry_on=(OSError,))),
            id="shop",
            checkpoint_config=every_step(InMemoryCheckpointBackend()),
        )
        await graph.run()
        copy = (await history(graph))[-1].fork("copy")
        assert copy.topology is not None
        copy.topology["nodes"][0]["retry"]["retry_on"].append("gone:Lost")
        with pytest.warns(match=r"Node 'Waits'.*its retry= is for gone:Lost, which is not loaded"):
            restored = Graph.from_checkpoint(copy)
        assert restored.start.retry.retry_on == (OSError,)

    async def test_a_graph_that_is_still_there_has_its_own(self) -> None:
        config = every_step(InMemoryCheckpointBackend())
        graph = Graph(Waits(), id="kept", checkpoint_config=config, retry=lambda error, attempt: 1)
        await graph.run()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            restored = Graph.from_checkpoint((await history(graph))[-1])
        assert restored.create_checkpoint().config["retry"] == "code"

    async def test_what_a_class_says_is_not_recorded_so_that_a_new_version_of_it_counts(self) -> None:
        class Stubborn(Waits):
            retry = Retry(max_attempts=9)
            timeout = 5

        (data,) = (Graph(Stubborn(timeout=7)).create_checkpoint().topology or {})["nodes"]
        assert "retry" not in data
        assert data["timeout"] == 7

    async def test_another_config_or_copy_keeps_them(self) -> None:
        waits = [0.0]

        def retry(error: Exception, attempt: int) -> float:
            waits.append(attempt)
            return 1

        work = Does(lambda context: 1 / (context.attempt - 1), name="work")
        await Graph(work, retry=retry, clock=SkippingClock()).with_checkpoints(None).run()
        assert waits == [0.0, 1]
