"""What is wrong with a setting: the file, the key and the nearest valid name. Values are never shown, since some are secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from spark.errors import GraphDefinitionError
from spark.wording import a_kind, choices_of, did_you_mean, kind_of, shown_name, what_fits

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def explained(error: ValidationError, *, places: Mapping[str, str], model: type[BaseModel]) -> GraphDefinitionError:
    """One error that names everything that is wrong.

    :param places: the settings by name, each with the place where it is set.
    """
    complaints = [_complaint(one, places, model) for one in error.errors(include_input=True, include_url=False)]
    return GraphDefinitionError("\n".join(dict.fromkeys(complaints)))


def misplaced(name: str) -> str:
    """Where something goes that is known by this name, if it is anything that plugins provide."""
    from spark.hooks.registry import kinds_of

    return "".join(
        f" {shown_name(name)!r} is {a_kind(kind)}, which goes {_PLACES[kind].format(name)}."
        for kind in kinds_of(name)
        if kind in _PLACES
    )


def _complaint(one: ErrorDetails, places: Mapping[str, str], model: type[BaseModel]) -> str:
    keys = [str(key) for key in one["loc"]]
    place = places[keys[0]]
    if one["type"] == "extra_forbidden":
        known = _fields(model, keys[:-1])
        inner = f".{shown_name(keys[-1])}" if keys[:-1] else ""
        hint = misplaced(keys[-1]) or did_you_mean(keys[-1], known) or _listed(known)
        return f"{place}{inner}: there is no such setting.{hint}"
    # Deeper keys are those of a nested table; or, in a union, the name of one of its types, which nobody wrote.
    inner = f".{keys[1]}" if keys[1:] and keys[1] in _fields(model, keys[:1]) else ""
    return f"{place}{inner}: {_expected(one, model)}"


def _expected(one: ErrorDetails, model: type[BaseModel]) -> str:
    name, *deeper = one["loc"]
    it_is = f"it is {kind_of(one['input'])}."
    if one["type"].endswith(_MISFITS) and not any(isinstance(key, int) for key in deeper):
        declared = model.model_fields[str(name)].annotation
        near = did_you_mean(one["input"], choices_of(declared)) if isinstance(one["input"], str) else ""
        return f"give {what_fits(declared)}; {it_is}{near}"
    return f"{one['msg'][0].lower()}{one['msg'][1:]}; {it_is}"


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """The names that are known in the table at this path."""
    found: Any = model
    for key in path:
        kinds = getattr(found.model_fields[key].annotation, "__args__", ())
        found = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if found is None:
            return []
    return list(found.model_fields)


_MISFITS: Final = ("_type", "literal_error")
"""How the names of pydantic's errors end that are about the type of a value."""
_PLACES: Final = {
    "trigger": "under trigger: [checkpoint.trigger.{0}] in a file, trigger={{'{0}': {{…}}}} in Python",
    "retention": "under retention: [checkpoint.retention.{0}] in a file, retention={{'{0}': {{…}}}} in Python",
    "observer": "under plugins: [plugins.{0}] in a file; in Python, handler={{'{0}': {{…}}}}",
    "format": "under format: format = '{0}'",
    "serializer": "under serializer: serializer = '{0}'",
    "codec": "under codec: codec = '{0}'",
    "backend": "under backend: backend = '{0}'",
}


def _listed(names: list[str]) -> str:
    return f" Known settings: {', '.join(names)}."
