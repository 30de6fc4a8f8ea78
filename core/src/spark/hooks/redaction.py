"""What of a URL and of an error may be shown: everything but secrets.

This is decided before anybody parses the URL: parsers differ, and a password that one of them cuts short shows as the name of a
host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

from spark.errors import BackendError

HIDDEN = "***"

_KEY = re.compile(r"(?<![^=;?#\s])([^=;?#\s]+)\s*=")
_SECRET = re.compile(r"pass|pwd|^pw$|secret|token|key(?!s$)|cred|auth|sig|jwt|bearer", re.IGNORECASE)
_PORT = re.compile(r"[0-9]*")
_SHORT: Final = 4
_LONG: Final = 8
"""From this many characters on, a secret is hardly a word, or a part of one, by chance."""


def redact(url: str) -> str:
    """The URL with its password, and the value of every query key that sounds like one, replaced by ``***``.

    It also takes what only resembles a URL: a name, a path, a connection string of ``key=value`` pairs. Now and then it
    hides too much, so that it never hides too little.
    """
    return "&".join(_hide_encoded(part) for part in _hide_plain(url).split("&"))


def is_cut_short(url: str, *, ends: str = "@") -> bool:
    """Whether a parser would take a character within the password of this URL for its end, and the rest for a host or path.

    :param ends: what ends a password for the parser: ``"@"``, or for that of Python ``"@/?#"``.
    """
    rest = url.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if ":" not in authority:
        return False
    if "/" in ends and "@" not in authority:
        return "@" in rest and not _PORT.fullmatch(authority.rpartition(":")[2])
    place, _, query = rest.partition("@")[2].partition("?")
    # In a query an "@" may stand in a value.
    return "@" in place or any("@" in part and "=" not in part.partition("@")[0] for part in re.split("[&#]", query))


def secrets_of(url: str, options: Mapping[str, Any]) -> frozenset[str]:
    """The password of a URL, and every value in it or in the options that ``redact`` would hide.

    :param url: also a chain of several, as fsspec takes it.
    """
    found = [secret for link in url.split("::") for secret in _secrets_of_url(link)]
    return frozenset(filter(None, [*found, *_secrets_of_options(options)]))


def without_secrets(error: Exception, secrets: Iterable[str], *, said: str = "") -> Exception:
    """The error itself; or, where its text or that of a cause of it holds a secret, one that says the rest.

    A secret is hidden however it is spelt. A short one is only looked for where a value may stand, since its letters also stand
    in words.

    :param said: what the new error says, if not the text of this one.
    """
    patterns = [_pattern(spelling) for spelling in sorted(_spellings(secrets), key=len, reverse=True)]
    texts = [text for link in _origins(error) for text in (str(link), repr(link))] if patterns else []
    if not any(pattern.search(text) for pattern in patterns for text in texts):
        return error
    shown = said or f"{type(error).__name__}: {error}"
    for pattern in patterns:
        shown = pattern.sub(HIDDEN, shown)
    return BackendError(shown)


def _secrets_of_url(url: str) -> Iterator[str]:
    # Passwords are often pasted raw, with "/" or "?" in them: so this one ends at the last "@" of all.
    before, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        yield before.partition(":")[2]
    elif not (port := url.partition("://")[2].partition("/")[0].partition(":")[2]).isdecimal():
        yield port  # "@host" was forgotten
    yield from _secrets_of_options(parse_qs(urlsplit(url).query))


def _secrets_of_options(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets_of_options(value)
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, str) and (_is_hidden(f"x://h/d?{key}={each}") or _is_hidden(f"{key}=value")):
                yield each


def _is_hidden(url: str) -> bool:
    return redact(url) != url


def _spellings(secrets: Iterable[str]) -> set[str]:
    return {
        spelling
        for secret in filter(None, secrets)
        for spelling in (secret, unquote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1])
        if spelling
    }


def _pattern(spelling: str) -> re.Pattern[str]:
    found = re.escape(spelling)
    if len(spelling) >= _LONG:
        return re.compile(found)
    whole = rf"(?<!\w){found}(?!\w)"
    if len(spelling) >= _SHORT:
        return re.compile(whole)
    return re.compile(rf"""(?<=[:='"]){found}(?!\w)|(?<!\w){found}(?=[@'"])""")


def _origins(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            # SQLAlchemy keeps the error of the driver in "orig".
            waiting += [link.__cause__, link.__context__, getattr(link, "orig", None)]


def _hide_plain(url: str) -> str:
    return "&".join(_hide_values(part) for part in _hide_password(url).split("&"))


def _hide_password(url: str) -> str:
    # Passwords are often pasted raw, with "/", "?" or "@" in them: so this one ends at the last "@" of all.
    before, at, after = url.rpartition("@")
    start = before.find("://") + 3 if "://" in before else 0
    colon = before.find(":", start)
    if not at or colon < 0:
        return _hide_in_place_of_port(url)
    last = before[colon:].rpartition("&")[2]
    if _secret_key(last) or _secret_key(unquote(last)):
        # That "@" stands in the value of a query key, and what follows it is more of that value, not a host.
        _, separator, rest = after.partition("&")
        return f"{before[:colon]}:{HIDDEN}{separator}{rest}"
    return f"{before[:colon]}:{HIDDEN}@{after}"


def _hide_in_place_of_port(url: str) -> str:
    # Where "@host" was forgotten, the password stands where a port would.
    scheme, colon, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host, _, port = authority.rpartition(":")
    if not colon or not host or host.startswith("[") or _PORT.fullmatch(port):
        return url
    return f"{scheme}://{host.partition(':')[0]}:{HIDDEN}{rest[len(authority) :]}"


def _hide_values(part: str) -> str:
    # And a secret value, which may hold ";" or blanks, ends with its part of the query.
    secret = _secret_key(part)
    return part if secret is None else part[: secret.end()] + HIDDEN


def _secret_key(part: str) -> re.Match[str] | None:
    return next((key for key in _KEY.finditer(part) if _SECRET.search(key[1])), None)


def _hide_encoded(part: str) -> str:
    """Hides what percent signs hide from a plain look: a secret's key, or a value that is a URL with a password."""
    key, _, value = part.partition("=")
    plain_key, plain_value = unquote(key) + "=x", unquote(value)
    is_secret = _hide_plain(plain_value) != plain_value or ("%" in key and _hide_plain(plain_key) != plain_key)
    return f"{key}={HIDDEN}" if value and is_secret else part
