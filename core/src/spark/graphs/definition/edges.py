"""The arrows of a graph: where the output of a node goes, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from types import FunctionType
from typing import Any, Final, Generic, Protocol, TypeVar

from spark.errors import ConditionError, GraphRestoreError
from spark.graphs.definition.maps import Each
from spark.wording import raised, shortened

Condition = Callable[[Any], Any]
"""A plain function of an output's content; a true result lets the edge fire."""


class Labelled(Protocol):
    """A node, as its edges see it."""

    def label(self) -> str: ...


class MissingErrorType:
    """Stands for the type of an error that a checkpoint names and this program has not loaded.

    :param name: as it is recorded: ``"module:qualname"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.__name__ = name.rpartition(":")[2].rpartition(".")[2]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MissingErrorType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class MissingCondition:
    """Keeps the place of an edge's condition, which is a function and was not stored."""

    def __init__(self, label: str) -> None:
        self.__name__ = label

    def __call__(self, content: Any) -> bool:
        raise GraphRestoreError(f"The condition {self.__name__} was not stored with the checkpoint.")


ErrorType = type[Exception] | MissingErrorType
End = TypeVar("End", bound=Labelled)


class Edge(Generic[End]):
    """One arrow. It fires when the content of its source's output matches: once, or for each item of a list in there.

    One with ``errors`` fires instead when a step of its source has failed with such an error.
    """

    __slots__ = ("_expected", "condition", "each", "equals", "errors", "priority", "source", "target")

    def __init__(
        self,
        source: End,
        target: End,
        *,
        condition: Condition | None = None,
        equals: Mapping[str, Any] | None = None,
        priority: int = 0,
        each: Each | None = None,
        errors: tuple[ErrorType, ...] = (),
    ) -> None:
        self.source = source
        self.target = target
        self.condition = condition
        self.equals = dict(equals or {})
        self._expected = tuple(self.equals.items())
        self.priority = priority
        self.each = each
        """Which list it maps over, if it does."""
        self.errors = errors
        """The types of errors that it is for; none where it is for outputs."""

    def distance(self, error: Exception) -> int | None:
        """How far the nearest of its types is from that of the error: 0 if it is that; None where none of them fits."""
        bases: tuple[ErrorType, ...] = type(error).__mro__
        return min((bases.index(kind) for kind in self.errors if kind in bases), default=None)

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

    def is_same(self, other: Edge[End]) -> bool:
        """Whether the other one was declared with the same words: fires for the same outputs, and leads to the same node."""
        return (
            self.source is other.source
            and self.target is other.target
            and self.priority == other.priority
            and self.errors == other.errors
            and (self.each is other.each or (self.each is not None and self.each.is_same(other.each)))
            and _is_equal(self.equals, other.equals)
            and _is_same_condition(self.condition, other.condition)
        )

    def kind(self) -> tuple[Any, ...]:
        """Something that can be hashed, and that the same edge has, too; most others have something else."""
        equals = None
        if self._expected:
            try:
                equals = frozenset(self._expected)
            except Exception:  # among the values is a list, for instance
                equals = None
        return id(self.target), self.priority, equals, self.each and self.each.key

    def condition_label(self) -> str:
        """The condition, or the errors, in a few words; ``""`` when there are none."""
        if self.errors:
            return (
                "on error" if self.errors == (Exception,) else f"on {', '.join(kind.__name__ for kind in self.errors)}"
            )
        if self.condition is not None:
            return str(getattr(self.condition, "__name__", type(self.condition).__name__))
        return ", ".join(f"{key}={expected!r}" for key, expected in self.equals.items())

    def label(self) -> str:
        """The condition, and what it maps over, in a few words; ``""`` where there is neither."""
        label = self.condition_label()
        if self.each is None:
            return label
        return f"{label}, {self.each.label()}" if label else self.each.label()

    def __repr__(self) -> str:
        label = self.label()
        on = f" on {label.removeprefix('on ')}" if label else ""
        return f"edge {self.source.label()!r} -> {self.target.label()!r}{on}"

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
            f"The condition of {self!r} is async; conditions are plain functions, called when a step commits. "
            "Await in the node, and put the result into the output."
        )

    def _raised(self, error: Exception, content: Any) -> ConditionError:
        return ConditionError(
            f"The condition of {self!r} raised {raised(error)}. It was given the output's content "
            f"{shortened(repr(content))}; make it handle this content as well."
        )


class Edges(Generic[End]):
    """The outgoing edges of a node, in the order of declaration.

    One that is declared again is the same edge: a notebook's cell may be run twice, and a program may wire a shared node for
    each graph that it makes.
    """

    __slots__ = ("_alike", "_all")

    def __init__(self) -> None:
        self._all: list[Edge[End]] = []
        self._alike: dict[Any, Edge[End]] = {}
        """By kind, and by a number for those of one kind: where an edge is looked for that may be the same."""

    def append(self, edge: Edge[End]) -> None:
        """Add an edge, unless it is there."""
        kind, number = edge.kind(), 0
        with _WIRING:
            while (earlier := self._alike.setdefault((*kind, number), edge)) is not edge:
                if edge.is_same(earlier):
                    return
                number += 1
            self._all.append(edge)

    def __iter__(self) -> Iterator[Edge[End]]:
        return iter(tuple(self._all))

    def __reduce__(self) -> tuple[type, tuple[()], None, Iterator[Edge[End]]]:
        return Edges, (), None, iter(self)  # what a copy is looked up by are the identities of other nodes


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
