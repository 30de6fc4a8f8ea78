"""What a step did to a state, as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from spark.graphs.executors.functions import function_data, function_from
from spark.graphs.executors.references import Pack
from spark.graphs.state.transactions import StateWrites
from spark.graphs.state.updates import DELETED, update_from


def writes_data(writes: StateWrites | None, pack: Pack | None) -> dict[str, Any] | None:
    """The writes as plain values; None for none.

    :param pack: makes bytes of functions, if they are not to be found by name.
    :raises GraphDefinitionError: a function among them can't be sent.
    """
    if writes is None:
        return None
    described = partial(function_data, pack=pack)
    return {
        "reads": [*writes.reads],
        "set": {key: value for key, value in writes.writes.items() if value is not DELETED},
        "deleted": [key for key, value in writes.writes.items() if value is DELETED],
        "updates": {key: [update.to_data(described) for update in updates] for key, updates in writes.updates.items()},
    }


def writes_from(data: Mapping[str, Any] | None, *, writer: str, seen: Mapping[str, int]) -> StateWrites | None:
    """The writes that were sent.

    :param writer: the key of the node.
    :param seen: key to the number of the commit up to which the step had seen it.
    :raises ExecutorError: a function can't be found here.
    """
    if data is None:
        return None
    writes = StateWrites(writer)
    writes.reads = {key: seen[key] for key in data["reads"] if key in seen}
    writes.writes = {**data["set"], **dict.fromkeys(data["deleted"], DELETED)}
    writes.updates = {
        key: [update_from(key, each, function_from) for each in updates] for key, updates in data["updates"].items()
    }
    return writes
