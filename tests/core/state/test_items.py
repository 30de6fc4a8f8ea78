"""Lists and dicts of the state that grow: what a step does to their items is applied at its commit, and costs what it adds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from spark.errors import SerializationError, StateConflictError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.state.step_state import GraphState, NodeState
from spark.graphs.state.transactions import StateStore, StateTransaction

Act = Callable[[GraphState], Awaitable[Any]]


class Steps:
    """Concurrent steps over one committed state."""

    def __init__(self, **values: Any) -> None:
        self.store = StateStore("graph_state", values)

    def begin(self, node: str = "node") -> Step:
        return Step(self.store, node)

    async def run(self, act: Act) -> Any:
        """One step by itself, committed."""
        step = self.begin()
        result = await act(step.state)
        step.commit()
        return result

    @property
    def values(self) -> dict[str, Any]:
        return self.store.copy()


class Step:
    def __init__(self, store: StateStore, node: str) -> None:
        self.store = store
        self.transaction = StateTransaction(store, node)
        self.state = GraphState(self.transaction)

    def commit(self) -> None:
        self.store.apply(self.transaction.prepare(self.store), writer=self.transaction.writer)


class TestAppending:
    async def test_items_are_added_in_the_order_of_commits(self) -> None:
        steps = Steps(messages=["first"])
        one, other = steps.begin(), steps.begin()
        await one.state.append("messages", "of one", "of one, too")
        await other.state.extend("messages", (text for text in ["of the other"]))
        other.commit()
        one.commit()

        assert steps.values == {"messages": ["first", "of the other", "of one", "of one, too"]}

    async def test_a_step_sees_its_own_items_and_not_those_of_others_after_its_end(self) -> None:
        steps = Steps(messages=["first"])
        step, other = steps.begin(), steps.begin()
        await step.state.append("messages", "mine")
        seen = await step.state.peek("messages")
        await step.state.append("messages", "later")
        await other.state.append("messages", "yours")

        assert seen == ["first", "mine"]
        assert await step.state.get("messages") == ["first", "mine", "later"]
        assert await other.state.length("messages") == 2
        assert steps.values == {"messages": ["first"]}

    async def test_a_list_begins_with_what_is_appended_first(self) -> None:
        steps = Steps()
        step = steps.begin()
        await step.state.append("messages", 1)

        assert await step.state.has("messages")
        assert await step.state.keys() == ["messages"]
        step.commit()
        assert steps.values == {"messages": [1]}

    async def test_nothing_to_append_starts_no_list(self) -> None:
        steps = Steps()
        await steps.run(lambda state: state.extend("messages", []))

        assert steps.values == {}

    async def test_what_is_appended_is_a_snapshot(self) -> None:
        steps, message = Steps(), {"text": "as it was"}
        step = steps.begin()
        await step.state.append("messages", message)
        message["text"] = "changed"
        step.commit()
        (await steps.begin().state.get("messages"))[0]["text"] = "changed"

        assert steps.values == {"messages": [{"text": "as it was"}]}

    async def test_a_peeked_list_stays_as_it_is(self) -> None:
        steps = Steps(messages=[0])
        await steps.run(lambda state: state.append("messages", 1))
        seen = await steps.begin().state.peek("messages")
        await steps.run(lambda state: state.append("messages", 2))

        assert list(seen) == [0, 1]
        assert steps.values == {"messages": [0, 1, 2]}

    async def test_an_item_costs_the_same_however_long_the_list_is(self) -> None:
        """All versions share one list, in branches that run at the same time, too."""
        steps = Steps(messages=list(range(10_000)))
        await steps.run(lambda state: state.append("messages", "first"))
        shared = steps.store.values["messages"]._items
        running = [steps.begin() for _ in range(10)]
        for number, step in enumerate(running):
            await step.state.append("messages", number)
            assert (await step.state.peek("messages"))[-1] == number
        for step in running:
            step.commit()

        assert steps.store.values["messages"]._items is shared
        assert await steps.begin().state.slice("messages", -12) == [9_999, "first", *range(10)]

    @pytest.mark.parametrize("start", [None, 0, 1, 3, 7, -1, -3, -9])
    @pytest.mark.parametrize("stop", [None, 0, 2, 4, 9, -1, -4, -9])
    async def test_a_slice_is_that_of_a_list(self, start: int | None, stop: int | None) -> None:
        steps = Steps(plain=[0, 1, 2, 3, 4])
        await steps.run(lambda state: state.append("grown", 0, 1, 2, 3, 4))
        step = steps.begin()
        await step.state.append("grown", 5)
        await step.state.append("grown", 6)

        assert await step.state.slice("plain", start, stop) == [0, 1, 2, 3, 4][start:stop]
        assert await step.state.slice("grown", start, stop) == [0, 1, 2, 3, 4, 5, 6][start:stop]
        assert await step.state.slice("missing", start, stop) == []

    async def test_a_slice_is_the_callers_own(self) -> None:
        steps = Steps(messages=[{"a": 1}])
        (await steps.begin().state.slice("messages"))[0]["a"] = 2

        assert steps.values == {"messages": [{"a": 1}]}


class TestItemsOfDicts:
    async def test_items_are_set_and_deleted_whatever_others_do_to_other_items(self) -> None:
        steps = Steps(files={"a": 1, "b": 2, "c": 3})
        one, other = steps.begin(), steps.begin()
        await one.state.set_item("files", "a", "one")
        await other.state.set_item("files", "b", "other")
        await other.state.delete_item("files", "c")
        other.commit()
        one.commit()

        assert steps.values == {"files": {"a": "one", "b": "other"}}

    async def test_for_one_item_the_last_commit_wins(self) -> None:
        steps = Steps(files={"a": 1})
        one, other = steps.begin(), steps.begin()
        await one.state.set_item("files", "a", "one")
        await other.state.set_item("files", "a", "other")
        other.commit()
        one.commit()

        assert steps.values == {"files": {"a": "one"}}

    async def test_a_step_sees_its_own_items(self) -> None:
        steps = Steps(files={"a": 1, "b": 2})
        step = steps.begin()
        await step.state.set_item("files", "c", 3)
        await step.state.delete_item("files", "a")
        seen = await step.state.peek("files")
        await step.state.set_item("files", "a", "again")

        assert dict(seen) == {"b": 2, "c": 3}
        assert (len(seen), "a" in seen, seen.get("b")) == (2, False, 2)
        assert [*(await step.state.get("files")).items()] == [("b", 2), ("c", 3), ("a", "again")]
        assert await step.state.length("files") == 3
        step.commit()
        assert [*steps.values["files"].items()] == [("b", 2), ("c", 3), ("a", "again")]

    async def test_a_dict_begins_with_its_first_item_and_not_with_a_deletion(self) -> None:
        steps = Steps()
        step = steps.begin()
        await step.state.delete_item("files", "a")

        assert await step.state.keys() == []
        assert not await step.state.has("files")
        step.commit()
        assert steps.values == {}
        await steps.run(lambda state: state.set_item("files", ("a", 1), 1))
        assert steps.values == {"files": {("a", 1): 1}}

    async def test_an_item_costs_the_same_however_large_the_dict_is(self) -> None:
        steps = Steps(files={str(number): number for number in range(10_000)})
        await steps.run(lambda state: state.set_item("files", "1", "done"))
        before = steps.store.values["files"]
        await steps.run(lambda state: state.set_item("files", "2", "done"))
        after = steps.store.values["files"]

        assert after.changes_since(before.moment) == (("2",), ())
        assert (before["2"], after["2"]) == (2, "done")

    async def test_a_peeked_dict_stays_as_it_is(self) -> None:
        steps = Steps(files={})
        await steps.run(lambda state: state.set_item("files", "a", 1))
        seen = await steps.begin().state.peek("files")
        await steps.run(lambda state: state.delete_item("files", "a"))

        assert dict(seen) == {"a": 1}
        assert steps.values == {"files": {}}


class TestWithOtherCalls:
    async def test_in_one_step_each_call_applies_to_what_those_before_it_left(self) -> None:
        steps = Steps(messages=[1])
        step = steps.begin()
        await step.state.append("messages", 2)
        await step.state.update("messages", lambda messages: [*messages, "of update"])
        await step.state.append("messages", 3)

        assert await step.state.get("messages") == [1, 2, "of update", 3]
        await step.state.set("messages", ["new"])
        await step.state.append("messages", 4)
        assert await step.state.get("messages") == ["new", 4]
        assert await step.state.delete("messages")
        assert await step.state.length("messages") == 0
        await step.state.append("messages", 5)
        step.commit()
        assert steps.values == {"messages": [5]}

    async def test_an_update_gets_a_list_of_its_own(self) -> None:
        steps = Steps(messages=[1])
        await steps.run(lambda state: state.append("messages", 2))
        kinds: list[type] = []
        await steps.run(lambda state: state.update("messages", lambda value: kinds.append(type(value)) or value[1:]))

        assert (kinds, steps.values) == ([list], {"messages": [2]})

    async def test_an_append_after_a_read_does_not_conflict(self) -> None:
        steps = Steps(messages=[1])
        step = steps.begin()
        await step.state.length("messages")
        await step.state.get("messages")
        await step.state.append("messages", "mine")
        await steps.run(lambda state: state.append("messages", "yours"))
        step.commit()

        assert steps.values == {"messages": [1, "yours", "mine"]}

    @pytest.mark.parametrize(
        "read",
        [
            lambda state: state.length("messages"),
            lambda state: state.slice("messages", -1),
            lambda state: state.peek("messages"),
            lambda state: state.get("messages"),
        ],
    )
    async def test_a_set_of_a_list_that_was_read_conflicts_with_an_append_of_another_step(self, read: Act) -> None:
        steps = Steps(messages=[1])
        step = steps.begin("compacting")
        await read(step.state)
        await step.state.set("messages", ["summary"])
        await steps.run(lambda state: state.append("messages", 2))

        with pytest.raises(StateConflictError, match=r"'compacting' read graph_state\['messages'\] and then set it"):
            step.commit()
        assert steps.values == {"messages": [1, 2]}

    async def test_a_set_of_a_list_that_was_not_read_wins_if_it_is_committed_last(self) -> None:
        steps = Steps(messages=[1])
        step = steps.begin()
        await step.state.append("messages", "dropped by the set")
        await step.state.set("messages", ["new"])
        await steps.run(lambda state: state.append("messages", 2))
        step.commit()

        assert steps.values == {"messages": ["new"]}


class TestBlocks:
    async def test_items_of_a_block_are_kept_or_dropped_with_it(self) -> None:
        steps = Steps(messages=[1], files={"a": 1})
        step = steps.begin()
        await step.state.append("messages", 2)
        async with step.state.transaction() as inside:
            await inside.append("messages", 3)
            await inside.delete_item("files", "a")
            async with inside.transaction() as deeper:
                await deeper.append("messages", 4)
                assert await deeper.get("messages") == [1, 2, 3, 4]
                assert await deeper.slice("messages", 1, 3) == [2, 3]
        with contextlib.suppress(RuntimeError):
            async with step.state.transaction() as inside:
                await inside.append("messages", "dropped")
                await inside.set_item("files", "dropped", 1)
                raise RuntimeError
        await step.state.append("messages", 5)
        step.commit()

        assert steps.values == {"messages": [1, 2, 3, 4, 5], "files": {}}

    async def test_items_go_to_what_the_step_has_set_before(self) -> None:
        steps = Steps()
        step = steps.begin()
        await step.state.set("messages", [1])
        await step.state.delete("files")
        async with step.state.transaction() as inside:
            await inside.append("messages", 2)
            await inside.update("files", lambda files: files | {"of": "update"}, {})
            await inside.set_item("files", "a", 1)
            await inside.delete_item("others", "a")
        step.commit()

        assert steps.values == {"messages": [1, 2], "files": {"of": "update", "a": 1}}

    async def test_a_block_that_read_conflicts_with_an_append_of_another_block(self) -> None:
        """Two appends of one step are one update, but count as two."""
        steps = Steps(messages=[1])
        step = steps.begin()
        await step.state.append("messages", 2)
        block = step.state.transaction()
        inside = await block.__aenter__()
        await inside.set("messages", await inside.get("messages"))
        step.transaction.append("messages", [3])
        with pytest.raises(StateConflictError, match="another block of the same step"):
            await block.__aexit__(None, None, None)


class TestOtherKinds:
    @pytest.mark.parametrize("value", ["text", 5, None, (1, 2), {"a": 1}], ids=repr)
    async def test_something_that_is_no_list_is_refused_in_the_step(self, value: Any) -> None:
        step = Steps(messages=value).begin()
        expected = (
            rf"graph_state\['messages'\] is a {type(value).__name__}, but append\(\) and extend\(\) add to a list"
        )

        with pytest.raises(TypeError, match=expected):
            await step.state.append("messages", 1)

    @pytest.mark.parametrize("value", ["text", b"bytes", 5, None, {"a": 1}], ids=repr)
    async def test_to_extend_by_one_value_is_refused(self, value: Any) -> None:
        """The letters of a text are hardly ever what was meant."""
        step = Steps(messages=[]).begin()

        with pytest.raises(TypeError, match=rf"not a {type(value).__name__}. To add it as one item, write append"):
            await step.state.extend("messages", value)

    @pytest.mark.parametrize("value", ["text", 5, None, [1]], ids=repr)
    async def test_something_that_is_no_dict_is_refused_in_the_step(self, value: Any) -> None:
        step = Steps(files=value).begin()

        with pytest.raises(TypeError, match=rf"graph_state\['files'\] is a {type(value).__name__}, but set_item"):
            await step.state.set_item("files", "a", 1)
        with pytest.raises(TypeError, match="change the value with update"):
            await step.state.delete_item("files", "a")

    async def test_in_a_block_what_is_around_it_counts(self) -> None:
        step = Steps(messages=[1]).begin()
        await step.state.set("messages", "text")
        async with step.state.transaction() as inside:
            with pytest.raises(TypeError, match=r"graph_state\['messages'\] is a str"):
                await inside.append("messages", 1)

    async def test_an_item_of_a_dict_is_not_appended_to_in_the_same_step(self) -> None:
        step = Steps().begin()
        await step.state.set_item("both", "a", 1)

        with pytest.raises(TypeError, match=r"graph_state\['both'\] is a dict"):
            await step.state.append("both", 1)

    async def test_what_is_known_at_the_commit_only_fails_it(self) -> None:
        steps = Steps()
        step = steps.begin()
        await step.state.append("messages", 1)
        await step.state.set("other", 1)
        await steps.run(lambda state: state.set("messages", "text"))

        with pytest.raises(TypeError, match=r"graph_state\['messages'\] is a str"):
            step.commit()
        assert steps.values == {"messages": "text"}

    async def test_slice_and_length_name_what_they_can_do_nothing_with(self) -> None:
        step = Steps(number=5, text="text", files={"a": 1}).begin()

        assert (await step.state.length("text"), await step.state.length("files")) == (4, 1)
        with pytest.raises(TypeError, match=r"graph_state\['number'\] is a int, which has no length"):
            await step.state.length("number")
        with pytest.raises(TypeError, match=r"graph_state\['files'\] is a dict, and slice\(\) returns items of a list"):
            await step.state.slice("files")

    async def test_an_item_that_cannot_be_copied_is_named_by_its_place(self) -> None:
        step = Steps(messages=[*range(16)]).begin()
        await step.state.append("messages", 16)

        with pytest.raises(SerializationError, match=r"graph_state\['messages'\]\[18\]\['client'\]"):
            await step.state.append("messages", 17, {"client": (each for each in ())})
        with pytest.raises(SerializationError, match=r"graph_state\['files'\]\['a'\]\['client'\]"):
            await step.state.set_item("files", "a", {"client": (each for each in ())})


def test_a_nodes_own_state_has_the_same_calls() -> None:
    store = StateStore("node_states['n']", {"messages": [1]})
    transaction = StateTransaction(store, "n")
    state = NodeState(transaction)
    state.append("messages", 2)
    state.extend("messages", [3])
    state.set_item("files", "a", 1)
    state.set_item("files", "b", 2)
    state.delete_item("files", "a")

    assert (state.length("messages"), state.slice("messages", 1), list(state.peek("messages"))) == (
        3,
        [2, 3],
        [1, 2, 3],
    )
    assert state["files"] == {"b": 2}
    with pytest.raises(TypeError, match=r"node_states\['n'\]\['files'\] is a"):
        state.append("files", 1)
    store.apply(transaction.prepare(store), writer="n")
    assert store.copy() == {"messages": [1, 2, 3], "files": {"b": 2}}


# in graphs: users see lists and dicts


class Talk(Node):
    """Says something, so many times."""

    def __init__(self, times: int = 3) -> None:
        self.times = times

    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.length("messages")
        await context.graph_state.append("messages", {"number": count})
        await context.graph_state.set_item("by_number", str(count), ["said"])
        context.state.append("own", count)
        return {"done": count + 1 >= self.times}


def talking(times: int = 3) -> Node:
    talk = Talk(times)
    talk.on(done=False) >> talk
    talk.on(done=True) >> ExitNode()
    return talk


def are_ordinary(value: Any) -> bool:
    if type(value) is dict:
        return all(map(are_ordinary, value.values()))
    if type(value) is list:
        return all(map(are_ordinary, value))
    return type(value) in (str, int, bool, float, type(None))


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_whoever_gets_the_state_gets_lists_and_dicts(durability: Any) -> None:
    backend, seen = InMemoryCheckpointBackend(), list[GraphCheckpoint]()
    config = CheckpointConfig(
        backend=backend, trigger_on_iteration=1, durability=durability, handler=Observing(seen), auto_cleanup=False
    )
    graph = Graph(start=talking(), id="g", checkpoint_config=config)
    await graph.run()
    stored = [await CheckpointManager(backend).load_checkpoint(each.checkpoint_id) for each in seen]
    made = graph.create_checkpoint()
    fork = made.fork("other")

    for checkpoint in stored:
        said = min(checkpoint.execution_metadata["iteration"], 3)
        assert checkpoint.graph_state["messages"] == [{"number": each} for each in range(said)]
        assert checkpoint.graph_state["by_number"] == {str(each): ["said"] for each in range(said)}
    for checkpoint in [*seen, *stored, made, fork, pickle.loads(pickle.dumps(made))]:
        assert are_ordinary(checkpoint.graph_state)
        assert are_ordinary(checkpoint.node_states)
        json.dumps([checkpoint.graph_state, checkpoint.node_states, checkpoint.frontier])
    assert made.node_states["Talk"] == {"own": [0, 1, 2]}
    assert are_ordinary(graph.get_state_snapshot())
    assert are_ordinary(await graph.get_state("messages"))


async def test_captures_that_wait_to_be_saved_are_what_they_were_while_the_run_goes_on() -> None:
    class Waiting(InMemoryCheckpointBackend):
        """Saves nothing before the run is nearly over."""

        async def put(self, record: Any) -> None:
            await released.wait()
            await super().put(record)

    class Grow(Node):
        async def process(self, context: NodeContext) -> Any:
            number = await context.graph_state.length("list")
            await context.graph_state.append("list", number)
            await context.graph_state.set_item("dict", number, [number])
            await context.graph_state.delete_item("dict", number - 2)
            await context.graph_state.set(f"key {number}", number)
            await context.graph_state.delete(f"key {number - 1}")
            context.state.append("own", number)
            if number == 6:
                released.set()
            return {"done": number == 6}

    released, backend = asyncio.Event(), Waiting()
    grow = Grow()
    grow.on(done=False) >> grow
    grow.on(done=True) >> ExitNode()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, durability="async", auto_cleanup=False)
    await Graph(start=grow, id="g", checkpoint_config=config).run()

    for number in range(6):
        stored = await CheckpointManager(backend).load_checkpoint(f"ckpt_g_00000{number + 1}")
        assert stored.graph_state == {
            "list": [*range(number + 1)],
            "dict": {each: [each] for each in range(max(number - 1, 0), number + 1)},
            f"key {number}": number,
        }
        assert stored.node_states == {"Grow": {"own": [*range(number + 1)]}}


class Observing(CheckpointHandler):
    """Keeps what it is shown."""

    def __init__(self, seen: list[GraphCheckpoint]) -> None:
        self.seen = seen

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self.seen.append(checkpoint)


async def test_branches_append_without_conflict_and_a_resumed_run_goes_on() -> None:
    class Branch(Node):
        async def process(self, context: NodeContext) -> None:
            await context.graph_state.append("results", context.node)
            await context.graph_state.set_item("done", context.node, True)

    class Meet(JoinNode):
        async def process(self, context: NodeContext) -> list[str]:
            if await context.graph_state.length("results") == 5:
                await context.graph_state.append("results", "met")
            return sorted(await context.graph_state.get("results"))

    start, branches = Branch(name="start"), [Branch(name=f"b{number}") for number in range(4)]
    start >> branches >> Meet() >> ExitNode()
    backend = InMemoryCheckpointBackend()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(start=start, id="g", checkpoint_config=config).run()

    half = await CheckpointManager(backend).load_checkpoint("ckpt_g_000003")
    assert len(half.graph_state["results"]) == 3
    again = Graph(start=start, id="other", checkpoint_config=config)
    await again.run(resume=half.fork("other"))
    state = again.get_state_snapshot()
    assert sorted(state["results"]) == ["b0", "b1", "b2", "b3", "met", "start"]
    assert state["done"] == dict.fromkeys(["start", "b0", "b1", "b2", "b3"], True)
