"""Enums, named tuples and dataclasses ↔ plain tree, without registration: their classes are found among those loaded.

None of their code runs when they are rebuilt: a member is looked up, a tuple filled, an object made bare and its attributes
put where they belong. An object with ``__del__`` would run that with whatever was stored, so such classes are refused.
"""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from dataclasses import MISSING
from enum import Enum, Flag
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from spark.errors import DeserializationError
from spark.graphs.checkpoint.serialization.classes.type_names import Kind
from spark.graphs.checkpoint.serialization.classes.type_trees import read_type, write_type
from spark.graphs.checkpoint.serialization.protocols import Reader, Writer
from spark.graphs.checkpoint.serialization.scalars import read_int, write_int, write_text
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable
from spark.graphs.values.loaded import class_name, is_kind_of, lineage, namespace
from spark.graphs.values.paths import attribute_step, show

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


_ORIGINAL_CLASS: Final = "__orig_class__"
"""Where ``typing`` notes with which arguments a generic class was called."""
_FIELD_GETTER: Final = type(vars(namedtuple("_Any", "field"))["field"])


class EnumShape:
    """An enum, and its members by name."""

    __slots__ = ("cls", "members")

    def __init__(self, cls: type[Enum], members: Mapping[str, Enum]) -> None:
        self.cls: Final = cls
        self.members: Final = members

    @classmethod
    def of(cls, kind: type) -> EnumShape | None:
        """That of a class, if it is an enum."""
        members = namespace(kind).get("_member_map_") if is_kind_of(kind, Enum) else None
        return cls(kind, members) if type(members) is dict else None

    def write(self, writer: Writer, value: Any, depth: int) -> Any:
        """``{"$enum": [class name, member's name]}``; of flags, the value."""
        name: Any = value._name_
        if isinstance(value, Flag):
            if not self._is_combined_by_enum():
                raise Unsaveable(
                    f"{class_name(self.cls)} creates its combined members in its own way. Register the class."
                )
            return {"$enum": [class_name(self.cls), write_int(value._value_)]}
        if self.members.get(name) is not value:
            raise Unsaveable(f"it is not a member of {class_name(self.cls)} that can be found by its name {name!r}.")
        return {"$enum": [class_name(self.cls), name]}

    def member(self, stored: Any) -> Any:
        """The member with this name or, of flags, value."""
        if type(stored) is str and stored in self.members:
            return self.members[stored]
        if type(stored) is not str and is_kind_of(self.cls, Flag):
            return self._combined(read_int(stored))
        raise self._has_none(stored)

    def _combined(self, value: int) -> Any:
        known = namespace(self.cls)["_value2member_map_"].get(value)
        if known is not None or not self._is_combined_by_enum():
            return known
        try:
            return Flag._missing_.__func__(self.cls, value)  # type: ignore[attr-defined]  # not the class's own
        except ValueError as error:
            raise self._has_none(value) from error

    def _is_combined_by_enum(self) -> bool:
        own = [namespace(kind) for kind in lineage(self.cls) if kind.__module__ not in ("enum", "builtins")]
        by_enum = (Flag._iter_member_by_value_.__func__, Flag._iter_member_by_def_.__func__)  # type: ignore[attr-defined]
        return (
            namespace(self.cls)["_member_type_"] in (object, int)
            and not any("__setattr__" in names or "__getattribute__" in names for names in own)
            and self.cls._iter_member_.__func__ in by_enum  # type: ignore[attr-defined]
        )

    def _has_none(self, stored: Any) -> DeserializationError:
        return DeserializationError(
            f"The enum {class_name(self.cls)} has no member {stored!r} any more; it has {', '.join(self.members) or 'none'}. "
            f"Define {stored} again, for instance as another name of the member that took its place, or, if the class was "
            f"renamed, call rename_type({class_name(self.cls)!r}, …) with the enum that has it."
        )


class NamedTupleShape:
    """A named tuple, and the names of its fields."""

    __slots__ = ("cls", "defaults", "fields")

    def __init__(self, cls: type[tuple[Any, ...]], fields: tuple[str, ...], defaults: Mapping[str, Any]) -> None:
        self.cls: Final = cls
        self.fields: Final = fields
        self.defaults: Final = defaults

    @classmethod
    def of(cls, kind: type) -> NamedTupleShape | None:
        """That of a class, if ``typing`` or ``collections`` made it a named tuple."""
        for base in lineage(kind) if is_kind_of(kind, tuple) else ():
            names = namespace(base)
            if "_fields" in names:
                fields = names["_fields"]
                is_made = type(fields) is tuple and all(type(names.get(name)) is _FIELD_GETTER for name in fields)
                return cls(kind, fields, names.get("_field_defaults", {})) if is_made and not _has_del(kind) else None
        return None

    def write(self, writer: Writer, value: Any, depth: int) -> Any:
        """``{"$namedtuple": [class name, fields]}``."""
        return {
            "$namedtuple": [class_name(self.cls), writer.write_named(self.data(value), depth + 2, step=attribute_step)]
        }

    def data(self, value: Any) -> dict[str, Any]:
        """The fields by their names."""
        if getattr(value, "__dict__", None):
            raise Unsaveable(f"it carries {', '.join(vars(value))} outside its fields. Keep it in a field.")
        return dict(zip(self.fields, tuple.__iter__(value), strict=True))

    def make(self, stored: dict[str, Any]) -> Any:
        """The tuple with these fields; those that were added since have their defaults."""
        known = {**self.defaults, **stored}
        _check_names(self.cls, missing=set(self.fields) - known.keys(), unknown=known.keys() - set(self.fields))
        return tuple.__new__(self.cls, [known[name] for name in self.fields])


class DataclassShape:
    """A dataclass: its fields, and where its instances keep their attributes."""

    __slots__ = ("cls", "fields", "has_dict", "slots")

    def __init__(
        self,
        cls: type,
        fields: Mapping[str, dataclasses.Field[Any]],
        slots: Mapping[str, MemberDescriptorType],
        *,
        has_dict: bool,
    ) -> None:
        self.cls: Final = cls
        self.fields: Final = fields
        self.slots: Final = slots
        self.has_dict: Final = has_dict

    @classmethod
    def of(cls, kind: type) -> DataclassShape | None:
        """That of a class, if it is a dataclass whose instances are nothing but their attributes."""
        marks = (
            names["__dataclass_fields__"]
            for base in lineage(kind)
            if "__dataclass_fields__" in (names := namespace(base))
        )
        found = next(marks, None)
        if type(found) is not dict:
            return None
        dicts = [own for base in lineage(kind) if (own := namespace(base).get("__dict__")) is not None]
        # An object that the class alone says how to make, or that keeps its attributes elsewhere, is not that simple.
        if _has_del(kind) or not _can_be_made_bare(kind) or any(type(own) is not GetSetDescriptorType for own in dicts):
            return None
        fields = {name: field for name, field in found.items() if field._field_type is dataclasses._FIELD}  # type: ignore[attr-defined]
        return cls(kind, fields, slots_of(kind), has_dict=bool(dicts))

    def write(self, writer: Writer, value: Any, depth: int) -> Any:
        """``{"$dataclass": [class name, attributes]}``, and what these alone would not bring back."""
        state = self.state(value)
        rest: dict[str, Any] = {}
        if unset := [name for name in self.fields if name not in state]:
            rest["unset"] = unset
        if _ORIGINAL_CLASS in state:
            rest["of"] = write_type(state.pop(_ORIGINAL_CLASS))
        cached = cached_names(self.cls, [name for name in state if name not in self.fields])
        trees = writer.write_named(
            {name: state[name] for name in state if name not in cached}, depth + 2, step=attribute_step
        )
        if cached:
            trees |= write_cached(writer, {name: state[name] for name in cached}, depth + 2)
            trees = {name: trees[name] for name in state if name in trees}
        return {"$dataclass": [class_name(self.cls), trees, rest] if rest else [class_name(self.cls), trees]}

    def state(self, value: Any) -> dict[str, Any]:
        """What an instance holds, by name: fields, and whatever else ``__post_init__`` and methods left on it."""
        own = object.__getattribute__(value, "__dict__") if self.has_dict else {}
        state = {**own, **{name: slot.__get__(value) for name, slot in self.slots.items() if _is_set(slot, value)}}
        for name in state:
            if type(name) is not str or type(write_text(name)) is not str:
                raise Unsaveable(f"it has an attribute named {show(name)}.")
        return state

    def data(self, value: Any) -> dict[str, Any]:
        """The same, where nothing can say which fields are not set."""
        state = self.state(value)
        lost = [
            name for name, field in self.fields.items() if name not in state and (field.init or _has_default(field))
        ]
        if lost:
            raise Unsaveable(f"its {', '.join(lost)} is not set, and an unset field can't be read back.")
        return state

    def make(self, stored: dict[str, Any], *, unset: Collection[str] = ()) -> Any:
        """An instance that holds this; fields that were added since have their defaults, those unset none."""
        value: Any = object.__new__(self.cls)
        absent = {name: field for name, field in self.fields.items() if name not in stored and name not in unset}
        _check_names(
            self.cls,
            missing={name for name, field in absent.items() if field.init and not _has_default(field)},
            unknown=set() if self.has_dict else stored.keys() - self.slots.keys(),
        )
        stored = {**stored, **{name: _default(field) for name, field in absent.items() if _has_default(field)}}
        for name in stored.keys() & self.slots.keys():
            self.slots[name].__set__(value, stored.pop(name))
        if stored:
            # Not by setattr: these names come from storage, and must reach no property, nor a slot of object.
            object.__getattribute__(value, "__dict__").update(stored)
        return value


PlainShape = EnumShape | NamedTupleShape | DataclassShape

ENUM: Final = Kind("an enum", EnumShape.of)
NAMED_TUPLE: Final = Kind("a named tuple", NamedTupleShape.of)
DATACLASS: Final = Kind("a dataclass", DataclassShape.of)

_shapes: Final[WeakKeyDictionary[type, PlainShape | None]] = WeakKeyDictionary()


def plain_shape(kind: type) -> PlainShape | None:
    """How instances of exactly this class are saved and rebuilt, if it is an enum, a named tuple or a dataclass."""
    if kind not in _shapes:
        _shapes[kind] = EnumShape.of(kind) or NamedTupleShape.of(kind) or DataclassShape.of(kind)
    return _shapes[kind]


def read_enum(reader: Reader, content: Any) -> Any:
    """What ``EnumShape.write`` was given."""
    name, stored = content
    return reader.names.find(name, ENUM).member(stored)


def read_named_tuple(reader: Reader, content: Any) -> Any:
    """What ``NamedTupleShape.write`` was given."""
    name, trees = content
    return reader.names.find(name, NAMED_TUPLE).make(reader.read_named(trees, step=attribute_step))


def read_dataclass(reader: Reader, content: Any) -> Any:
    """What ``DataclassShape.write`` was given."""
    name, trees, *more = content
    rest = more[0] if more else {}
    values = reader.read_named(trees, step=attribute_step)
    if "of" in rest:
        values[_ORIGINAL_CLASS] = read_type(reader.names, rest["of"])
    return reader.names.find(name, DATACLASS).make(values, unset=frozenset(rest.get("unset", ())))


def cached_names(cls: type, names: Iterable[str]) -> list[str]:
    """Those of an instance's attributes that a ``cached_property``, of whatever library, keeps there."""
    return [name for name in names if _is_cached(cls, name)]


def write_cached(writer: Writer, values: dict[str, Any], depth: int) -> dict[str, Any]:
    """The trees of those cached values that can be saved; the others are computed again when somebody asks for them."""
    trees = {}
    for name, value in values.items():
        try:
            trees[name] = writer.write(value, depth + 1)
        except Unsaveable:
            continue
    return trees


def slots_of(kind: type) -> dict[str, MemberDescriptorType]:
    """The slots in which instances of a class keep attributes."""
    return {
        name: slot
        for base in reversed(lineage(kind))
        for name, slot in namespace(base).items()
        if type(slot) is MemberDescriptorType
    }


def _is_cached(cls: type, name: str) -> bool:
    found = next((names[name] for base in lineage(cls) if name in (names := namespace(base))), None)
    return any(base.__name__ == "cached_property" for base in lineage(type(found)))


def _is_set(slot: MemberDescriptorType, value: object) -> bool:
    try:
        slot.__get__(value)
    except AttributeError:
        return False
    return True


def _has_del(kind: type) -> bool:
    return any("__del__" in namespace(base) for base in lineage(kind))


def _can_be_made_bare(kind: type) -> bool:
    try:
        object.__new__(kind)
    except TypeError:
        return False
    return True


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _check_names(cls: type, *, missing: set[str], unknown: set[str]) -> None:
    if missing or unknown:
        raise DeserializationError(
            f"The class {class_name(cls)} has changed since the checkpoint was written: it has new fields without a "
            f"default {sorted(missing)}, and lacks {sorted(unknown)}. Give new fields a default, or register to_data "
            "and from_data."
        )
