"""Pydantic models ↔ plain tree: their fields stay exact, and their class is found among those already loaded.

A model comes back as it was, without validation and without a call of its class, as long as that has the same fields: validators
that change values would otherwise change them again, and a model that was made or changed into an invalid one could be saved
but never loaded. When the class has other fields now, or pydantic's own serializer wrote a field, pydantic validates the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from spark.errors import DeserializationError
from spark.graphs.checkpoint.serialization.classes.plain_classes import cached_names, slots_of, write_cached
from spark.graphs.checkpoint.serialization.classes.sameness import is_same
from spark.graphs.checkpoint.serialization.classes.type_names import Kind
from spark.graphs.checkpoint.serialization.classes.type_trees import is_parametrised, read_type, write_class
from spark.graphs.checkpoint.serialization.protocols import Reader, Writer
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable
from spark.graphs.values.loaded import class_name, is_kind_of
from spark.graphs.values.paths import attribute_step, show

if TYPE_CHECKING:
    from pydantic import BaseModel


_PYDANTICS_OWN: Final = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_slots: Final[WeakKeyDictionary[type, list[str]]] = WeakKeyDictionary()


def is_model(value: object) -> bool:
    """Whether this is a pydantic model; without importing pydantic, since there are none before somebody did."""
    base = _base_model()
    return base is not None and isinstance(value, base)


def model_class(cls: type) -> type[BaseModel] | None:
    """The class, if it is one of pydantic models."""
    base = _base_model()
    return cls if base is not None and is_kind_of(cls, base) and cls is not base else None


MODEL: Final[Kind[type[Any]]] = Kind("a pydantic model", model_class)


def write_model(writer: Writer, model: BaseModel, depth: int) -> dict[str, Any]:
    """``{"$model": [class name, fields, rest]}``; the rest says what the fields alone would not bring back.

    A class with arguments, such as ``Page[User]``, makes it ``{"$generic": [type, fields, rest]}``.
    """
    known = type(model).model_fields
    fields = {name: value for name, value in model.__dict__.items() if name in known}
    trees: dict[str, Any] = {}
    dumped: dict[str, Any] = {}
    name = ""
    try:
        kind = write_class(type(model))
        cached = _cached(model, fields)
        for name, value in fields.items():
            try:
                trees[name] = writer.write(value, depth + 3)
            except Unsaveable as problem:
                dumped[name] = _dump_by_pydantic(model, name, problem)
                trees[name] = writer.without_hook().write(dumped[name], depth + 3)
        name = next(iter(dumped), "")
        if dumped:
            _check_comes_back(model, fields, dumped)
        name = ""
        rest = _write_rest(writer, model, fields, depth + 2)
        if cached_trees := write_cached(writer, cached, depth + 3):
            rest["cached"] = cached_trees
    except Unsaveable as problem:
        problem.trail.append((model, f".{name}" if name else ""))
        raise
    tag = "$generic" if is_parametrised(type(model)) else "$model"
    return {tag: [kind, trees, {"json": list(dumped), **rest} if dumped else rest]}


def read_model(reader: Reader, content: Any) -> BaseModel:
    """The model that ``write_model`` was given.

    :raises DeserializationError: its class is not loaded here, or does not accept what was stored.
    """
    name, field_trees, rest = content
    return _read(reader, reader.names.find(name, MODEL), field_trees, rest)


def read_generic(reader: Reader, content: Any) -> BaseModel:
    """The same for a class with arguments."""
    tree, field_trees, rest = content
    cls = read_type(reader.names, tree)
    if not isinstance(cls, type) or model_class(cls) is None:
        raise DeserializationError(f"{show(tree)} is not a pydantic model.")
    return _read(reader, cls, field_trees, rest)


def _read(reader: Reader, cls: type[BaseModel], field_trees: Any, rest: Any) -> BaseModel:
    values = reader.read_named(field_trees, step=attribute_step)
    by_pydantic = frozenset(rest.get("json", ()))
    for field in by_pydantic:
        values[field] = reader.without_hook().read(field_trees[field])
    extra = reader.read_mapping(rest.get("extra", {}))
    fields_set = set(reader.without_hook().read(rest["set"])) if "set" in rest else {*values, *extra}
    unset = frozenset(rest.get("unset", ()))
    is_as_stored = values.keys() | (unset & cls.model_fields.keys()) == cls.model_fields.keys()
    if is_as_stored and not by_pydantic:
        model = _bare(cls, values)
    else:
        new_names = {} if is_as_stored else _new_names(cls, values)
        model = _validate(cls, {new_names.get(name, name): value for name, value in values.items()})
        fields_set = {
            new_names.get(name, name) for name in fields_set if name in new_names.keys() | values.keys() | extra.keys()
        }
        if is_as_stored:
            model.__dict__.update({name: value for name, value in values.items() if name not in by_pydantic})
    if extra or cls.model_config.get("extra") == "allow":
        object.__setattr__(model, "__pydantic_extra__", {**(model.__pydantic_extra__ or {}), **extra})
    model.__dict__.update(reader.read_named(rest.get("cached", {}), step=attribute_step))
    object.__setattr__(model, "__pydantic_fields_set__", fields_set)
    if not cls.__pydantic_root_model__:
        object.__setattr__(model, "__pydantic_private__", _private(reader, cls, rest, unset))
    return model


def _bare(cls: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    model = object.__new__(cls)
    object.__setattr__(model, "__dict__", values)
    if not cls.__pydantic_root_model__:
        object.__setattr__(model, "__pydantic_extra__", None)
        object.__setattr__(model, "__pydantic_private__", None)
    return model


def _validate(cls: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    try:
        if cls.__pydantic_root_model__:
            return cls.model_validate(values["root"], strict=False)
        return cls.model_validate(values, strict=False, by_alias=False, by_name=True)
    except Exception as error:
        raise DeserializationError(
            f"The pydantic model {class_name(cls)} does not accept what was stored: {error}. "
            "If the class has changed, give new fields a default, or load with the release that wrote the checkpoint."
        ) from error


def _new_names(cls: type[BaseModel], stored: Collection[str]) -> dict[str, str]:
    """What fields are called now that were stored by an alias of today's; nothing that was stored may get lost.

    :raises DeserializationError: the class has no place for a field that was stored, and did not say that it may go.
    """
    fields = cls.model_fields
    missing = [(name, field.validation_alias or field.alias) for name, field in fields.items() if name not in stored]
    aliases = {alias: name for name, declared in missing for alias in _aliases(declared)}
    new_names = {name: aliases[name] for name in stored if name not in fields and name in aliases}
    lost = [name for name in stored if name not in fields and name not in new_names]
    validators = cls.__pydantic_decorators__.model_validators.values()
    sees_all = any(validator.info.mode in ("before", "wrap") for validator in validators)
    if lost and not sees_all and "extra" not in cls.model_config:
        raise DeserializationError(
            f"The pydantic model {class_name(cls)} has no field {', '.join(lost)} any more, and what was stored there would be "
            "lost. If a field was renamed, name the old one in its alias=; if it was removed, say so with "
            "model_config = ConfigDict(extra='ignore'); or convert it in a model_validator(mode='before')."
        )
    return new_names


def _aliases(alias: Any) -> list[str]:
    choices = getattr(alias, "choices", [alias])
    return [choice for choice in choices if isinstance(choice, str)]


def _cached(model: BaseModel, fields: Collection[str]) -> dict[str, Any]:
    """What cached properties keep on a model.

    :raises Unsaveable: it carries anything else outside its fields.
    """
    others = [name for name in model.__dict__ if name not in fields]
    cached = cached_names(type(model), others)
    slots = [name for name in _own_slots(type(model)) if hasattr(model, name)]
    lost = [name for name in (*others, *slots) if name not in cached]
    if "_sa_instance_state" in lost:
        raise Unsaveable(
            "it is a row of a database, tied to the session that loaded it. Store its primary key, or what its model_dump() "
            "returns, and load it again from the database."
        )
    if lost:
        raise Unsaveable(
            f"it carries {', '.join(lost)} outside its fields, which would be lost. Make it a field or a private attribute."
        )
    return {name: model.__dict__[name] for name in cached}


def _own_slots(cls: type) -> list[str]:
    if cls not in _slots:
        _slots[cls] = [name for name in slots_of(cls) if name not in _PYDANTICS_OWN]
    return _slots[cls]


def _write_rest(writer: Writer, model: BaseModel, fields: dict[str, Any], depth: int) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    extra = model.__pydantic_extra__ or {}
    # A root model has neither, and its class answers with a descriptor.
    private = None if model.__pydantic_root_model__ else model.__pydantic_private__
    if extra:
        rest["extra"] = writer.write_mapping(extra, depth + 1)
    if private:
        rest["private"] = writer.write_named(private, depth + 1, step=attribute_step)
    if model.__pydantic_fields_set__ != {*fields, *extra}:
        rest["set"] = writer.without_hook().write(sorted(model.__pydantic_fields_set__), depth + 1)
    # As model_construct leaves it: such a model is not valid, so it must not be validated when it is read.
    unset = [name for name in (*type(model).model_fields, *type(model).__private_attributes__) if name not in fields]
    if unset := [name for name in unset if name not in (private or {})]:
        rest["unset"] = unset
    return rest


def _private(
    reader: Reader, cls: type[BaseModel], rest: dict[str, Any], unset: Collection[str]
) -> dict[str, Any] | None:
    stored = reader.read_named(rest.get("private", {}), step=attribute_step)
    new = [name for name in cls.__private_attributes__ if name not in stored and name not in unset]
    undefined = sys.modules["pydantic_core"].PydanticUndefined
    defaults = {name: cls.__private_attributes__[name].get_default() for name in new}
    private = {**{name: value for name, value in defaults.items() if value is not undefined}, **stored}
    return private if private or cls.__private_attributes__ else None


def _dump_by_pydantic(model: BaseModel, name: str, problem: Unsaveable) -> Any:
    """What pydantic writes for a field that holds something our tree does not know."""
    if problem.too_deep:
        raise problem
    try:
        dumped = type(model).__pydantic_serializer__.to_python(
            model, mode="json", include={name}, by_alias=False, warnings=False
        )
        return dumped if model.__pydantic_root_model__ else dumped[name]
    except Exception:
        raise problem from None


def _check_comes_back(model: BaseModel, fields: dict[str, Any], dumped: dict[str, Any]) -> None:
    """Pydantic's own serializer may lose something, as an enum in a field of type Any, or a secret; never unnoticed."""
    try:
        rebuilt = _validate(type(model), {**fields, **dumped})
    except DeserializationError as error:
        raise Unsaveable(f"{error}") from error
    for name in dumped:
        if not is_same(rebuilt.__dict__.get(name), fields[name]):
            raise Unsaveable(
                f"pydantic writes it as {show(dumped[name])} and reads back {show(rebuilt.__dict__.get(name))}. "
                "Register the type of the value with register_type, or give the backend a serializer."
            )


def _base_model() -> type[BaseModel] | None:
    # pydantic.main, not pydantic: the package imports its parts when they are asked for.
    return getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
