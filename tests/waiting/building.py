"""A program as a graph: each of its blocks as nodes that do what the model says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

from spark.errors import RunError, StepTimeoutError
from spark.graphs import Graph, ItemError, JoinNode, Node, NodeContext, Retry
from tests.waiting.model import place
from tests.waiting.programs import Block, Branches, Chain, Items, Op, Step, digest
from tests.waiting.world import Broken, Declined, Flaky, Lost, Process

RETRY = Retry(max_attempts=50, initial_interval=1, jitter=False, retry_on=(Flaky, StepTimeoutError))
LIMIT = 100_000.0
"""Seconds that a step has which hangs: more than all the others sleep together."""


def graph_of(program: Chain, process: Process, **arguments: Any) -> Graph:
    """The graph of a program, as one process has it."""
    first, _ = _Building(process).block(program, frozenset())
    return Graph(first, id="program", **arguments)


class _Building:
    def __init__(self, process: Process) -> None:
        self._process = process

    def block(self, block: Block, lost: frozenset[int]) -> tuple[Node, Node]:
        """The first and the last node of a block.

        :param lost: of which items the first one fails for good.
        """
        match block:
            case Chain(blocks):
                built = [self.block(each, frozenset() if number else lost) for number, each in enumerate(blocks)]
                for (_, last), (first, _) in pairwise(built):
                    last >> first
                return built[0][0], built[-1][1]
            case Branches(name, blocks):
                fork, join = Work(Step(name), self._process, lost), Join(f"{name} join", is_ordered=False)
                for each in blocks:
                    first, last = self.block(each, frozenset())
                    fork >> first
                    last >> join
                return fork, join
            case Items(name, count, body, limit, lost_items):
                split, join = Split(name, count, self._process, lost), Join(f"{name} join", is_ordered=True)
                first, last = self.block(body, lost_items)
                split.each("items", limit=limit, on_error="collect" if lost_items else "stop") >> first
                last >> join
                return split, join
            case Step():
                return self._step(block, lost)

    def _step(self, step: Step, lost: frozenset[int]) -> tuple[Node, Node]:
        work = Work(step, self._process, lost)
        if step.is_lost:
            handler = Handler(name=f"{step.name} handler")
            work.on_error(Lost) >> handler
            return work, handler
        if step.rounds == 1:
            return work, work
        after = Work(Step(f"{step.name} after"), self._process, frozenset())
        work.on(again=True) >> work
        work.on(again=False) >> after
        return work, after


class Work(Node):
    """A step of a program."""

    retry = RETRY

    def __init__(self, step: Step, process: Process, lost: frozenset[int]) -> None:
        super().__init__(name=step.name)
        if step.is_limited:
            self.timeout = LIMIT
        self._step = step
        self._process = process
        self._lost = lost

    async def process(self, context: NodeContext) -> Any:
        round = context.inputs.get("round", 0)
        where = place(self._step.name, context.path, round)
        self._process.begin(where, context.attempt)
        if (context.last_error is None) is not (context.attempt == 1):
            raise AssertionError(f"attempt {context.attempt} of {where} is told {context.last_error}")
        with self._in_time():
            results = [await self._do(op, f"{where}/{number}", context) for number, op in enumerate(self._step.ops)]
        if self._step.is_lost or (context.path and context.path[-1] in self._lost):
            raise Lost
        again = round + 1 < self._step.rounds
        value = digest(self._step.name, context.inputs["value"], results)
        return {"value": value, "again": again, **({"round": round + 1} if again else {})}

    def _in_time(self) -> AbstractContextManager[None]:
        """The time of the step does not run out meanwhile."""
        return self._process.clock.held() if self._step.is_limited else nullcontext()

    async def _do(self, op: Op, where: str, context: NodeContext) -> Any:
        process = self._process
        match op.kind:
            case "call":
                return await self._call(where, context, process.pay, where)
            case "calls":
                both = (self._call(f"{where}{each}", context, process.pay, f"{where}{each}") for each in "ab")
                return [*await asyncio.gather(*both)]
            case "plain":
                return await self._call(where, context, process.pay_plainly, where)
            case "declined":
                return await self._declined(where, context)
            case "flaky":
                return await self._call(where, context, process.pay_flakily, where, op.times)
            case "ask":
                return await self._ask(where, context, key=where)
            case "asks":
                asks = (self._ask(f"{where}{each}", context, key=f"{where}{each}") for each in "ab")
                return [*await asyncio.gather(*asks)]
            case "both":
                call = self._call(where, context, process.pay, where)
                return [*await asyncio.gather(call, self._ask(where, context))]
            case "uneven":
                flaky = self._call(f"{where}a", context, process.pay_flakily, f"{where}a", op.times)
                return [*await asyncio.gather(flaky, self._call(f"{where}b", context, process.pay_slowly, f"{where}b"))]
            case "patient":
                return (await asyncio.gather(self._ask(where, context), context.sleep(60 * op.times)))[0]
            case "form":
                return await context.interrupt(f"{where}form", schema=int)
            case "signal":
                return [await context.wait_for(where) for _ in range(op.times)]
            case "silence":
                return await context.wait_for(where, timeout=60 * op.times, default="nobody")
            case "sleep":
                await context.sleep(60 * op.times)
            case "append":
                await context.graph_state.append("log", *[f"{where}.{number}" for number in range(op.times)])
            case "count":
                await context.graph_state.update("count", lambda count: count + op.times, 0)
            case "fail" if context.attempt <= op.times:
                raise Flaky
            case "hang" if context.attempt <= op.times:
                await process.hang()
            case "break" if where not in process.ledger.repaired:
                process.is_stopped = True  # what runs beside it is cancelled
                raise Broken(
                    where, place(self._step.name, context.path, context.inputs.get("round", 0)), context.attempt
                )
            case "progress":
                await self._progress(op.times, where, context)
        return None

    async def _progress(self, times: int, where: str, context: NodeContext) -> None:
        """Go on from where an earlier execution got to."""
        ledger = self._process.ledger
        done = (await context.graph_state.get("progress", {})).get(where, 0)
        if done < ledger.committed.get(where, 0):
            raise AssertionError(f"{where} had committed {ledger.committed[where]} parts, and finds {done}")
        for number in range(done, times):
            await context.graph_state.set_item("progress", where, number + 1)
            await context.graph_state.append("log", f"{where}.{number}")
            await context.commit()
            self._process.check()
            ledger.note("committed", where, str(number + 1))

    async def _ask(self, question: str, context: NodeContext, *, key: str | None = None) -> Any:
        answer = await context.interrupt(question, key=key)
        self._process.check()
        self._process.ledger.note("told", question)
        return answer

    async def _declined(self, call: str, context: NodeContext) -> str:
        try:
            await context.durable(record_errors=Declined).run(call, self._process.decline, call)
        except Declined as error:
            self._process.ledger.note("got", call)
            return str(error)
        except BaseException:
            self._note_end(call, "left")
            raise
        raise AssertionError(f"{call} was not declined")

    async def _call(self, call: str, context: NodeContext, function: Callable[..., Any], *arguments: Any) -> str:
        try:
            with self._in_time():  # when the step has failed, too, and only waits for its calls
                result: str = await context.run(call, function, *arguments)
        except Exception as error:
            # The step was cancelled before it, or out of time, because the clock moved for another one as this one began.
            is_refused = isinstance(error, RunError) and (self._process.is_stopped or self._step.is_limited)
            self._note_end(call, "left" if is_refused else "failed")
            raise
        except BaseException:
            self._note_end(call, "left")
            raise
        self._note_end(call, "got")
        return result

    def _note_end(self, call: str, how: str) -> None:
        if not self._process.is_dead:
            self._process.ledger.note(how, call)


class Split(Work):
    """The beginning of a map."""

    def __init__(self, name: str, count: int, process: Process, lost: frozenset[int]) -> None:
        super().__init__(Step(name), process, lost)
        self._count = count

    async def process(self, context: NodeContext) -> Any:
        value = (await super().process(context))["value"]
        return {"items": [{"value": digest(value, index)} for index in range(self._count)]}


class Join(JoinNode):
    """The end of a map, whose results come in the order of the items, or of branches."""

    def __init__(self, name: str, *, is_ordered: bool) -> None:
        super().__init__(name=name)
        self._is_ordered = is_ordered

    async def process(self, context: NodeContext) -> Any:
        values = [_value_of(each) for each in context.inputs]
        return {"value": digest(self.name, values if self._is_ordered else sorted(values))}


class Handler(Node):
    """Takes over from a step that has failed."""

    async def process(self, context: NodeContext) -> Any:
        return {"value": digest(self.name, context.inputs["error"]["node"], context.inputs["inputs"]["value"])}


def _value_of(arrived: Mapping[str, Any] | ItemError) -> Any:
    return "lost" if isinstance(arrived, ItemError) else arrived["value"]
