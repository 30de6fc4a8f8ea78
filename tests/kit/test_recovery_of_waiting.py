"""check_recovery follows graphs that wait and try again to their end, and crashes them on the way."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs import Graph, Interrupt, Node, NodeContext, Retry
from spark.graphs.checkpoint import CheckpointConfig
from spark_testing import check_recovery
from spark_testing.clock import SkippingClock

RETRY = Retry(max_attempts=3, initial_interval=60, retry_on=(ConnectionError,))


class Refund(Node):
    """Looks something up, asks, waits for a signal and a day, and pays."""

    paid: list[str]
    retry = RETRY

    def __init__(self, *, durably: bool = True) -> None:
        self._durably = durably

    async def process(self, context: NodeContext) -> Any:
        if context.attempt < 3:
            raise ConnectionError
        receipt = await context.run("pay", self.pay) if self._durably else await self.pay()
        approved = await context.interrupt("refund?", schema=bool)
        await context.sleep(24 * 3600)
        how = await context.wait_for("how")
        await context.graph_state.append("log", receipt)
        return {"approved": approved, "how": how}

    async def pay(self) -> str:
        Refund.paid.append("paid")
        return "receipt"


def build(clock: SkippingClock, *, durably: bool = True) -> Any:
    def build_graph(config: CheckpointConfig) -> Graph:
        refund = Refund(durably=durably)
        refund >> Last()
        return Graph(refund, id="refund", checkpoint_config=config, clock=clock)

    return build_graph


class Last(Node):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs


async def answer(interrupt: Interrupt) -> bool:
    return bool(interrupt.payload == "refund?")


def new_world() -> None:
    Refund.paid = []


async def test_a_graph_that_waits_comes_to_the_same_end_wherever_it_is_cut_off_or_drained() -> None:
    clock = SkippingClock()

    report = await check_recovery(
        build(clock),
        answer=answer,
        messages=[("how", "by card")],
        clock=clock,
        drains=True,
        inside_steps=False,
        prepare=new_world,
        observe=lambda: len(Refund.paid),
    )

    report.check()
    assert report.expected.result == {"approved": True, "how": "by card"}
    assert report.expected.state == {"log": ["receipt"]}
    places = [crash.where for crash in report.crashes]
    for reason in ("suspended", "call", "interrupted", "answered", "waiting"):
        assert f"after the checkpoint {reason!r} that follows" in places
    assert sum("asked to stop" in place for place in places) > 5


async def test_a_payment_that_is_not_a_durable_call_is_found() -> None:
    clock = SkippingClock()

    report = await check_recovery(
        build(clock, durably=False),
        answer=answer,
        messages=[("how", "by card")],
        clock=clock,
        inside_steps=True,
        prepare=new_world,
        observe=lambda: len(Refund.paid),
    )

    assert not report
    assert "observe() sees" in str(report)


async def test_what_nobody_answers_or_sends_is_refused() -> None:
    clock = SkippingClock()
    new_world()

    with pytest.raises(ValueError, match=r"asks 'refund\?': give check_recovery an answer="):
        await check_recovery(build(clock), clock=clock, messages=[("how", "by card")])
    with pytest.raises(ValueError, match="a signal that is not sent"):
        await check_recovery(build(clock), clock=clock, answer=answer)
