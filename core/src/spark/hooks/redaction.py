"""What of a URL may be shown: everything but its secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote

HIDDEN = "***"

# Passwords are often pasted raw, with "/", "?", "@" or ";" in them. So a password ends at the last "@" of the text, and
# a secret value at the next "&": now and then too much is hidden, never too little.
_AFTER_SLASHES = re.compile(r"(://[^@:]*):.*@", re.DOTALL)
_WITHOUT_SLASHES = re.compile(r"^([^@:]*):.*@", re.DOTALL)
_SECRET_KEY = r"[^=&;?#\s]*(?:pass|pwd|secret|token|key|cred|auth|sig)[^=&;?#\s]*|(?<![^=&;?#\s])pw"
_SECRET_PAIR = re.compile(rf"(?P<key>{_SECRET_KEY})\s*=[^&]*", re.IGNORECASE)
_ANY_PAIR = re.compile(r"(?P<key>[^=&;?#\s]+)=(?P<value>[^&;\s]*)")


def redact(url: str) -> str:
    """The URL with its password, and the value of every query key that sounds like one, replaced by ``***``.

    It also takes what only resembles a URL: a name, a path, a connection string of ``key=value`` pairs.
    """
    shown = _hide_password(url)
    shown = _SECRET_PAIR.sub(rf"\g<key>={HIDDEN}", shown)
    return _ANY_PAIR.sub(_hide_encoded_secret, shown)


def _hide_password(url: str) -> str:
    pattern = _AFTER_SLASHES if "://" in url else _WITHOUT_SLASHES
    return pattern.sub(rf"\1:{HIDDEN}@", url)


def _hide_encoded_secret(pair: re.Match[str]) -> str:
    """Hides behind percent signs: a key that is a secret's, or a value that is a URL with a secret of its own."""
    plain_pair, plain_value = unquote(pair[0]), unquote(pair["value"])
    is_secret = (_SECRET_PAIR.search(plain_pair) or _hide_password(plain_value) != plain_value) and pair[
        0
    ] != plain_pair
    return f"{pair['key']}={HIDDEN}" if is_secret else pair[0]
