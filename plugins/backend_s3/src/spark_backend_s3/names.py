"""Ids and sequences ↔ keys of objects: whatever the string, its key stays below the prefix, and no two share one.

Beside letters and digits only ``-``, ``_``, ``.`` and ``!`` are used, which every S3 store and tool takes as they are. Keys of a
graph are in falling order of sequence, since S3 lists by key and the newest is what is asked for most.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

LONGEST_NAME: Final = 150
"""The name that stands for an id has at most this many characters; S3 allows 1,024 bytes for a whole key."""
LONGEST_PREFIX: Final = 500
"""What the prefix of a store may take of a key, in bytes of UTF-8."""
LAST_SEQUENCE: Final = 10**12 - 1
"""Twelve digits: names sort like numbers."""

LONGEST_CUT: Final = 80
SHORTEST_CUT: Final = LONGEST_CUT - 2
"""Of a longer name so much stays before the hash: two characters less where the cut would divide an escape."""
HASH: Final = "!!"
EMPTY: Final = "!"
"""The name of the empty id."""
PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,149}\Z")
_HASHED = re.compile(r"[A-Za-z0-9_.!-]{0,80}!![0-9a-f]{64}\Z")
_RANKED = re.compile(r"([0-9]{12})-([0-9]{12})\Z")
_RECORD_END: Final = ".ckpt"
_MARKER: Final = ".floor/"


def quote(text: str) -> str:
    """The name that stands for an id, and for no other."""
    name = spell(octets_of(text))
    if len(name) > LONGEST_NAME:
        return cut(name) + HASH + sha256(name.encode()).hexdigest()
    return name or EMPTY


def unquote(name: str) -> str | None:
    """The id that a name stands for; None when the name holds a hash, or is not one that ``quote`` makes."""
    if _PLAIN.match(name):
        return name  # as most are
    if is_hashed(name) or not name.isascii():
        return None
    try:
        octets = re.sub(rb"!([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), name.encode())
        text = "" if name == EMPTY else octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return text if quote(text) == name else None


def is_hashed(name: str) -> bool:
    """Whether the name stands for an id too long to be spelt out; the id is then read from a record's header."""
    return _HASHED.match(name) is not None


def beginning_of(prefix: str) -> str:
    """What the names of all ids begin with that begin with a text; those of some others begin with it, too."""
    return spell(octets_of(prefix))[:SHORTEST_CUT]


def octets_of(text: str) -> bytes:
    """An id in UTF-8, whose order is that of code points. Lone surrogates have none; each gets its own bytes."""
    return text.encode("utf-8", "surrogatepass")


def spell(octets: bytes) -> str:
    """The name that stands for an id, if it were not too long."""
    name = "".join(chr(octet) if octet in PLAIN else f"!{octet:02X}" for octet in octets)
    return "!2E" + name[1:] if name.startswith(".") else name


def first_octet(name: str) -> int:
    """The octet that a name, or a part of one, begins with."""
    return int(name[1:3], 16) if name[0] == "!" else ord(name[0])


def cut(name: str) -> str:
    """What of a name that is too long stands before the hash."""
    return re.sub(r"!.?\Z", "", name[:LONGEST_CUT])


def is_sequence(sequence: int) -> bool:
    """Whether a record can have this sequence."""
    return 0 < sequence <= LAST_SEQUENCE


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one store: ``graphs/`` with records and markers, ``blobs/`` with large values, ``ids/`` with the ids given by
    hand, ``probe/``."""

    root: str
    """What all begin with: ``""``, or the store's prefix and a slash."""

    @property
    def graphs(self) -> str:
        """What the keys of all graphs begin with."""
        return f"{self.root}graphs/"

    def graph(self, name: str) -> str:
        """What the keys of one graph begin with.

        :param name: its quoted id.
        """
        return f"{self.graphs}{name}/"

    def record(self, name: str, sequence: int) -> str:
        """The key of a record. It depends on the address and nothing else, so that there can be only one."""
        return f"{self.graph(name)}{_ranked(sequence)}{_RECORD_END}"

    def before_record(self, name: str, sequence: int) -> str:
        """A key just before that of a record, to begin a listing at it."""
        return self.record(name, sequence)[: -len(_RECORD_END)]

    def marker(self, name: str, deleted_up_to: int) -> str:
        """The key that says: of this graph's sequences, none up to this one may be used any more; listed before the records."""
        return f"{self.graph(name)}{_MARKER}{_ranked(deleted_up_to)}"

    def blobs(self, name: str) -> str:
        """What the keys of the large values of one graph begin with.

        :param name: its quoted id.
        """
        return f"{self.root}blobs/{name}/"

    def ids(self, checkpoint_id: str) -> str:
        """What the aliases of an id begin with."""
        return f"{self.root}ids/{quote(checkpoint_id)}/"

    @property
    def all_ids(self) -> str:
        """What the aliases of all ids begin with."""
        return f"{self.root}ids/"

    def is_alias_in(self, name: str, key: str) -> bool:
        """Whether a key says of a record of this graph that it was given an id by hand."""
        return key.removeprefix(self.all_ids).split("/")[1:2] == [name]

    def alias(self, checkpoint_id: str, name: str, sequence: int) -> str:
        """The key that says: the record at this address was given this id by hand."""
        return f"{self.ids(checkpoint_id)}{name}/{_ranked(sequence)}"

    @property
    def probes(self) -> str:
        """What the keys to try things out on begin with."""
        return f"{self.root}probe/"

    def probe(self, token: str) -> str:
        """A key to try things out on."""
        return f"{self.probes}{token}"

    def name_in(self, key: str) -> str:
        """The quoted graph id in the key of a record or a marker."""
        return key.removeprefix(self.graphs).partition("/")[0]

    def split_record(self, key: str) -> tuple[str, int] | None:
        """The quoted graph id and the sequence in a record's key, or None for another key."""
        name, _, rest = key.removeprefix(self.graphs).partition("/")
        sequence = _sequence_of(rest.removesuffix(_RECORD_END)) if rest.endswith(_RECORD_END) else None
        return None if sequence is None else (name, sequence)

    def split_marker(self, key: str) -> int | None:
        """The sequence in a marker's key, or None for another key."""
        _, _, rest = key.removeprefix(self.graphs).partition("/")
        return _sequence_of(rest.removeprefix(_MARKER)) if rest.startswith(_MARKER) else None

    def split_alias(self, key: str, checkpoint_id: str) -> tuple[str, int] | None:
        """The quoted graph id and the sequence in the key of an alias of this id, or None for another key."""
        name, _, rest = key.removeprefix(self.ids(checkpoint_id)).partition("/")
        sequence = _sequence_of(rest)
        return None if sequence is None else (name, sequence)


def _ranked(sequence: int) -> str:
    return f"{10**12 - sequence:012d}-{sequence:012d}"


def _sequence_of(ranked: str) -> int | None:
    match = _RANKED.match(ranked)
    if match is None or int(match[1]) + int(match[2]) != 10**12:
        return None
    return int(match[2])
