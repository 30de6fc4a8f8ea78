"""A codec that seals what is stored: a change by somebody who lacks the key is noticed before anything is loaded."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import ClassVar, Final

from spark.graphs.checkpoint.storage import Codec

_VARIABLE: Final = "SPARK_EXAMPLE_KEY"
_SEAL: Final = hashlib.sha256().digest_size
_SHORTEST_KEY: Final = 16


class ExampleCodec(Codec):
    """Puts an HMAC-SHA256 in front of each payload and each large value.

    Without options, the key comes from the environment, so that records which name this codec can be read where none was chosen.

    :param key: the key; at least 16 characters.
    """

    name: ClassVar[str] = "example"
    cost: ClassVar[int] = 1  # as long as a SHA-256 of the same bytes

    def __init__(self, key: str | None = None) -> None:
        secret = os.environ.get(_VARIABLE, "") if key is None else key
        if len(secret) < _SHORTEST_KEY:
            raise ValueError(f"it needs a key of at least {_SHORTEST_KEY} characters: the option key, or {_VARIABLE}.")
        self._key = secret.encode()

    def encode(self, data: bytes) -> bytes:
        return self._seal(data) + data

    def decode(self, data: bytes, *, limit: int) -> bytes:
        content = data[_SEAL:]
        if len(content) > limit:
            raise ValueError("It is longer than what was sealed.")
        if not hmac.compare_digest(data[:_SEAL], self._seal(content)):
            raise ValueError("The seal does not fit: another key, or a change by somebody else.")
        return content

    def _seal(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")
