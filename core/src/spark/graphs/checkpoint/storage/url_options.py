"""The options that any backend's URL may have in its query; whatever else is there is the backend's own business."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote


def split_options(url: str) -> tuple[str, dict[str, Any]]:
    """A URL without the options that every backend takes, and these options, as its constructor takes them.

    They are ``format``, ``serializer``, ``codec``, each a name (of codecs also several, between commas), ``compression``, which
    is true, false or a name, and ``pretty_print`` and ``inline_io``, which are true or false.

    :raises ValueError: one has another value, or none, is there twice, or is misspelt.
    """
    for key in re.findall(_KEY, url.rpartition("@")[2]):  # before an "@" there may be a password
        _refuse_slip(key)
    found = re.findall(_OPTION, url)
    if not found:
        return url, {}
    options: dict[str, Any] = {}
    for name, value in found:
        if name in options:
            raise ValueError(f"The option {name} is in the URL twice. Give it once.")
        options[name] = _OPTIONS[name](name, unquote(value))
    return _without_options(url), options


def _without_options(url: str) -> str:
    before, mark, rest = url.partition("?")
    query, hash_sign, fragment = rest.partition("#")
    kept = [part for part in query.split("&") if not re.fullmatch(_OPTION, f"&{part}")]
    return before + (mark if kept else "") + "&".join(kept) + hash_sign + fragment


def _refuse_slip(key: str) -> None:
    """Refuse a slip of the pen. What drivers know, such as ``compress``, ``sslcompression`` and ``mode``, is further off."""
    name, equals, _ = key.partition("=")
    if name in _OPTIONS:
        if not equals:
            raise ValueError(f"The option {name} of the URL has no value. Write {name}=….")
        return
    for known in _OPTIONS:
        if abs(len(name) - len(known)) <= 2 and _slips(name.lower().replace("-", "_"), known) <= 1 + (len(known) > 6):
            raise ValueError(f"There is no URL option {name}. Did you mean {known!r}?")


def _slips(name: str, known: str) -> int:
    """How many letters are too many, missing, wrong, or swapped with their neighbours."""
    rows = [list(range(len(known) + 1))]
    for count, letter in enumerate(name, 1):
        row = [count]
        for place, right in enumerate(known, 1):
            row.append(min(rows[-1][place] + 1, row[-1] + 1, rows[-1][place - 1] + (letter != right)))
            if count > 1 < place and (name[count - 2], letter) == (right, known[place - 2]):
                row[place] = min(row[place], rows[-2][place - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"The option {name} of a URL is {name}=true or {name}=false.")
    return value.lower() == "true"


def _flag_or_name(name: str, value: str) -> bool | str:
    return _flag(name, value) if value.lower() in ("true", "false") else _name(name, value)


def _name(name: str, value: str) -> str:
    if not value:
        raise ValueError(f"The option {name} of the URL is empty. Give it a name, or leave it out.")
    return value


def _names(name: str, value: str) -> str | list[str]:
    names = [_name(name, each) for each in value.split(",")]
    return names[0] if len(names) == 1 else names


_OPTIONS: Final[dict[str, Callable[[str, str], Any]]] = {
    "format": _name,
    "serializer": _name,
    "codec": _names,
    "compression": _flag_or_name,
    "pretty_print": _flag,
    "inline_io": _flag,
}
_KEY: Final = r"(?<=[?&])([^=&#]+=?)"
_OPTION: Final = rf"[?&]({'|'.join(_OPTIONS)})=([^&#]*)"
