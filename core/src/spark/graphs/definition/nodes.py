"""What users write: nodes, and how they are wired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, overload
from weakref import WeakValueDictionary

from spark.errors import GraphDefinitionError
from spark.graphs.definition.edges import Condition, Edge, Edges, ErrorType
from spark.graphs.definition.maps import Each, OnError
from spark.graphs.definition.policies import UNSET, ExecutorOption, RetryOption, TimeOption

if TYPE_CHECKING:
    from spark.graphs.definition.context import NodeContext

Target = TypeVar("Target", bound="Node")
"""What an edge leads to, and ``>>`` gives back, so that a chain knows what it ends in."""


class Node:
    """One piece of work. Subclass it and write ``process``, or decorate a function with ``@node``.

    A node instance holds no progress of a run, so it may be used in several graphs, and run several times at once. Put
    what must survive into ``context.graph_state`` or ``context.state``.
    """

    name: str | None = None
    """The name given to this node; without one, its class name is its key in the graph."""

    retry: Any = UNSET
    """Whether a step that failed is executed again: a ``Retry``, or a function of the error and the attempt that returns the
    seconds to wait; None for never. Without it, the graph's default holds. A class may set it, or write it as a method."""
    timeout: TimeOption = UNSET
    """How long one execution may take, in seconds or as a ``timedelta``; None for no limit. Without it, the graph's holds."""
    idle_timeout: TimeOption = UNSET
    """The same for how long it may give no sign of life, such as ``context.heartbeat()``."""
    executor: ExecutorOption = UNSET
    """Where its code runs: the name of an executor, ``{name: {option: value}}``, or an object. Without it, the graph's holds; and
    without that, an async node runs in the event loop, and a plain one in a thread."""

    process: Callable[..., Any]
    """Does the work, and returns the output's content, usually a dict. Every node class writes its own.

    Write it async, or plain: a plain one runs in a worker thread, so that it may block. It takes the context, or
    nothing. What it writes to the state becomes visible together with its output, or, when it raises, not at all.
    """

    _edges: Edges[Node]
    _has_arguments: bool
    _made_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Here and not in __init__, so that a subclass need not call super().__init__().
        self = super().__new__(cls)
        object.__setattr__(self, "_edges", Edges())  # also of a frozen dataclass
        recorded = _POLICIES if cls.__init__ is Node.__init__ else _NAME
        object.__setattr__(self, "_has_arguments", bool(args) or bool(kwargs.keys() - recorded))
        object.__setattr__(self, "_made_with", (args, kwargs))
        return self

    def __init__(
        self,
        *,
        name: str | None = None,
        retry: RetryOption = UNSET,
        timeout: TimeOption = UNSET,
        idle_timeout: TimeOption = UNSET,
        executor: ExecutorOption = UNSET,
    ) -> None:
        if name is not None:
            self.name = name
        if retry is not UNSET:
            self.retry = retry
        if timeout is not UNSET:
            self.timeout = timeout
        if idle_timeout is not UNSET:
            self.idle_timeout = idle_timeout
        if executor is not UNSET:
            self.executor = executor

    def on(self, condition: Condition | None = None, *, priority: int = 0, **equals: Any) -> OutgoingEdge:
        """The beginning of an edge that fires only for some outputs: ``node.on(done=True) >> exit``.

        :param condition: a plain function of the output's content.
        :param priority: of the edges that fire, those with a higher one go first; equal ones in the order of declaration.
        :param equals: keys of the output's content and the values they must all have. A missing key equals only None.
        :raises GraphDefinitionError: the condition can't be called, or both kinds were given.
        """
        return OutgoingEdge(self, condition=condition, equals=equals, priority=priority)

    def each(self, key: str, *, limit: int | None = None, on_error: OnError = "stop") -> OutgoingEdge:
        """The beginning of a map: ``split.each("items") >> worker >> join``.

        The worker runs once for each item of the list, tuple or mapping under this key of the output's content, with the item as
        its input: for each value of a mapping. The first join that an item reaches gets the results of all, in the order of the
        items.

        :param limit: how many items may be in progress at a time; None for all at once.
        :param on_error: ``"stop"``: an item that fails stops the run as any step does, and on resume only what was not committed
            runs; ``"collect"``: the join gets an ``ItemError`` in the place of its result.
        :raises GraphDefinitionError: one of them can't be used.
        """
        return self.on().each(key, limit=limit, on_error=on_error)

    def on_error(self, *types: type[Exception]) -> OutgoingEdge:
        """The beginning of an edge that is followed when a step of this node fails for good: ``a.on_error(OSError) >> handler``.

        For good means after its retries. The handler's inputs are ``{"error": {"type", "message", "node", "attempt", "time"},
        "inputs": …}``, the latter those of the failed step, whose writes are dropped. Of several such edges, those with the type
        nearest to the error's own are followed.

        :param types: the types of errors; without any, every ``Exception``.
        :raises GraphDefinitionError: one of them is no subclass of ``Exception``.
        """
        for kind in types:
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                raise GraphDefinitionError(
                    f"{self.label()}.on_error({kind!r}): give types of errors, subclasses of Exception; none for all of them."
                )
        return OutgoingEdge(self, condition=None, equals={}, priority=0, errors=types or (Exception,))

    @overload
    def __rshift__(self, target: Target) -> Target: ...
    @overload
    def __rshift__(self, target: Iterable[Node]) -> NodeGroup: ...
    def __rshift__(self, target: Node | Iterable[Node]) -> Node | NodeGroup:
        return self.connect(target)

    def __rrshift__(self, sources: Iterable[Node]) -> Self:
        for source in NodeGroup.of(sources, context=f"… >> {self.label()}"):
            source.connect(self)
        return self

    @overload
    def connect(
        self,
        target: Target,
        *,
        condition: Condition | None = None,
        equals: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Target: ...
    @overload
    def connect(
        self,
        target: Iterable[Node],
        *,
        condition: Condition | None = None,
        equals: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> NodeGroup: ...
    def connect(
        self,
        target: Node | Iterable[Node],
        *,
        condition: Condition | None = None,
        equals: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Node | NodeGroup:
        """Add an edge to a node, or one to each of several; what ``>>`` does. Returns the target, for chaining.

        Graphs that are built already don't change.

        :raises GraphDefinitionError: the target is no node.
        """
        return self._connect(target, condition=condition, equals=equals, priority=priority)

    def _connect(
        self,
        target: Node | Iterable[Node],
        *,
        each: Each | None = None,
        errors: tuple[ErrorType, ...] = (),
        **when: Any,
    ) -> Node | NodeGroup:
        """``connect``, for an edge that may be a map, or be for errors, as well."""
        targets = NodeGroup.of(target, context=f"{self.label()} >> …")
        for one in targets:
            self._edges.append(Edge(self, one, each=each, errors=errors, **when))
        return target if isinstance(target, Node) else targets

    @property
    def edges(self) -> tuple[Edge[Node], ...]:
        """The outgoing edges, in the order in which they are asked. One that was declared again is the same edge."""
        return tuple(sorted(self._edges, key=lambda edge: -edge.priority))

    def kind(self) -> str:
        """What it is called without a name: its class, or its function."""
        return type(self).__name__

    def label(self) -> str:
        """What messages call it where no graph is at hand."""
        return self.name or self.kind()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label()!r}>"


class OutgoingEdge:
    """What ``node.on(…)``, ``each(…)`` and ``on_error(…)`` return: the beginning of an edge, finished by ``>> target``."""

    __slots__ = ("_condition", "_each", "_equals", "_errors", "_priority", "_source")

    def __init__(
        self,
        source: Node,
        *,
        condition: Condition | None,
        equals: Mapping[str, Any],
        priority: int,
        errors: tuple[ErrorType, ...] = (),
    ) -> None:
        if condition is not None and not callable(condition):
            raise GraphDefinitionError(
                f"{source.label()}.on({condition!r}): a condition is a function of the output's content. To compare a key, "
                "name it: node.on(done=True)."
            )
        if condition is not None and equals:
            raise GraphDefinitionError(
                f"{source.label()}.on(…): give either a condition or keys to compare, not both; the condition can compare too."
            )
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise GraphDefinitionError(f"{source.label()}.on(priority={priority!r}): a priority is a whole number.")
        self._source = source
        self._condition = condition
        self._equals = equals
        self._priority = priority
        self._errors = errors
        self._each: Each | None = None

    def each(self, key: str, *, limit: int | None = None, on_error: OnError = "stop") -> OutgoingEdge:
        """The same edge as a map, as ``Node.each`` makes one: ``node.on(kind="batch").each("items") >> worker``.

        :raises GraphDefinitionError: an argument can't be used, or the edge is a map already.
        """
        if self._errors:
            raise GraphDefinitionError(
                f"{self._source.label()}.on_error(…).each({key!r}): a failed step has no output to map over; let the handler "
                "return the list, and wire handler.each(…)."
            )
        if self._each is not None:
            raise GraphDefinitionError(
                f"{self._source.label()}.{self._each!r}.each({key!r}): an edge maps over one list. To map over lists of lists, "
                "let the worker return the inner list, and wire worker.each(…) in turn."
            )
        made = OutgoingEdge(self._source, condition=self._condition, equals=self._equals, priority=self._priority)
        made._each = Each(key, limit=limit, on_error=on_error, label=self._source.label())
        return made

    @overload
    def __rshift__(self, target: Target) -> Target: ...
    @overload
    def __rshift__(self, target: Iterable[Node]) -> NodeGroup: ...
    def __rshift__(self, target: Node | Iterable[Node]) -> Node | NodeGroup:
        return self._source._connect(
            target,
            condition=self._condition,
            equals=self._equals,
            priority=self._priority,
            each=self._each,
            errors=self._errors,
        )


class NodeGroup(tuple[Node, ...]):
    """Several nodes wired at once: ``a >> [b, c] >> d``."""

    __slots__ = ()

    @classmethod
    def of(cls, nodes: Any, *, context: str) -> NodeGroup:
        """The given node or nodes.

        :raises GraphDefinitionError: one of them is not a node, or there is none.
        """
        members = cls((nodes,) if isinstance(nodes, Node) or not isinstance(nodes, Iterable) else nodes)
        if not members:
            raise GraphDefinitionError(f"{context}: the list of nodes is empty.")
        for member in members:
            if not isinstance(member, Node):
                hint = " This is the class; add () to make a node." if isinstance(member, type) else ""
                raise GraphDefinitionError(f"{context}: {member!r} is not a node.{hint}")
        return members

    @overload
    def __rshift__(self, target: Target) -> Target: ...
    @overload
    def __rshift__(self, target: Iterable[Node]) -> NodeGroup: ...
    def __rshift__(self, target: Node | Iterable[Node]) -> Node | NodeGroup:
        targets = NodeGroup.of(target, context="[…] >> …")
        for source in self:
            source.connect(targets)
        return target if isinstance(target, Node) else targets


class ExitNode(Node):
    """Passes its input's content on and adds ``success: True``."""

    async def process(self, context: NodeContext) -> Any:
        content = context.inputs
        if isinstance(content, Mapping):
            return {**content, "success": True}
        return {"success": True} if content is None else {"content": content, "success": True}


class JoinNode(Node):
    """Waits until nothing else can still arrive, then runs once with everything that has arrived.

    ``context.inputs`` is the list of what arrived, in the order of the nodes it came from, and from one node in the order in
    which it would arrive if all steps took equally long, whatever really finished first. It can't wait for a branch
    that was not taken: it runs as soon as no pending work of the run can reach it any more.
    """

    async def process(self, context: NodeContext) -> Any:
        return {"results": context.inputs}


class FunctionNode(Node):
    """A node made of a function by ``@node``."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None, **policies: Any) -> None:
        super().__init__(name=name, **policies)
        self.process = function
        self.__doc__ = function.__doc__
        self._has_arguments = False  # its one argument is found again by name, see rebuild
        _remember(function)

    @classmethod
    def loaded(cls, module: str, qualname: str) -> Callable[..., Any] | None:
        """The function that ``@node`` was put on in this process, by where it was defined; nothing is imported."""
        if (module, qualname) in _AMBIGUOUS:
            return None
        found = _FUNCTIONS.get((module, qualname))
        if found is not None:
            return found
        same = [
            function
            for (where, what), function in _FUNCTIONS.items()
            if what == qualname and "__main__" in (module, where)
        ]
        return same[0] if len(same) == 1 else None

    def kind(self) -> str:
        return str(getattr(self.process, "__name__", "function"))


def _remember(function: Callable[..., Any]) -> None:
    """Let a function be found again by name, if its name is enough to tell what it does."""
    qualname = getattr(function, "__qualname__", None)
    if qualname is None:
        return
    where = (function.__module__, qualname)
    earlier = _FUNCTIONS.get(where)
    # A definition at the top of a module may be made anew, as notebooks do. Lambdas, and functions made inside functions, may
    # be there several times at once and do different things.
    if "<" in qualname and earlier is not None and not _is_same(earlier, function):
        _AMBIGUOUS.add(where)
    _FUNCTIONS[where] = function


def _is_same(earlier: Callable[..., Any], function: Callable[..., Any]) -> bool:
    if earlier is function:
        return True
    code = getattr(function, "__code__", None)
    return (
        code is not None and getattr(earlier, "__code__", None) is code and not getattr(function, "__closure__", None)
    )


_AMBIGUOUS: Final[set[tuple[str, str]]] = set()
_FUNCTIONS: Final[WeakValueDictionary[tuple[str, str], Callable[..., Any]]] = WeakValueDictionary()


_NAME: Final = frozenset({"name"})
_POLICIES: Final = frozenset({"name", "retry", "timeout", "idle_timeout", "executor"})
"""What checkpoints record of the arguments of a node whose class writes no ``__init__``."""


@overload
def node(function: Callable[..., Any], /) -> FunctionNode: ...
@overload
def node(
    *,
    name: str | None = None,
    retry: RetryOption = UNSET,
    timeout: TimeOption = UNSET,
    idle_timeout: TimeOption = UNSET,
    executor: ExecutorOption = UNSET,
) -> Callable[[Callable[..., Any]], FunctionNode]: ...
def node(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, **policies: Any
) -> FunctionNode | Callable[[Callable[..., Any]], FunctionNode]:
    """Make a node of a function: ``@node`` or ``@node(name="fetch", retry=Retry())``.

    The function is async or plain, and takes the context or nothing, as ``Node.process`` does. The other arguments are those of
    ``Node``.
    """
    if function is None:
        return lambda decorated: FunctionNode(decorated, name=name, **policies)
    if not callable(function):
        raise GraphDefinitionError(f"@node decorates a function; pass a name by keyword: @node(name={function!r}).")
    return FunctionNode(function, name=name, **policies)
