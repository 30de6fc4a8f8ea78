"""The suite that a codec proves itself by."""

from __future__ import annotations

import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any, ClassVar, Final

import pytest

from spark.errors import PluginNotFoundError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.storage import Codec, codec_class
from spark_testing.suites.blob_memory import BlobMemory
from spark_testing.suites.conformance import Conformance

_MANY: Final = 100_000
_MARK: Final = "what nobody else may read"


def _inputs() -> list[bytes]:
    sizes = (0, 1, 15, 16, 17, 4095, 4096, 300_000)
    return [*map(os.urandom, sizes), b"\0" * _MANY, b"text " * 1000, b'{"graph_state":{}}']


class Grow(Node):
    """Puts small and large values into the state."""

    async def process(self, context: NodeContext) -> Any:
        steps = await context.graph_state.get("steps", 0) + 1
        await context.graph_state.set("steps", steps)
        await context.graph_state.set(f"large {steps}", f"{_MARK} {steps} " * 2000)
        return {"done": steps == 4}


class CodecConformance(Conformance):
    """What every codec must do. Subclass it as ``Test…`` with the fixture ``codec``; say what the codec promises."""

    hides: ClassVar[bool] = True
    """Without its options, such as a key, nobody can read what it made."""
    authenticates: ClassVar[bool] = True
    """Without its options, nobody can change what it made and have it accepted."""

    @pytest.fixture
    def codec(self) -> Codec:
        """A new codec."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'codec'.")

    @pytest.fixture
    def another(self) -> Codec | None:
        """One with other options, such as another key; None if there are none that matter."""
        return None

    def test_gives_back_any_bytes(self, codec: Codec) -> None:
        for data in _inputs():
            encoded = codec.encode(data)
            assert type(encoded) is bytes, "encode() must return bytes."
            # Compared before it is asserted: of many bytes, pytest would make a diff for minutes.
            comes_back = codec.decode(encoded, limit=len(data)) == data
            assert comes_back, f"{len(data):,} bytes do not come back."

    def test_what_it_made_can_pass_it_again(self, codec: Codec) -> None:
        once = codec.encode(b"some bytes")

        assert codec.decode(codec.encode(once), limit=len(once)) == once, (
            "Encoding the output of encode() once more, and decoding it, does not return that output."
        )

    def test_makes_no_more_than_the_limit(self, codec: Codec) -> None:
        for size in (1, 1000, _MANY):
            encoded = codec.encode(b"\0" * size)
            for limit in {0, size - 1}:
                with pytest.raises(Exception):  # noqa: B017 - whatever the codec's library raises
                    pytest.fail(f"decode() made {len(codec.decode(encoded, limit=limit)):,} bytes with limit={limit:,}")

    def test_takes_no_more_memory_than_the_limit(self, codec: Codec) -> None:
        """A few bytes of a hostile writer may stand for very many."""
        encoded = codec.encode(b"\0" * 12_000_000)
        tracemalloc.start()
        with suppress(Exception):
            codec.decode(encoded, limit=1000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert peak < 2 * len(encoded) + 4_000_000, (
            f"decode() took {peak:,} bytes of memory for {len(encoded):,} bytes with limit=1000: it must stop at the limit."
        )

    def test_cut_or_foreign_bytes_raise_or_give_bytes(self, codec: Codec) -> None:
        """They never end the process, hang or run code."""
        written, random = codec.encode(b"some bytes " * 50), Random(7)
        for data in (b"", written[:-1], written[: len(written) // 2], *(random.randbytes(60) for _ in range(200))):
            try:
                decoded = codec.decode(data, limit=10_000)
            except Exception:
                continue
            assert type(decoded) is bytes, "decode() must return bytes, or raise, whatever it is given."

    def test_what_was_changed_is_refused(self, codec: Codec) -> None:
        if not self.authenticates:
            return
        data = b"pay Bob 100"
        encoded = codec.encode(data)
        changed = [encoded[:-1], encoded + b"\0", encoded[1:], b"", data]
        changed += [
            encoded[:place] + bytes((encoded[place] ^ 1,)) + encoded[place + 1 :] for place in range(len(encoded))
        ]
        for each in changed:
            with pytest.raises(Exception):  # noqa: B017 - as above
                codec.decode(each, limit=1000)

    def test_what_it_made_does_not_show_what_it_was_given(self, codec: Codec) -> None:
        if self.hides:
            data = b"a secret of some length"
            assert data not in codec.encode(data), (
                "The suite says that the codec hides what it is given, and it stands in what encode() makes."
            )
            assert codec.encode(data) != codec.encode(data), (
                "Equal bytes must not become equal ones, or everybody can see which values are equal: use a new nonce each time."
            )

    def test_other_options_do_not_fit(self, codec: Codec, another: Codec | None) -> None:
        if another is not None:
            with pytest.raises(Exception):  # noqa: B017 - as above
                another.decode(codec.encode(b"some bytes"), limit=1000)

    def test_keeps_nothing_between_calls(self, codec: Codec) -> None:
        """What is stored is read in any order, by other processes, and by several threads at once."""
        inputs = [os.urandom(size) for size in range(0, 4000, 40)]
        with ThreadPoolExecutor(8) as threads:
            encoded = list(threads.map(codec.encode, inputs))
            decoded = list(threads.map(lambda data: codec.decode(data, limit=4000), reversed(encoded)))

        come_back = decoded == [*reversed(inputs)]
        assert come_back, "Called by several threads at once, the codec does not give back its input."

    def test_its_name_leads_to_its_class_where_it_is_installed(self, codec: Codec) -> None:
        try:
            installed = codec_class(codec.name)
        except PluginNotFoundError:
            return

        assert issubclass(type(codec), installed), "The installed codec of this name is of another class."

    def test_shows_no_secret(self, codec: Codec) -> None:
        """The repr of a codec may stand in logs."""
        secrets = [
            value for value in getattr(codec, "__dict__", {}).values() if isinstance(value, bytes | str) and value
        ]

        assert not any(str(secret) in repr(codec) or repr(secret) in repr(codec) for secret in secrets), (
            "The repr of the codec shows the text or the bytes of one of its attributes, which may be a key."
        )

    @pytest.mark.asyncio
    @pytest.mark.parametrize("compression", [False, "gzip"])
    async def test_a_graph_goes_on_from_what_it_wrote(self, codec: Codec, compression: bool | str) -> None:
        """As the core uses it: for payloads and for large values, which are stored by themselves."""
        backend = BlobMemory(codec=codec, compression=compression)
        await _growing(backend).run()
        restored = _growing(backend)
        await restored.run(resume=True)

        state = {key: await restored.get_state(key) for key in ("steps", "large 3")}
        comes_back = state == {"steps": 4, "large 3": f"{_MARK} 3 " * 2000}
        assert comes_back, "A graph that was restored from what the codec made must have the state that it had."
        record = await backend.get_latest("growing")
        assert record is not None, "The run has stored no checkpoint."
        assert record.header.codecs == (codec.name,), "The header of a record must name the codec that it passed."
        assert backend.contents, "The run has stored no large values."
        if self.hides:
            assert not any(_MARK.encode() in stored for stored in (record.payload, *backend.contents.values())), (
                "The suite says that the codec hides what it is given, and the store shows what was in the state."
            )


def _growing(backend: BlobMemory) -> Graph:
    grow = Grow()
    grow.on(done=False) >> grow
    return Graph(start=grow, id="growing", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=1))
