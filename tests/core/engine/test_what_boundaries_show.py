"""What a boundary shows to a trigger, which is worked out when it asks; and metrics, which checkpoints record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Budget, Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    Boundary,
    CheckpointConfig,
    CheckpointManager,
    InMemoryCheckpointBackend,
    Trigger,
)
from spark_testing.clock import FakeClock
from tests.support.running import Does, FailsOnce, Failure, Ticking


class Looks(Trigger):
    """Notes what a boundary shows."""

    def __init__(self, look: Callable[[Boundary], Any], *, due: int = 0) -> None:
        self.look = look
        self.due = due
        self.seen: list[Any] = []

    def is_due(self, boundary: Boundary) -> bool:
        self.seen.append(self.look(boundary))
        return boundary.iteration == self.due


def writes(*states: dict[str, Any]) -> Node:
    """A chain of nodes, each of which sets some values."""

    def setting(values: dict[str, Any]) -> Any:
        async def work(context: NodeContext) -> None:
            for key, value in values.items():
                await context.graph_state.set(key, value)

        return work

    first = node = Does(setting(states[0]), name="s0")
    for number, values in enumerate(states[1:], 1):
        node = node >> Does(setting(values), name=f"s{number}")  # type: ignore[assignment]
    node >> Does(lambda context: None, name="end")
    return first


class TestWhatABoundaryShows:
    async def test_the_committed_state(self) -> None:
        rule = Looks(lambda here: dict(here.state))

        await Graph(writes({"a": 1}, {"b": [2]}), checkpoint_config=CheckpointConfig(trigger=rule)).run()

        assert rule.seen == [{"a": 1}, {"a": 1, "b": [2]}]

    async def test_which_nobody_can_change_through_it(self) -> None:
        def tamper(here: Boundary) -> None:
            here.state["list"].append(5)
            with pytest.raises(TypeError):
                here.state["list"] = []  # type: ignore[index]

        rule = Looks(tamper)
        graph = Graph(writes({"list": [1]}, {}), checkpoint_config=CheckpointConfig(trigger=rule))
        await graph.run()

        assert len(rule.seen) == 2
        assert graph.get_state_snapshot() == {"list": [1]}

    async def test_values_are_not_copied_before_they_are_read(self) -> None:
        class Uncopied:
            copies = 0

            def __deepcopy__(self, memo: Any) -> Any:
                Uncopied.copies += 1
                return self

            def __getstate__(self) -> dict[str, Any]:
                return {}

        rule = Looks(lambda here: (sorted(here.state), len(here.state), "big" in here.state, here.metric("n")))
        graph = Graph(writes({"big": [Uncopied()], "n": 3}), checkpoint_config=None)
        await graph.run()
        without = Uncopied.copies

        Uncopied.copies = 0
        config = CheckpointConfig(trigger=rule, backend=InMemoryCheckpointBackend(serializer=Ignores()))
        await Graph(writes({"big": [Uncopied()], "n": 3}), checkpoint_config=config).run()

        assert rule.seen == [(["big", "n"], 2, True, 3)]
        assert Uncopied.copies == without

    async def test_a_value_that_was_deleted_has_no_bytes(self) -> None:
        async def drop(context: NodeContext) -> None:
            await context.graph_state.delete("large")

        first = Does(lambda context: context.graph_state.set("large", "x" * 1_000), name="first")
        first >> FailsOnce(name="fails") >> Does(drop, name="drop") >> Does(lambda context: None, name="last")
        rule = Looks(lambda here: here.bytes_since_checkpoint)
        graph = Graph(first, checkpoint_config=CheckpointConfig(trigger=rule))
        with pytest.raises(Failure):
            await graph.run()
        await graph.run(resume=True)

        before, *after = rule.seen
        assert before > 1_000
        assert len(after) == 2
        assert max(after) < 100

    async def test_of_an_array_the_buffer_counts(self) -> None:
        array = pytest.importorskip("numpy").zeros(1_000)
        rule = Looks(lambda here: here.bytes_since_checkpoint)

        await Graph(writes({"array": array}), checkpoint_config=CheckpointConfig(trigger=rule)).run()

        assert 8_000 <= rule.seen[0] < 8_100

    async def test_time_that_a_checkpoint_took_has_passed_since_it(self) -> None:
        """It holds the state as it was when saving began."""
        rule = Looks(lambda here: (here.elapsed, here.checkpointed), due=1)
        graph = Graph(writes({"a": 1}, {"b": 2}), checkpoint_config=CheckpointConfig(trigger=rule), clock=Ticking(1))
        await graph.run()

        (saved_at, none), (_, checkpointed) = rule.seen
        assert (none, checkpointed) == (0, saved_at)

    async def test_metrics_and_metadata(self) -> None:
        rule = Looks(lambda here: (here.metric("loss"), here.metric("eval.acc"), here.metric("x"), here.metadata))
        config = CheckpointConfig(trigger=rule, metrics=["eval.acc", "loss", "none"])

        await Graph(writes({"loss": 1}, {"eval": {"acc": 0.5}}), checkpoint_config=config).run()

        run_id = rule.seen[0][3].pop("run_id")
        assert rule.seen[1][3].pop("run_id") == run_id
        assert rule.seen == [
            (1, None, None, {"loss": 1, "iteration": 1, "last_node": "s0"}),
            (1, 0.5, None, {"loss": 1, "eval.acc": 0.5, "iteration": 2, "last_node": "s1"}),
        ]

    async def test_the_budget(self) -> None:
        clock = FakeClock()
        rule = Looks(lambda here: here.budget)
        graph = Graph(
            Does(lambda context: clock.advance(2), name="first"),
            checkpoint_config=CheckpointConfig(trigger=rule),
            clock=clock,
        )
        graph.nodes["first"] >> Does(lambda context: None, name="second")
        graph.start = graph.nodes["first"]

        await graph.run(Task(budget=Budget(max_iterations=9, max_seconds=60)))

        (used,) = rule.seen
        assert (used.iterations, used.max_iterations, used.seconds, used.max_seconds) == (1, 9, 2, 60)

    async def test_seconds_since_the_last_checkpoint(self) -> None:
        clock = FakeClock()
        rule = Looks(lambda here: here.seconds_since_checkpoint, due=2)
        first = node = Does(lambda context: clock.advance(1), name="0")
        for number in range(1, 5):
            node = node >> Does(lambda context: clock.advance(1), name=str(number))  # type: ignore[assignment]

        await Graph(first, checkpoint_config=CheckpointConfig(trigger=rule), clock=clock).run()

        assert rule.seen == [1, 2, 1, 2]

    async def test_bytes_since_the_last_checkpoint(self) -> None:
        rule = Looks(lambda here: here.bytes_since_checkpoint, due=2)
        states = ({"a": "x" * 1000}, {"b": b"x" * 500}, {"c": 1}, {"b": ["y" * 100, {"z": 1.5}]}, {})

        await Graph(writes(*states), checkpoint_config=CheckpointConfig(trigger=rule)).run()

        assert rule.seen == [1001, 1502, 9, 119, 119]

    async def test_lists_and_dicts_that_grow_are_lists_and_dicts_and_have_metrics(self) -> None:
        async def grow(context: NodeContext) -> None:
            await context.graph_state.append("losses", 0.5)
            await context.graph_state.set_item("eval", "loss", 0.5)

        rule = Looks(lambda here: (here.state["losses"], here.state["eval"], here.metric("eval.loss")))
        first = Does(grow, name="first")
        first >> Does(grow, name="second") >> Does(grow, name="third")

        await Graph(first, checkpoint_config=CheckpointConfig(trigger=rule, metrics=["eval.loss"])).run()

        assert rule.seen == [([0.5], {"loss": 0.5}, 0.5), ([0.5, 0.5], {"loss": 0.5}, 0.5)]
        assert {(type(losses), type(evaluated)) for losses, evaluated, _ in rule.seen} == {(list, dict)}

    async def test_of_lists_and_dicts_that_grow_what_was_added(self) -> None:
        rule = Looks(lambda here: here.bytes_since_checkpoint, due=1)

        async def grow(context: NodeContext) -> None:
            await context.graph_state.append("list", "x" * 100)
            await context.graph_state.set_item("dict", context.node, "y" * 100)

        first = node = Does(grow, name="0")
        for number in range(1, 5):
            node = node >> Does(grow, name=str(number))  # type: ignore[assignment]

        await Graph(first, checkpoint_config=CheckpointConfig(trigger=rule)).run()

        assert rule.seen == [209, 209, 410, 611]

    async def test_also_of_nodes_and_with_a_checkpoint_made_by_hand_between(self) -> None:
        """A snapshot that is only taken is no checkpoint."""
        rule = Looks(lambda here: here.bytes_since_checkpoint, due=1)

        async def work(context: NodeContext) -> None:
            context.state["text"] = "x" * 100
            await context.graph_state.set(context.node, "y" * 10)
            graph.create_checkpoint()

        first = node = Does(work, name="0")
        for number in range(1, 4):
            node = node >> Does(work, name=str(number))  # type: ignore[assignment]
        graph = Graph(first, checkpoint_config=CheckpointConfig(trigger=rule))

        await graph.run()

        assert rule.seen == [115, 115, 230]

    async def test_a_resumed_run_counts_from_what_it_began_with(self) -> None:
        backend = InMemoryCheckpointBackend()
        with pytest.raises(TimeoutError):
            await Graph(writes(*BIG), id="g", checkpoint_config=CheckpointConfig(backend=backend)).run(
                Task(budget=Budget(max_iterations=1))
            )
        rule = Looks(lambda here: here.bytes_since_checkpoint)

        await Graph(writes(*BIG), id="g", checkpoint_config=CheckpointConfig(backend=backend, trigger=rule)).run(
            resume=True
        )

        assert rule.seen == [11, 22]


BIG = ({"a": "x" * 1000}, {"b": "x" * 10}, {"c": "x" * 10})


class Ignores:
    """A serializer for what can't be saved otherwise."""

    def serialize(self, value: Any) -> Any:
        return {} if type(value).__name__ == "Uncopied" else value

    def deserialize(self, data: Any, target_type: Any = None) -> Any:
        return data


class TestMetrics:
    @pytest.mark.parametrize("wrong", ["", "iteration", ".loss", "a..b", 5, "x" * 201])
    def test_a_name_that_can_not_be_one_is_refused(self, wrong: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="metric"):
            CheckpointConfig(metrics=[wrong])

    async def test_they_are_found_in_listings_and_queries(self) -> None:
        backend = InMemoryCheckpointBackend()
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, metrics="loss")
        states = ({"loss": 0.5}, {"loss": float("nan")}, {"loss": 0.25}, {"loss": [1]})
        await Graph(writes(*states), id="g", checkpoint_config=config).run()
        manager = CheckpointManager(backend)

        listed = await manager.list_checkpoints("g", with_metadata=True)
        (found,) = await manager.list_checkpoints("g", metadata={"loss": 0.25})

        assert [info.metadata.get("loss") for info in listed] == [0.5, None, 0.25, None, None]
        assert found.sequence == 3
        checkpoint = await manager.load_checkpoint(found.checkpoint_id)
        assert checkpoint.execution_metadata["metrics"] == {"loss": 0.25}
