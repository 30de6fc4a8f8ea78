"""Objects ↔ plain tree, through real JSON bytes."""

from __future__ import annotations

import json
import sys
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import PureWindowsPath
from typing import Any
from uuid import UUID, SafeUUID

import dateutil.tz
import pytest
from hypothesis import given, settings
from pydantic import BaseModel, SecretStr, field_validator

from spark.errors import CheckpointDamagedError, DeserializationError, GraphDefinitionError, SerializationError
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.classes.registered_types import register_type
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.writer import MAX_DEPTH, TreeWriter
from spark_format_pickle import PickleFormat
from tests.core.checkpoint_values import (
    Address,
    Colour,
    Frame,
    Page,
    Person,
    Point,
    Range,
    Scores,
    Shade,
    Size,
    Step,
    is_same,
    values,
)
from tests.support.variants import in_full, tries

PATH = "graph_state['v']"
CODEC = RecordCodec(PickleFormat(b"key"))


def encoded(value: Any) -> Record:
    checkpoint = GraphCheckpoint("c", "g", datetime.now(UTC), graph_state={"v": value})
    return CODEC.encode(checkpoint, sequence=1, manual=False, nonce="n")


def to_bytes(value: Any) -> bytes:
    return JsonFormat().dumps(TreeWriter().tree(value, PATH))


def round_trip(value: Any) -> Any:
    return TreeReader().value(JsonFormat().loads(to_bytes(value)), PATH)


@in_full
@settings(max_examples=tries(150), deadline=None)
@given(values)
def test_every_supported_value_comes_back_exactly(value: Any) -> None:
    assert is_same(round_trip(value), value)


@in_full
@settings(max_examples=tries(50), deadline=None)
@given(values)
def test_every_supported_value_comes_back_exactly_from_pickle(value: Any) -> None:
    assert is_same(CODEC.decode(encoded(value)).graph_state["v"], value)


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(values)
def test_what_is_written_is_standard_json(value: Any) -> None:
    """Other programs read checkpoints too, so Python's own extensions of JSON must not appear."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(to_bytes(value).decode("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize(
    "value",
    [{"$tuple": [1]}, {"$dict": []}, {"$unknown": 1}, {"$": 1}, {"_type": "X"}, {"$a": 1, "$b": 2}, {"$int": "0x1"}],
)
def test_a_users_dict_is_never_taken_for_a_tag(value: dict[str, Any]) -> None:
    assert is_same(round_trip(value), value)


def test_integers_may_be_longer_than_pythons_limit_of_digits() -> None:
    huge = 1 << 40_000

    assert round_trip([huge, -huge, 2**63, -(2**63), 2**63 - 1]) == [huge, -huge, 2**63, -(2**63), 2**63 - 1]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {"a": inner},
        lambda inner: {1: inner},
        lambda inner: Step("a", [inner]),
        lambda inner: Point(inner),
        lambda inner: Person(name="a", more=inner),
        lambda inner: deque([inner], 1),
        lambda inner: defaultdict(list, {1: inner}),
        lambda inner: OrderedDict({1: inner}),
        lambda inner: Frame(size=Size(inner)),
        lambda inner: Page[Any](items=[], recent=inner),
    ],
)
@pytest.mark.parametrize("zone", [UTC, dateutil.tz.tzoffset("X", 1)])
def test_whatever_can_be_written_can_be_read(wrap: Any, zone: tzinfo) -> None:
    """The JSON reader's limit of nesting is lower than its writer's; what only its writer takes is lost."""
    deepest, deeper = None, datetime(2024, 1, 1, tzinfo=zone)
    while True:
        try:
            tree = TreeWriter().mapping({1: deeper})
        except SerializationError:
            break
        deepest, deeper = tree, wrap(deeper)

    parts = {"graph_state": {"$parts": {"0": {"values": deepest}}}}
    tree = JsonFormat().loads(JsonFormat().dumps(parts))["graph_state"]["$parts"]["0"]["values"]
    TreeReader().mapping(tree)


class Token:
    pass


class Plain(BaseModel):
    b: Any = None


class Headers(OrderedDict[str, Any]):
    pass


class Pair(tuple[int, int]):
    pass


class Metres(int):
    pass


@dataclass
class Loose:
    x: int = 1


class Zone(tzinfo):
    pass


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ({"a": [1, 2, 3, Plain(b=Token())]}, "['a'][3].b", "Token"),
        ((1, Token()), "[1]", "register_type"),
        ({Token(): 1}, "{key ", "Token"),
        ({(1, 2): Token()}, "[(1, 2)]", "Token"),
        ({Token()}, "{item}", "Token"),
        (Step("a", [0, Token()]), ".parts[1]", "Token"),
        (Point(1, Token()), ".y", "Token"),
        (Headers(a=1), "", "dict(…)"),
        (Pair((1, 2)), "", "tuple(…)"),
        (Metres(1), "", "int(…)"),
        (lambda: 1, "", "function"),
        pytest.param(
            PureWindowsPath("//a/"),
            "",
            "str(path)",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="there, its text leads back to it"),
        ),
        ([datetime(2024, 1, 1, tzinfo=Zone())], "[0]", "zoneinfo"),
    ],
)
def test_what_cannot_be_saved_is_named_with_its_path(value: Any, path: str, says: str) -> None:
    with pytest.raises(SerializationError) as caught:
        TreeWriter().tree(value, PATH)

    assert caught.value.path.startswith(PATH + path)
    assert caught.value.path in str(caught.value)
    assert says in str(caught.value)


def a_list_in_itself() -> Any:
    value: list[Any] = [1]
    value.append({"a": value})
    return value


def a_dataclass_in_itself() -> Any:
    value = Step("a")
    value.parts.append(value)
    return value


def a_model_in_itself() -> Any:
    value = Plain()
    value.b = [value]
    return value


@pytest.mark.parametrize(
    ("make", "path"),
    [(a_list_in_itself, "[1]['a']"), (a_dataclass_in_itself, ".parts[0]"), (a_model_in_itself, ".b[0]")],
)
def test_a_value_that_contains_itself_is_an_error_with_the_path(make: Any, path: str) -> None:
    with pytest.raises(SerializationError, match="contains itself") as caught:
        TreeWriter().tree(make(), PATH)

    assert caught.value.path == PATH + path


def test_too_deep_a_value_is_an_error_that_says_the_limit() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]

    with pytest.raises(SerializationError, match=f"{MAX_DEPTH} levels"):
        TreeWriter().tree(value, PATH)


def test_a_nearly_exhausted_stack_is_an_error_of_the_family() -> None:
    """Neither a bare RecursionError, nor an intact checkpoint that is reported as damaged."""
    value: Any = 1
    for _ in range(100):
        value = [value]
    tree = TreeWriter().tree(value)
    caught: list[type] = []

    def at_the_bottom(work: Any, levels: int) -> None:
        if levels:
            at_the_bottom(work, levels - 1)
            return
        try:
            work()
        except (SerializationError, DeserializationError) as error:
            caught.append(type(error))

    levels = sys.getrecursionlimit() - 60
    for work in (lambda: TreeWriter().tree(value, PATH), lambda: TreeReader().value(tree, PATH)):
        thread = threading.Thread(target=at_the_bottom, args=(work, levels))
        thread.start()
        thread.join()

    assert caught == [SerializationError, DeserializationError]


def test_a_model_keeps_fields_set_extras_private_attributes_and_exact_types() -> None:
    person = Person(name="a", address=Address(lines=("x",)), Age=4, note=(1, {2}))
    person._seen = 7

    back = round_trip(person)

    assert is_same(back, person)
    assert (back._seen, back.model_fields_set, back.note) == (7, person.model_fields_set, (1, {2}))


def test_a_field_that_only_pydantic_knows_comes_back() -> None:
    assert round_trip(Person(name="a", shade=Shade.DARK)).shade is Shade.DARK


class Vague(BaseModel):
    anything: Any = None
    secret: SecretStr | None = None


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (Vague(anything=Metres(1)), ".anything"),
        (Vague(anything=[Headers(a=1)]), ".anything"),
        (Vague(secret=SecretStr("x")), ".secret"),
    ],
)
def test_what_pydantic_would_lose_is_refused(model: BaseModel, path: str) -> None:
    """Pydantic writes the plain number and the secret's stars, and reads these back without complaint."""
    with pytest.raises(SerializationError) as caught:
        TreeWriter().tree(model, PATH)

    assert caught.value.path == PATH + path


class Doubling(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def double(cls, value: int) -> int:
        return value * 2


def test_validators_do_not_run_again_on_what_they_once_changed() -> None:
    assert round_trip(Doubling(number=2)).number == 4


def test_a_model_that_became_invalid_can_still_be_loaded() -> None:
    scores = Scores([1])
    scores.root = "none"  # type: ignore[assignment]

    assert round_trip(scores).root == "none"


def test_a_model_whose_class_has_new_fields_gets_their_defaults() -> None:
    tree = TreeWriter().tree(Person(name="a"))
    del tree["$model"][1]["address"]

    assert TreeReader().value(tree) == Person(name="a")


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"$model": ["os:system", {}, {}]}, "Import 'os'"),
        ({"$model": ["subprocess:Popen", {}, {}]}, "stored as a pydantic model"),
        ({"$generic": [{"of": "subprocess:Popen", "args": [None]}, {}, {}]}, "not a pydantic model"),
        ({"$dataclass": ["subprocess:Popen", {}]}, "stored as a dataclass"),
        ({"$namedtuple": ["no_such_module:X", {}]}, "no_such_module"),
        ({"$enum": ["subprocess:Popen", "X"]}, "stored as an enum"),
        ({"$defaultdict": [{}, "subprocess:Popen"]}, "stored as a default factory"),
        ({"$zone": ["class", "subprocess:Popen", {}]}, "stored as a time zone"),
        ({"$model": ["no_such_module:X", {}, {}]}, "no_such_module"),
        ({"$type": ["no_such_module:X", 1]}, "no_such_module:X"),
        ({"$later": 1}, "$later"),
    ],
)
def test_types_that_are_not_known_here_are_named_and_never_imported(tree: Any, says: str) -> None:
    with pytest.raises(DeserializationError) as caught:
        TreeReader().value({"a": [tree]}, "graph_state")

    assert says in str(caught.value)
    assert "graph_state['a'][0]" in str(caught.value)
    assert "no_such_module" not in sys.modules


@pytest.mark.parametrize(
    "tree",
    [
        {"$tuple": 5},
        {"$set": [[1]]},
        {"$dict": [[[], 1]]},
        {"$dict": 5},
        {"$int": "x"},
        {"$float": "1"},
        {"$bytes": "?"},
        {"$datetime": ["2024-01-01T00:00:00", 0, "../../etc/passwd"]},
        {"$datetime": ["2024-01-01T00:00:00", 0, "a.b/c"]},
        {"$datetime": "yesterday"},
        {"$timedelta": [10**12, 0, 0]},
        {"$decimal": "x"},
        {"$uuid": 3},
        {"$madeuuid": ["00000000-0000-0000-0000-000000000001", 7]},
        {"$madeuuid": "00000000-0000-0000-0000-000000000001"},
        {"$complex": [1]},
        {"$model": 1},
        {"$model": ["tests.core.checkpoint_values:Person", [], {}]},
        {"$type": []},
        {"$str": "zz"},
        {"$fraction": [2, 4]},
        {"$fraction": [1, 0]},
        {"$deque": [[1, 2], 1]},
        {"$deque": [[], "2"]},
        {"$defaultdict": [[], None]},
        {"$defaultdict": [{"$tuple": []}, None]},
        {"$counter": 1},
        {"$enum": ["tests.core.checkpoint_values:Modes", []]},
        {"$enum": [1, "GOOD"]},
        {"$dataclass": ["tests.core.checkpoint_values:Note", []]},
        {"$zoned": ["datetime", "2024-01-01T00:00:00", 0, "dateutil", "../../etc/passwd"]},
        {"$zoned": ["date", "2024-01-01", 0, "pydantic", 0]},
        {"$zone": ["later", 1]},
        ("not a tree",),
    ],
)
def test_a_known_tag_with_impossible_content_is_damage(tree: Any) -> None:
    with pytest.raises(CheckpointDamagedError, match=r"graph_state\['v'\]"):
        TreeReader().value(tree, PATH)


def test_a_registered_class_does_not_run_its_init() -> None:
    @register_type(name="tests.Counted")
    @dataclass
    class Counted:
        number: int

        def __post_init__(self) -> None:
            self.number += 1
            self.hidden = [self.number]

    counted = Counted(1)

    back = round_trip(counted)

    assert (back.number, back.hidden) == (2, [2])


def test_a_dataclass_with_new_fields_gets_their_defaults_or_an_error() -> None:
    tree = TreeWriter().tree([Step("a", [1]), Range(1, 2)])
    del tree[0]["$type"][1]["parts"]
    kept = TreeReader().value(tree)
    del tree[1]["$type"][1]["low"]

    assert kept == [Step("a"), Range(1, 2)]
    with pytest.raises(DeserializationError, match="low"):
        TreeReader().value(tree)


def test_two_classes_cannot_have_one_name_but_one_class_can_be_defined_again() -> None:
    def define() -> type:
        @dataclass
        class Again:
            x: int = 1

        return Again

    first, second = define(), define()
    register_type(first)
    register_type(second)

    assert type(round_trip(first())) is second
    with pytest.raises(GraphDefinitionError, match=r"tests\.Step"):
        register_type(Loose, name="tests.Step")


@pytest.mark.parametrize(
    ("cls", "options"), [(Token, {}), (Loose, {"to_data": str}), (dict, {}), (datetime, {}), ("x", {})]
)
def test_what_register_type_cannot_take_is_refused_at_once(cls: Any, options: dict[str, Any]) -> None:
    with pytest.raises(GraphDefinitionError):
        register_type(cls, **options)


def test_a_failing_from_data_is_named() -> None:
    class Broken:
        pass

    register_type(Broken, name="tests.Broken", to_data=lambda broken: 1, from_data=lambda content: 1 / 0)

    with pytest.raises(DeserializationError, match=r"tests\.Broken.*ZeroDivisionError"):
        round_trip([Broken()])


def test_an_enum_comes_back_as_its_member() -> None:
    assert round_trip({Colour.RED: [Colour.BLUE]}) == {Colour.RED: [Colour.BLUE]}


@pytest.mark.parametrize("is_safe", SafeUUID)
def test_a_uuid_keeps_how_safely_it_was_made(is_safe: SafeUUID) -> None:
    value = UUID(int=1, is_safe=is_safe)

    found = TreeReader().value(JsonFormat().loads(JsonFormat().dumps(TreeWriter().tree({value: value}))))

    assert [(key, key.is_safe, found[key].is_safe) for key in found] == [(value, is_safe, is_safe)]
