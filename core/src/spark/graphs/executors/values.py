"""Values on their way: in the graph's format, as checkpoints hold them, with large buffers beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pickle import PickleBuffer
from typing import Any, Final, NamedTuple, SupportsIndex

from spark.errors import DeserializationError, ExecutorError
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.concurrency.blocking import run_blocking

_KINDS: Final = ("format", "serializer")
_INLINE: Final = 256 * 1024
"""Bytes that are decoded in an event loop; more are in a thread."""


class Sent(NamedTuple):
    """A value on its way."""

    payload: bytes
    """It, in the graph's format."""
    buffers: Sequence[Any] = ()
    """Large buffers that it refers to, such as the bytes of arrays, each an object with the buffer protocol. A transport moves
    them as it likes, and delivers anything with the same bytes."""

    @property
    def size(self) -> int:
        """All of its bytes."""
        return len(self.payload) + sum(memoryview(each).nbytes for each in self.buffers)

    @property
    def is_large(self) -> bool:
        """It takes longer to decode than an event loop should wait for."""
        return self.size > _INLINE

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        if not self.buffers:
            return Sent, (self.payload,)
        wrap: Callable[[Any], Any] = (
            PickleBuffer if int(protocol) >= 5 else bytes
        )  # so that a transport may take them out
        return Sent, (self.payload, tuple([wrap(each) for each in self.buffers]))


def is_large(value: Any) -> bool:
    """Whether it takes longer to encode than an event loop should wait for."""
    try:
        CostBudget(last_cost=0).add(value)
    except CostExceededError:
        return True
    return False


class ValueCodec:
    """Value ↔ what travels.

    :param codec: of the graph.
    """

    def __init__(self, codec: RecordCodec) -> None:
        self._codec = codec

    def encode(self, value: Any, path: str) -> Sent:
        """The value as it travels.

        :raises SerializationError: something in it can't be sent; the error has the path to it.
        """
        payload, buffers = self._codec.encode_value(value, path)
        return Sent(payload, buffers)

    def decode(self, sent: Sent, path: str) -> Any:
        """The value that was sent.

        :raises DeserializationError: a type is not known to this program, or can't be rebuilt by it.
        """
        return self._codec.decode_value(sent.payload, sent.buffers, path)

    async def encode_async(self, value: Any, path: str) -> Sent:
        """The same without holding up the event loop: a large value is encoded in a thread."""
        return await run_blocking(self.encode, value, path) if is_large(value) else self.encode(value, path)

    async def decode_async(self, sent: Sent, path: str) -> Any:
        """The same without holding up the event loop."""
        return await run_blocking(self.decode, sent, path) if sent.is_large else self.decode(sent, path)

    def check(self, value: Any, path: str) -> None:
        """Make sure that a value can be saved.

        :raises SerializationError: something in it can't be; the error has the path to it.
        """
        self._codec.check(value, path)


def codec_data(codec: RecordCodec) -> Mapping[str, Any]:
    """How a worker makes the same codec.

    :raises ExecutorError: its serializer was given as an object, which a worker can't make again.
    """
    data: dict[str, Any] = {name: codec.chosen_as[name] for name in _KINDS if name in codec.chosen_as}
    if codec.serializer and "serializer" not in data:
        raise ExecutorError(
            f"Values of this graph go through the serializer {codec.serializer}, which was given as an object, so a worker can't "
            "create it. Let a plugin provide it, and choose it by its name."
        )
    if "format" not in data and codec.format.name != "json":
        data["format"] = codec.format.name
    return data


def codec_of(data: Mapping[str, Any]) -> ValueCodec:
    """The codec that ``codec_data`` described, in a worker. Made once for each.

    :raises DeserializationError: it can't be made here.
    """
    for known, codec in _KNOWN:
        if known == data:
            return codec
    try:
        made = ValueCodec(RecordCodec(**data))
    except Exception as error:
        raise DeserializationError(f"A worker can't read the values of this graph: {error}") from error
    _KNOWN.append((data, made))
    return made


_KNOWN: Final[list[tuple[Mapping[str, Any], ValueCodec]]] = []
