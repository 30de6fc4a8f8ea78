"""The secrets of a URL and of storage options, and how they are kept out of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from spark.errors import BackendError
from spark.hooks import redact

HIDDEN: Final = "***"


def secrets_of(url: str, options: Mapping[str, Any]) -> frozenset[str]:
    """The password, and every value whose name sounds like a secret, in every spelling it may have in a message."""
    values = [value for link in url.split("::") for value in _of_url(link)] + list(_of_options(options))
    return frozenset(
        spelling
        for value in filter(None, values)
        for spelling in (value, unquote(value), quote(value, safe=""), quote_plus(value), repr(value)[1:-1])
    )


def without_secrets(error: Exception, secrets: frozenset[str]) -> Exception:
    """The error itself; or, where its text or that of a cause of it holds a secret, one that says the rest."""
    shown = [text for link in _chain(error) for text in (str(link), repr(link))]
    if not any(secret in text for secret in secrets for text in shown):
        return error
    text = f"{type(error).__name__}: {error}"
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return BackendError(text)


def _of_url(url: str) -> Iterator[str]:
    # Passwords are often pasted raw, with "/" or "?" in them: so this one ends at the last "@" of all.
    before, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        yield before.partition(":")[2]
    yield from (value for key, value in parse_qsl(urlsplit(url).query) if _is_secret(key))


def _of_options(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _of_options(value)
        elif isinstance(value, str) and _is_secret(key):
            yield value


def _is_secret(key: str) -> bool:
    return HIDDEN in redact(f"x://h/d?{key}=value") or HIDDEN in redact(f"{key}=value")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]
