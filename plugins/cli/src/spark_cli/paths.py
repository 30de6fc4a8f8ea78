"""The path to a value of a checkpoint, as a person writes it: ``graph_state.messages[-10:]``, ``graph_state['my key'].title``."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Sequence
from typing import Any, Final

from spark_cli.terminal.output import is_raw

_STEP: Final = re.compile(
    r"""\.?(?P<name>[^.\[\]]+)
    |\[(?P<first>-?\d*):(?P<last>-?\d*)\]
    |\[(?P<number>-?\d+)\]
    |\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]""",
    re.VERBOSE,
)


def value_at(path: str, content: Any) -> Any:
    """What is there: a value, or of a list the items from one position to another.

    :raises ValueError: the path can't be read, or leads nowhere; the text says how far it leads.
    """
    value, end = content, 0
    while end < len(path):
        step = _STEP.match(path, end)
        if step is None:
            raise ValueError(
                f"{path!r} can't be read from {path[end:]!r} on; write names and positions: graph_state.messages[-10:]"
            )
        try:
            value = _value_of(step, value)
        except (LookupError, TypeError):
            raise ValueError(f"there is no {step[0]!r} in {path[:end] or 'a checkpoint'}{_choices(value)}") from None
        end = step.end()
    return value


def _value_of(step: re.Match[str], value: Any) -> Any:
    if step["first"] is not None:
        if not isinstance(value, Sequence):
            raise TypeError
        return value[slice(*(int(each) if each else None for each in (step["first"], step["last"])))]
    if step["number"] is not None:
        return value[int(step["number"])]
    if is_raw(value):
        value = value.value
    key = step["name"] if step["quoted"] is None else literal_eval(step["quoted"])
    if not isinstance(value, dict):
        raise TypeError
    return value[key]


def _choices(value: Any) -> str:
    if is_raw(value):
        value = value.value
    if isinstance(value, dict):
        some = ", ".join(str(key) for key in list(value)[:10])
        return f"; its keys: {some}{', …' if len(value) > 10 else ''}" if value else ", which is empty"
    return f", which has {len(value):,} items" if isinstance(value, list | tuple) else ""
