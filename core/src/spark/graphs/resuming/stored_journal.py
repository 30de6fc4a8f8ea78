"""Is a journal one that a run may have written? Asked of each entry before a graph takes it over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from spark.graphs.state.journal import CALL, QUESTION, RETRY, SIGNAL, SLEEP, is_closed, is_signal, kind_of
from spark.graphs.state.token import LARGEST, is_count, is_text

Is = Callable[[Any], bool]


def wrong_in_journal(journal: Mapping[str, Any], tokens: Mapping[str, Any]) -> str | None:
    """What no run would write there; None when there is nothing. It begins with the place.

    :param journal: by names that are texts, such as ``"3/call:charge"``.
    :param tokens: those of the same frontier, which were checked.
    """
    ids: set[str] = set()
    for name, entry in journal.items():
        id, _, key = name.partition("/")
        place = f"the entry {name[:100]!r} of journal"
        if id not in tokens or tokens[id].get("over"):
            return f"{place} belongs to no token that is executed"
        if not isinstance(entry, Mapping) or not all(type(field) is str for field in entry):
            return f"{place} is no mapping of texts"
        kind = kind_of(key)
        if not key or (kind != RETRY and key.find(":") < 1):
            return f"{place} does not say what it is"
        wrong = _wrong_field(kind, entry)
        if wrong is not None:
            return f"{place} has no {wrong} that a run would write"
        if kind == QUESTION:
            if entry["id"] in ids:
                return f"{place} has the id of another question"
            ids.add(entry["id"])
    return None


def _wrong_field(kind: str, entry: Mapping[str, Any]) -> str | None:
    required, optional = _FIELDS.get(kind, ({}, {}))
    for field, is_valid in required.items():
        if field not in entry or not is_valid(entry[field]):
            return field
    for field, is_valid in {**_ANY_KIND, **optional}.items():
        if field in entry and not is_valid(entry[field]):
            return field
    if kind == CALL and not is_closed(entry):
        return "value"
    return None


def _is_moment(value: Any) -> bool:
    if type(value) is not str or len(value) > 40:
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_set(value: Any) -> bool:
    return value is True


def _is_anything(value: Any) -> bool:
    return True


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return type(value) is list


def _is_positive(value: Any) -> bool:
    return is_count(value) and value > 0


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= LARGEST


def _is_error(value: Any) -> bool:
    """What ``error_to_repeat`` makes."""
    if not isinstance(value, Mapping) or not (is_text(value.get("type")) and is_text(value.get("message"))):
        return False
    arguments = value.get("args", [])
    return type(arguments) is list and all(type(each) in (str, int, float, bool, type(None)) for each in arguments)


def _is_failure(value: Any) -> bool:
    """What ``error_data`` makes."""
    return (
        isinstance(value, Mapping)
        and is_text(value.get("type"))
        and is_text(value.get("message"))
        and _is_positive(value.get("attempt"))
        and _is_moment(value.get("time"))
    )


_ANY_KIND: Final[dict[str, Is]] = {"due": _is_moment, "since": _is_moment, "over": _is_set, "aside": _is_set}
_FIELDS: Final[dict[str, tuple[dict[str, Is], dict[str, Is]]]] = {
    QUESTION: (
        {"id": is_text, "payload": _is_anything, "since": _is_moment},
        {"key": is_text, "path": _is_list, "schema": _is_mapping, "refused": is_text, "tries": is_count},
    ),
    CALL: ({}, {"error": _is_error, "number": _is_positive}),
    SIGNAL: ({"signal": is_signal, "since": _is_moment}, {}),
    SLEEP: ({"due": _is_moment}, {}),
    RETRY: ({"failure": _is_failure}, {"began": _is_moment, "idle": _is_seconds}),
}
"""Kind of entry to the fields that it has to have, and those that it may have besides these of any kind."""
