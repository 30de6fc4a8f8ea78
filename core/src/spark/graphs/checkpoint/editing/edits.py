"""What somebody wants to have changed in a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from spark.errors import GraphDefinitionError

if TYPE_CHECKING:
    from spark.graphs.definition.topology import Topology

EDITED: Final = frozenset({"edited", "forked"})
"""The reasons of checkpoints that no run has made. Each says as its ``status`` how its run stands."""


class Changes(TypedDict, total=False):
    """What ``CheckpointManager.edit`` and ``fork`` take; ``Edits`` says what each of them means."""

    set: Mapping[str, Any]
    append: Mapping[str, Sequence[Any]]
    delete: Collection[str]
    as_node: str | None
    output: Any
    reason: str
    by: str


class Wired(Protocol):
    """A ``Graph``, as far as editing needs it."""

    @property
    def topology(self) -> Topology: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Changes of the shared state, and of the pending work.

    :raises GraphDefinitionError: one of them can't be meant.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    """Key of the shared state to its new value."""
    append: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Key of a list to what is added at its end."""
    delete: Collection[str] = ()
    """Keys that are removed."""
    as_node: str | None = None
    """The key of the node that it counts as a step of."""
    output: Any = None
    """What that node returned."""
    reason: str = ""
    """Why, for whoever reads the history."""
    by: str = ""
    """Who, likewise."""

    def __post_init__(self) -> None:
        _check_keys("set", self.set, Mapping)
        _check_keys("append", self.append, Mapping)
        _check_keys("delete", self.delete, Collection)
        for key, items in self.append.items():
            if not isinstance(items, list | tuple):
                raise GraphDefinitionError(
                    f"append={{{key!r}: {type(items).__name__}}}: give the items to add as a list: append={{{key!r}: [item]}}."
                )
        named = [*self.set, *self.append, *self.delete]
        for key in named:
            if named.count(key) > 1:
                raise GraphDefinitionError(
                    f"The key {key!r} would be changed twice; choose one of set, append and delete."
                )
        for name in ("reason", "by"):
            if not isinstance(getattr(self, name), str):
                raise GraphDefinitionError(f"{name}={getattr(self, name)!r}: give text.")
        if self.as_node is not None and not isinstance(self.as_node, str):
            raise GraphDefinitionError(f"as_node={self.as_node!r}: give the key of a node.")
        if self.as_node is None and self.output is not None:
            raise GraphDefinitionError("output= needs as_node=, the node that returned it: as_node='review'.")

    def __bool__(self) -> bool:
        return bool(self.set or self.append or self.delete or self.as_node is not None)


def _check_keys(name: str, given: Any, kind: type) -> None:
    is_one = isinstance(given, kind) and not isinstance(given, str)
    if not is_one or not all(type(key) is str for key in given):
        example = "['draft']" if kind is Collection else "{'draft': …}"
        raise GraphDefinitionError(f"{name}={given!r}: give keys of the graph's state, as in {name}={example}.")
