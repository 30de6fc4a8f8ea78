"""Files that somebody puts in the place of a checkpoint, to take a program down that loads them."""

from __future__ import annotations

import gzip
import io
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Record, frame, unframe

DEEP = b"[" * 100_000 + b"]" * 100_000
SURROGATES = rb'{"graph_state": {"count": "\ud800\udfff\udc00"}}'
HUGE_INTEGER = b'{"graph_state": {"count": ' + b"9" * 5_000 + b"}}"


class Boom:
    """Leaves a trace where somebody unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def exploit(trace: Path) -> bytes:
    """A pickle that makes the file ``trace`` when it is loaded."""
    return pickle.dumps(Boom(trace))


@cache
def gzip_bomb() -> bytes:
    """Some 4 MB that unpack to 4 GB, as gzip members one after the other."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as member:
        member.write(bytes(2**24))
    return packed.getvalue() * 256


@cache
def one_gzip_bomb() -> bytes:
    """A single gzip stream of 64 MB of zeros, which a header may lie about."""
    return gzip.compress(bytes(2**26), mtime=0)


def forge(
    file: Path, payload: bytes, *, compression: str = "", raw_size: int | None = None, format: str = "json"
) -> None:
    """Put another payload into a checkpoint file, with a header and a checksum that fit it."""
    header = unframe(file.read_bytes(), place=str(file)).header
    forged = replace(
        header,
        format=format,
        compression=compression,
        size=len(payload),
        raw_size=len(payload) if raw_size is None else raw_size,
        checksum="",
    )
    forged.checksum = checksum("sha256", forged.canonical(), payload)
    file.write_bytes(frame(Record(forged, payload)))
