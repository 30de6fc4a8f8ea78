"""Types for the serializer's and codec's tests, and strategies for everything that can be saved."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import dateutil.tz
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel
from pydantic_core import TzInfo

from spark.graphs.checkpoint.serialization.classes.registered_types import register_type


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


T = TypeVar("T")


class Mood(StrEnum):
    """From here on, nothing is registered."""

    GOOD = "good"
    FINE = "good"


class Modes(IntFlag):
    READ = 1
    WRITE = 2


class Size(NamedTuple):
    width: Any
    height: Any = 1


@dataclass
class Note:
    """Has all that a dataclass can have."""

    text: Any
    seed: InitVar[int] = 0
    hidden: Any = field(default=None, compare=False, repr=False)
    made: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self, seed: int) -> None:
        self.beside = seed

    @cached_property
    def shouted(self) -> str:
        return f"{self.text!r}!"


@dataclass(kw_only=True, slots=True, frozen=True)
class Frame:
    size: Size
    note: Any = None


@dataclass(slots=True)
class Inner(Generic[T]):
    content: T


@dataclass
class Parcel(Inner[T]):
    weight: int = 0


class Address(BaseModel):
    lines: tuple[str, ...]
    since: datetime | None = None


class Page(BaseModel, Generic[T]):
    items: list[T]
    recent: Any = None


PAGES = [Page[Any], Page[Address]]
"""Made here, so that pickle finds them: pydantic gives them names in this module."""


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


class Person(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
    address: Address | None = None
    age: int = Field(default=0, alias="Age")
    shade: Shade = Shade.DARK
    _seen: int = PrivateAttr(0)


class Scores(RootModel[list[int]]):
    pass


def _counter(values: dict[Any, Any]) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    dict.update(counter, values)
    return counter


def _note(text: Any, hidden: Any, is_made: bool, is_asked: bool) -> Note:
    note = Note(text, 7, hidden)
    if is_made:
        note.made = [hidden]
    if is_asked:
        assert note.shouted
    return note


text = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)  # type: ignore[arg-type]
offsets = st.integers(-86_399_999_999, 86_399_999_999).map(lambda us: timezone(timedelta(microseconds=us)))
known_zones: list[tzinfo] = [
    UTC,
    timezone(timedelta(0), "UTC"),
    timezone(timedelta(hours=1), "X"),
    ZoneInfo("Europe/Berlin"),
    TzInfo(0),
    TzInfo(-3600),
    dateutil.tz.UTC,
    dateutil.tz.tzoffset("EST", -18000),
    dateutil.tz.tzoffset(None, 60),
]
if (berlin := dateutil.tz.gettz("Europe/Berlin")) is not None:
    known_zones.append(berlin)
zones = st.one_of(st.none(), offsets, st.sampled_from(known_zones))
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
    st.sampled_from([*Shade, *Mood, *Modes, Modes.READ | Modes.WRITE, Modes(0), Modes(8)]),
    st.fractions(),
    st.integers().map(lambda width: Frame(size=Size(width))),
    st.builds(Range, st.integers(), st.integers()),
    st.builds(Version, st.tuples(st.integers(), st.integers())),
)
keys = st.recursive(
    st.one_of(hashable_scalars, st.sampled_from(["$tuple", "$dict", "$", "_type", ""])),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=3,
)
factories = st.sampled_from([None, list, int, Counter, Step, Person, Page])
values = st.recursive(
    st.one_of(hashable_scalars, zones, st.binary(max_size=8).map(bytearray), st.sets(keys, max_size=3)),
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
        st.builds(
            lambda items, longest: deque(items, longest), st.lists(inner, max_size=3), st.sampled_from([None, 2, 9])
        ),
        st.builds(
            lambda factory, values: defaultdict(factory, values),
            factories,
            st.dictionaries(keys, inner, max_size=2),
        ),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.dictionaries(keys, inner, max_size=3).map(_counter),
        st.builds(_note, inner, inner, st.booleans(), st.booleans()),
        inner.map(Size),
        st.builds(lambda width, note: Frame(size=Size(width), note=note), inner, inner),
        inner.map(Inner),
        st.builds(lambda content: Parcel[dict[str, int | None]](content, weight=3), inner),
        st.builds(lambda item, recent: PAGES[0](items=[item], recent=recent), inner, inner),
        st.builds(lambda recent: PAGES[1](items=[Address(lines=("x",))], recent=recent), inner),
        st.builds(lambda recent: Page.model_construct(_fields_set={"items"}, recent=recent), inner),
    ),
    max_leaves=12,
)


def is_same(one: Any, other: Any) -> bool:
    """Exactness: types, order, signs of zero and NaN, folds, zones, factories, lengths, and whatever an object holds."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Enum | type):
        return one is other
    if type(one) is float:
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, complex):
        return is_same(one.real, other.real) and is_same(one.imag, other.imag)
    if isinstance(one, list | tuple | deque):
        same_length = len(one) == len(other) and getattr(one, "maxlen", 0) == getattr(other, "maxlen", 0)
        return same_length and all(map(is_same, one, other)) and is_same(_held(one), _held(other))
    if isinstance(one, dict):
        return (
            is_same(list(one.items()), list(other.items()))
            and getattr(one, "default_factory", None) is getattr(other, "default_factory", None)
            and is_same(_held(one), _held(other))
        )
    if isinstance(one, set | frozenset):
        rest = list(other)
        return len(one) == len(other) and all(_take(rest, item) for item in one)
    if isinstance(one, datetime | time):
        return (
            one.replace(tzinfo=None) == other.replace(tzinfo=None)
            and one.fold == other.fold
            and is_same(one.tzinfo, other.tzinfo)
        )
    if isinstance(one, tzinfo):
        return one is other or (repr(one) == repr(other) and bool(one == other))
    if isinstance(one, BaseModel) or dataclasses.is_dataclass(one):
        return is_same(_held(one), _held(other))
    return repr(one) == repr(other) if isinstance(one, Decimal) else bool(one == other)


def _take(rest: list[Any], item: Any) -> bool:
    index = next((index for index, other in enumerate(rest) if is_same(item, other)), None)
    if index is not None:
        rest.pop(index)
    return index is not None


def _held(value: Any) -> dict[str, Any] | None:
    """Everything that an object keeps beside its items, wherever it keeps it."""
    slots = [name for base in type(value).__mro__ for name in getattr(base, "__slots__", ()) if name != "__weakref__"]
    held = {name: getattr(value, name) for name in slots if name != "__dict__" and hasattr(value, name)}
    return {**getattr(value, "__dict__", {}), **held} or None
