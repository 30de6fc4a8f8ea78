"""Objects of users' classes come back exactly, or are refused; and none of their code runs when they do."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum, EnumMeta, Flag, IntEnum, StrEnum
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Annotated, Any, Generic, List, Literal, NamedTuple, Optional, TypeVar  # noqa: UP035

import pytest
import pytz
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, RootModel, model_validator
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from spark.errors import CheckpointDamagedError, DeserializationError, GraphDefinitionError, SerializationError
from spark.graphs.checkpoint import GraphCheckpoint, rename_type
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.serialization.classes.registered_types import register_type
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.checkpoint.storage import RecordCodec
from tests.core.checkpoint_values import is_same

T = TypeVar("T")
U = TypeVar("U")
ran: list[str] = []
"""Which code of the classes below ran."""


def written(value: Any) -> Any:
    return JsonFormat().loads(JsonFormat().dumps(TreeWriter().tree(value, "v")))


def round_trip(value: Any) -> Any:
    return TreeReader().value(written(value), "v")


def renamed(tree: Any, name: str) -> Any:
    """The tree as if the class of the value had had another name when it was written."""
    ((tag, (_, *rest)),) = tree.items()
    return {tag: [name, *rest]}


class Meddling(type):
    def __call__(cls, *args: Any, **options: Any) -> Any:
        ran.append("metaclass call")
        return super().__call__(*args, **options)

    def __getattribute__(cls, name: str) -> Any:
        ran.append(f"metaclass attribute {name}")
        return super().__getattribute__(name)

    def __instancecheck__(cls, instance: object) -> bool:
        ran.append("metaclass instance check")
        return super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        ran.append("metaclass subclass check")
        return super().__subclasscheck__(subclass)


class Watching(EnumMeta, Meddling):
    pass


class Recording:
    def __set_name__(self, owner: type, name: str) -> None:
        self.name = "_" + name

    def __get__(self, instance: Any, owner: type) -> Any:
        return 0 if instance is None else vars(instance)[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        ran.append("descriptor")
        vars(instance)[self.name] = value


@dataclass
class Loud(metaclass=Meddling):
    first: Any = Recording()
    second: Any = 0

    def __new__(cls, *args: Any, **options: Any) -> Any:
        ran.append("new")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        ran.append("post_init")

    def __setattr__(self, name: str, value: Any) -> None:
        ran.append("setattr")
        super().__setattr__(name, value)

    def __setstate__(self, state: Any) -> None:
        ran.append("setstate")

    def __getattribute__(self, name: str) -> Any:
        ran.append(f"attribute {name}")
        return super().__getattribute__(name)


class Choice(Enum, metaclass=Watching):
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        ran.append("missing")
        return cls.ONE


class Bits(Flag):
    A = 1
    B = 2

    @classmethod
    def _missing_(cls, value: object) -> Any:
        ran.append("missing")
        return super()._missing_(value)


class Row(NamedTuple("RowBase", [("x", Any)])):
    __slots__ = ()

    def __new__(cls, x: Any) -> Row:
        ran.append("new")
        return super().__new__(cls, x)


class Island(tzinfo):
    def __init__(self, offset: timedelta) -> None:
        ran.append("init")
        self.offset = offset

    def utcoffset(self, moment: datetime | None) -> timedelta:
        ran.append("utcoffset")
        return self.offset


class Strict(BaseModel):
    number: int
    _private: list[int] = PrivateAttr(default_factory=lambda: ran.append("default") or [])  # type: ignore[func-returns-value]

    def __new__(cls, *args: Any, **options: Any) -> Any:
        ran.append("new")
        return super().__new__(cls)

    @model_validator(mode="after")
    def check(self) -> Strict:
        ran.append("validator")
        return self


@pytest.mark.parametrize(
    "make",
    [
        lambda: Loud(1, 2),
        lambda: Choice.ONE,
        lambda: Bits.A | Bits.B,
        lambda: Row(1),
        lambda: Island(timedelta(hours=1)),
        lambda: datetime(2024, 1, 1, tzinfo=Island(timedelta(hours=1))),
        lambda: Strict(number=1),
    ],
)
def test_no_code_of_a_class_runs_when_its_instances_come_back(make: Callable[[], Any]) -> None:
    value = make()
    tree = written(value)
    ran.clear()

    back = TreeReader().value(tree)

    assert ran == []
    assert type(back) is type(value)
    assert vars(back) == vars(value) if isinstance(value, Loud) else back == value or isinstance(back, Island)


def test_a_combination_of_flags_that_this_process_has_not_seen_comes_back() -> None:
    class Fresh(Flag):
        A = 1
        B = 2
        C = 4

    back = TreeReader().value(renamed({"$enum": ["", 5]}, f"{__name__}:{Fresh.__qualname__}"))

    assert back is Fresh.A | Fresh.C


class Dying:
    def __del__(self) -> None:
        ran.append("del")


@dataclass
class DyingNote(Dying):
    path: str = ""


class Logged(deque[Any]):
    pass


class Tally(Counter[str]):
    pass


@dataclass
class Failed(Exception):
    reason: str


@dataclass
class Listed(list[int]):
    reason: str = ""


class Zone(tzinfo):
    """Whose offset depends on the moment."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(hours=moment.month)


def tagged_ordered_dict() -> OrderedDict[str, int]:
    ordered = OrderedDict(a=1)
    ordered.note = "x"  # type: ignore[attr-defined]
    return ordered


class Tagged(Row):
    """Has a place for attributes outside its fields."""


def tagged_tuple() -> Tagged:
    row = Tagged(1)
    row.note = "x"  # type: ignore[attr-defined]
    return row


class Hero(SQLModel, table=True):
    id: int | None = Column(default=None, primary_key=True)
    name: str


class Free(BaseModel):
    name: str = ""


def model_with_state_of_its_own() -> Free:
    free = Free()
    object.__setattr__(free, "cache", 1)
    return free


class Boxed(BaseModel, Generic[T]):
    content: Any = None


@pytest.mark.parametrize(
    ("make", "path", "says"),
    [
        (DyingNote, "", "register_type"),
        (lambda: Failed("x"), "", "register_type"),
        (Listed, "", "a subclass of list"),
        (lambda: Logged([1]), "", "register_type"),
        (lambda: Tally("a"), "", "a subclass of dict"),
        (lambda: defaultdict(lambda: 1), "", "default_factory"),
        (lambda: {"a": defaultdict(Lock)}, "['a']", "default_factory"),
        (tagged_ordered_dict, "", "note"),
        (tagged_tuple, "", "note"),
        (Zone, "", "zoneinfo"),
        (lambda: Hero(name="x"), "", "primary key"),
        (lambda: [Free(), model_with_state_of_its_own()], "[1]", "cache"),
        (lambda: Boxed[Annotated[int, Field(gt=0)]](), "", "found again"),
        (lambda: Boxed[U](), "", "found again"),  # type: ignore[valid-type]
    ],
)
def test_what_could_not_come_back_exactly_is_refused(make: Callable[[], Any], path: str, says: str) -> None:
    with pytest.raises(SerializationError, match=says) as caught:
        TreeWriter().tree(make(), "v")

    assert caught.value.path == "v" + path


class Lossy(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    recent: deque[int] = deque(maxlen=3)
    counts: defaultdict[str, list[int]] = Field(default_factory=lambda: defaultdict(list))
    anything: Any = None


def test_a_models_fields_keep_lengths_and_factories() -> None:
    lossy = Lossy(recent=deque([1, 2], 3), anything=defaultdict(set))

    back = round_trip(lossy)

    assert is_same(back, lossy)
    assert (back.recent.maxlen, back.counts["a"], back.anything.default_factory) == (3, [], set)


@dataclass
class Report:
    name: str
    seed: InitVar[int] = 0
    weight: float = field(default=1.0, compare=False)

    @cached_property
    def lock(self) -> Any:
        return Lock()

    @cached_property
    def title(self) -> str:
        return self.name.title()


def test_a_cached_property_is_kept_where_it_can_be_saved_and_computed_again_where_not() -> None:
    report = Report("a", weight=-0.0)
    assert report.lock
    assert report.title == "A"

    back = round_trip(report)

    assert is_same(vars(back), {"name": "a", "weight": -0.0, "title": "A"})
    assert back.lock


class CachingModel(BaseModel):
    name: str

    @cached_property
    def title(self) -> str:
        return self.name.title()


def test_a_models_cached_property_is_kept() -> None:
    model = CachingModel(name="a")
    assert model.title == "A"

    assert vars(round_trip(model)) == {"name": "a", "title": "A"}


class Account(BaseModel):
    name: str
    age: int = Field(default=7, gt=0)
    _token: str = PrivateAttr()
    _seen: list[int] = PrivateAttr(default_factory=list)


class Numbers(RootModel[list[int]]):
    pass


@pytest.mark.parametrize(
    ("make", "unset"),
    [
        (lambda: Account.model_construct(), ["name", "_token"]),
        (lambda: Account.model_construct(_fields_set={"name"}, age=-1), ["name", "_token"]),
        (lambda: Account.model_construct(name=None, age="old"), ["_token"]),
        (lambda: Numbers.model_construct(root=3), None),
    ],
)
def test_a_model_that_was_never_valid_comes_back_as_it_was_and_is_marked(
    make: Callable[[], BaseModel], unset: list[str] | None
) -> None:
    model = make()
    tree = written([model])

    back = TreeReader().value(tree)[0]

    assert is_same(back, model)
    assert tree[0]["$model"][2].get("unset") == unset


def test_a_dataclass_whose_field_was_deleted_comes_back_without_it() -> None:
    report = Report("a")
    del report.name

    assert vars(round_trip(report)) == {"weight": 1.0}


class Renamed(BaseModel):
    full_name: str = Field(default="nobody", validation_alias=AliasChoices("full_name", "name"))
    age: int = 1


class Aliased(BaseModel):
    full_name: str = Field(default="nobody", alias="name")


class Short(BaseModel):
    age: int = 0


class Careless(Short):
    model_config = ConfigDict(extra="ignore")


class Keeping(Short):
    model_config = ConfigDict(extra="allow")


class Converting(Short):
    @model_validator(mode="before")
    @classmethod
    def convert(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"age": len(data["name"])}


OLD = {"$model": ["", {"name": "Ada"}, {}]}


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Renamed, {"full_name": "Ada", "age": 1}),
        (Aliased, {"full_name": "Ada"}),
        (Careless, {"age": 0}),
        (Keeping, {"age": 0, "name": "Ada"}),
        (Converting, {"age": 3}),
    ],
)
def test_a_field_that_was_renamed_or_removed_is_found_or_goes_where_the_class_says(
    cls: type[BaseModel], expected: dict[str, Any]
) -> None:
    assert TreeReader().value(renamed(OLD, f"{__name__}:{cls.__name__}")).model_dump() == expected


def test_a_field_that_the_class_has_no_place_for_is_never_dropped() -> None:
    with pytest.raises(DeserializationError, match=r"no field name any more.*alias="):
        TreeReader().value(renamed(OLD, f"{__name__}:Short"))


def make_module(monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(source, vars(module))
    return module


def test_generic_models_of_two_classes_with_one_name_never_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from pydantic import BaseModel\nclass Item(BaseModel):\n    number: int = 0\n"
    orders = make_module(monkeypatch, "orders_of_test", source)
    invoices = make_module(monkeypatch, "invoices_of_test", source)
    boxes = [Boxed[orders.Item](content=1), Boxed[invoices.Item](content=2), Boxed[Boxed[orders.Item]]()]

    back = round_trip(boxes)

    assert [type(box) for box in back] == [type(box) for box in boxes]


def test_a_name_that_several_generic_models_have_is_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from pydantic import BaseModel\nclass Thing(BaseModel):\n    number: int = 0\n"
    things = [make_module(monkeypatch, f"{name}_of_test", source).Thing for name in ("old", "new")]
    classes = [Boxed[thing] for thing in things]

    with pytest.raises(DeserializationError, match="2 loaded classes"):
        TreeReader().value({"$model": [f"{__name__}:Boxed[Thing]", {"content": 1}, {}]})

    assert len(set(classes)) == 2


@pytest.mark.parametrize(
    "argument",
    [
        int,
        Any,
        None,
        list[int],
        List[int],  # noqa: UP006 - another type
        Account,
        list[Account],
        dict[str, tuple[int, ...]],
        int | None,
        Optional[int],  # noqa: UP045 - another type
        Literal["a", 3],
        Choice,
    ],
)
def test_the_arguments_of_a_generic_model_may_be_any_that_have_names(argument: Any) -> None:
    box = Boxed[argument](content=(1,))

    assert is_same(round_trip(box), box)


SOURCE = """
from typing import Generic, TypeVar
from pydantic import BaseModel
T = TypeVar("T")
class User(BaseModel):
    name: str
class Page(BaseModel, Generic[T]):
    items: list[T]
"""
WRITES = """
import sys; from datetime import UTC, datetime; from pathlib import Path
from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.storage import RecordCodec
from shop import Page, User
page = Page[User](items=[User(name="Ada")])
record = RecordCodec().encode(GraphCheckpoint("c", "g", datetime.now(UTC), {"page": page}), sequence=1, manual=False, nonce="n")
Path("record").write_bytes(record.header.to_json() + b"\\n" + bytes(record.payload))
"""
READS = """
from pathlib import Path
from spark.graphs.checkpoint.storage import RecordCodec, Record, RecordHeader
import shop
header, _, payload = Path("record").read_bytes().partition(b"\\n")
page = RecordCodec().decode(Record(RecordHeader.from_json(header), payload)).graph_state["page"]
print(type(page) is shop.Page[shop.User], page)
"""


def test_a_generic_model_made_in_one_process_is_loaded_in_another(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SOURCE)

    def run(code: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    run(WRITES)

    assert run(READS) == "True items=[User(name='Ada')]"


@pytest.mark.parametrize(
    "zone",
    [
        pytz.utc,
        pytz.FixedOffset(90),
        pytz.timezone("Europe/Berlin"),
        pytz.timezone("Europe/Berlin").localize(datetime(2024, 7, 1)).tzinfo,
        pytz.timezone("Etc/GMT+3"),
    ],
)
def test_zones_of_pytz_come_back(zone: tzinfo) -> None:
    moment = datetime(2024, 7, 1, tzinfo=zone)

    back, own = round_trip([moment, zone])

    assert (back, back.utcoffset(), repr(back)) == (moment, moment.utcoffset(), repr(moment))
    assert own is zone or (type(own) is type(zone) and vars(own) == vars(zone))


def test_a_registered_class_is_saved_as_the_program_says() -> None:
    @register_type(to_data=lambda secret: 1, from_data=lambda data: Secret("found"))
    @dataclass
    class Secret:
        word: str

    assert round_trip(Secret("hidden")) == Secret("found")


class Mood(StrEnum):
    GOOD = "good"


def test_a_removed_member_is_named_with_what_there_is_and_the_cure() -> None:
    tree = [{"a": {"$enum": [f"{__name__}:Mood", "SAD"]}}]

    with pytest.raises(DeserializationError, match=r"\[0\]\['a'\].*no member 'SAD'.*GOOD.*rename_type") as caught:
        TreeReader().value(tree, "v")

    assert "SAD" in str(caught.value)


@dataclass
class Moved:
    x: Any = 1


class Pair(NamedTuple):
    x: Any = 1


class Mark(IntEnum):
    ONE = 1


@register_type(name="tests.stored.Coin")
@dataclass
class Coin:
    x: Any = 1


@pytest.fixture
def no_renames() -> Iterator[None]:
    from spark.graphs.checkpoint.serialization.classes import type_names

    before = dict(type_names._renamed)
    yield
    type_names._renamed.clear()
    type_names._renamed.update(before)


@pytest.mark.usefixtures("no_renames")
@pytest.mark.parametrize("value", [Moved(2), Pair(2), Mark.ONE, Account(name="a"), Coin(2)])
def test_a_class_that_has_moved_is_named_with_the_cure_and_the_cure_works(value: Any) -> None:
    tree = {"key": renamed(written(value), "old.place:Name")}
    with pytest.raises(DeserializationError, match=r"v\['key'\].*'old\.place:Name'.*rename_type"):
        TreeReader().value(tree, "v")

    rename_type("old.place:Name", type(value))
    rename_type("old.place:Name", type(value))

    assert is_same(TreeReader().value(tree, "v")["key"], value)


@pytest.mark.usefixtures("no_renames")
def test_what_was_registered_can_be_read_when_it_is_no_longer() -> None:
    rename_type("tests.stored.Gone", Moved)

    assert TreeReader().value({"$type": ["tests.stored.Gone", {"x": 3}]}) == Moved(3)


@pytest.mark.usefixtures("no_renames")
def test_the_arguments_and_origins_of_generic_models_and_factories_may_have_moved() -> None:
    rename_type("old:Box", Boxed)
    rename_type("old:Item", Account)

    back = TreeReader().value({"$generic": [{"of": "old:Box", "args": ["old:Item"]}, {"content": 1}, {}]})
    default = TreeReader().value({"$defaultdict": [{}, "old:Item"]})

    assert (type(back), default.default_factory) == (Boxed[Account], Account)


@pytest.mark.usefixtures("no_renames")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", Moved),
        ("a:b:c", Moved),
        (":x", Moved),
        (Moved, Moved),
        ("old:Name", "Moved"),
        ("taken:Name", Pair),
        (f"{__name__}:Coin", Moved),
    ],
)
def test_a_renaming_that_can_t_be_meant_is_refused(old: Any, new: Any) -> None:
    rename_type("taken:Name", Moved)

    with pytest.raises(GraphDefinitionError, match="rename"):
        rename_type(old, new)


@pytest.mark.usefixtures("no_renames")
def test_a_renaming_to_a_class_of_another_kind_is_named() -> None:
    rename_type("old:Name", Moved)

    with pytest.raises(DeserializationError, match=r"'old:Name' was stored as an enum, .*test_stored_types:Moved"):
        TreeReader().value({"$enum": ["old:Name", "ONE"]})


def test_a_thousand_kinds_of_generic_models_are_no_way_to_fill_the_memory() -> None:
    trees = [{"$generic": [{"of": f"{__name__}:Boxed", "args": [{"literal": [n]}]}, {}, {}]} for n in range(1100)]
    codec = RecordCodec()
    checkpoint = GraphCheckpoint("c", "g", datetime.now(UTC))

    assert codec.decode(codec.encode(checkpoint, sequence=1, manual=False, nonce="n")).graph_state == {}
    with pytest.raises((DeserializationError, CheckpointDamagedError), match="1000 types"):
        TreeReader().value(trees[-1:] + trees)
