"""Programs whose runs the tests look at, each executed by a process of its own.

python -m tests.plugins.ui.run.programs PROGRAM STORE GRAPH_ID [resume]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel

from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, KeepAll, open_backend

HOSTILE: Final = "\"><script>window.__pwned=1</script><img src=x onerror=window.__pwned=2>{{7*7}}'`</textarea></title>"
"""What would do something if any page took it for HTML, or for a template."""
ROOT: Final = Path(__file__).parents[4]


class Verdict(BaseModel):
    """What the person who is asked may say."""

    decision: Literal["approve", "reject"]
    amount: float
    note: str = ""


@node
async def ask(context: NodeContext) -> dict[str, Any]:
    """Ask a person."""
    verdict = await context.interrupt({"refund": 17, "why": "It broke."}, key="refund", schema=Verdict)
    return {"decision": verdict.decision, "amount": verdict.amount, "note": verdict.note}


@node
async def count(context: NodeContext) -> dict[str, Any]:
    """One step for each line of standard input."""
    print("a step begins", flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    await context.graph_state.append("lines", line.strip())
    return {"more": bool(line.strip())}


@node
async def large(context: NodeContext) -> None:
    """A state of 2 MB, with a needle in it."""
    orders = [{"id": number, "item": f"item {number}", "note": "x" * 60} for number in range(15_000)]
    await context.graph_state.set("orders", orders)
    await context.graph_state.set("text", "lorem ipsum\n" * 20_000 + "here is the needle\n")


@node
async def spiteful(context: NodeContext) -> None:
    """Everything that can be a text is one that does harm if it is taken for HTML."""
    await context.graph_state.set(HOSTILE, {HOSTILE: [HOSTILE, f"{HOSTILE}\n{HOSTILE}"]})
    await context.run(HOSTILE, str, HOSTILE)
    await context.interrupt({HOSTILE: HOSTILE}, key=HOSTILE, schema=Spite)


class Link(Node):
    """One of a long chain."""

    async def process(self, context: NodeContext) -> None:
        """Do nothing."""


def link(number: int) -> Link:
    """The link with this number."""
    return Link(name=f"link {number}")


class Spite(BaseModel):
    """A schema with such texts in it."""

    model_config = {"title": HOSTILE, "json_schema_extra": {"description": HOSTILE}}
    choice: Literal["<script>window.__pwned=3</script>", "b"]  # type: ignore[valid-type]  # no name
    text: str = HOSTILE


@node(name=HOSTILE)
async def failing(context: NodeContext) -> None:
    """Fail with such a text."""
    raise ValueError(HOSTILE)


count.on(more=True) >> count
PROGRAMS: Final[dict[str, Node]] = {
    "ask": ask,
    "count": count,
    "large": large,
    "spiteful": spiteful,
    "failing": failing,
}


async def run(program: str, url: str, graph_id: str, *, resume: bool = False) -> Any:
    """Run one of them; returns its result."""
    store = open_backend(url)
    try:
        config = CheckpointConfig(backend=store, trigger_on_iteration=1, retention=KeepAll())
        message = await Graph(PROGRAMS[program], id=graph_id, checkpoint_config=config).run(resume=resume)
        return message.status, message.content
    finally:
        await store.close()


async def process(program: str, url: str, graph_id: str, *more: str) -> asyncio.subprocess.Process:
    """The same in a process of its own."""
    words = ("-m", "tests.plugins.ui.run.programs", program, url, graph_id, *more)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe, cwd=ROOT)


if __name__ == "__main__":
    print(asyncio.run(run(*sys.argv[1:4], resume="resume" in sys.argv)))
