"""Forms made from JSON schemas, as pydantic writes them, and what comes of what is filled in."""

from __future__ import annotations

import json
from datetime import date
from functools import reduce
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from spark_ui.forms.fields import LEFT_OUT, changed, form_of, json_form
from spark_ui.forms.fields import Field as FormField


class Address(BaseModel):
    street: str
    zip: str | None = None


class Decision(BaseModel):
    verdict: Literal["approve", "reject"]
    amount: float = Field(ge=0, le=100)
    urgent: bool
    note: str = ""
    limit: int | None = None
    tags: list[str] = []
    address: Address | None = None
    history: list[Address] = Field(default_factory=list, max_length=2)
    extra: dict[str, Any] = {}
    until: date | None = None


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"
    coins: int


SCHEMA = TypeAdapter(Decision).json_schema()
WIDE = {name: {"$ref": "#/$defs/t"} for name in ["p", *map(str, range(99))]}
LEAST = {"answer/verdict": '"approve"', "answer/amount": "12.5", "answer/urgent": "false"}


def field(form: FormField, name: str) -> FormField:
    """The field with this name."""
    found = [form]
    for each in found:
        found.extend(each.fields)
    return next(each for each in found if each.name == name)


def test_a_model_becomes_fields_with_its_defaults() -> None:
    form = form_of(SCHEMA)

    assert form.kind == "group"
    assert [(each.title, each.kind, each.is_needed) for each in form.fields] == [
        ("Verdict", "choice", True),
        ("Amount", "number", True),
        ("Urgent", "choice", True),
        ("Note", "text", False),
        ("Limit", "number", False),
        ("Tags", "list", False),
        ("Address", "group", False),
        ("History", "list", False),
        ("Extra", "json", False),
        ("Until", "text", False),
    ]
    assert field(form, "answer/until").input == "date"
    assert all(not each.error for each in form.fields)


def test_what_is_filled_in_becomes_an_answer_that_the_model_takes() -> None:
    given = LEAST | {
        "answer/note": "two\nlines",
        "answer/limit": "7",
        "answer/tags/~count": "2",
        "answer/tags/0": "a",
        "answer/tags/1": "b",
        "answer/address/street": "Main",
        "answer/extra": '{"x": [1]}',
    }

    form = form_of(SCHEMA, given)

    assert form.is_fine
    decision = Decision.model_validate(form.value)
    assert (decision.verdict, decision.amount, decision.urgent, decision.note) == ("approve", 12.5, False, "two\nlines")
    assert (decision.limit, decision.tags, decision.extra) == (7, ["a", "b"], {"x": [1]})
    assert decision.address == Address(street="Main")


def test_what_is_left_empty_is_left_out() -> None:
    form = form_of(SCHEMA, LEAST)

    assert form.is_fine
    assert form.value == {"verdict": "approve", "amount": 12.5, "urgent": False}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, {"answer/verdict", "answer/amount", "answer/urgent"}),
        (LEAST | {"answer/amount": "much"}, {"answer/amount"}),
        (LEAST | {"answer/amount": "101"}, {"answer/amount"}),
        (LEAST | {"answer/amount": "1e999"}, {"answer/amount"}),
        (LEAST | {"answer/verdict": '"perhaps"'}, {"answer/verdict"}),
        (LEAST | {"answer/limit": "1.5"}, {"answer/limit"}),
        (LEAST | {"answer/extra": "{"}, {"answer/extra"}),
        (LEAST | {"answer/extra": "[1]"}, {"answer/extra"}),
        (LEAST | {"answer/extra": "NaN"}, {"answer/extra"}),
        (
            LEAST | {"answer/history/~count": "3"} | {f"answer/history/{n}/street": "x" for n in range(3)},
            {"answer/history"},
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(given: dict[str, str], wrong: set[str]) -> None:
    form = form_of(SCHEMA, given)

    found = [form]
    for each in found:
        found.extend(each.fields)
    assert not form.is_fine
    assert {each.name for each in found if each.error} == wrong
    assert all(each.text == given[each.name] for each in found if each.name in given)


def test_items_of_a_list_are_added_and_removed_without_losing_the_others() -> None:
    given = {"answer/history/~count": "2", "answer/history/0/street": "a", "answer/history/1/street": "b"}

    more = changed(given, pressed="add:answer/history")
    fewer = changed(more, pressed="remove:answer/history/0")

    assert more["answer/history/~count"] == "3"
    assert fewer == {"answer/history/~count": "2", "answer/history/0/street": "b"}
    assert [each.name for each in field(form_of(SCHEMA, fewer), "answer/history").fields] == [
        "answer/history/0",
        "answer/history/1",
    ]


@pytest.mark.parametrize(
    "pressed",
    [
        "",
        "remove:",
        "remove:answer/history/9",
        "remove:answer/history/x",
        f"remove:answer/history/{'9' * 5_000}",
        "add:",
        "what",
    ],
)
def test_a_button_that_is_not_there_changes_nothing(pressed: str) -> None:
    given = {"answer/history/~count": "1", "answer/history/0/street": "a"}

    assert given.items() <= changed(given, pressed=pressed).items()


def test_one_of_several_models_is_chosen_first() -> None:
    schema = TypeAdapter(Annotated[Card | Cash, Field(discriminator="kind")]).json_schema()

    form = form_of(schema, {"answer/~variant": "1", "answer/1/kind": '"cash"', "answer/1/coins": "3"})

    assert (form.kind, [choice.label for choice in form.choices]) == ("variant", ["Card", "Cash"])
    assert (form.value, form.is_fine) == ({"kind": "cash", "coins": 3}, True)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, "", ""),
        (str, "null", "null"),
        (int, "-3", -3),
        (float, "3", 3),
        (bool, "true", True),
        (Literal[1, "1", None], '"1"', "1"),
        (str | None, "", None),
        (int | None, "", None),
    ],
)
def test_a_single_value_is_one_field(kind: Any, text: str, value: Any) -> None:
    form = form_of(TypeAdapter(kind).json_schema(), {"answer": text})

    assert (form.is_fine, form.value, type(form.value)) == (True, value, type(value))


def test_no_number_is_infinite() -> None:
    assert form_of({"type": "number"}, {"answer": "1e999"}).error == "Give a number."
    assert "not allowed" in form_of(None, {"answer": "[1e999]"}).error


def test_without_a_schema_any_json_is_taken() -> None:
    assert form_of(None, {"answer": '"yes"'}).value == "yes"
    assert form_of(None, {"answer": "null"}).value is None
    assert "needs quotes" in form_of(None, {"answer": "yes"}).error
    assert form_of(None, {"answer": ""}).value is LEFT_OUT
    assert form_of(None, {"answer": ""}).error


def test_the_whole_may_be_written_as_json() -> None:
    good = json_form(SCHEMA, '{"verdict": "reject", "amount": 1, "urgent": true}')
    bad = json_form(SCHEMA, '{"verdict": "reject", "amount": -1}')

    assert (good.is_fine, good.value) == (True, {"verdict": "reject", "amount": 1, "urgent": True})
    assert "amount: Give at least 0." in bad.error
    assert "urgent: This is needed." in bad.error
    assert bad.text == '{"verdict": "reject", "amount": -1}'


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"t": {"$ref": "#/$defs/t"}}}}},
        {"type": 3, "properties": [], "required": "x", "enum": {}, "anyOf": [], "items": 5},
        {"type": "object", "properties": {str(n): {"enum": [*range(500)]} for n in range(500)}},
        {"type": "array", "items": {}, "minItems": 10**9, "default": "x"},
        {"anyOf": [{"type": "null"}, 3, {"anyOf": [{}]}], "title": {"<b>": 1}, "default": {1, 2}},
        {"type": "string", "pattern": "(a+)+$", "minLength": "x", "format": []},
        {"const": float("nan")},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "minItems": 100, "items": {"$ref": "#/$defs/t"}}}},
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": WIDE}}},
        {"$ref": "#/$defs/t", "$defs": {"t": {"anyOf": [{"required": ["p"], "properties": WIDE}] * 99}}},
    ],
)
def test_a_schema_that_makes_no_sense_still_makes_a_form(schema: dict[str, Any]) -> None:
    for given in (None, {}, {"answer": "a" * 1000, "answer/~count": "9" * 9999, "answer/~variant": "7" * 9999}):
        assert form_of(schema, given).name == "answer"
    for value in (None, *nested(6)):
        assert json_form(schema, json.dumps(value)).name == "answer"


def nested(levels: int) -> list[Any]:
    """Objects that are so deep: ``{}``, ``{"p": {}}``…"""
    return [reduce(lambda inner, _: {"p": inner}, range(level), dict[str, Any]()) for level in range(levels)]


def test_what_is_needed_is_not_optional_because_it_has_a_default() -> None:
    schema = {"type": "object", "required": ["do"], "properties": {"do": {"enum": ["set"], "default": "set"}}}

    (do,) = form_of(schema).fields

    assert (do.is_needed, [each.is_chosen for each in do.choices]) == (True, [True])
