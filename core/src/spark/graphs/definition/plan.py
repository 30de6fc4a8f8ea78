"""How a node is executed, and where its output goes: worked out once, when the graph is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spark.errors import GraphDefinitionError
from spark.graphs.definition.edges import Edge
from spark.graphs.definition.nodes import Node
from spark.graphs.definition.policies import StepPolicy
from spark.graphs.state.groups import Mapped, MapRule
from spark.graphs.state.step_state import Ended


class NodePlan:
    """A node under its key, with its edges in the order in which they fire."""

    __slots__ = (
        "edges",
        "ended",
        "handlers",
        "is_async",
        "key",
        "maps",
        "names",
        "node",
        "output",
        "outputs",
        "policy",
        "reference",
        "takes_context",
    )

    def __init__(self, key: str, node: Node) -> None:
        process = _process_of(node)
        self.key: str = key
        self.node: Node = node
        self.names: tuple[str, ...] = tuple({key: None, node.kind(): None, node.name or key: None})
        """Everything that ``trigger_on_node`` may call it."""
        self.edges: tuple[tuple[Edge[Node], str], ...] = ()
        """Outgoing edges, each with the key of its target."""
        self.outputs: tuple[tuple[Edge[Node], str], ...] = ()
        """Those for its output."""
        self.handlers: tuple[tuple[Edge[Node], str], ...] = ()
        """Those for errors."""
        self.maps: dict[Edge[Node], MapRule] = {}
        """Those that are maps, with the rule that the frontier knows them by."""
        self.output: str = f"the output of node {key!r}"
        """How an error names what it returned."""
        self.ended: Ended = Ended(f"This step of node {key!r}")
        """What the state of its contexts becomes when their step has ended."""
        self.policy: StepPolicy = StepPolicy.of_node(key, node.retry, node.timeout, node.idle_timeout, node.executor)
        """What it says itself of its steps."""
        self.reference: Any = None
        """What its executor's workers find it by, once that was worked out."""
        self.takes_context: bool = _takes_context(node, process)
        self.is_async: bool = _is_async(process)
        """Whether it runs on the event loop; a plain one needs a thread."""

    def wire(self, edges: tuple[tuple[Edge[Node], str], ...]) -> None:
        """Add the edges, in the order in which they fire."""
        self.edges = self.outputs = edges
        handlers = [pair for pair in edges if pair[0].errors]
        if handlers:
            self.outputs = tuple([pair for pair in edges if not pair[0].errors])
            self.handlers = tuple(handlers)

    def handlers_of(self, error: Exception) -> Sequence[str]:
        """The keys of the nodes that handle such an error: the targets of the nearest type and of edges that name the same."""
        distances = [(edge.distance(error), edge.errors) for edge, _ in self.handlers]
        fitting = [(distance, errors) for distance, errors in distances if distance is not None]
        if not fitting:
            return ()
        nearest = min(fitting, key=lambda each: each[0])[1]
        return [target for edge, target in self.handlers if set(edge.errors) == set(nearest)]

    def targets(self, content: Any) -> Sequence[str | Mapped]:
        """The keys of the nodes that an output with this content goes to, and the lists in it that are mapped over.

        :raises ConditionError: a condition raised.
        :raises MapError: there is no such list in the output.
        """
        if self.maps:
            return self._mapped([edge for edge in self.outputs if edge[0].matches(content)], content)
        targets: list[str | Mapped] = []
        for edge, target in self.outputs:
            if edge.matches(content):
                targets.append(target)
        return targets

    def _mapped(self, matching: Iterable[tuple[Edge[Node], str]], content: Any) -> list[str | Mapped]:
        targets: list[str | Mapped] = []
        for edge, target in matching:
            if edge.each is None:
                targets.append(target)
                continue
            rule, items = self.maps[edge], edge.each.items_in(content, node=self.key)
            if items or rule.joins:  # else there is nothing to run, and nothing that waits for it
                targets.append(Mapped(rule, items))
        return targets


def _process_of(node: Node) -> Callable[..., Any]:
    process = getattr(node, "process", None)
    if process is None:
        raise GraphDefinitionError(
            f"{type(node).__name__} has no process(self, context). Write it: it does the node's work."
        )
    if inspect.isgeneratorfunction(process) or inspect.isasyncgenfunction(process):
        raise GraphDefinitionError(
            f"The process of node {node.label()!r} is a generator; return the output's content instead of yielding it."
        )
    return process  # type: ignore[no-any-return]


def _is_async(process: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(process) or inspect.iscoroutinefunction(type(process).__call__)


def _takes_context(node: Node, process: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(process).parameters.values())
    except (TypeError, ValueError):
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    wanted = [p.name for p in required if p.kind is not p.VAR_POSITIONAL]
    if len(wanted) > 1 or any(p.kind is p.KEYWORD_ONLY for p in required):
        raise GraphDefinitionError(
            f"The process of node {node.label()!r} takes ({', '.join(wanted)}); it is called with the context, or with "
            "nothing. Read what arrives from context.inputs."
        )
    return bool(wanted) or any(p.kind is p.VAR_POSITIONAL or p.name == "context" for p in positional)
