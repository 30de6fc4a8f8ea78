"""Records made by hand, for tests of what stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any
from uuid import uuid4

from spark.graphs.checkpoint.storage import Record, RecordHeader, automatic_id, derived_id

NOON = datetime(2024, 2, 29, 12, 0, 0, 123457, tzinfo=UTC)
"""When the record with sequence 0 would have been made; each later one a second later."""
BLOB, OTHER, GONE = ("000000000001-ab-1", "000000000002-ab-2", "000000000003-ab-3")
"""Names of large values, as the core makes them."""
HOSTILE_IDS = [
    "../x",
    "..",
    ".",
    ".hidden",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "C:\\x",
    "CON",
    "~",
    "%",
    "%2E%2E%2F",
    "a%2Fb",
    "a~b",
    "a@000000000001",
    "a b",
    " a ",
    "-rf",
    "x'; DROP TABLE checkpoints; --",
    '"quoted"',
    "{braces}",
    "*",
    "ids",
    "floor",
    "000000000001.ckpt",
    "ckpt_g_000001",
    "größe",
    "日本語",
    "🙈🙉🙊",
    "e\u0301",
    "\u00e9",
    "A",
    "a",
    "x" * 200,
    "x" * 199 + "y",
    "é" * 200,
    "🙈" * 200,
]
"""Graph ids and checkpoint ids that are allowed, and that a careless store mistakes for something else than a name."""
STORED_IDS = [
    *HOSTILE_IDS,
    derived_id("inbox", "a/b"),
    derived_id("inbox", "🙈" * 200),
    derived_id("claim", "🙈" * 200),
]
"""The same, and ids under which the core stores what belongs to a graph: messages that were sent to it, and who runs it."""


def make_record(
    graph_id: str = "g",
    sequence: int = 1,
    *,
    payload: bytes = b'{"graph_state":{"n":1}}',
    checkpoint_id: str | None = None,
    format: str = "json",
    compression: str = "",
    timestamp: datetime | None = None,
    metadata: dict[str, Any] | None = None,
    blobs: Mapping[str, bytes] | None = None,
) -> Record:
    """A record with a header that fits its payload; with a ``checkpoint_id`` one made by hand."""
    searched: dict[str, Any] = {
        "iteration": sequence,
        "last_node": 'naïve "node" 🎈',
        "ratio": 0.1,
        "done": False,
        "why": None,
    }
    header = RecordHeader(
        checkpoint_id=checkpoint_id or automatic_id(graph_id, sequence),
        graph_id=graph_id,
        sequence=sequence,
        parent=sequence - 1 or None,
        timestamp=timestamp or NOON + timedelta(seconds=sequence),
        manual=checkpoint_id is not None,
        version="1.0.0",
        format=format,
        compression=compression,
        size=len(payload),
        raw_size=len(payload),
        nonce=uuid4().hex,
        checksum=f"sha256:{sha256(payload).hexdigest()}",
        metadata=searched if metadata is None else metadata,
    )
    return Record(header, payload, blobs=blobs)


def random_record(random: Random, *, sequence: int, blobs: bool) -> Record:
    """Some record: any id, any metadata, any bytes.

    :param random: decides; the same one makes the same record again, but for its nonce.
    :param blobs: whether large values may come with it.
    """
    made = make_record(
        _text(random, longest=40) or "g",
        sequence,
        payload=random.randbytes(random.choice((0, 1, 7, 300, 5_000))),
        checkpoint_id=random.choice((None, _text(random, longest=40) or "c")),
        format=random.choice(("json", "pickle", "msgpack")),
        compression=random.choice(("", "gzip")),
        timestamp=NOON + timedelta(microseconds=random.randrange(-(10**15), 10**15)),
        metadata={_text(random, longest=20): _scalar(random) for _ in range(random.randrange(5))},
        blobs={f"{sequence:012d}-ab-1": random.randbytes(random.randrange(1, 20_000))}
        if blobs and random.random() < 0.3
        else None,
    )
    header = replace(
        made.header,
        parent=random.choice((None, made.header.parent, random.randrange(2**40))),
        version=random.choice(("1.0.0", "2.13", _text(random, longest=10))),
        raw_size=random.choice((made.header.size, random.randrange(2**40))),
        checksum=random.choice((made.header.checksum, "crc32:0a1b2c3d")),
        signature=random.choice(("", random.randbytes(32).hex())),
        references_in_payload=not made.blobs and random.random() < 0.5,
        codecs=random.choice(((), ("seal",), ("seal", "their.codec-2"))),
        serializer=random.choice(("", "numpy")),
    )
    return Record(header, made.payload, blobs=made.blobs)


def _text(random: Random, *, longest: int) -> str:
    alphabet = random.choice(("abc", "./\\%~ '\"*", "aé\u0301日🙈"))
    return "".join(random.choice(alphabet) for _ in range(random.randrange(longest + 1)))


def _scalar(random: Random) -> Any:
    return random.choice(
        (None, True, False, random.randrange(-(2**62), 2**62), random.uniform(-1e9, 1e9), _text(random, longest=30))
    )
