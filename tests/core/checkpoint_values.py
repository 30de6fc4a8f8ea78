"""Types for the serializer's and codec's tests, and strategies for everything that can be saved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel

from spark.graphs.checkpoint.registered_types import register_type


@register_type
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@register_type
class Level(IntEnum):
    LOW = 1
    HIGH = 2


@register_type
class Rights(Flag):
    READ = 1
    WRITE = 2


@register_type
class Point(NamedTuple):
    x: Any
    y: Any = 0


@register_type(name="tests.Step")
@dataclass
class Step:
    title: str
    parts: list[Any] = field(default_factory=list)


@register_type
@dataclass(frozen=True, slots=True)
class Range:
    low: int
    high: int


class Version:
    """Neither dataclass nor enum: saved by its two functions."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)


register_type(Version, to_data=lambda version: version.numbers, from_data=Version)


class Shade(Enum):
    """Not registered: only pydantic knows what to do with it."""

    DARK = "dark"


class Address(BaseModel):
    lines: tuple[str, ...]
    since: datetime | None = None


class Person(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
    address: Address | None = None
    age: int = Field(default=0, alias="Age")
    shade: Shade = Shade.DARK
    _seen: int = PrivateAttr(0)


class Scores(RootModel[list[int]]):
    pass


text = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)  # type: ignore[arg-type]
offsets = st.integers(-86_399_999_999, 86_399_999_999).map(lambda us: timezone(timedelta(microseconds=us)))
zones = st.one_of(
    st.none(), st.just(UTC), offsets, st.just(timezone(timedelta(hours=1), "X")), st.just(ZoneInfo("Europe/Berlin"))
)
moments = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold), st.datetimes(), zones, st.integers(0, 1)
)
names = st.text("abc/.\udcff", min_size=1, max_size=8)

hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    text,
    st.binary(max_size=8),
    st.complex_numbers(),
    moments,
    st.dates(),
    st.builds(lambda time, zone: time.replace(tzinfo=zone), st.times(), zones),
    st.timedeltas(),
    st.decimals().filter(lambda value: not value.is_snan()),
    st.uuids(),
    st.builds(Path, names),
    st.builds(PurePosixPath, names),
    st.builds(PureWindowsPath, names).filter(lambda path: PureWindowsPath(str(path)) == path),
    st.sampled_from([*Colour, *Level, Rights.READ | Rights.WRITE, Rights(0)]),
    st.builds(Range, st.integers(), st.integers()),
    st.builds(Version, st.tuples(st.integers(), st.integers())),
)
keys = st.recursive(
    st.one_of(hashable_scalars, st.sampled_from(["$tuple", "$dict", "$", "_type", ""])),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=3,
)
values = st.recursive(
    st.one_of(hashable_scalars, st.binary(max_size=8).map(bytearray), st.sets(keys, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.builds(Point, inner, inner),
        st.builds(Step, text, st.lists(inner, max_size=3)),
        st.builds(
            lambda lines, extra: Person(name="a", address=Address(lines=lines), Age=3, note=extra),
            st.tuples(st.just("b")),
            inner,
        ),
        st.lists(st.integers(), max_size=3).map(Scores),
    ),
    max_leaves=12,
)


def is_same(one: Any, other: Any) -> bool:
    """Equality that also compares types, order, signs of zero and NaN, folds and time zones."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, complex):
        return is_same(one.real, other.real) and is_same(one.imag, other.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        return is_same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        rest = list(other)
        return len(one) == len(other) and all(_take(rest, item) for item in one)
    if isinstance(one, BaseModel):
        return all(map(is_same, _inside(one), _inside(other)))
    if isinstance(one, Step):
        return is_same(vars(one), vars(other))
    return repr(one) == repr(other) if isinstance(one, datetime | Decimal) else bool(one == other)


def _take(rest: list[Any], item: Any) -> bool:
    index = next((index for index, other in enumerate(rest) if is_same(item, other)), None)
    if index is not None:
        rest.pop(index)
    return index is not None


def _inside(model: BaseModel) -> list[Any]:
    rest = [] if isinstance(model, RootModel) else [model.__pydantic_extra__, model.__pydantic_private__]
    return [model.__dict__, model.model_fields_set, *rest]
