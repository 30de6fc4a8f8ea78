"""Steps that an executor executes elsewhere have the spans that they have here, and spans that are made there belong to them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace

from spark.graphs import Graph, Node, NodeContext
from tests.plugins.observer_otel.conftest import Telemetry
from tests.support.pickled_executor import PickledExecutor


def charge() -> str:
    return f"{trace.get_current_span().get_span_context().span_id:x}"


async def charge_slowly() -> str:
    await asyncio.sleep(0)
    return charge()


def fail() -> None:
    raise LookupError("no money")


class Pays(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        paid = [await context.run("one", charge), await context.run("other", charge_slowly)]
        return {"step": charge(), "paid": paid}


class Plain(Node):
    def process(self) -> dict[str, Any]:
        return {"step": charge()}


class Fails(Node):
    async def process(self, context: NodeContext) -> None:
        await context.run("failing", fail)


class Waits(Node):
    begun = threading.Event()

    async def process(self, context: NodeContext) -> None:
        await context.run("waiting", self.wait)

    async def wait(self) -> None:
        self.begun.set()
        await asyncio.Event().wait()


async def spans_of(telemetry: Telemetry, start: Node, **options: Any) -> list[Any]:
    """Path, attributes and status of each, without what differs from run to run."""
    telemetry.exporter.clear()
    with suppress(LookupError):
        await Graph(start, id="g", checkpoint_config=telemetry.config(), **options).run()
    without = ("spark.run_id", "spark.idempotency_key")
    return sorted(
        (
            "/".join(telemetry.path(span)),
            sorted((name, str(value)) for name, value in (span.attributes or {}).items() if name not in without),
            str(span.status.status_code),
            [(event.name, (event.attributes or {}).get("exception.message")) for event in span.events],
        )
        for span in telemetry.spans
    )


@pytest.mark.parametrize("start", [Pays(), Plain(), Fails()], ids=lambda node: type(node).__name__)
async def test_the_spans_are_those_of_a_run_without_an_executor(telemetry: Telemetry, start: Node) -> None:
    here = await spans_of(telemetry, start)
    with PickledExecutor() as executor:
        assert await spans_of(telemetry, start, executor=executor) == here


async def test_spans_that_are_made_there_belong_to_the_step_or_to_the_call(telemetry: Telemetry) -> None:
    with PickledExecutor() as executor:
        graph = Graph(Pays(), executor=executor, checkpoint_config=telemetry.config())
        content = (await graph.run()).content
        ids = {span.attributes.get("spark.call.key"): f"{span.context.span_id:x}" for span in telemetry.spans}  # type: ignore[union-attr]

    assert content["paid"] == [ids["one"], ids["other"]]
    assert content["step"] == f"{telemetry.the('step Pays').context.span_id:x}"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "span"), [({"calls": False}, "step Pays"), ({"calls": False, "steps": False}, "run")]
)
async def test_without_spans_of_their_own_they_belong_to_the_next_one_around(
    telemetry: Telemetry, options: dict[str, bool], span: str
) -> None:
    with PickledExecutor() as executor:
        graph = Graph(Pays(), executor=executor, checkpoint_config=telemetry.config(**options))
        content = (await graph.run()).content

    assert set(content["paid"]) == {f"{telemetry.the(span).context.span_id:x}"}  # type: ignore[union-attr]


async def test_a_call_that_is_cancelled_with_its_run_has_its_span(telemetry: Telemetry) -> None:
    with PickledExecutor() as executor:
        run = asyncio.create_task(Graph(Waits(), executor=executor, checkpoint_config=telemetry.config()).run())
        await asyncio.to_thread(Waits.begun.wait, 60)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    attributes = telemetry.the("call Waits").attributes or {}
    assert attributes["spark.outcome"] == "cancelled"
    assert "run/step Waits/call Waits" in telemetry.paths()


async def test_nothing_is_sent_along_where_nobody_traces() -> None:
    with PickledExecutor() as executor:
        await Graph(Pays(), executor=executor).run()

        assert executor.steps[0].around is None
