"""The scalars that JSON has no words for, each with its tag: ``datetime(2024, 1, 1)`` ↔ ``{"$datetime": [...]}``.

These bytes are public API: a tag's content never changes its meaning. A new meaning is a new tag.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from spark.errors import DeserializationError
from spark.graphs.checkpoint.unsaveable import Unsaveable

PLAIN_INT_LIMIT: Final = 2**63
"""Integers below this in size are written as numbers; every JSON reader with 64-bit integers takes them."""

_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*\Z")


def write_text(value: str) -> Any:
    """A string as itself, unless it holds lone surrogates, which UTF-8 can't encode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"$str": value.encode("utf-8", "surrogatepass").hex()}
    return value


def write_int(value: int) -> Any:
    """An integer as itself, or in hex, which has no limit of digits in Python and none of size in JSON."""
    return value if -PLAIN_INT_LIMIT < value < PLAIN_INT_LIMIT else {"$int": hex(value)}


def write_float(value: float) -> Any:
    """A float as itself, unless it is one that JSON lacks."""
    return value if value - value == 0 else {"$float": repr(value)}


def _write_complex(value: complex) -> Any:
    return {"$complex": [write_float(value.real), write_float(value.imag)]}


def _read_complex(content: Any) -> complex:
    real, imaginary = content
    return complex(_read_part(real), _read_part(imaginary))


def _read_part(tree: Any) -> float:
    return _read_float(tree["$float"]) if isinstance(tree, dict) else float(tree)


def _read_float(content: Any) -> float:
    return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[content]


def _write_datetime(value: datetime) -> Any:
    return {"$datetime": [value.replace(tzinfo=None).isoformat(), value.fold, _write_zone(value.tzinfo)]}


def _read_datetime(content: Any) -> datetime:
    text, fold, zone = content
    return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_read_zone(zone))


def _write_time(value: time) -> Any:
    return {"$time": [value.replace(tzinfo=None).isoformat(), value.fold, _write_zone(value.tzinfo)]}


def _read_time(content: Any) -> time:
    text, fold, zone = content
    return time.fromisoformat(text).replace(fold=fold, tzinfo=_read_zone(zone))


def _write_zone(zone: tzinfo | None) -> Any:
    """None; a ``ZoneInfo``'s key; or a fixed offset in microseconds, with its name when it was given one."""
    if zone is None:
        return None
    if zone is UTC:
        return [0, None]
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        return [
            offset // timedelta(microseconds=1),
            None if name == timezone(offset).tzname(None) else write_text(name),
        ]
    if type(zone) is ZoneInfo and zone.key and _ZONE_KEY.match(zone.key):
        return zone.key
    raise Unsaveable(
        f"its time zone is a {type(zone).__module__}.{type(zone).__qualname__}, which has no name to find it by. "
        "Use zoneinfo.ZoneInfo(key) or datetime.timezone(offset)."
    )


def _read_zone(content: Any) -> tzinfo | None:
    if content is None:
        return None
    if isinstance(content, str):
        return _find_zone(content)
    microseconds, name = content
    offset = timedelta(microseconds=microseconds)
    return timezone(offset) if name is None else timezone(offset, _read_name(name))


def _find_zone(key: str) -> ZoneInfo:
    # zoneinfo looks for files and packages by this name, so it must not be able to leave their folder.
    if not _ZONE_KEY.match(key):
        raise ValueError(f"{key!r} is no time zone's key")
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise DeserializationError(
            f"The time zone {key!r} is unknown on this machine. Install the system's zones or `pip install tzdata`."
        ) from error


def _read_name(tree: Any) -> str:
    return _read_text(tree["$str"]) if isinstance(tree, dict) else str(tree)


def _read_text(content: Any) -> str:
    return bytes.fromhex(content).decode("utf-8", "surrogatepass")


def _write_timedelta(value: timedelta) -> Any:
    return {"$timedelta": [value.days, value.seconds, value.microseconds]}


def _read_timedelta(content: Any) -> timedelta:
    days, seconds, microseconds = content
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _writes_path(tag: str) -> Callable[[Any], Any]:
    return lambda value: {tag: write_text(_path_text(value))}


def _path_text(path: PurePath) -> str:
    # Half of a Windows share, such as //a/, reads as another path than it was made from.
    if type(path)(str(path)) != path:
        raise Unsaveable("it is a path that its own text does not lead back to. Store str(path).")
    return str(path)


def _writes_text(tag: str) -> Callable[[Any], Any]:
    return lambda value: {tag: str(value)}


def _writes_base64(tag: str) -> Callable[[Any], Any]:
    return lambda value: {tag: base64.b64encode(value).decode("ascii")}


def _read_base64(content: Any) -> bytes:
    return base64.b64decode(content, validate=True)


SCALAR_WRITERS: Final[dict[type, Callable[[Any], Any]]] = {
    bytes: _writes_base64("$bytes"),
    bytearray: _writes_base64("$bytearray"),
    complex: _write_complex,
    datetime: _write_datetime,
    date: lambda value: {"$date": value.isoformat()},
    time: _write_time,
    timedelta: _write_timedelta,
    Decimal: _writes_text("$decimal"),
    UUID: _writes_text("$uuid"),
    type(Path()): _writes_path("$path"),
    PurePosixPath: _writes_path("$pureposixpath"),
    PureWindowsPath: _writes_path("$purewindowspath"),
}
"""Exact type → the function that makes its tag. The deepest tag takes three levels of nesting."""

SCALAR_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$str": _read_text,
    "$int": lambda content: int(content, 16),
    "$float": _read_float,
    "$bytes": _read_base64,
    "$bytearray": lambda content: bytearray(_read_base64(content)),
    "$complex": _read_complex,
    "$datetime": _read_datetime,
    "$date": date.fromisoformat,
    "$time": _read_time,
    "$timedelta": _read_timedelta,
    "$decimal": Decimal,
    "$uuid": UUID,
    "$path": lambda content: Path(_read_name(content)),
    "$pureposixpath": lambda content: PurePosixPath(_read_name(content)),
    "$purewindowspath": lambda content: PureWindowsPath(_read_name(content)),
}
"""Tag → the function that turns its content back. They raise whatever Python raises when the content is wrong."""
