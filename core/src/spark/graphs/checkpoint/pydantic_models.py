"""Pydantic models ↔ plain tree: their fields stay exact, and their class is found among those already loaded.

A model comes back as it was, without validation, as long as its class has the same fields: validators that change
values would otherwise change them again, and a model that was changed into an invalid one could be saved but never
loaded. When the class has other fields now, or pydantic's own serializer wrote a field, pydantic validates the whole.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from spark.errors import DeserializationError
from spark.graphs.checkpoint.unsaveable import Unsaveable, attribute_step, show
from spark.graphs.loaded import class_name, find_loaded

if TYPE_CHECKING:
    from pydantic import BaseModel

    from spark.graphs.checkpoint.tree_reader import TreeReader
    from spark.graphs.checkpoint.tree_writer import TreeWriter


def is_model(value: object) -> bool:
    """Whether this is a pydantic model; without importing pydantic, since there are none before somebody did."""
    base = _base_model()
    return base is not None and isinstance(value, base)


def write_model(writer: TreeWriter, model: BaseModel, depth: int) -> dict[str, Any]:
    """``{"$model": [class name, fields, rest]}``; the rest says what the fields alone would not bring back."""
    fields = {name: model.__dict__[name] for name in type(model).model_fields if name in model.__dict__}
    trees: dict[str, Any] = {}
    dumped: dict[str, Any] = {}
    name = ""
    try:
        for name, value in fields.items():
            try:
                trees[name] = writer.write(value, depth + 3)
            except Unsaveable as problem:
                dumped[name] = _dump_by_pydantic(model, name, problem)
                trees[name] = type(writer)().write(dumped[name], depth + 3)
        name = next(iter(dumped), "")
        if dumped:
            _check_comes_back(model, fields, dumped)
        name = ""
        rest = _write_rest(writer, model, fields, depth + 2)
    except Unsaveable as problem:
        problem.trail.append((model, f".{name}" if name else ""))
        raise
    return {"$model": [class_name(type(model)), trees, {"json": list(dumped), **rest} if dumped else rest]}


def read_model(reader: TreeReader, content: Any) -> BaseModel:
    """The model that ``write_model`` was given.

    :raises DeserializationError: its class is not loaded here, or does not accept what was stored.
    """
    name, field_trees, rest = content
    cls = _find_class(name)
    values = reader.read_named(field_trees, step=attribute_step)
    by_pydantic = frozenset(rest.get("json", ()))
    for field in by_pydantic:
        values[field] = type(reader)().read(field_trees[field])
    extra = reader.read_mapping(rest.get("extra", {}))
    private = reader.read_named(rest.get("private", {}), step=attribute_step)
    fields_set = set(type(reader)().read(rest["set"])) if "set" in rest else {*values, *extra}
    model = _rebuild(cls, values, by_pydantic)
    if extra or cls.model_config.get("extra") == "allow":
        object.__setattr__(model, "__pydantic_extra__", extra)
    if private or cls.__private_attributes__:
        object.__setattr__(model, "__pydantic_private__", {**_private_defaults(cls), **private})
    object.__setattr__(model, "__pydantic_fields_set__", fields_set)
    return model


def _rebuild(cls: type[BaseModel], values: dict[str, Any], by_pydantic: frozenset[str]) -> BaseModel:
    has_same_fields = values.keys() == cls.model_fields.keys()
    if not has_same_fields or by_pydantic:
        model = _validate(cls, values)
        exact = {name: value for name, value in values.items() if name not in by_pydantic} if has_same_fields else {}
        model.__dict__.update(exact)
        return model
    model = cls.__new__(cls)
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


def _write_rest(writer: TreeWriter, model: BaseModel, fields: dict[str, Any], depth: int) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    extra = model.__pydantic_extra__ or {}
    # A root model has neither, and its class answers with a descriptor.
    private = None if model.__pydantic_root_model__ else model.__pydantic_private__
    if extra:
        rest["extra"] = writer.write_mapping(extra, depth + 1)
    if private:
        rest["private"] = writer.write_named(private, depth + 1, step=attribute_step)
    if model.__pydantic_fields_set__ != {*fields, *extra}:
        rest["set"] = type(writer)().write(sorted(model.__pydantic_fields_set__), depth + 1)
    return rest


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
        if not _is_same(rebuilt.__dict__.get(name), fields[name]):
            raise Unsaveable(
                f"pydantic writes it as {show(dumped[name])} and reads back {show(rebuilt.__dict__.get(name))}. "
                "Register the type of the value with register_type, or give the backend a serializer."
            )


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict):
        return _is_same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        return one == other and set(map(type, one)) == set(map(type, other))
    return bool(one == other)


def _find_class(name: str) -> type[BaseModel]:
    module, _, qualname = name.partition(":")
    base = _base_model()
    cls = None if base is None else find_loaded(base, module, qualname)
    if cls is None:
        raise DeserializationError(
            f"The pydantic model {name!r} is not loaded in this program. Import {module!r} before loading; "
            "if the class was renamed, keep its old name in that module as an alias."
        )
    return cls


def _private_defaults(cls: type[BaseModel]) -> dict[str, Any]:
    defaults = {name: attribute.get_default() for name, attribute in cls.__private_attributes__.items()}
    undefined = sys.modules["pydantic_core"].PydanticUndefined
    return {name: value for name, value in defaults.items() if value is not undefined}


def _base_model() -> type[BaseModel] | None:
    # pydantic.main, not pydantic: the package imports its parts when they are asked for.
    return getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
