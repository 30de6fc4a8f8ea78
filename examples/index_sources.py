"""Count every identifier in Python's standard library, with a graph that may be killed at any moment.

    python examples/index_sources.py file:///tmp/index

Kill it however you like, and start it again with the same words: it goes on where it was. Name a folder behind the URL
to index your own sources. ``survive_kills.py`` beside this file kills it over and over, and compares the result with
that of a run that nobody disturbed.

The graph: walk hands four batches of files to four parsers, which work in parallel; merge waits for all of them, adds
what they found to the index, and leads back to walk, until no file is left.

One line says where the parsers run: ``PARSING`` below, or the environment, without a change of the program:

    SPARK_EXECUTOR_PARSING=process python examples/index_sources.py file:///tmp/index
    SPARK_EXECUTOR_PARSING=ray python examples/index_sources.py file:///tmp/index
"""

import ast
import asyncio
import hashlib
import json
import os
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, GraphCheckpoint

PARSING = "threads"
"""Where the parsers run: "loop", "threads", "process" or "ray"; the last two come with spark-graphs[process] and [ray]."""
PARSERS = ["parse-1", "parse-2", "parse-3", "parse-4"]
BATCH = 12
ONE_AT_A_TIME = Lock()
"""In Python 3.11, threads that parse at the same time can disturb each other: "AST constructor recursion depth mismatch"."""


class Walk(Node):
    """Find the source files, and hand the next ones to the parsers, a batch each."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        state = context.graph_state
        if not await state.has("files"):
            await state.set("files", find_sources(Path(context.inputs["folder"])))  # what the run was started with
        files, position = await state.peek("files"), await state.get("position", 0)
        batches = {}
        for name in PARSERS:
            batches[name] = files[position : position + BATCH]
            position += len(batches[name])
        await state.set("position", position)
        return {"done": not batches[PARSERS[0]], "batches": batches}


class Parse(Node):
    """Count the identifiers in one batch of files. It is a plain function, so it can run anywhere."""

    def process(self, context: NodeContext) -> dict[str, Any]:
        counts: Counter[str] = Counter()
        for path in context.inputs["batches"][context.node]:
            counts.update(identifiers(Path(path)))
        return {"counts": dict(counts)}


class Merge(JoinNode):
    """Wait for all parsers, and add what they counted to the index: one key of the state for each first letter."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        shards: dict[str, Counter[str]] = {}
        for branch in context.inputs:
            for name, count in branch["counts"].items():
                shards.setdefault(name[0].lower(), Counter())[name] += count
        for letter, counts in shards.items():
            await context.graph_state.update(f"index/{letter}", partial(add, counts), default={})
        position, files = await context.graph_state.get("position"), await context.graph_state.peek("files")
        print(f"  {position:5} of {len(files)} files", flush=True)
        return {}


class Summary(ExitNode):
    """Boil the index down to a few figures and a digest, by which two runs can be compared."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        state = context.graph_state
        index: Counter[str] = Counter()
        for key in await state.keys():
            if key.startswith("index/"):
                index.update(await state.peek(key))
        digest = hashlib.sha256(json.dumps(sorted(index.items())).encode()).hexdigest()
        return {
            "files": await state.get("position"),
            "identifiers": len(index),
            "total": index.total(),
            "digest": digest,
        }


class Announce(CheckpointHandler):
    """Say from where a run goes on."""

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        done = checkpoint.execution_metadata["iteration"]
        print(f"  resumed from {checkpoint.checkpoint_id}, after {done} steps", flush=True)


def build(store: str) -> Graph:
    """The wired graph. It makes a checkpoint after every step, and keeps the last five."""
    walk, merge = Walk(), Merge()
    walk.on(done=False) >> [Parse(name=name, executor="parsing") for name in PARSERS] >> merge >> walk
    walk.on(done=True) >> Summary()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, max_checkpoints=5, handler=Announce())
    return Graph(start=walk, id="index-sources", checkpoint_config=config)


def find_sources(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.py") if "site-packages" not in path.relative_to(folder).parts)


def add(new: Counter[str], old: dict[str, int]) -> dict[str, int]:
    return dict(new + Counter(old))


def identifiers(path: Path) -> Iterator[str]:
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the library's own tests are odd on purpose
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # and some are broken on purpose
            return
    for found in ast.walk(tree):
        if isinstance(found, ast.Name):
            yield found.id
        elif isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield found.name
        elif isinstance(found, ast.Attribute):
            yield found.attr
        elif isinstance(found, ast.arg):
            yield found.arg


async def main(store: str, folder: str) -> None:
    os.environ.setdefault("SPARK_EXECUTOR_PARSING", PARSING)  # what "parsing" means; spark.toml may say it as well
    print(f"  indexing {folder}", flush=True)
    result = await build(store).run({"folder": folder}, resume=True)
    print(json.dumps(result.content), flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else sysconfig.get_path("stdlib")))
