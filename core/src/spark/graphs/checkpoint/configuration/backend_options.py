"""Do these options fit this backend? Checked for those from a file, which no type checker sees."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from spark.errors import GraphDefinitionError, PluginError, SparkError
from spark.graphs.checkpoint.configuration.errors import kind_of
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.opening import backend_class, open_backend
from spark.wording import did_you_mean, shown_name


def checked_backend(store: str, options: Mapping[str, Any], *, place: str) -> CheckpointBackend | str:
    """The store as ``CheckpointConfig`` takes it: the URL or name as given, or opened when there are options.

    :param store: a URL, or the name of a backend.
    :param place: where it was set, for messages.
    :raises GraphDefinitionError: an option is unknown, has the wrong type, or is rejected.
    :raises PluginError: no plugin provides this store.
    """
    try:
        kind = backend_class(store)
    except PluginError as error:
        raise type(error)(f"{place}: {error}") from error
    if not options:
        return store
    at = f"{place.rpartition(' ')[0]} options"
    for name, value in options.items():
        _check(name, value, kind, at)
    return _opened(store, options, at)


def _opened(store: str, options: Mapping[str, Any], at: str) -> CheckpointBackend:
    try:
        return open_backend(store, **options)
    except RecursionError:  # not chained: its traceback has a thousand lines
        raise GraphDefinitionError(f"{at}: the store rejects them: they are nested too deeply") from None
    except Exception as error:
        if isinstance(error, SparkError) and not isinstance(error, ValueError):
            raise type(error)(f"{at}: {error}") from error
        raise GraphDefinitionError(f"{at}: the store rejects them: {error}") from error


def _check(name: str, value: Any, kind: type[CheckpointBackend], at: str) -> None:
    known = _parameters(kind)
    if name not in known:
        near = did_you_mean(name, known) or f" Known options: {', '.join(known)}."
        raise GraphDefinitionError(f"{at}.{shown_name(name)}: the {kind.name} backend has no such option.{near}")
    expected = _type_of(known[name], kind)
    try:
        TypeAdapter(expected).validate_python(value, strict=True)
    except PydanticSchemaGenerationError:
        return  # a class that pydantic knows nothing of: the backend says what it thinks of the value
    except ValidationError:
        # Not chained, as its message shows the value.
        raise GraphDefinitionError(
            f"{at}.{name}: it is {kind_of(value)}; the {kind.name} backend takes {known[name].annotation}."
        ) from None


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """What the constructor takes; where it takes anything, also what those of its parents do."""
    found: dict[str, inspect.Parameter] = {}
    for parent in kind.__mro__:
        constructor = vars(parent).get("__init__")
        own = inspect.signature(constructor).parameters if constructor and parent is not object else {}
        found |= {name: each for name, each in own.items() if _is_named(each) and name not in found}
        if own and not any(each.kind is each.VAR_KEYWORD for each in own.values()):
            break
    return found


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.name != "self" and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _type_of(parameter: inspect.Parameter, kind: type) -> Any:
    """The type of a parameter, or ``Any`` where it is not known at run time: a name that only type checkers import."""
    if parameter.annotation is parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        return get_type_hints(holder, globalns=vars(sys.modules[kind.__module__]))["it"]
    except (NameError, TypeError):
        return Any
