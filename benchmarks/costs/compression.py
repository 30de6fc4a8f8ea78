"""What compression saves, and what it takes: on an index of real source files, and on bytes that nothing makes smaller."""

from __future__ import annotations

import ast
import gzip
import sys
import sysconfig
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from pydantic_core import to_json

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns

FILES = 400
"""Of the standard library, in the index."""
INCOMPRESSIBLE = 1_000_000

Pack = Callable[[bytes], bytes]


def compare(effort: Effort) -> Iterator[Comparison]:
    contents = {
        "an index of source files": to_json(_index(effort.of(FILES))),
        "random bytes in base64": to_json(
            {"bytes": b64encode(Random(7).randbytes(effort.of(INCOMPRESSIBLE))).decode()}
        ),
    }
    for what, raw in contents.items():
        for name, (pack, unpack) in _compressions().items():
            assert unpack(pack(raw)) == raw
            of = f"{what}, {len(raw) / 1000:.0f} KB"
            yield _size(raw, pack, work=f"size of {of}, with {name}")
            yield _time(lambda pack=pack, raw=raw: pack(raw), raw, effort, work=f"packing {of}, with {name}")
            packed = pack(raw)
            yield _time(
                lambda unpack=unpack, packed=packed: unpack(packed), raw, effort, work=f"unpacking it, with {name}"
            )


def _size(raw: bytes, pack: Pack, *, work: str) -> Comparison:
    return Comparison(work, "KB", [len(pack(raw)) / 1e3], [len(raw) / 1e3], "as it is")


def _time(work_once: Callable[[], bytes], raw: bytes, effort: Effort, *, work: str) -> Comparison:
    values = import_module("pydantic_core").from_json(raw)
    return in_turns(
        lambda: _milliseconds(work_once),
        lambda: _milliseconds(lambda: to_json(values)),
        rounds=effort.rounds,
        work=work,
        unit="ms",
        floor_is="one to_json of it",
    )


def _compressions() -> dict[str, tuple[Pack, Pack]]:
    """By name, what packs and what unpacks; the core uses gzip 6 and zstd 3."""
    known: dict[str, tuple[Pack, Pack]] = {
        f"gzip {level}": (lambda raw, level=level: gzip.compress(raw, level, mtime=0), _unzip) for level in (1, 6, 9)
    }
    try:
        zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        print("zstd is left out: pip install 'spark-graphs[zstd]'", file=sys.stderr)
        return known
    return known | {
        f"zstd {level}": (lambda raw, level=level: zstd.compress(raw, level), zstd.decompress) for level in (1, 3, 9)
    }


def _unzip(packed: bytes) -> bytes:
    return zlib.decompress(packed, 31)


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _index(files: int) -> dict[str, dict[str, int]]:
    """How often each identifier is in so many files of the standard library, by first letter."""
    shards: dict[str, dict[str, int]] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*/*.py"))[:files]:
        for name in _names(path):
            shard = shards.setdefault(name[0].lower(), {})
            shard[name] = shard.get(name, 0) + 1
    return shards


def _names(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
