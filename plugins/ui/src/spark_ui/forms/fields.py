"""The fields of a form for what a JSON schema asks for, with what was filled in, what that means, and what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from spark_ui.addresses import number_of
from spark_ui.forms.schema import DEEPEST, MOST, Schema, Wanted, is_required, problems, properties, wanted

Given: TypeAlias = Mapping[str, str]
"""What was filled in, by the names of the fields."""
LEFT_OUT: Final = object()
"""The value of a field that was left empty, and may be."""
ONE_LINE: Final = "one-line"
"""A format of our own forms: a text without line breaks."""
_MOST_FIELDS: Final = 1_000
"""Once there are so many, what is left is written as JSON: a schema that refers to itself asks for any number."""
_FEW: Final = 5
"""So many choices are shown one below the other."""
_INPUTS: Final = {"date": "date", "email": "email", "uri": "url", "password": "text"}
"""A format to the kind of input that helps with it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value that can be chosen."""

    text: str
    """The value as JSON, which the form sends."""
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field, or a group of fields."""

    name: str
    kind: str
    """``"text"``, ``"number"``, ``"choice"``, ``"group"``, ``"list"``, ``"variant"`` or ``"json"``."""
    title: str
    help: str = ""
    is_needed: bool = True
    text: str = ""
    """What was filled in."""
    error: str = ""
    value: Any = LEFT_OUT
    """What that means."""
    input: str = "text"
    step: str = ""
    choices: tuple[Choice, ...] = ()
    is_long: bool = False
    """Of choices, that there are too many to show them one below the other; of a text, that it may have several lines."""
    fields: tuple[Field, ...] = ()
    keys: tuple[str, ...] = ()
    """Of a group: the keys of its fields."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is wrong, here or within."""
        return not self.error and all(field.is_fine for field in self.fields)

    @property
    def is_blank(self) -> bool:
        """Whether nothing was filled in, here or within."""
        own = self.text if self.kind != "list" else ""
        return not own and all(field.is_blank for field in self.fields)

    def quiet(self) -> Field:
        """The same without what is wrong: somebody is still at it."""
        return replace(self, error="", fields=tuple(field.quiet() for field in self.fields))


def form_of(schema: Any, given: Given | None = None, *, name: str = "answer", title: str = "Answer") -> Field:
    """The form for a value, as it is filled in.

    :param schema: None where any value will do.
    :param given: None for a form that nobody has filled in yet: it has the defaults.
    """
    if not isinstance(schema, Mapping):
        return _json_field(name, title, {}, given, is_needed=True)
    field = _Form(schema, given).field(schema, name, title, is_needed=True)
    if given is None or not field.is_fine or field.value is LEFT_OUT:
        return field
    wrong = {
        f"{name}{''.join(f'/{_escaped(step)}' for step in path)}": why
        for path, why in problems(field.value, schema, schema)
    }
    return with_errors(field, wrong)


def json_form(schema: Any, text: str | None, *, name: str = "answer", title: str = "Answer") -> Field:
    """The same as one field that takes JSON."""
    field = _json_field(name, title, {}, None if text is None else {name: text}, is_needed=True)
    if text is None or field.error or not isinstance(schema, Mapping):
        return field
    wrong = [f"{'.'.join(path)}: {why}" if path else why for path, why in problems(field.value, schema, schema)]
    return replace(field, error=" ".join(wrong))


def changed(given: Given, *, pressed: str) -> dict[str, str]:
    """What was filled in, after a button that adds an item to a list, ``"add:<name>"``, or removes one, ``"remove:<name>"``."""
    verb, _, name = pressed.partition(":")
    result = dict(given)
    if verb == "add":
        result[f"{name}/~count"] = str(min(MOST, _count(given, name) + 1))
        return result
    if verb != "remove":
        return result
    parent, _, place = name.rpartition("/")
    count, removed = _count(given, parent), number_of(place)
    if removed is None or removed >= count:
        return result
    own = [f"{parent}/{number}" for number in range(count)]
    for key in [key for key in result if any(_is_within(key, each) for each in own[removed:])]:
        del result[key]
    for old, new in zip(own[removed + 1 :], own[removed:], strict=False):
        result |= {new + key[len(old) :]: text for key, text in given.items() if _is_within(key, old)}
    result[f"{parent}/~count"] = str(count - 1)
    return result


class _Form:
    def __init__(self, root: Schema, given: Given | None) -> None:
        self._root = root
        self._given = given
        self._level = 0
        self._made = 0

    def field(self, schema: Any, name: str, title: str, *, is_needed: bool) -> Field:
        """The field for one value."""
        want = wanted(schema, self._root)
        title = str(want.schema.get("title") or title)
        self._level += 1
        self._made += 1
        try:
            make = self._maker(want)
            field = make(want, name, title, is_needed=is_needed)
        finally:
            self._level -= 1
        return replace(field, help=_help(want))

    def _maker(self, want: Wanted) -> Callable[..., Field]:
        if self._level > DEEPEST or self._made > _MOST_FIELDS:
            return self._json
        if want.variants:
            return self._variant
        if want.choices is not None or want.type == "boolean":
            return self._choice
        if want.type == "object" and 0 < len(properties(want.schema)) <= MOST:
            return self._group
        if want.type == "array" and isinstance(want.schema.get("items"), Mapping):
            return self._list
        return {"string": self._text, "integer": self._number, "number": self._number}.get(want.type, self._json)

    def _text(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        text = self._filled(name, want, plain=True)
        length = want.schema.get("maxLength")
        kind = _INPUTS.get(str(want.schema.get("format")), "text")
        is_one_line = want.schema.get("format") == ONE_LINE or "pattern" in want.schema
        is_long = kind == "text" and not is_one_line and (type(length) is not int or length > 200)
        field = Field(name, "text", title, "", is_needed, text, input=kind, is_long=is_long)
        if text == "" and (want.may_be_null or not is_needed):
            return self._empty(field, want)
        return replace(field, value=text)

    def _number(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        text = self._filled(name, want).strip()
        is_whole = want.type == "integer"
        field = Field(name, "number", title, "", is_needed, text, input="text", step="1" if is_whole else "any")
        if text == "":
            return self._empty(field, want)
        value = _number(text, is_whole=is_whole)
        if value is None:
            return replace(field, error="Give a whole number." if is_whole else "Give a number.")
        return replace(field, value=value)

    def _choice(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        text = self._filled(name, want)
        values = want.choices if want.choices is not None else [True, False]
        texts = [_json(value) for value in values]
        labels = [_label(value) for value in values]
        choices = tuple(Choice(each, label, each == text) for each, label in zip(texts, labels, strict=True))
        field = Field(name, "choice", title, "", is_needed, text, choices=choices, is_long=len(choices) > _FEW)
        if text == "":
            return self._empty(field, want)
        if text not in texts:
            return replace(field, error="Choose one of the values.")
        return replace(field, value=values[texts.index(text)])

    def _group(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        keys = tuple(properties(want.schema))
        fields = tuple(
            self.field(inner, f"{name}/{_escaped(key)}", key, is_needed=is_required(key, want.schema))
            for key, inner in properties(want.schema).items()
        )
        value = {key: field.value for key, field in zip(keys, fields, strict=True) if field.value is not LEFT_OUT}
        field = Field(name, "group", title, "", is_needed, fields=fields, keys=keys, value=value)
        if not field.is_blank or (is_needed and not want.may_be_null):
            return field
        return replace(self._empty(field, want), fields=tuple(field.quiet() for field in fields))

    def _list(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        default = want.schema.get("default")
        lowest = want.schema.get("minItems")
        first = len(default) if isinstance(default, list) else lowest if isinstance(lowest, int) else 0
        count = min(MOST, first) if self._given is None else _count(self._given, name)
        fields = tuple(
            self.field(
                _with_default(want.schema["items"], default, place), f"{name}/{place}", f"{place + 1}", is_needed=True
            )
            for place in range(count)
        )
        value = [field.value for field in fields if field.value is not LEFT_OUT]
        field = Field(name, "list", title, "", is_needed, str(count), fields=fields, value=value)
        return self._empty(field, want) if not fields and not is_needed else field

    def _variant(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        number = number_of(self._given.get(f"{name}/~variant", "")) if self._given is not None else 0
        number = number if number is not None and number < len(want.variants) else 0
        labels = [
            str(each.get("title") or each.get("type") or f"Variant {n + 1}") for n, each in enumerate(want.variants)
        ]
        choices = tuple(Choice(str(n), label, n == number) for n, label in enumerate(labels))
        inner = self.field(want.variants[number], f"{name}/{number}", labels[number], is_needed=is_needed)
        return Field(name, "variant", title, "", is_needed, choices=choices, fields=(inner,), value=inner.value)

    def _json(self, want: Wanted, name: str, title: str, *, is_needed: bool) -> Field:
        return _json_field(name, title, want.schema, self._given, is_needed=is_needed and not want.may_be_null)

    def _filled(self, name: str, want: Wanted, *, plain: bool = False) -> str:
        """What was filled in; in a new form, the default."""
        if self._given is not None:
            return self._given.get(name, "")
        default = want.schema.get("default")
        if default is None:
            return ""
        return default if plain and isinstance(default, str) else _json(default)

    def _empty(self, field: Field, want: Wanted) -> Field:
        if want.may_be_null and field.is_needed:
            return replace(field, value=None)
        if not field.is_needed:
            return replace(field, value=LEFT_OUT)
        return field if self._given is None else replace(field, error="This is needed.")


def _json_field(name: str, title: str, schema: Schema, given: Given | None, *, is_needed: bool) -> Field:
    default = _json(schema["default"]) if "default" in schema else ""
    text = default if given is None else given.get(name, "")
    field = Field(name, "json", title, "", is_needed, text)
    if text.strip() == "":
        return (
            field
            if given is None or not is_needed
            else replace(field, error='Give a value as JSON, such as "yes" or true.')
        )
    try:
        return replace(field, value=json.loads(text, parse_constant=_refuse, parse_float=_finite))
    except (ValueError, RecursionError) as error:
        return replace(field, error=f'This is not JSON: {error}. A text needs quotes: "yes".')


def with_errors(field: Field, wrong: Mapping[str, str]) -> Field:
    """The form with what is wrong at each field, by its name; what is wrong elsewhere, at the whole."""
    placed: set[str] = set()

    def place(each: Field) -> Field:
        placed.add(each.name)
        return replace(each, error=each.error or wrong.get(each.name, ""), fields=tuple(map(place, each.fields)))

    result = place(field)
    elsewhere = [why for name, why in wrong.items() if name not in placed]
    return replace(result, error=" ".join([*([result.error] if result.error else []), *elsewhere]))


def _with_default(schema: Any, default: Any, place: int) -> Any:
    has_default = isinstance(default, list) and place < len(default) and isinstance(schema, Mapping)
    return {**schema, "default": default[place]} if has_default else schema


def _help(want: Wanted) -> str:
    told = [str(want.schema["description"])] if want.schema.get("description") else []
    for name, words in (("pattern", "Pattern"), ("format", "Format")):
        if isinstance(want.schema.get(name), str) and want.schema[name] != ONE_LINE:
            told.append(f"{words}: {want.schema[name]}")
    return " ".join(told)


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if isinstance(value, str) and value else _json(value)


def _number(text: str, *, is_whole: bool) -> int | float | None:
    try:
        value = int(text) if is_whole or text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def _count(given: Given, name: str) -> int:
    return min(MOST, number_of(given.get(f"{name}/~count", "")) or 0)


def _is_within(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}/")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return ""


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse(f"a number as large as {text[:20]}")
    return value
