"""One pending execution of a node, and what checkpoints hold of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Final, NamedTuple, Self, TypeAlias, get_type_hints

LARGEST: Final = 2**63 - 1
"""The largest number that every format can write."""


def is_text(value: Any) -> bool:
    return type(value) is str


def is_text_or_none(value: Any) -> bool:
    return value is None or type(value) is str


def is_flag(value: Any) -> bool:
    return type(value) is bool


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def is_path(value: Any) -> bool:
    return type(value) in (list, tuple) and all(map(is_count, value))


Text: TypeAlias = Annotated[str, is_text]
TextOrNone: TypeAlias = Annotated[str | None, is_text_or_none]
Flag: TypeAlias = Annotated[bool, is_flag]
Count: TypeAlias = Annotated[int, is_count]
Path: TypeAlias = Annotated[tuple[int, ...], is_path]


@dataclass(slots=True, eq=False, repr=False, match_args=False)
class Token:
    """One pending execution of a node.

    Fields whose type carries a check are stored; those with a default, only where they have another value. So a new field is one
    line here, with a default, and older checkpoints simply lack it.
    """

    id: str
    """``"1"``, ``"2"``, ``"3"``… in the order in which the tokens of a run were made."""
    inputs: Any
    """What the node receives; of a joined token, the list of everything that arrived."""
    node: Text
    """The key of the node to execute."""
    lineage: Count
    """A hash of the work that led to it, so that the same work has the same one again, whatever finishes first."""
    source: TextOrNone
    """The key of the node whose output this is; None at the start."""
    content: Text
    """The id of the inputs. Tokens with the same inputs share one, as after a fan-out: the id of the first of them."""
    joined: Flag = False
    """The join has released this one: it no longer waits there."""
    failures: Count = 0
    """How many of its executions have failed."""
    generation: Count = 0
    """How many steps led to it; in a graph without joins, 0."""
    path: Path = ()
    """By which branch of each fan-out it came, which orders the tokens of a generation; an empty one stands for its id.

    No other token of its scope has this path, and those that follow it extend it, so that none begins with the whole path of
    another.
    """
    scope: Path = ()
    """The item of a map that it comes of: the number of the map's token, and the index. Empty outside of a map."""
    over: Text = ""
    """It is a map, over what its source's output has under this key: ``node`` runs once for each item of its inputs."""
    edge: Count = 0
    """Which one of the edges that are maps over this key, where its source has several of them to its node."""
    gathered: Flag = False
    """It is at a join, and its inputs are what a map has gathered for it: the join gets each of them."""
    awake: Flag = False
    """Its step is to be executed again, although some of what it waited for is still open."""
    item: Any = None
    """The ``Item`` that its scope names."""

    def to_data(self) -> dict[str, Any]:
        """What checkpoints hold of it, as plain values."""
        stored = stored_fields(type(self))
        return stored.to_data(stored.values_of(self))

    @classmethod
    def from_data(cls, id: str, inputs: Any, data: Mapping[str, Any]) -> Self:
        """The token that ``to_data`` described. Fields that it left out have their defaults; unknown ones are dropped."""
        values = {name: data[name] for name in stored_fields(cls).checks if name in data}
        arguments: dict[str, Any] = {name: tuple(v) if type(v) is list else v for name, v in values.items()}
        return cls(id, inputs, **arguments)

    @classmethod
    def wrong_field(cls, data: Mapping[str, Any]) -> str | None:
        """The first field that is missing or has a value that no token has; None when all are right."""
        stored = stored_fields(cls)
        values = {**dict(zip(stored.optional, stored.defaults, strict=True)), **data}
        return next((name for name, is_valid in stored.checks.items() if not is_valid(values.get(name, ...))), None)


class StoredFields(NamedTuple):
    """The fields of a token that checkpoints hold."""

    checks: dict[str, Callable[[Any], bool]]
    """Name to what says whether a value can be one of it."""
    values_of: Callable[[Token], tuple[Any, ...]]
    """The values of all of them, which may stand for the token: what is in there never changes."""
    required: tuple[str, ...]
    optional: tuple[str, ...]
    defaults: tuple[Any, ...]
    """Of the optional ones."""

    def to_data(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """What checkpoints hold of a token with these values."""
        data = dict(zip(self.required, values, strict=False))
        optional = values[len(self.required) :]
        if optional != self.defaults:
            for name, value, default in zip(self.optional, optional, self.defaults, strict=True):
                if value != default:
                    data[name] = list(value) if type(value) is tuple else value
        return data


def _stored_fields(cls: type[Token]) -> StoredFields:
    hints = get_type_hints(cls, include_extras=True)
    checks = {field.name: hints[field.name].__metadata__[0] for field in fields(cls) if _is_stored(hints[field.name])}
    required = [field.name for field in fields(cls) if field.name in checks and field.default is MISSING]
    optional = {field.name: field.default for field in fields(cls) if field.name in checks.keys() - required}
    return StoredFields(
        checks,
        attrgetter(*required, *optional),
        tuple(required),
        tuple(optional),
        tuple(optional.values()),
    )


def _is_stored(hint: Any) -> bool:
    return hasattr(hint, "__metadata__")


stored_fields: Final[Callable[[type[Token]], StoredFields]] = cache(_stored_fields)  # type: ignore[assignment]  # a class has a hash
"""Which fields of this class are stored, in order of declaration."""
