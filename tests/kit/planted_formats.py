"""As ``planted_backends.py``: formats and codecs with one bug each. Two of them are sound."""

from __future__ import annotations

import hmac
import zlib
from datetime import datetime

import ormsgpack

from spark.graphs.checkpoint.storage import Codec
from spark_format_msgpack import MsgpackFormat

_COMPOSED = "test_composes_what_it_would_write_at_once"
_MANY_KEYS = "test_a_run_with_many_keys_comes_back"
_BYTES = "test_gives_back_bytes_if_it_takes_them"
_COUNTS = "test_knows_how_many_values_it_would_load"
_PLAIN = "test_calls_only_plain_what_has_no_tags"
_HOSTILE = "test_hostile_bytes_end_in_an_error_or_a_plain_tree"


class SoundFormat(MsgpackFormat):
    name = "sound"


class HasOneOpening(MsgpackFormat):
    """Has tried it with few keys only."""

    found_by = _COMPOSED

    def opening(self, count):
        return bytes((0x80 | count % 16,))


class CutsKeys(MsgpackFormat):
    """Has a key that is another one where it is composed."""

    found_by = _COMPOSED

    def key(self, name):
        return super().key(name.strip('"'))


class DoublesSeparators(MsgpackFormat):
    """Ends each key with what stands between members anyway."""

    found_by = _COMPOSED
    separator = b"\xc0"


class LosesLateKeys(MsgpackFormat):
    """Keeps no more keys than a chunk ever has, when it reads."""

    found_by = _MANY_KEYS

    def loads(self, data):
        tree = super().loads(data)
        values = tree.get("values") if isinstance(tree, dict) else None
        return tree if not isinstance(values, dict) else {"values": dict([*values.items()][:100])}


class ReadsBytesAsText(MsgpackFormat):
    """Writes bytes as its library does by default."""

    found_by = _BYTES

    def loads(self, data):
        return _as_text(super().loads(data))


def _as_text(tree):
    if isinstance(tree, bytes):
        return tree.decode("latin-1")
    if isinstance(tree, list):
        return [_as_text(each) for each in tree]
    return {key: _as_text(each) for key, each in tree.items()} if isinstance(tree, dict) else tree


class CountsTheFirstLevel(MsgpackFormat):
    """Says how many members the whole has, and not those in it."""

    found_by = _COUNTS

    def count(self, data):
        tree = self.loads(data)
        return len(tree) if isinstance(tree, list | dict) else 1


class CallsAllPlain(MsgpackFormat):
    found_by = _PLAIN

    def is_plain(self, data):
        return True


class OverlooksShortTags(MsgpackFormat):
    """Knows one of the headers of a text."""

    found_by = _PLAIN

    def is_plain(self, data):
        return b"\xa6$" not in data


class MakesOtherObjects(MsgpackFormat):
    """Takes all that its library can read."""

    found_by = _HOSTILE

    def loads(self, data):
        return ormsgpack.unpackb(
            data, ext_hook=lambda tag, content: datetime(2024, 5, 1), option=ormsgpack.OPT_NON_STR_KEYS
        )


class BelievesLengths(MsgpackFormat):
    """Makes room for as much as the first list says that it has, before it has seen any of it."""

    found_by = _HOSTILE

    def loads(self, data):
        if data[:1] == b"\xdd":
            bytearray(int.from_bytes(data[1:5]))
        return super().loads(data)


class Seal(Codec):
    """Signs, and hides by a mask of its own that is no encryption: enough for a suite."""

    name = "seal"

    def __init__(self, key=b"k"):
        self._key = key
        self._next = 0

    def encode(self, data):
        self._next += 1
        nonce = self._next.to_bytes(8)
        hidden = self._masked(nonce, data)
        return nonce + hidden + hmac.digest(self._key, nonce + hidden, "sha256")

    def decode(self, data, *, limit):
        content, tag = data[:-32], data[-32:]
        if len(data) < 40 or not hmac.compare_digest(tag, hmac.digest(self._key, content, "sha256")):
            raise ValueError("it was not sealed with this key")
        if len(content) - 8 > limit:
            raise ValueError("it is too long")
        return self._masked(content[:8], content[8:])

    def _masked(self, nonce, data):
        mask = hmac.digest(self._key, nonce, "sha256") * (len(data) // 32 + 1)
        return (int.from_bytes(data) ^ int.from_bytes(mask[: len(data)])).to_bytes(len(data)) if data else b""


class SoundCodec(Seal):
    pass


class HidesNothing(Seal):
    found_by = "test_what_it_made_does_not_show_what_it_was_given"

    def _masked(self, nonce, data):
        return data


class UsesItsNonceAgain(Seal):
    found_by = "test_what_it_made_does_not_show_what_it_was_given"

    def encode(self, data):
        self._next = 0
        return super().encode(data)


class SignsHalf(Seal):
    """Looks at the beginning of a signature only."""

    found_by = "test_what_was_changed_is_refused"

    def decode(self, data, *, limit):
        content = data[:-32]
        if data[-32:-16] != hmac.digest(self._key, content, "sha256")[:16] or len(content) - 8 > limit:
            raise ValueError("no")
        return self._masked(content[:8], content[8:])


class ForgetsTheLimit(Seal):
    found_by = "test_makes_no_more_than_the_limit"

    def decode(self, data, *, limit):
        return super().decode(data, limit=len(data))


class LooksTooLate(Seal):
    """Compresses as well, and looks how long it has become when that is in memory."""

    found_by = "test_takes_no_more_memory_than_the_limit"

    def encode(self, data):
        return super().encode(zlib.compress(data))

    def decode(self, data, *, limit):
        raw = zlib.decompress(super().decode(data, limit=len(data)))
        if len(raw) > limit:
            raise ValueError("it is too long")
        return raw


class TakesAnyKey(Seal):
    found_by = "test_other_options_do_not_fit"

    def __init__(self, key=b"k"):
        super().__init__(b"k")


class KeepsTheLastNonce(Seal):
    """Decodes with what it has encoded last."""

    found_by = "test_keeps_nothing_between_calls"

    def _masked(self, nonce, data):
        return super()._masked(self._next.to_bytes(8), data)


class LosesEmptyBytes(Seal):
    found_by = "test_gives_back_any_bytes"

    def encode(self, data):
        return super().encode(data or b"\0")


class ShowsItsKey(Seal):
    found_by = "test_shows_no_secret"

    def __repr__(self):
        return f"Seal({self._key!r})"
