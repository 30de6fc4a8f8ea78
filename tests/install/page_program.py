"""Runs those blocks of the specification that fit, with what is installed beside the Python that runs it.

What the page leaves to its reader is given here as ``tests/spec`` gives it, as far as several blocks need it. The few that want
something of their own, or another library, are left to those tests, and so are those that write a signature down.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from spark.errors import SparkWarning
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from tests.spec.page import Block, blocks, imported_on_the_page
from tests.support.stand_ins import Count, looping

BACKENDS = {"FileCheckpointBackend", "DatabaseCheckpointBackend"}
"""What the page takes as imported, whether or not it is installed."""


def main() -> None:
    """Prints, as JSON, for each block that fits its line and what became of it."""
    warnings.simplefilter("ignore", SparkWarning)  # the page gives most of its graphs no id
    print(json.dumps([(block.line, outcome) for block in blocks() if (outcome := asyncio.run(run(block)))]))


async def run(block: Block) -> str:
    """``"ran"``, or the error, or nothing when the block does not fit."""
    known = imported_on_the_page() | await stand_ins()
    if not fits(block, BACKENDS | known.keys()):
        return ""
    try:
        await block.run_among(known, directory=Path("checkpoints").absolute())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await close_all(known)
    return "ran"


async def stand_ins() -> dict[str, Any]:
    """Nodes of the names that the page uses; and a graph that has run, its backend, and a checkpoint of it."""
    first, second, third = (named(name) for name in ("DataProcessor", "ModelTrainer", "ResultValidator"))
    first >> second >> third
    backend = InMemoryCheckpointBackend()
    graph = Graph(start=looping(Count()), id="mine", checkpoint_config=CheckpointConfig(backend=backend))
    await graph.run()
    await graph.create_checkpoint(checkpoint_id="ckpt_123").save(backend)
    manager = CheckpointManager(backend)
    return {"my_node": first, "backend": backend, "graph": graph, "manager": manager, "checkpoint_id": "ckpt_123"}


def named(name: str) -> Count:
    node = Count(limit=1)
    node.name = name
    return node


async def close_all(known: dict[str, Any]) -> None:
    """Release what a block opened."""
    values = [value.checkpoint_backend if isinstance(value, Graph) else value for value in known.values()]
    for backend in {id(value): value for value in values if isinstance(value, CheckpointBackend)}.values():
        await backend.close()


def fits(block: Block, given: set[str]) -> bool:
    """Whether the block is a program, and wants no name beyond these, and no other library."""
    try:
        tree = ast.parse(block.code)
    except SyntaxError:
        return False
    if not libraries(tree) <= {"spark", *sys.stdlib_module_names}:
        return False
    return names(tree, ast.Load) - names(tree, ast.Store) - given <= set(dir(builtins))


def libraries(tree: ast.AST) -> set[str]:
    """The top-level packages that the code imports."""
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {module.partition(".")[0] for module in modules}


def names(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    """Those that the code reads, or those that it gives a meaning."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Load:
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found
