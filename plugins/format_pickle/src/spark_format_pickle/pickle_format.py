"""The pickle format: any picklable object, signed, for stores that you trust."""

from __future__ import annotations

import hmac
import os
import pickle
import warnings
from typing import Any, ClassVar, Final

from spark.errors import SparkWarning
from spark.graphs.checkpoint.storage import Format

KEY_VARIABLE: Final = "SPARK_PICKLE_KEY"
_PROTOCOL: Final = 5

_has_warned = False


class PickleFormat(Format):
    """Objects as pickle writes them. Loading a pickle runs whatever its writer wanted: sign it, or trust the store.

    With a key, every record is signed with HMAC-SHA256 over header and payload, and a record whose signature is missing
    or wrong is refused before it is unpickled. The key is ``signing_key``, or else the environment's
    ``SPARK_PICKLE_KEY``.
    """

    name: ClassVar[str] = "pickle"
    suffix: ClassVar[str] = "pickle"
    safe_to_load: ClassVar[bool] = False
    takes_objects: ClassVar[bool] = True

    def __init__(self, signing_key: bytes | str | None = None) -> None:
        key = os.environ.get(KEY_VARIABLE, "") if signing_key is None else signing_key
        self._key = key.encode() if isinstance(key, str) else key
        if not self._key:
            _warn_once()

    def __repr__(self) -> str:
        return f"PickleFormat({'signed' if self._key else 'unsigned'})"

    def dumps(self, tree: Any) -> bytes:
        return pickle.dumps(tree, protocol=_PROTOCOL)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)

    def sign(self, message: bytes) -> str:
        return hmac.digest(self._key, message, "sha256").hex() if self._key else ""

    def verify(self, message: bytes, signature: str) -> bool:
        # Compared as bytes: compare_digest refuses text that is not ASCII, and a signature may hold anything.
        return not self._key or hmac.compare_digest(self.sign(message).encode(), signature.encode("utf-8", "replace"))


def _warn_once() -> None:
    global _has_warned
    if _has_warned:
        return
    _has_warned = True
    warnings.warn(
        "Checkpoints in the pickle format are not signed: whoever can write to the store can run code in this program. "
        f"Set {KEY_VARIABLE}, or pass PickleFormat(signing_key=…).",
        SparkWarning,
        stacklevel=3,
    )
