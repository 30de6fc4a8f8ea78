"""The history of a graph: each checkpoint with what its header tells, its line of parents, and what it changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointNotFoundError, GraphDefinitionError
from spark.graphs import Graph, JoinNode, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    DamagedRecord,
    Difference,
    GraphCheckpoint,
    HistoryEntry,
    InMemoryCheckpointBackend,
    KeepLast,
    Listing,
)
from spark.graphs.checkpoint.inspection.entries import lines_of
from spark_testing.clock import NEW_YEAR, FakeClock
from tests.plugins.support.kinds import SELDOM_S3, store_of
from tests.support.running import Does, Failure, countdown
from tests.support.variants import first_of


@pytest.fixture(params=[*first_of(["memory", "file", "sqlite"], always=2), SELDOM_S3])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    async with store_of(request.param, request, tmp_path) as made:
        yield made


def counting(store: CheckpointBackend, *, graph_id: str = "g") -> Graph:
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    return Graph(countdown(), id=graph_id, checkpoint_config=config)


async def branched(store: CheckpointBackend) -> CheckpointManager:
    """Three steps; then from the first one on a second branch of two; and something that was made by hand."""
    await counting(store).run({"limit": 3})
    manager = CheckpointManager(store)
    graph = counting(store)
    await graph.run(resume=await manager.load_checkpoint_at("g", 1))
    await graph.create_checkpoint("mine", metadata={"note": "good"}).save(store)
    return manager


def told(entries: list[HistoryEntry], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(entry, name) for name in names) for entry in entries]


async def test_headers_tell_what_each_checkpoint_is(store: CheckpointBackend) -> None:
    manager = await branched(store)

    entries = await manager.history("g")

    assert told(entries, "sequence", "parent", "before", "branch", "reason", "iteration") == [
        (1, None, None, 1, "trigger", 1),
        (2, 1, 1, 1, "trigger", 2),
        (3, 2, 2, 1, "completed", 3),
        (4, 1, 1, 4, "trigger", 2),
        (5, 4, 4, 4, "completed", 3),
        (6, None, 5, 4, "manual", 3),
    ]
    first, *_, last = entries
    assert (first.graph_id, first.node, first.checkpoint_id) == ("g", "Countdown", "ckpt_g_000001")
    assert first.run_id
    assert first.size
    assert first.info == (await manager.list_checkpoints("g"))[0]
    assert (last.checkpoint_id, last.manual, first.manual) == ("mine", True, False)


async def test_a_part_of_it(store: CheckpointBackend) -> None:
    manager = await branched(store)
    whole = await manager.history("g")
    assert whole[2].timestamp is not None

    newest = await manager.history("g", limit=3, newest_first=True)
    assert told(newest, "sequence", "before", "branch") == [(6, 5, 4), (5, 4, 4), (4, None, 4)]
    assert told(await manager.history("g", limit=2), "sequence") == [(1,), (2,)]
    assert told(await manager.history("g", after=whole[2].timestamp), "sequence") == [(4,), (5,), (6,)]
    assert told(await manager.history("g", before=whole[2].timestamp), "sequence") == [(1,), (2,)]
    assert await manager.history("unknown") == []
    with pytest.raises(GraphDefinitionError, match="limit"):
        await manager.history("g", limit=-1)


async def test_a_failure_is_told_in_short(store: CheckpointBackend) -> None:
    def fails(context: NodeContext) -> Any:
        raise Failure("too long")

    graph = Graph(Does(fails, name="work"), id="g", checkpoint_config=CheckpointConfig(backend=store))
    with pytest.raises(Failure):
        await graph.run()

    (entry,) = await CheckpointManager(store).history("g")
    assert (entry.reason, entry.node, entry.error) == ("failed", "work", "tests.support.running.Failure: too long")


async def test_a_fork_names_its_origin(store: CheckpointBackend) -> None:
    manager = await branched(store)
    await (await manager.load_checkpoint_at("g", 2)).fork("other").save(store)
    await counting(store, graph_id="other").run(resume=True)

    entries = await manager.history("other")

    assert told(entries, "sequence", "parent", "branch", "origin") == [(1, None, 1, "ckpt_g_000002"), (2, 1, 1, None)]


async def test_what_is_damaged_has_its_place() -> None:
    store = Damaged()
    manager = await branched(store)

    entries = await manager.history("g", with_changes=True)

    assert told(entries, "sequence", "damage", "checkpoint_id", "timestamp", "size")[1] == (
        2,
        "it is torn",
        None,
        None,
        None,
    )
    assert told(entries, "sequence", "before", "branch", "changed") == [
        (1, None, 1, ("count",)),
        (2, None, 0, None),
        (3, 1, 1, ("count",)),
        (4, 1, 4, ("count",)),
        (5, 4, 4, ("count",)),
        (6, 5, 4, ()),
    ]


class Damaged(InMemoryCheckpointBackend):
    """Can't list its second record."""

    async def query(self, query: Any) -> Any:
        listing = await super().query(query)
        damaged = [DamagedRecord("g", 2, "there", "it is torn")]
        return Listing([info for info in listing.infos if info.sequence != 2], damaged)


# lines of parents


@pytest.mark.parametrize(
    ("checkpoints", "expected"),
    [
        ("1 2<1 3<2", "1: 1 2 3"),
        ("1 2<1 3<2 4<2 5<4 6<3", "1: 1 2 3 6, 4: 4 5"),
        ("3<2 4<3 9<8 10<9", "3: 3 4 9 10"),
        ("1 2", "1: 1, 2: 2"),
        ("1 2m 3<1", "1: 1 2 3"),
        ("1m 2<1 3<1", "1: 1 2, 3: 3"),
        ("1 2m<1 3<1 4<2", "1: 1 2 3, 4: 4"),
        ("1 2m<1 3<2 4<1", "1: 1 2 3, 4: 4"),
        ("5<9", "5: 5"),
        ("1 3<2 7<6-2,3 8<7-2,3", "1: 1 3, 7: 7 8"),
        ("2 3<2 7<6-3,5", "2: 2 3, 7: 7"),
        ("3<2 7<6-3,5", "3: 3, 7: 7"),
        ("3<2 5<3-4,4 7<6-4,4", "3: 3 5 7"),
        ("", ""),
    ],
)
def test_each_checkpoint_belongs_to_a_line_of_parents(checkpoints: str, expected: str) -> None:
    """``4m<2`` is the fourth one, made by hand from the second one; ``7<6-2,5`` says that 2 to 5 are on other branches."""
    lines: dict[int, list[str]] = {}
    parsed = [each.partition("<")[::2] for each in checkpoints.split()]
    found = lines_of(
        (
            int(sequence.rstrip("m")),
            int(parent.partition("-")[0]) if parent else None,
            "m" in sequence,
            parent.partition("-")[2].replace(",", "-"),
        )
        for sequence, parent in parsed
    )
    for sequence, line in found.items():
        lines.setdefault(line.branch, []).append(str(sequence))

    assert ", ".join(f"{branch}: {' '.join(sequences)}" for branch, sequences in lines.items()) == expected


# what changed


async def test_each_entry_has_the_keys_that_it_changed(store: CheckpointBackend) -> None:
    async def first(context: NodeContext) -> dict[str, Any]:
        await context.graph_state.set("a", 1)
        await context.graph_state.set("b", [1])
        return {}

    async def second(context: NodeContext) -> None:
        await context.graph_state.append("b", 2)
        context.state["mine"] = 1

    start, end = Does(first, name="first"), Does(second, name="second")
    start >> Does(lambda context: {}, name="idle") >> end
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(start, id="g", checkpoint_config=config).run()
    manager = CheckpointManager(store)

    entries = await manager.history("g", with_changes=True, newest_first=True)

    assert told(entries, "changed", "changed_nodes") == [(("b",), ("second",)), ((), ()), (("a", "b"), ())]
    (newest,) = await manager.history("g", with_changes=True, newest_first=True, limit=1)
    assert (newest.changed, newest.before) == (("b",), None)  # its parent is read, though it is not in the answer
    assert [(each.path, each.after) for each in await manager.changes("g", 3)][:2] == [
        ("graph_state['b']", [2]),
        ("node_states['second']", {"mine": 1}),
    ]
    begun = {each.path: each.after for each in await manager.changes("g", 1)}
    assert begun["graph_state['a']"] == 1


async def test_where_the_parent_was_deleted_the_one_before_counts(store: CheckpointBackend) -> None:
    await counting(store).run({"limit": 5})
    manager = CheckpointManager(store)
    for sequence in (1, 3):
        await store.delete("g", sequence)

    entries = await manager.history("g", with_changes=True)

    assert told(entries, "sequence", "parent", "before", "branch", "changed") == [
        (2, 1, None, 2, None),
        (4, 3, 2, 2, ("count",)),
        (5, 4, 4, 2, ("count",)),
    ]
    assert Difference("graph_state['count']", "changed", 2, 4) in await manager.changes("g", 4)
    with pytest.raises(CheckpointNotFoundError, match=r"checkpoint 1 .* has been deleted"):
        await manager.changes("g", 2)
    with pytest.raises(CheckpointNotFoundError, match="ckpt_g_000001"):
        await manager.changes("g", 1)


async def test_after_pruning_no_checkpoint_continues_one_of_another_branch(store: CheckpointBackend) -> None:
    await counting(store).run({"limit": 5})
    manager = CheckpointManager(store)
    await counting(store).run(resume=await manager.load_checkpoint_at("g", 2))
    await manager.prune(KeepLast(1))

    entries = await manager.history("g", with_changes=True)

    assert [(each.before, each.branch == each.sequence, each.changed) for each in entries] == [(None, True, None)] * 2
    assert entries[1].last_of_line([entries[0].sequence], 1) == -1
    assert entries[0].last_of_line([entries[1].sequence], 1) == 0
    with pytest.raises(CheckpointNotFoundError, match="which it continues, has been deleted"):
        await manager.changes("g", entries[1].sequence)


async def test_a_difference_tells_how_many_items_of_a_map_are_done() -> None:
    split, work = Does(lambda context: {"items": [1, 2, 3]}, name="split"), Does(lambda context: {}, name="work")
    split.each("items", limit=1) >> work >> JoinNode(name="join")
    store = InMemoryCheckpointBackend()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(split, id="g", checkpoint_config=config).run()

    manager = CheckpointManager(store)
    first, _, third = [each.checkpoint_id or "" for each in await manager.history("g", limit=3)]

    (found,) = [each for each in await manager.diff(first, third) if each.path.startswith("frontier")]
    assert (found.path.rpartition("[")[2], found.before, found.after) == ("'items_done']", 0, 2)


async def test_what_is_no_id_and_no_checkpoint_is_refused() -> None:
    manager = CheckpointManager(InMemoryCheckpointBackend())

    with pytest.raises(GraphDefinitionError, match="graph_id=3: give the id of a graph"):
        await manager.history(3)  # type: ignore[arg-type]
    with pytest.raises(
        GraphDefinitionError, match=r"diff\(2\): give the id of a checkpoint.* changes\(graph_id, sequence\)"
    ):
        await manager.diff(2, 3)  # type: ignore[arg-type]


# pending work


async def test_pending_work_is_told_in_words() -> None:
    store, clock = InMemoryCheckpointBackend(), FakeClock()

    async def work(context: NodeContext) -> Any:
        await context.run("charge", lambda: 7)
        await context.sleep(60)
        return await context.interrupt("sure?")

    begin = Does(lambda context: {"order": 5}, name="begin")
    begin >> Does(work, name="work") >> Does(lambda context: "done", name="end")
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    graph = Graph(begin, id="g", checkpoint_config=config, clock=clock)
    await graph.run(wait=False)
    clock.advance(100)
    message = await graph.run(resume=True, wait=False)
    (question,) = message.interrupts
    await graph.run(resume={question.id: True})

    manager = CheckpointManager(store)
    found = [
        (each.path.removeprefix("frontier"), each.before, each.after)
        for entry in await manager.history("g")
        for each in await manager.changes("g", entry.sequence)
        if each.path.startswith("frontier")
    ]

    time, answer = "the time 2026-01-01T00:01:00+00:00", f"an answer to 'sure?' (question {question.id!r})"
    working = {"node": "work", "source": "begin", "inputs": {"order": 5}}
    ending = {"node": "end", "source": "work", "inputs": True}
    recorded = {"call:charge": 7, "sleep:1": None, "interrupt:1": True}
    assert found == [
        ("['tokens']['2']", None, working),
        ("['tokens']['2']['recorded']", None, {"call:charge": 7}),
        ("['tokens']['2']['waits_for']", None, [time]),
        ("['tokens']['2']['waits_for'][0]", time, answer),
        ("['tokens']['2']['recorded']['sleep:1']", None, None),
        ("['tokens']['2']['waits_for']", [answer], None),
        ("['tokens']['2']['recorded']['interrupt:1']", None, True),
        ("['tokens']['2']", {**working, "recorded": recorded}, None),
        ("['tokens']['3']", None, ending),
        ("['tokens']['3']", ending, None),
        ("['result']", None, {"content": "done", "node": "end"}),
    ]


async def test_a_frontier_that_nobody_can_read_is_compared_as_it_is() -> None:
    store = InMemoryCheckpointBackend()
    for name, tokens in (("a", [{"node": "x"}]), ("b", {"1": 7})):
        await GraphCheckpoint(name, "g", NEW_YEAR, frontier={"tokens": tokens}).save(store)

    (found,) = await CheckpointManager(store).diff("a", "b")

    assert (found.path, found.change) == ("frontier['tokens']", "changed")
