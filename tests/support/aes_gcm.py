"""A codec as somebody might write it: AES-256 in GCM, with a key from the environment, and the plugin that provides it."""

from __future__ import annotations

import os
from typing import ClassVar, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spark.graphs.checkpoint.storage import Codec
from spark.hooks import CodecSpec, hookimpl

KEY_VARIABLE: Final = "CHECKPOINT_KEY"
_NONCE: Final = 12
_TAG: Final = 16


class AesGcm(Codec):
    """Encrypts what is stored, so that nobody without the key can read or change it.

    :param key: 32 bytes in hex; by default what the environment says.
    """

    name: ClassVar[str] = "aes-gcm"
    cost: ClassVar[int] = 2

    def __init__(self, key: str = "") -> None:
        self._cipher = AESGCM(bytes.fromhex(key or os.environ[KEY_VARIABLE]))

    def encode(self, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, None)

    def decode(self, data: bytes, *, limit: int) -> bytes:
        if len(data) - _NONCE - _TAG > limit:
            raise ValueError("it is longer than what was encrypted")
        return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], None)


@hookimpl
def spark_codecs() -> list[CodecSpec]:
    return [CodecSpec(name="aes-gcm", target="tests.support.aes_gcm:AesGcm", summary="AES-256-GCM.")]
