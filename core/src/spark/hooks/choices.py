"""What was chosen by name: remembered with the object, so that it can be shown, recorded, and made again without its secrets.

A secret is never kept here: ``***`` stands for it, in what is shown and in what is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

HIDDEN: Final = "***"
_SECRET: Final = frozenset(
    {
        *("pass", "passwd", "password", "passphrase", "pwd", "pw", "secret", "token", "key", "apikey", "credential"),
        *("credentials", "auth", "authorization", "jwt", "bearer", "signature", "cookie", "passcode"),
    }
)
"""Words of a name that tell a secret."""
_ENDINGS: Final = ("password", "passphrase", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey")
"""Of words that were put together without a mark between them."""
_SECRET_TEXT: Final = re.compile(
    r"\s*(bearer|basic)\s+\S+\s*|(?P<header>[\w-]+)\s*:(?!//).*", re.IGNORECASE | re.DOTALL
)
"""What a header says, and a whole header."""
_PAIRS: Final = re.compile(r"(password|passwd|pwd|accountkey|sharedaccesskey)\s*=", re.IGNORECASE)
"""A part of a connection string that is no URL."""
_BETWEEN_WORDS: Final = r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+"
_ATTRIBUTE: Final = "_spark_chosen_as"


class Choice(NamedTuple):
    """A name, and the options that were given with it."""

    kind: str
    """What was chosen, for instance ``"observer"``."""
    name: str
    options: dict[str, Any]
    """As they were given, with ``***`` for every secret."""

    def to_data(self) -> dict[str, Any]:
        """``{"name": {"option": value}}``, as it can be given again."""
        return {self.name: dict(self.options)}


def remember(made: object, choice: Choice) -> None:
    """Note how an object was chosen."""
    object.__setattr__(made, _ATTRIBUTE, choice)  # also of a frozen dataclass


def choice_of(made: object) -> Choice | None:
    """How an object was chosen; None where it was given as it is."""
    found = getattr(made, _ATTRIBUTE, None)
    return found if isinstance(found, Choice) else None


def without_secret_options(options: Mapping[str, Any], checked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options with ``***`` in place of each that is secret by its name, or is a URL with a password in it.

    :param checked: the same options once they were checked: those that became a ``SecretStr`` are secret, too.
    """
    kept = {name: _shown(name, value) for name, value in options.items()}
    return kept | {name: HIDDEN for name, value in (checked or {}).items() if name in kept and _is_wrapped(value)}


def secrets_in(options: Mapping[str, Any], checked: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The texts that ``without_secret_options`` hides, and the password of each URL."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from secrets_in(value)
        is_declared = _is_wrapped((checked or {}).get(name))
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, str) and (is_declared or _shown(name, each) != each):
                yield each
                yield from _secrets_of(each)


def hidden_options(options: Mapping[str, Any]) -> list[str]:
    """The names of the options in which ``***`` stands for a secret."""
    return [name for name, value in options.items() if is_hidden(value)]


def is_secret(name: str) -> bool:
    """Whether an option with this name is a secret, if it is a text: one of its words says so."""
    words = [word.lower() for word in re.split(_BETWEEN_WORDS, name)]
    return not _SECRET.isdisjoint(words) or any(word.endswith(_ENDINGS) for word in words)


def _shown(name: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shown(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(name, each) for each in value]
    if _is_wrapped(value) or (isinstance(value, str | bytes) and is_secret(str(name))):
        return HIDDEN
    return _shown_text(value) if isinstance(value, str) else value


def _shown_text(value: str) -> str:
    if "://" in value or _PAIRS.search(value):
        return _redacted(value)
    found = _SECRET_TEXT.fullmatch(value)
    return HIDDEN if found and (found["header"] is None or is_secret(found["header"])) else value


def _redacted(url: str) -> str:
    from spark.hooks.redaction import redact  # which takes longer to import than all the rest

    return redact(url)


def _secrets_of(url: str) -> Iterator[str]:
    from spark.hooks.redaction import secrets_of

    yield from secrets_of(url, {}) if "://" in url else ()
    yield from url.split()[1:] if _SECRET_TEXT.fullmatch(url) else ()


def _is_wrapped(value: Any) -> bool:
    return hasattr(value, "get_secret_value")  # of pydantic, which need not be imported to tell


def is_hidden(value: Any) -> bool:
    """Whether ``***`` stands for a secret anywhere in a value."""
    if isinstance(value, Mapping):
        return any(map(is_hidden, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_hidden, value))
    return isinstance(value, str) and HIDDEN in value
