"""A function that is applied elsewhere, as plain values: the name under which it is found, and what it is bound to."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeAlias

from spark.errors import ExecutorError, GraphDefinitionError
from spark.graphs.executors.references import Pack, function_in, held_at, imported_name, packed_code

Function: TypeAlias = Callable[..., Any]
_NAMED, _PACKED, _PARTIAL, _METHOD = "named", "packed", "partial", "method"
_GETTERS: Final = frozenset({operator.attrgetter, operator.itemgetter, operator.methodcaller})


def function_data(function: Function, pack: Pack | None = None) -> list[Any]:
    """A function as plain values, and those that it is bound to.

    :param pack: makes bytes of it, if it need not be found by its name.
    :raises GraphDefinitionError: it can't be found by a name, and nothing packs it.
    """
    if pack is not None:
        return [_PACKED, packed_code(function, pack)]
    if (name := _name_of(function)) is not None:
        return [_NAMED, name]
    if type(function) is partial:
        return [_PARTIAL, function_data(function.func), [*function.args], function.keywords]
    if type(function) in _GETTERS:
        reduced: Any = function.__reduce__()
        made_by, args = reduced
        return [_PARTIAL, function_data(made_by), [*args], {}, "called"]
    owner, method = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if owner is not None and not isinstance(owner, type | ModuleType) and getattr(owner, method, None) == function:
        return [_METHOD, owner, method]
    shown = getattr(function, "__qualname__", "") or repr(function)
    raise GraphDefinitionError(
        f"state.update(key, {shown}): the function is applied at the commit, and a node that runs in another process can't "
        "send this one there. Write it at the top of a module, and bind values to it with functools.partial; or use append(), "
        "extend(), set_item() or delete_item(); or choose an executor that packs code, for instance with the option "
        "code='cloudpickle'."
    )


def function_from(data: list[Any]) -> Function:
    """The function that ``function_data`` described.

    :raises ExecutorError: it can't be found here.
    """
    kind, what, *rest = data
    if kind == _PARTIAL:
        args, keywords, *is_called = rest
        made = partial(function_from(what), *args, **keywords)
        return made() if is_called else made
    try:
        if kind == _PACKED:
            return pickle.loads(what)  # type: ignore[no-any-return]
        if kind == _METHOD:
            return getattr(what, rest[0])  # type: ignore[no-any-return]
        return function_in(imported_name(what))  # type: ignore[no-any-return]
    except Exception as error:
        shown = what if kind == _NAMED else f"({kind})"
        raise ExecutorError(
            f"The function {shown}, which a step applies at its commit, can't be found here: {error}. Its module must be "
            "installed, or on the path, where the run is."
        ) from error


def _name_of(function: Function) -> str | None:
    """``"module:qualname"``, if that leads to this function."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):  # a method of a class, or of one that is derived from its own
        module, name = owner.__module__, f"{owner.__qualname__}.{getattr(function, '__name__', '')}"
    else:
        of = getattr(function, "__objclass__", function)
        module = str(getattr(of, "__module__", ""))
        name = getattr(function, "__qualname__", None) or str(getattr(function, "__name__", ""))
    found = function_in(held_at(module, name))
    with suppress(Exception):  # whatever a callable object does when it is compared
        if name and (found is function or (isinstance(owner, type) and found == function)):
            return f"{module}:{name}"
    return None
