"""What users choose by name: the object that a plugin's class makes of options, checked before the class sees them.

Options come from files and data as well as from code, so that no type checker has seen them. A class says what it takes by its
signature, or by the pydantic model that its spec names. Values are never shown, since some are secrets.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_type_hints

from spark.errors import GraphDefinitionError, PluginError, PluginNotFoundError, SparkError
from spark.hooks.choices import Choice, remember, secrets_in, without_secret_options
from spark.hooks.redaction import without_secrets
from spark.hooks.registry import class_of, kinds_of, options_model_of
from spark.wording import a_kind, choices_of, did_you_mean, kind_of, shown_name, what_fits

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

T = TypeVar("T")

_MODULES: Final = r"(?<![\w'\"])([A-Za-z_]\w*\.)+"
_MISFITS: Final = ("_type", "_parsing", "literal_error", "enum")
"""How the names of pydantic's errors end that are about the type of a value, which we say in our words."""
_TABLE: Final = re.compile(r":\[[^\[\]]*\]$")


def chosen(kind: str, given: Any, *, base: type[T], place: str) -> T:
    """What a user chose: an instance as it is, ``"name"``, or ``{"name": {"option": value}}``.

    :param kind: what is chosen, for instance ``"trigger"``.
    :param place: where it was chosen, for messages.
    :raises GraphDefinitionError: it is none of these, or the options don't fit.
    :raises PluginError: no plugin provides the name.
    """
    if isinstance(given, base):
        return given
    if isinstance(given, str):
        by_name: T = make(kind, given, {}, place=place)
        return by_name
    if isinstance(given, Mapping) and len(given) == 1:
        [(name, options)] = given.items()
        if isinstance(name, str) and isinstance(options, Mapping):
            made: T = make(kind, name, options, place=at(place, name))
            return made
        if isinstance(name, str):
            raise GraphDefinitionError(f"{at(place, name)}: give {{option: value}}; it is {kind_of(options)}.")
    it_is = f"{given.__name__} is a class: add ()" if isinstance(given, type) else f"it is {_what_it_is(given)}"
    raise GraphDefinitionError(
        f"{place}: give a {base.__name__}, the name of an installed {kind}, or {{name: {{option: value}}}}; {it_is}."
    )


def make(kind: str, name: str, options: Mapping[str, Any], *, place: str) -> Any:
    """The object that the class with this name makes of options; ``choice_of`` tells how it was chosen.

    :param place: where the options were given, for messages.
    :raises GraphDefinitionError: an option is unknown, missing, of the wrong type, or refused by the class.
    :raises PluginError: no plugin provides the name.
    """
    made_by, what = _class_of(kind, name, place), f"{kind} {name!r}"
    try:
        arguments = checked(options, made_by, model=options_model_of((kind, name)), what=what, place=place)
        choice = Choice(kind, name, without_secret_options(options, arguments))
    except RecursionError:  # not chained: its traceback has a thousand lines
        raise GraphDefinitionError(f"{place}: the options of the {what} are nested too deeply.") from None
    made = _made(made_by, arguments, options, what=what, place=place)
    remember(made, choice)
    return made


def check_options(kind: str, name: str, options: Mapping[str, Any], *, place: str) -> None:
    """Whether what has this name takes these options, of which some may be given elsewhere.

    :raises GraphDefinitionError: it does not; says which.
    :raises PluginError: no plugin provides the name.
    """
    made_by, model = _class_of(kind, name, place), options_model_of((kind, name))
    checked(options, made_by, model=model, what=f"{kind} {name!r}", place=place, is_complete=False)


def at(place: str, name: Any) -> str:
    """How messages call an option of what is at a place, which may be a table of a file: ``spark.toml:[plugins.webhook] url``."""
    return f"{place}{' ' if _TABLE.search(place) else '.'}{shown_name(str(name))}"


def checked(
    options: Mapping[str, Any],
    made_by: type,
    *,
    what: str,
    place: str,
    model: type[BaseModel] | None = None,
    is_complete: bool = True,
) -> dict[str, Any]:
    """The arguments that these options are for a class.

    :param model: what checks them instead of the signature of the class.
    :param what: what messages call the class.
    :param is_complete: whether these are all arguments; a backend gets others from its URL. A model makes none of some only.
    :raises GraphDefinitionError: one is unknown, missing, or of the wrong type; names all that are unknown or of the wrong type.
    """
    if model is not None:
        return _validated(options, model, what, place, is_complete=is_complete)
    known = parameters(made_by)
    arguments, complaints = {}, []
    for name, value in options.items():
        try:
            arguments[name] = _as_declared(name, value, known, made_by, what, place)
        except GraphDefinitionError as error:
            complaints.append(str(error))
    missing = [name for name, each in known.items() if _is_required(each) and name not in options]
    if missing and is_complete:
        complaints.append(f"{place}: the {what} needs {', '.join(missing)}.")
    if complaints:
        raise GraphDefinitionError("\n".join(complaints))
    return arguments


def parameters(made_by: type) -> dict[str, inspect.Parameter]:
    """What the constructor of a class takes by name; where it takes anything, also what those of its parents do.

    What it takes as ``*names`` is the option ``names``, an array.
    """
    found: dict[str, inspect.Parameter] = {}
    for parent in made_by.__mro__:
        constructor = vars(parent).get("__init__")
        own = inspect.signature(constructor).parameters if constructor and parent is not object else {}
        found |= {name: each for name, each in own.items() if _is_named(each) and name not in found}
        if own and not any(each.kind is each.VAR_KEYWORD for each in own.values()):
            break
    return found


def type_of_option(parameter: inspect.Parameter, made_by: type) -> str:
    """The type of an option as people read it: in the words of Python, without modules; empty where its author gives none."""
    if parameter.annotation is parameter.empty:
        return ""
    known = _type_of(parameter, made_by)
    declared = parameter.annotation if known is Any else known
    return spelt(declared)


def spelt(annotation: Any) -> str:
    """A type in the words of Python, without modules."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(_MODULES, "", text)


def needs_options(kind: str, name: str) -> bool:
    """Whether what has this name can't be made without options.

    :raises PluginError: it can't be used.
    """
    made_by, model = class_of((kind, name)), options_model_of((kind, name))
    if model is not None:
        return any(field.is_required() for field in model.model_fields.values())
    return any(map(_is_required, parameters(made_by).values()))


def _what_it_is(given: Any) -> str:
    return "empty" if given in ("", {}, []) else kind_of(given)


def _class_of(kind: str, name: str, place: str) -> type[Any]:
    try:
        return class_of((kind, name))
    except PluginError as error:
        others = kinds_of(name) if isinstance(error, PluginNotFoundError) else []
        raise type(error)(f"{place}: {_not_but(name, kind, others) if others else error}") from error


def _not_but(name: str, kind: str, others: list[str]) -> str:
    """That something else has this name."""
    if others == ["types"]:
        return (
            f"{name!r} is not {a_kind(kind)}. It names types that an installed plugin saves; they are active without being "
            "chosen, so leave it out."
        )
    return f"{name!r} is not {a_kind(kind)}, but the name of {' and '.join(map(a_kind, others))}."


def _made(made_by: type, arguments: dict[str, Any], options: Mapping[str, Any], *, what: str, place: str) -> Any:
    several = [name for name, each in parameters(made_by).items() if each.kind is each.VAR_POSITIONAL]
    listed = [value for name in several for value in arguments.pop(name, ())]
    try:
        return made_by(*listed, **arguments)
    except Exception as error:
        shown = without_secrets(error, secrets_in(options, arguments))
        cause = error if shown is error else None  # a cause that shows a secret is not chained
        if isinstance(error, SparkError) and not isinstance(error, ValueError) and cause is error:
            raise type(error)(f"{place}: {error}") from cause
        raise GraphDefinitionError(f"{place}: the {what} refuses these options: {shown}") from cause


def _validated(
    options: Mapping[str, Any], model: type[BaseModel], what: str, place: str, *, is_complete: bool
) -> dict[str, Any]:
    from pydantic import ValidationError

    known = list(model.model_fields)
    complaints = [_unknown(name, known, what, place) for name in options if name not in known]
    valid = None
    try:
        valid = model.model_validate({name: value for name, value in options.items() if name in known})
    except ValidationError as error:
        for one in error.errors(include_input=True, include_url=False, include_context=False):
            if one["type"] == "missing" and not is_complete:
                continue
            complaints.append(f"{at(place, '.'.join(map(str, one['loc'])))}: {_said(one, model, what)}")
    if complaints:
        raise GraphDefinitionError("\n".join(complaints)) from None  # not chained: its message shows the values
    return {} if valid is None else {name: getattr(valid, name) for name in known}


def _said(one: ErrorDetails, model: type[BaseModel], what: str) -> str:
    if one["type"] == "missing":
        return "it is missing."
    field = model.model_fields.get(str(one["loc"][0])) if len(one["loc"]) == 1 else None
    if field is not None and one["type"].endswith(_MISFITS):
        return _misfit(one["input"], field.annotation, what)
    return f"{one['msg']}; it is {kind_of(one['input'])}."


def _as_declared(
    name: Any, value: Any, known: Mapping[str, inspect.Parameter], made_by: type, what: str, place: str
) -> Any:
    """The value as the class declares it: an array as a tuple or a set, where it takes one, a text as a ``SecretStr``."""
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    if name not in known:
        raise GraphDefinitionError(_unknown(name, known, what, place))
    declared_as = _type_of(known[name], made_by)
    try:
        declared = TypeAdapter(declared_as)
    except PydanticSchemaGenerationError:
        return value  # a class that pydantic knows nothing of: the class says what it thinks of the value
    with suppress(ValidationError):
        return declared.validate_python(value, strict=True)
    with suppress(
        ValidationError, TypeError, ValueError
    ):  # files know no tuples, sets or spans of time; JSON's rules do
        return declared.validate_json(json.dumps(value), strict=True)
    # Not chained: the message of a cause shows the value.
    raise GraphDefinitionError(f"{at(place, name)}: {_misfit(value, declared_as, what)}")


def _misfit(value: Any, declared: Any, what: str) -> str:
    near = did_you_mean(value, map(str, choices_of(declared))) if isinstance(value, str) else ""
    return f"it is {kind_of(value)}; the {what} takes {what_fits(declared)}.{near}"


def _unknown(name: Any, known: Any, what: str, place: str) -> str:
    near = did_you_mean(str(name), known) or f" Known options: {', '.join(known) or 'none'}."
    return f"{at(place, name)}: the {what} has no such option.{near}"


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.name != "self" and parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.VAR_KEYWORD)


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL


def _type_of(parameter: inspect.Parameter, made_by: type) -> Any:
    """The type of a parameter, or ``Any`` where it is not known at run time: a name that only type checkers import."""
    if parameter.annotation is parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        declared: Any = get_type_hints(holder, globalns=vars(sys.modules[made_by.__module__]))["it"]
        return list.__class_getitem__(declared) if parameter.kind is parameter.VAR_POSITIONAL else declared
    except (NameError, TypeError):
        return Any
