"""The arrows of a graph: where the output of a node goes, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, overload

from spark.errors import ConditionError, GraphDefinitionError

if TYPE_CHECKING:
    from spark.graphs.nodes import Node, NodeGroup, Target

Condition = Callable[[Any], Any]
"""A plain function of an output's content; a true result lets the edge fire."""


class Edge:
    """One arrow. It fires when the content of its source's output matches."""

    __slots__ = ("_expected", "condition", "equals", "priority", "source", "target")

    def __init__(
        self,
        source: Node,
        target: Node,
        *,
        condition: Condition | None = None,
        equals: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> None:
        self.source = source
        self.target = target
        self.condition = condition
        self.equals = dict(equals or {})
        self._expected = tuple(self.equals.items())
        self.priority = priority

    def matches(self, content: Any) -> bool:
        """Whether an output with this content goes along this edge.

        :raises ConditionError: the condition raised, or is an async function.
        """
        if self.condition is not None:
            return self._ask(self.condition, content)
        keyed = type(content) is dict or isinstance(content, Mapping)
        try:
            for key, expected in self._expected:  # all() over a generator costs twice as much
                if (content.get(key) if keyed else None) != expected:
                    return False
        except Exception as error:
            raise self._raised(error, content) from error
        return True

    def is_same(self, other: Edge) -> bool:
        """Whether the other one was declared with the same words: fires for the same outputs, and leads to the same node."""
        return (
            self.source is other.source
            and self.target is other.target
            and self.priority == other.priority
            and _is_equal(self.equals, other.equals)
            and _is_same_condition(self.condition, other.condition)
        )

    def kind(self) -> Any:
        """Something that can be hashed, and that the same edge has, too; most others have something else."""
        try:
            equals = frozenset(self._expected)
            hash(equals)
        except Exception:  # among the values is a list, for instance
            equals = frozenset()
        return id(self.target), self.priority, equals

    def label(self) -> str:
        """The condition in a few words, ``""`` when there is none."""
        if self.condition is not None:
            return str(getattr(self.condition, "__name__", type(self.condition).__name__))
        return ", ".join(f"{key}={expected!r}" for key, expected in self.equals.items())

    def __repr__(self) -> str:
        label = self.label()
        return f"edge {self.source.label()!r} -> {self.target.label()!r}" + (f" on {label}" if label else "")

    def _ask(self, condition: Condition, content: Any) -> bool:
        try:
            answer = condition(content)
            if not hasattr(answer, "__await__"):
                return bool(answer)
        except Exception as error:
            raise self._raised(error, content) from error
        if hasattr(answer, "close"):
            answer.close()
        raise ConditionError(
            f"The condition of {self!r} is async; conditions are plain functions, asked at the commit of a step. "
            "Do the awaiting in the node and put what it found into the output."
        )

    def _raised(self, error: Exception, content: Any) -> ConditionError:
        return ConditionError(
            f"The condition of {self!r} raised {type(error).__name__}: {error}. It was given the output's content "
            f"{_shortened(content)}; make it answer for this content too."
        )


class Edges:
    """The outgoing edges of a node, in the order of declaration.

    One that is declared again is the same edge: a notebook's cell may be run twice, and a program may wire a shared node for
    each graph that it makes.
    """

    __slots__ = ("_alike", "_all")

    def __init__(self) -> None:
        self._all: list[Edge] = []
        self._alike: dict[Any, list[Edge]] = {}
        """Those among which an edge is looked for that may be the same."""

    def append(self, edge: Edge) -> None:
        """Add an edge, unless it is there."""
        with _WIRING:
            alike = self._alike.setdefault(edge.kind(), [])
            if not any(edge.is_same(earlier) for earlier in alike):
                alike.append(edge)
                self._all.append(edge)

    def __iter__(self) -> Iterator[Edge]:
        return iter(tuple(self._all))

    def __reduce__(self) -> tuple[type, tuple[()], None, Iterator[Edge]]:
        return Edges, (), None, iter(self)  # what a copy is looked up by are the identities of other nodes


class OutgoingEdge:
    """What ``node.on(…)`` returns: the beginning of an edge, finished by ``>> target``."""

    __slots__ = ("_condition", "_equals", "_priority", "_source")

    def __init__(self, source: Node, *, condition: Condition | None, equals: Mapping[str, Any], priority: int) -> None:
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

    @overload
    def __rshift__(self, target: Target) -> Target: ...
    @overload
    def __rshift__(self, target: Iterable[Node]) -> NodeGroup: ...
    def __rshift__(self, target: Node | Iterable[Node]) -> Node | NodeGroup:
        return self._source.connect(target, condition=self._condition, equals=self._equals, priority=self._priority)


def _shortened(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _is_same_condition(one: Condition | None, other: Condition | None) -> bool:
    if one is other:
        return True
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        # Made by the same words, again: a lambda in a cell that was run twice.
        return all(_is_equal(getattr(one, part), getattr(other, part)) for part in _PARTS_OF_A_FUNCTION)
    return _is_equal(one, other)


def _is_equal(one: object, other: object) -> bool:
    """Whether the two compare as equal; those whose comparison fails don't, as arrays."""
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:
        return False


_WIRING: Final = Lock()
_PARTS_OF_A_FUNCTION: Final = (
    "__code__",
    "__closure__",
    "__defaults__",
    "__kwdefaults__",
    "__module__",
    "__qualname__",
)
