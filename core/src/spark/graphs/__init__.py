"""Async graphs whose runs survive: write nodes, wire them with ``>>``, and ``await graph.run()``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spark.graphs.clock import Clock
from spark.graphs.definition.context import NodeContext
from spark.graphs.definition.nodes import ExitNode, FunctionNode, JoinNode, Node, node
from spark.graphs.graph import Graph
from spark.graphs.message import Interrupt, Message
from spark.graphs.progress import MapProgress, Progress
from spark.graphs.state.step_state import GraphState, NodeState
from spark.graphs.tasks import Budget, Task, TaskType
from spark.graphs.values.failures import FailedAttempt, ItemError

if TYPE_CHECKING:
    from spark.graphs.definition.retry import Retry

__all__ = [
    "Budget",
    "Clock",
    "ExitNode",
    "FailedAttempt",
    "FunctionNode",
    "Graph",
    "GraphState",
    "Interrupt",
    "ItemError",
    "JoinNode",
    "MapProgress",
    "Message",
    "Node",
    "NodeContext",
    "NodeState",
    "Progress",
    "Retry",
    "Task",
    "TaskType",
    "node",
]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        """What only some programs use is imported on first use."""
        if name != "Retry":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = import_module(f"{__name__}.definition.retry").Retry
        return value
