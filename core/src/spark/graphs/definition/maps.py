"""What makes an edge a map: which list of the output it runs over, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from spark.errors import GraphDefinitionError, MapError
from spark.wording import shortened

OnError: TypeAlias = Literal["stop", "collect"]
_RULES: Final = ("stop", "collect")


class Each:
    """What ``each(…)`` was given: one execution of the edge's target for each item of a list in its source's output.

    :param key: of the output's content, where the list, tuple or mapping is.
    :param limit: of how many items of one list may be under way at a time; None for all.
    :param on_error: ``"stop"``: an item that fails is a step that fails; ``"collect"``: the join gets an error in its place.
    :param label: what messages call the node that the edge begins at.
    :raises GraphDefinitionError: one of them can't be used.
    """

    __slots__ = ("key", "limit", "on_error")

    def __init__(self, key: str, *, limit: int | None = None, on_error: OnError = "stop", label: str = "node") -> None:
        if type(key) is not str or not key:
            raise GraphDefinitionError(
                f"{label}.each({key!r}): give the key of the output's content where the list is, for instance each('items')."
            )
        if limit is not None and (type(limit) is not int or limit < 1):
            raise GraphDefinitionError(
                f"{label}.each({key!r}, limit={limit!r}): a limit is a positive whole number; None for no limit."
            )
        if on_error not in _RULES:
            raise GraphDefinitionError(
                f"{label}.each({key!r}, on_error={on_error!r}): give 'stop' to stop the run when an item fails, or "
                "'collect' to pass the join an ItemError in its place."
            )
        self.key: str = key
        self.limit: int | None = limit
        self.on_error: OnError = on_error

    def items_in(self, content: Any, *, node: str) -> list[Any] | tuple[Any, ...] | Mapping[Any, Any]:
        """The list, tuple or mapping in an output with this content.

        :param node: the key of the node whose output it is.
        :raises MapError: there is none under the key.
        """
        is_keyed = type(content) is dict or isinstance(content, Mapping)
        if is_keyed and self.key in content:
            items = content[self.key]
            if isinstance(items, list | tuple | Mapping):
                return items
            found = f"{self.key!r} is {shortened(repr(items), 60)}, of type {type(items).__name__}"
        elif is_keyed:
            found = (
                f"{self.key!r} is not among its keys, which are {shortened(', '.join(map(repr, content))) or 'none'}"
            )
        else:
            found = f"it is {shortened(repr(content), 60)}, of type {type(content).__name__}"
        raise MapError(
            f"Node {node!r} maps over {self.key!r} of its output, but {found}. Return a dict with a list, a tuple or a mapping "
            f"under {self.key!r}; an empty one, if there is nothing to do."
        )

    def is_same(self, other: Each | None) -> bool:
        """Whether the other one was made with the same words."""
        return other is not None and self.to_data() == other.to_data()

    def to_data(self) -> dict[str, Any]:
        """The arguments, as checkpoints record them."""
        return {"key": self.key, "limit": self.limit, "on_error": self.on_error}

    def label(self) -> str:
        """What drawings of the graph write at the edge."""
        return f"each {self.key}"

    def __repr__(self) -> str:
        return f"each({self.key!r})"
