"""Moments, spans and time zones ↔ plain tree: ``datetime(2024, 1, 1)`` ↔ ``{"$datetime": ["2024-01-01T00:00:00", 0, null]}``.

The zone in it is null, the key of a ``ZoneInfo``, or microseconds and name of a ``datetime.timezone``. Zones that libraries
make come in ``{"$zoned": ["datetime", text, fold, …]}``: ``"pydantic", seconds``; ``"pytz", key, offset, dst, name``;
``"dateutil", key``; and of any class with a fixed offset ``"class", class name, attributes``. They need that library to be
imported. No code of a zone runs when it is found by its class.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from spark.errors import DeserializationError
from spark.graphs.checkpoint.serialization.classes.plain_classes import slots_of
from spark.graphs.checkpoint.serialization.classes.type_names import Kind
from spark.graphs.checkpoint.serialization.protocols import Reader
from spark.graphs.checkpoint.serialization.scalars import read_name, write_text
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable
from spark.graphs.values.loaded import class_name, is_kind_of, lineage, namespace

if TYPE_CHECKING:
    from spark.graphs.checkpoint.serialization.classes.type_names import TypeNames

_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*\Z")
_MICROSECOND: Final = timedelta(microseconds=1)
_MAKERS: Final[Mapping[str, Callable[[str], Any]]] = MappingProxyType(
    {"datetime": datetime.fromisoformat, "time": time.fromisoformat}
)
_PLAIN: Final = (str, int, float, bool, type(None))


def write_zone(zone: tzinfo) -> dict[str, Any]:
    """A time zone that is a value of its own: ``{"$zone": "Europe/Berlin"}``."""
    is_known, tree = _known_zone(zone)
    return {"$zone": tree if is_known else list(_foreign_zone(zone))}


def read_zone(reader: Reader, content: Any) -> tzinfo | None:
    """What ``write_zone`` was given."""
    is_foreign = type(content) is list and len(content) > 0 and type(content[0]) is str
    return _find_foreign(reader.names, *content) if is_foreign else _find_known(content)


def read_zoned(reader: Reader, content: Any) -> Any:
    """A ``datetime`` or ``time`` whose zone a library made."""
    kind, text, fold, *zone = content
    return _MAKERS[kind](text).replace(fold=fold, tzinfo=_find_foreign(reader.names, *zone))


def _writes_moment(kind: str) -> Callable[[Any], Any]:
    def write(value: Any) -> Any:
        text = value.replace(tzinfo=None).isoformat()
        is_known, zone = _known_zone(value.tzinfo)
        if is_known:
            return {f"${kind}": [text, value.fold, zone]}
        return {"$zoned": [kind, text, value.fold, *_foreign_zone(value.tzinfo)]}

    return write


def _reads_moment(kind: str) -> Callable[[Any], Any]:
    def read(content: Any) -> Any:
        text, fold, zone = content
        return _MAKERS[kind](text).replace(fold=fold, tzinfo=_find_known(zone))

    return read


def _known_zone(zone: tzinfo | None) -> tuple[bool, Any]:
    """Whether the standard library made it; and then, its tree."""
    if zone is None:
        return True, None
    if zone is UTC:
        return True, [0, None]
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return True, [offset // _MICROSECOND, write_text(name[0]) if name else None]
    from zoneinfo import ZoneInfo  # slow to import, and most programs never need it

    if type(zone) is ZoneInfo and zone.key and _ZONE_KEY.match(zone.key):
        return True, zone.key
    return False, None


def _find_known(content: Any) -> tzinfo | None:
    if content is None:
        return None
    if isinstance(content, str):
        return _zone_info(content)
    microseconds, name = content
    offset = timedelta(microseconds=microseconds)
    return timezone(offset) if name is None else timezone(offset, read_name(name))


def _zone_info(key: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(_checked_key(key))
    except (ZoneInfoNotFoundError, OSError) as error:
        raise DeserializationError(
            f"The time zone {key!r} is unknown on this machine. Install the system's time zone data, or `pip install tzdata`."
        ) from error


def _foreign_zone(zone: tzinfo) -> tuple[Any, ...]:
    """What stands for a zone that a library made.

    :raises Unsaveable: it has neither a fixed offset nor a name to find it by.
    """
    for name, write in (("pydantic_core", _write_pydantic), ("pytz", _write_pytz), ("dateutil", _write_dateutil)):
        if type(zone).__module__.partition(".")[0] == name and (tree := write(zone)) is not None:
            return tree
    if _has_fixed_offset(zone) and _can_be_bare(type(zone)) and (state := _state(zone)) is not None:
        return "class", class_name(type(zone)), state
    raise Unsaveable(
        f"its time zone is a {type(zone).__module__}.{type(zone).__qualname__}, which has no name to find it by. "
        "Use zoneinfo.ZoneInfo(key) or datetime.timezone(offset)."
    )


def _find_foreign(names: TypeNames, kind: str, *rest: Any) -> tzinfo:
    if kind == "class":
        return _rebuilt(names, *rest)
    module = sys.modules.get({"pydantic": "pydantic_core", "pytz": "pytz", "dateutil": "dateutil.tz"}[kind])
    if module is None:
        raise DeserializationError(f"A time zone of {kind} was stored. Import {kind} before loading.")
    find: dict[str, Callable[..., tzinfo | None]] = {
        "pydantic": lambda module, seconds: module.TzInfo(seconds),
        "pytz": _find_pytz,
        "dateutil": _find_dateutil,
    }
    found = find[kind](module, *rest)
    if found is None:
        raise DeserializationError(f"The time zone {rest[0]!r} is not known to the {kind} that is installed here.")
    return found


def _write_pydantic(zone: tzinfo) -> tuple[Any, ...] | None:
    offset = zone.utcoffset(None)
    return None if offset is None else ("pydantic", int(offset.total_seconds()))


def _write_pytz(zone: Any) -> tuple[Any, ...] | None:
    key = getattr(zone, "zone", None)
    if key is None:
        return None  # one with a fixed offset
    tree: tuple[Any, ...] = ("pytz", key)
    if hasattr(zone, "_tzinfos"):
        tree += (zone._utcoffset // _MICROSECOND, zone._dst // _MICROSECOND, zone._tzname)
    return tree if _find_pytz(sys.modules["pytz"], *tree[1:]) is zone else None


def _find_pytz(module: Any, key: str, *variant: Any) -> tzinfo | None:
    try:
        zone = module.timezone(_checked_key(key))
    except module.UnknownTimeZoneError:
        return None
    if not variant:
        return zone  # type: ignore[no-any-return]
    offset, dst, name = variant
    return zone._tzinfos.get((offset * _MICROSECOND, dst * _MICROSECOND, name))  # type: ignore[no-any-return]


def _write_dateutil(zone: Any) -> tuple[Any, ...] | None:
    module = sys.modules["dateutil.tz"]
    if zone is module.UTC:
        return "dateutil", "UTC"
    if type(zone) is not module.tzfile:
        return None
    parts = str(zone._filename).split("/")
    keys = ("/".join(parts[start:]) for start in range(len(parts)))  # it is found in one of several folders
    return next(
        (("dateutil", key) for key in keys if _ZONE_KEY.match(key) and _find_dateutil(module, key) == zone), None
    )


def _find_dateutil(module: Any, key: str) -> tzinfo | None:
    return module.UTC if key == "UTC" else module.gettz(_checked_key(key))  # type: ignore[no-any-return]


def _checked_key(key: Any) -> str:
    # Files and packages are looked for by this name, so it must not be able to leave their folder.
    if type(key) is not str or not _ZONE_KEY.match(key):
        raise ValueError(f"{key!r} is not the key of a time zone")
    return key


def _has_fixed_offset(zone: tzinfo) -> bool:
    try:
        return type(zone.utcoffset(None)) is timedelta
    except Exception:
        return False


def _can_be_bare(kind: type) -> bool:
    if not is_kind_of(kind, tzinfo) or any("__del__" in namespace(base) for base in lineage(kind)):
        return False
    try:
        tzinfo.__new__(kind)
    except TypeError:
        return False
    return True


def _state(zone: tzinfo) -> dict[str, Any] | None:
    """Its attributes, if they are plain values and spans of time, which stand as lists."""
    slots = {name: getattr(zone, name) for name in slots_of(type(zone)) if hasattr(zone, name)}
    state = {**getattr(zone, "__dict__", {}), **slots}
    if not all(type(value) in _PLAIN or type(value) is timedelta for value in state.values()):
        return None
    trees = {name: _span(value) if type(value) is timedelta else value for name, value in state.items()}
    return trees if all(text.isascii() for text in (*trees, *trees.values()) if type(text) is str) else None


def _rebuilt(names: TypeNames, name: str, state: dict[str, Any]) -> tzinfo:
    kind = names.find(name, _ZONE_CLASS)
    zone = tzinfo.__new__(kind)
    slots = slots_of(kind)
    for attribute, tree in state.items():
        value = timedelta(*tree) if type(tree) is list else tree
        if attribute in slots:
            slots[attribute].__set__(zone, value)
        else:
            object.__getattribute__(zone, "__dict__")[attribute] = value
    return zone


_ZONE_CLASS: Final[Kind[type[tzinfo]]] = Kind("a time zone", lambda kind: kind if _can_be_bare(kind) else None)


def _span(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _read_span(content: Any) -> timedelta:
    days, seconds, microseconds = content
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


MOMENT_WRITERS: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: _writes_moment("datetime"),
    date: lambda value: {"$date": value.isoformat()},
    time: _writes_moment("time"),
    timedelta: lambda value: {"$timedelta": _span(value)},
    timezone: write_zone,
}
"""Exact type → the function that makes its tag. The deepest takes four levels of nesting."""

MOMENT_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$datetime": _reads_moment("datetime"),
    "$date": date.fromisoformat,
    "$time": _reads_moment("time"),
    "$timedelta": _read_span,
}
"""Tag → the function that turns its content back. They raise whatever Python raises when the content is wrong."""
