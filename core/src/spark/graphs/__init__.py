"""Async graphs whose runs survive: write nodes, wire them with ``>>``, and ``await graph.run()``."""

from spark.graphs.clock import Clock
from spark.graphs.definition.context import NodeContext
from spark.graphs.definition.nodes import ExitNode, FunctionNode, JoinNode, Node, node
from spark.graphs.definition.retry import Retry
from spark.graphs.graph import Graph
from spark.graphs.message import Interrupt, Message
from spark.graphs.progress import MapProgress, Progress
from spark.graphs.state.step_state import GraphState, NodeState
from spark.graphs.tasks import Budget, Task, TaskType
from spark.graphs.values.failures import FailedAttempt, ItemError

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
