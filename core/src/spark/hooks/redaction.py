"""What of a URL may be shown: everything but its secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

_KEY = re.compile(r"(?<![^=;?#\s])([^=;?#\s]+)\s*=")
_SECRET = re.compile(r"pass|pwd|^pw$|secret|token|key|cred|auth|sig", re.IGNORECASE)


def redact(url: str) -> str:
    """The URL with its password, and the value of every query key that sounds like one, replaced by ``***``.

    It also takes what only resembles a URL: a name, a path, a connection string of ``key=value`` pairs. Now and then it
    hides too much, so that it never hides too little.
    """
    return "&".join(_hide_encoded(part) for part in _hide_plain(url).split("&"))


def _hide_plain(url: str) -> str:
    return "&".join(_hide_values(part) for part in _hide_password(url).split("&"))


def _hide_password(url: str) -> str:
    # Passwords are often pasted raw, with "/", "?" or "@" in them: so this one ends at the last "@" of all.
    before, at, after = url.rpartition("@")
    start = before.find("://") + 3 if "://" in before else 0
    colon = before.find(":", start)
    return f"{before[:colon]}:{HIDDEN}@{after}" if at and colon >= 0 else url


def _hide_values(part: str) -> str:
    # And a secret value, which may hold ";" or blanks, ends with its part of the query.
    secret = next((key for key in _KEY.finditer(part) if _SECRET.search(key[1])), None)
    return part if secret is None else part[: secret.end()] + HIDDEN


def _hide_encoded(part: str) -> str:
    """Hides what percent signs hide from a plain look: a secret's key, or a value that is a URL with a password."""
    key, _, value = part.partition("=")
    plain_key, plain_value = unquote(key) + "=x", unquote(value)
    is_secret = _hide_plain(plain_value) != plain_value or ("%" in key and _hide_plain(plain_key) != plain_key)
    return f"{key}={HIDDEN}" if value and is_secret else part
