"""The secrets of a URL and of storage options, and how they are kept out of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from spark.errors import BackendError
from spark.hooks import hide_secrets, redact, shows_secret

HIDDEN: Final = "***"


def secrets_of(url: str, options: Mapping[str, Any]) -> frozenset[str]:
    """The password, and every value whose name sounds like a secret."""
    values = [value for link in url.split("::") for value in _of_url(link)] + list(_of_options(options))
    return frozenset(filter(None, values))


def without_secrets(error: Exception, secrets: frozenset[str]) -> Exception:
    """The error itself; or, where its text or that of a cause of it holds a secret, one that says the rest."""
    if not shows_secret(error, secrets):
        return error
    return BackendError(hide_secrets(f"{type(error).__name__}: {error}", secrets))


def _of_url(url: str) -> Iterator[str]:
    # Passwords are often pasted raw, with "/" or "?" in them: so this one ends at the last "@" of all.
    before, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        yield before.partition(":")[2]
    elif not (port := url.partition("://")[2].partition("/")[0].partition(":")[2]).isdecimal():
        yield port  # "@host" was forgotten
    yield from (value for key, value in parse_qsl(urlsplit(url).query) if _is_secret(key))


def _of_options(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _of_options(value)
        elif isinstance(value, str) and _is_secret(key):
            yield value


def _is_secret(key: str) -> bool:
    return HIDDEN in redact(f"x://h/d?{key}=value") or HIDDEN in redact(f"{key}=value")
