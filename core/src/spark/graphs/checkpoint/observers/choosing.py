"""Who is notified: handlers of the user, and observers of plugins, chosen by name or active because they are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.observers.handlers import CheckpointHandler
from spark.hooks.choices import Choice, choice_of, remember
from spark.wording import kind_of, shown_name

_RESERVED: Final = frozenset({"graphs", "enabled"})
"""What is said of an observer beside its own options."""


class SwitchedOff(CheckpointHandler):
    """Stands for an observer that is not to be notified of anything, though it may be installed."""


def chosen_handlers(given: Any, *, place: str) -> tuple[CheckpointHandler, ...]:
    """The handlers that were given as ``handler=``: one, a name, ``{name: options}`` of one name or several, or a list of them.

    Beside an observer's own options, ``graphs`` is a list of patterns of graph ids, and ``enabled=False`` switches it off.

    :raises GraphDefinitionError: one of them is no handler, or its options don't fit.
    :raises PluginError: no plugin provides a name.
    """
    entries = [given] if isinstance(given, str | Mapping) or not isinstance(given, Sequence) else given
    return tuple(handler for one in entries if one is not None for handler in _chosen(one, place))


def chosen_observer(name: Any, options: Any, *, place: str) -> CheckpointHandler:
    """The observer with this name and these options, among which ``graphs`` and ``enabled`` may be.

    :param place: where the options stand, for messages.
    :raises GraphDefinitionError: they don't fit.
    :raises PluginError: no plugin provides the name.
    """
    from spark.hooks.options import make  # not needed by those who have no observers

    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise GraphDefinitionError(f"{place}: give {{name: {{option: value}}}}; it is {kind_of(options)}.")
    graphs, enabled = options.get("graphs", ["*"]), options.get("enabled", True)
    _check_reserved(graphs, enabled, place)
    if not enabled:
        off = SwitchedOff()
        remember(off, Choice("observer", name, {"enabled": False}))
        return off
    own = {key: value for key, value in options.items() if key not in _RESERVED}
    observer = make("observer", name, own, place=place)
    assert isinstance(observer, CheckpointHandler)
    if "graphs" in options and (choice := choice_of(observer)) is not None:
        remember(observer, choice._replace(options=choice.options | {"graphs": list(graphs)}))
    return observer


def name_of(handler: CheckpointHandler) -> str:
    """The name that an observer was chosen by; empty for a handler of the user's own."""
    choice = choice_of(handler)
    return choice.name if choice is not None else ""


def names_of(given: Any) -> Iterator[str]:
    """The names that were given as ``handler=``, in any of its forms."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, Mapping | Sequence):
        for one in given:
            yield from names_of(one)
    elif name := name_of(given):
        yield name


def _chosen(given: Any, place: str) -> Iterator[CheckpointHandler]:
    if isinstance(given, CheckpointHandler):
        yield given
    elif isinstance(given, str):
        yield chosen_observer(given, {}, place=f"{place}.{shown_name(given)}")
    elif isinstance(given, Mapping):
        for name, options in given.items():
            yield chosen_observer(name, options, place=f"{place}.{shown_name(str(name))}")
    else:
        hint = " Add () to make one." if isinstance(given, type) else ""
        raise GraphDefinitionError(
            f"{place}: a handler is an instance of a CheckpointHandler subclass, the name of an installed observer, or "
            f"{{name: {{option: value}}}}; it is {kind_of(given)}.{hint}"
        )


def _check_reserved(graphs: Any, enabled: Any, place: str) -> None:
    if not isinstance(enabled, bool):
        raise GraphDefinitionError(f"{_at(place, 'enabled')}: give true or false; it is {kind_of(enabled)}.")
    if not isinstance(graphs, list | tuple) or not graphs or not all(isinstance(each, str) and each for each in graphs):
        raise GraphDefinitionError(
            f'{_at(place, "graphs")}: give an array of patterns of graph ids, such as ["orders-*"]; it is {kind_of(graphs)}.'
        )


def _at(place: str, name: str) -> str:
    from spark.hooks.options import at

    return at(place, name)
