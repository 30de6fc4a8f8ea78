"""A step that waits is suspended, and repeated from its beginning when what it waits for is there."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import NodeError, RunError, StepSuspended
from spark.graphs import Graph, JoinNode, NodeContext
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_testing.clock import SkippingClock
from tests.support.running import Does, every_step, fan_out, history


class Shop:
    """A step that charges once, asks two questions at once and then sleeps, beside another branch."""

    def __init__(self) -> None:
        self.backend = InMemoryCheckpointBackend()
        self.clock = SkippingClock()
        self.charged: list[int] = []

    def graph(self) -> Graph:
        start = Does(lambda context: {}, name="start")
        branches = [Does(self._order, name="order"), Does(lambda context: {"other": True}, name="other")]
        start >> branches >> JoinNode(name="join")
        return Graph(start, id="shop", checkpoint_config=every_step(self.backend), clock=self.clock)

    async def _order(self, context: NodeContext) -> Any:
        await context.run("charge", self.charged.append, 5)
        answers = await asyncio.gather(context.interrupt("one?", key="one"), context.interrupt("two?", key="two"))
        await context.sleep(timedelta(hours=3))
        return {"answers": answers}


class TestInterrupted:
    async def test_questions_are_answered_in_parts_and_by_other_processes(self) -> None:
        shop = Shop()
        asked = await shop.graph().run()
        assert (asked.status, [each.payload for each in asked.interrupts]) == ("interrupted", ["one?", "two?"])

        left = await shop.graph().run(resume={asked.interrupts[1].id: 2})
        assert left.interrupts == asked.interrupts[:1]

        done = await shop.graph().run(resume={left.interrupts[0].id: 1})
        assert done.content == {"results": [{"answers": [1, 2]}, {"other": True}]}
        assert shop.charged == [5]
        assert shop.clock.seconds == 3 * 3600

    async def test_nothing_of_it_is_left_when_the_step_has_ended(self) -> None:
        shop = Shop()
        asked = await shop.graph().run()
        await shop.graph().run(resume={each.id: True for each in asked.interrupts})

        last = (await history(shop.graph()))[-1]
        assert last.frontier is not None
        assert "journal" not in last.frontier

    async def test_an_answer_to_no_open_question_is_refused(self) -> None:
        shop = Shop()
        await shop.graph().run()
        with pytest.raises(RunError, match="no question with this id is open"):
            await shop.graph().run(resume={"nonsense": 1})

    async def test_a_node_that_catches_what_suspends_it_is_told_so(self) -> None:
        async def catches(context: NodeContext) -> Any:
            try:
                await context.interrupt()
            except StepSuspended:
                return {}

        with pytest.raises(NodeError, match="caught StepSuspended"):
            await fan_out(catches).run()
