"""How spans end: what failed, what is tried again, and what only waits or was stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from spark.errors import BackendError
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_testing.faults import FaultyBackend
from tests.plugins.observer_otel.conftest import Telemetry


class PaymentError(Exception):
    pass


def outcomes(telemetry: Telemetry, name: str) -> list[tuple[Any, Any, StatusCode]]:
    return [
        ((span.attributes or {})["spark.outcome"], (span.attributes or {}).get("error.type"), span.status.status_code)
        for span in telemetry.named(name)
    ]


async def test_what_fails_is_an_error_with_its_exception(telemetry: Telemetry) -> None:
    def charge() -> None:
        raise PaymentError("card 42 is refused")

    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        await context.run("charge", charge)
        return {}

    with pytest.raises(PaymentError):
        await Graph(pay, checkpoint_config=telemetry.config()).run()

    failed = ("failed", f"{__name__}.PaymentError", StatusCode.ERROR)
    for name in ("call pay", "step pay", "run"):
        assert outcomes(telemetry, name) == [failed]
        [event] = telemetry.the(name).events
        assert event.name == "exception"
        assert event.attributes is not None
        assert event.attributes["exception.message"] == "card 42 is refused"
        assert event.attributes["exception.type"] == failed[1]
        assert "in charge" in str(event.attributes["exception.stacktrace"])


async def test_messages_can_be_left_out(telemetry: Telemetry) -> None:
    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        raise PaymentError("card 42 is refused")

    with pytest.raises(PaymentError):
        await Graph(pay, checkpoint_config=telemetry.config(record_exceptions=False)).run()

    assert outcomes(telemetry, "step pay") == [("failed", f"{__name__}.PaymentError", StatusCode.ERROR)]
    assert "refused" not in "".join(span.to_json() for span in telemetry.spans)


async def test_each_attempt_has_a_span_with_its_number(telemetry: Telemetry) -> None:
    @node
    async def flaky(context: NodeContext) -> dict[str, Any]:
        if context.attempt == 1:
            raise ValueError("no")
        return {}

    config = telemetry.config()
    await Graph(flaky, checkpoint_config=config, retry=lambda error, attempt: 0).run()

    attempts = [(span.attributes or {})["spark.attempt"] for span in telemetry.named("step flaky")]
    assert attempts == [1, 2]
    assert outcomes(telemetry, "step flaky") == [
        ("failed", "ValueError", StatusCode.ERROR),
        ("finished", None, StatusCode.UNSET),
    ]
    assert outcomes(telemetry, "run") == [("completed", None, StatusCode.UNSET)]


async def test_a_checkpoint_that_can_not_be_made(telemetry: Telemetry) -> None:
    backend = FaultyBackend(InMemoryCheckpointBackend())
    for at in range(1, 5):
        backend.fail("put", at=at)

    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        return {}

    with pytest.raises(BackendError):
        await Graph(work, checkpoint_config=telemetry.config(backend)).run()

    assert ("failed", "spark.errors.BackendError", StatusCode.ERROR) in outcomes(telemetry, "checkpoint")
    assert outcomes(telemetry, "run") == [("failed", "spark.errors.BackendError", StatusCode.ERROR)]
    assert outcomes(telemetry, "step work") == [("finished", None, StatusCode.UNSET)]


async def test_what_waits_for_an_answer_is_no_error(telemetry: Telemetry) -> None:
    @node
    async def ask(context: NodeContext) -> dict[str, Any]:
        return {"answer": await context.interrupt("sure?")}

    await Graph(ask, checkpoint_config=telemetry.config()).run()

    assert outcomes(telemetry, "step ask") == [("suspended", None, StatusCode.UNSET)]
    assert outcomes(telemetry, "run") == [("interrupted", None, StatusCode.UNSET)]
    assert not any(span.events for span in telemetry.spans)


async def test_a_drained_run_is_no_error(telemetry: Telemetry) -> None:
    @node
    async def first(context: NodeContext) -> dict[str, Any]:
        graph.drain("deploy")
        return {}

    @node
    async def second(context: NodeContext) -> dict[str, Any]:
        return {}

    first >> second
    graph = Graph(first, checkpoint_config=telemetry.config())
    message = await graph.run()

    assert message.status == "drained"
    assert outcomes(telemetry, "run") == [("drained", None, StatusCode.UNSET)]


async def test_a_cancelled_run_says_so(telemetry: Telemetry) -> None:
    begun = asyncio.Event()

    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        return {}

    task = asyncio.create_task(Graph(work, checkpoint_config=telemetry.config()).run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert outcomes(telemetry, "step work") == [("cancelled", None, StatusCode.UNSET)]
    assert outcomes(telemetry, "run") == [("cancelled", None, StatusCode.UNSET)]
