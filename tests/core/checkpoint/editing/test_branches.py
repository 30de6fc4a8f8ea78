"""Branches of one history: visible by their parents, resumed from their newest, and none is pruned for another unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    GraphCheckpoint,
    KeepAll,
    KeepLast,
    Retention,
)
from spark.graphs.checkpoint.policies.branches import Aside
from tests.support.running import Countdown


def counting(store: CheckpointBackend, retention: Retention) -> Graph:
    loop = Countdown()
    loop.on(done=False) >> loop
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, retention=retention)
    return Graph(loop, id="branches", state={"large": "x" * 20_000}, checkpoint_config=config)


async def checkpoints(store: CheckpointBackend) -> dict[int, GraphCheckpoint]:
    manager = CheckpointManager(store)
    infos = await manager.list_checkpoints("branches")
    return {info.sequence: await manager.load_checkpoint(info.checkpoint_id) for info in infos}


async def branched(store: CheckpointBackend, *, at: int = 2, retention: Retention | None = None) -> Graph:
    """A history of six checkpoints, and a branch of it that begins at one of them."""
    await counting(store, KeepAll()).run({"limit": 6})
    graph = counting(store, retention or KeepAll())
    await graph.run(resume=(await checkpoints(store))[at])
    return graph


class TestRunning:
    async def test_a_branch_is_visible_by_the_parent_of_its_first_record(self, backend: CheckpointBackend) -> None:
        await branched(backend)

        found = await checkpoints(backend)
        parents = {sequence: checkpoint.parent for sequence, checkpoint in found.items()}
        assert parents == {1: None, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 2, 8: 7, 9: 8, 10: 9}
        assert {s: c.execution_metadata.get("aside") for s, c in found.items() if s in (6, 7, 10)} == {
            6: None,
            7: "3-6",
            10: "3-6",
        }

    async def test_the_next_resume_continues_the_newest_branch(self, backend: CheckpointBackend) -> None:
        await CheckpointManager(backend).graph_ids()
        await counting(backend, KeepAll()).run({"limit": 6})
        old = (await checkpoints(backend))[2]
        old.graph_state["count"] = 100
        await counting(backend, KeepAll()).run(resume=old)

        message = await counting(backend, KeepAll()).run(resume=True)

        assert message.content["count"] == 101

    async def test_a_run_prunes_the_line_that_it_is_on_and_no_other(self, backend: CheckpointBackend) -> None:
        await branched(backend, retention=KeepLast(2))

        # 1 and 2 lead to both branches, and the run is on one of them.
        assert sorted(await checkpoints(backend)) == [3, 4, 5, 6, 9, 10]

    async def test_a_later_run_of_the_branch_leaves_the_other_one_alone(self, backend: CheckpointBackend) -> None:
        await branched(backend)
        latest = (await checkpoints(backend))[10]

        await counting(backend, KeepLast(2)).run({"limit": 9}, resume="state")

        left = await checkpoints(backend)
        assert [sequence for sequence in left if sequence <= 6] == [3, 4, 5, 6]
        assert len(left) == 6
        assert latest.sequence not in left

    async def test_a_run_from_scratch_leaves_branches_as_they_are(self, backend: CheckpointBackend) -> None:
        await branched(backend)

        await counting(backend, KeepLast(2)).run({"limit": 3})

        assert [sequence for sequence in await checkpoints(backend) if sequence <= 10] == [3, 4, 5, 6]

    async def test_every_checkpoint_that_is_left_can_be_resumed_from(self, backend: CheckpointBackend) -> None:
        await branched(backend, retention=KeepLast(2))

        for checkpoint in (await checkpoints(backend)).values():
            assert checkpoint.graph_state["large"] == "x" * 20_000
        back = (await checkpoints(backend))[5]
        await counting(backend, KeepLast(2)).run(resume=back)

        assert sorted(await checkpoints(backend)) == [5, 6, 9, 10, 11]
        assert not (await CheckpointManager(backend).verify()).damaged


class TestPruning:
    async def test_each_branch_is_judged_by_itself_and_keeps_its_newest(self, backend: CheckpointBackend) -> None:
        await branched(backend)

        given_up = await CheckpointManager(backend).prune(KeepLast(1), graph_id="branches")

        assert sorted(await checkpoints(backend)) == [6, 10]
        assert len(given_up) == 8
        assert not (await CheckpointManager(backend).verify()).damaged

    async def test_the_other_branches_are_given_up_where_somebody_says_so(self, backend: CheckpointBackend) -> None:
        await branched(backend)

        await CheckpointManager(backend).prune(KeepLast(3), branches="current")

        assert sorted(await checkpoints(backend)) == [8, 9, 10]

    async def test_what_leads_to_two_branches_stays_if_one_of_them_keeps_it(self, backend: CheckpointBackend) -> None:
        await branched(backend, at=5)

        await CheckpointManager(backend).prune(KeepLast(3))

        assert sorted(await checkpoints(backend)) == [4, 5, 6, 7]

    async def test_another_choice_is_refused(self, backend: CheckpointBackend) -> None:
        with pytest.raises(GraphDefinitionError, match="give 'each'"):
            await CheckpointManager(backend).prune(KeepLast(1), branches="all")  # type: ignore[arg-type]


class TestForking:
    async def test_a_branch_by_hand_is_the_latest_and_prunes_nothing_of_the_other(
        self, backend: CheckpointBackend
    ) -> None:
        await counting(backend, KeepAll()).run({"limit": 6})
        third = (await checkpoints(backend))[3]

        info = await CheckpointManager(backend).fork(third.checkpoint_id, set={"count": 0})

        assert (info.sequence, (await checkpoints(backend))[7].parent) == (7, 3)
        message = await counting(backend, KeepLast(2)).run(resume=True)
        assert message.content["count"] == 6
        assert [sequence for sequence in await checkpoints(backend) if sequence < 7] == [4, 5, 6]


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        ([(4, 9)], "4-9"),
        ([(4, 9), (10, 12)], "4-12"),
        ([(12, 15), (4, 9)], "4-9,12-15"),
        ([(9, 8)], ""),
    ],
)
def test_ranges_are_spelt_in_one_way(ranges: Sequence[tuple[int, int]], text: str) -> None:
    aside = Aside()
    for first, last in ranges:
        aside = aside.with_range(first, last)

    assert str(aside) == text
    assert Aside.of(text) == aside


def test_many_branches_fit_into_a_header_and_none_of_them_is_forgotten() -> None:
    aside = Aside()
    for start in range(1000, 4000, 30):
        aside = aside.with_range(start, start + 5)

    assert len(str(aside)) <= 200
    assert all(start + place in aside for start in range(1000, 4000, 30) for place in range(6))
    assert 5000 not in aside


@pytest.mark.parametrize("text", ["9-4", "4-9,5-7", "x", "4-9,", "-1-4", "1" * 30 + "-" + "2" * 30])
def test_what_no_run_would_write_sets_nothing_aside(text: Any) -> None:
    assert not Aside.of(text)
