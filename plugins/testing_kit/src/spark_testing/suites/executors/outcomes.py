"""What a step is given, and what comes back: the same as if it had been executed here."""

from __future__ import annotations

import pytest

from spark.errors import StateConflictError
from spark.graphs import Graph, JoinNode
from spark.graphs.events import StepCommitted
from spark.graphs.executors import Executor
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import GivenExecutor, at_once, lines, run


class Outcomes(GivenExecutor):
    """What a step is given, and what comes back."""

    async def test_a_run_comes_to_the_same_as_without_it(self, executor: Executor) -> None:
        state = {"kept": [1, 2], "given to a": 1}

        here, there = [
            await run(nodes.branches(), {"x": "ü\0"}, state=state, executor=each) for each in (None, executor)
        ]

        assert there.without_ids() == here.without_ids(), (
            "Outputs, states, inputs and idempotency keys must be those of a run without the executor."
        )

    async def test_nodes_with_large_arguments_are_told_apart(self, executor: Executor) -> None:
        start = nodes.Echo()
        made = [nodes.Made(number, name=f"of {number}", tags=(f"{number}" * 100_000,)) for number in (1, 2)]
        start >> made >> JoinNode()

        ran = await run(start, executor=executor)

        found = [(result["number"], len(result["tags"][0])) for result in ran.message.content["results"]]
        assert found == [(1, 100_000), (2, 100_000)], "nodes of one class with large arguments are mixed up"

    async def test_functions_of_updates_are_found(self, executor: Executor) -> None:
        here, there = [await run(nodes.Updates(), executor=each) for each in (None, executor)]

        assert there.state == here.state, "a function that is applied at the commit is lost, or another one is applied"
        assert there.message.content == 10, "a step does not see what its own update makes"

    async def test_items_of_a_map_know_their_places(self, executor: Executor) -> None:
        start = nodes.Split()
        start.each("items") >> nodes.Place() >> JoinNode()

        ran = await run(start, {"items": {"x": 1, "y": 2}}, executor=executor)

        assert ran.message.content == {"results": [[0, "x", ["x"]], [1, "y", ["y"]]]}, (
            "an item of a map does not know its index, key and path"
        )

    @pytest.mark.parametrize("size", [0, 70_000, 3_000_000])
    async def test_values_of_any_size_come_back(self, executor: Executor, size: int) -> None:
        given = {"text": "ü" * size, "bytes": b"\0" * size, "list": list(range(min(size, 70_000)))}

        ran = await run(nodes.Echo(), given, executor=executor)

        assert (ran.message.content == given) is True, f"Values of {size:,} characters must come back as they were."

    async def test_a_step_sees_all_keys_of_the_state(self, executor: Executor) -> None:
        assert (await run(nodes.Keys(), state={"old": 1}, executor=executor)).message.content == ["new", "old"], (
            "the keys of the state are not those that the run and the step have set"
        )

    async def test_a_plain_node_may_start_an_event_loop(self, executor: Executor) -> None:
        assert (await run(nodes.StartsLoop(), executor=executor)).message.content == "both", (
            "A plain node must be executed in a thread without an event loop, as everywhere."
        )

    async def test_a_conflict_is_found_at_the_commit(self, executor: Executor, file: str) -> None:
        start = nodes.Echo()
        start >> [nodes.Conflicts(name="first"), nodes.Conflicts(name="last")]

        events = Graph(start, state={"kept": 1}, executor=executor).stream({"file": file}, only=[StepCommitted])

        async def note_commits() -> None:
            async for event in events:
                if isinstance(event, StepCommitted):
                    nodes.note(file, f"{event.node} is committed")

        with pytest.raises(StateConflictError, match="Node 'last' read graph_state"):
            await note_commits()

    async def test_each_step_is_executed_once(self, executor: Executor, file: str) -> None:
        start = nodes.Split()
        start.each("items") >> nodes.Sleeps() >> JoinNode()

        await run(start, {"items": [{"file": file}] * 4}, executor=executor)

        assert lines(file) == ["begins"] * 4, "An executor must execute each step that it is given, once."

    async def test_what_is_committed_in_parts_is_there_when_the_step_is_repeated(self, executor: Executor) -> None:
        ran = await run(nodes.InParts(retry=at_once), executor=executor)

        assert ran.message.content == {"before": ["first"], "own": 1}, (
            "what a step commits in parts is not read back by it"
        )
        assert ran.state["parts"] == ["first", "second"], "what a step commits in parts is committed twice, or lost"
