"""Messages between the program and one worker: pickled, through a pipe, with large buffers beside them or in shared memory."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from multiprocessing.connection import Connection
from struct import Struct
from threading import Lock
from typing import Any, Final, NamedTuple

from spark.graphs.executors import Sent
from spark_executor_process.shared_file import SharedFile

_APART: Final = 64 * 1024
"""Bytes of one value: so many don't pass through pickle."""
_LONGEST_HEAD: Final = 16 * 2**20
"""Bytes. What seems to be longer is something else, such as a text that a node wrote to a wrong file descriptor."""
_HEAD: Final = Struct("<?IQ")
_SIZE: Final = Struct("<Q")


class Packet(NamedTuple):
    """A message, ready to be sent."""

    head: bytes
    buffers: Sequence[memoryview] = ()

    @property
    def size(self) -> int:
        """All of its bytes."""
        return len(self.head) + self.beside

    @property
    def beside(self) -> int:
        """The bytes of its buffers."""
        return sum(buffer.nbytes for buffer in self.buffers)


def packed(message: Any) -> Packet:
    """A message of plain data, ready to be sent."""
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    _Pickler(file, 5, buffer_callback=buffers.append).dump(message)
    return Packet(file.getvalue(), [buffer.raw() for buffer in buffers])


class Line:
    """One end of the connection between the program and a worker. Several threads may send; one receives.

    :param outbox: shared memory that this end writes, if there is any.
    :param inbox: shared memory that the other end writes.
    :param shares_from: so many bytes of a message go through shared memory, if its sender says so.
    """

    def __init__(
        self, connection: Connection, *, outbox: SharedFile | None, inbox: SharedFile | None, shares_from: int
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._inbox = inbox
        self._shares_from = shares_from
        self._sending = Lock()

    def send(self, packet: Packet, *, may_share: bool = False) -> None:
        """Send a message. Waits while the other end is slow to take a large one.

        :param may_share: what was sent through shared memory before has been read, whatever its size.
        :raises OSError: the other end is gone.
        """
        beside = packet.beside
        is_shared = (
            may_share
            and self._outbox is not None
            and beside >= self._shares_from
            and self._outbox.write(packet.buffers)
        )
        sizes = b"".join([_SIZE.pack(buffer.nbytes) for buffer in packet.buffers])
        head = _HEAD.pack(is_shared, len(packet.buffers), len(packet.head)) + sizes
        with self._sending:
            if len(packet.head) < _APART:
                self._connection.send_bytes(head + packet.head)
            else:
                self._connection.send_bytes(head)
                self._connection.send_bytes(packet.head)
            if not is_shared:
                for buffer in packet.buffers:
                    self._connection.send_bytes(buffer)

    def receive(self, *, copies: bool) -> Any:
        """The next message.

        :param copies: parts of it that are shared memory are copied; else they are overwritten by the next such message.
        :raises EOFError, OSError: the other end is gone, or something else was sent.
        :raises Exception: something else was sent, or there is no memory for it.
        """
        data = memoryview(self._connection.recv_bytes(_LONGEST_HEAD))
        is_shared, count, length = _HEAD.unpack_from(data)
        start = _HEAD.size + count * _SIZE.size
        sizes = [size for (size,) in _SIZE.iter_unpack(data[_HEAD.size : start])]
        message: Any = data[start:] if length < _APART else self._connection.recv_bytes(length)
        buffers: Sequence[Any] = ()
        if is_shared:
            assert self._inbox is not None
            views = self._inbox.read(sizes)
            buffers = [bytes(view) for view in views] if copies else views
        elif count:
            buffers = [self._connection.recv_bytes(size) for size in sizes]
        return pickle.loads(message, buffers=buffers)

    def trim(self) -> None:
        """Parts of the last message that were shared memory are not needed any more."""
        if self._inbox is not None:
            self._inbox.trim()

    def close(self) -> None:
        """Let go of the connection and the shared memory."""
        with self._sending:
            self.abandon()

    def abandon(self) -> None:
        """The same in a process that was just forked, and where nobody else uses it."""
        self._connection.close()
        for file in (self._outbox, self._inbox):
            if file is not None:
                file.close()


def _reduced(sent: Sent) -> tuple[Any, ...]:
    payload: Any = sent.payload
    if len(payload) >= _APART:
        payload = pickle.PickleBuffer(payload)
    if not sent.buffers:
        return _sent, (payload, ())
    views = [memoryview(each).cast("B") for each in sent.buffers]
    if sum(view.nbytes for view in views) < _APART:
        return _sent, (payload, (b"".join(views),))
    return _sent, (payload, tuple(map(pickle.PickleBuffer, views)))


def _sent(payload: Any, buffers: Sequence[Any]) -> Sent:
    return Sent(payload if type(payload) is bytes else bytes(payload), buffers)


class _Pickler(pickle.Pickler):
    dispatch_table = {Sent: _reduced}  # noqa: RUF012 - not ours to type
