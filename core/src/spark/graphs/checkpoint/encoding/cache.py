"""What a run keeps of its last checkpoint, so that the next one costs what changed and not what exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records.blobs import of_writer
from spark.graphs.checkpoint.records.buffers import Buffers
from spark.graphs.checkpoint.records.composing import Encoded
from spark.graphs.checkpoint.serialization.writer import TreeWriter

if TYPE_CHECKING:
    from spark.graphs.checkpoint.encoding.followed import Followed, FollowedMapping


class EncodingCache:
    """The encoded items of a run's last checkpoint. Only for values that are never changed after they were encoded.

    Nothing of deleted keys is kept. A cache serves one codec and one call at a time.

    :param thresholds: sizes from which on items are kept in chunks, or values apart.
    """

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.thresholds = thresholds or Thresholds()
        self.owner: object = None
        """The format whose bytes these are."""
        self.encoder: Any = None
        """Encodes sections for the owner, and keeps blobs"""
        self.made_for: object = None
        """in these ``NewBlobs``."""
        self.last_cost = 0
        """What composing the last payload cost, in bytes that could have been hashed in that time; 0 when that was deferred."""
        self.buffers = Buffers()
        """The large ones of the value that is just being encoded."""
        self.writer: TreeWriter | None = None
        """Puts them there; None where they stay in the payload."""
        self.retired: list[str] = []
        """Blobs that the last record referred to, and the next one no longer does."""
        self.sections: dict[str, FollowedMapping] = {}
        """The sections that are encoded item by item, by their names."""
        self.kept: dict[str, tuple[object, Encoded]] = {}
        """All others: the object that each was, and what it was encoded as."""
        self.incomplete: list[Followed] = []
        """What was taken over and still has items in its tail that have to be encoded."""

    @property
    def names(self) -> list[str]:
        """The blobs that the last record refers to."""
        return [name for followed in self.sections.values() for name in followed.names()]

    def hand_over(self, writer: str) -> None:
        """Serve another run, which makes blobs of its own.

        :param writer: who has made those that name nobody.
        """
        self.kept.clear()
        for followed in self.sections.values():
            _attribute(followed, writer)

    def claim(self, owner: object, writer: TreeWriter | None) -> None:
        """Serve another codec, and forget everything that was encoded for the last one.

        :param writer: that of the codec, if large buffers are kept beside the payload.
        """
        self.owner = owner
        self.encoder = None
        self.writer = writer.keeping(self.buffers.keep) if writer is not None else None
        self.forget()

    def forget(self) -> None:
        """Encode everything again next time."""
        for name in list(self.sections):
            self.drop(name)
        self.kept.clear()
        self.incomplete.clear()

    def release(self) -> None:
        """Let go of everything at once, as it refers to itself: otherwise it would stay until garbage is collected."""
        self.encoder = None
        self.forget()

    def drop(self, name: str) -> None:
        """Forget a section that is encoded item by item."""
        followed = self.sections.pop(name, None)
        if followed is not None:
            self.retired += followed.names()


def _attribute(followed: Followed, writer: str) -> None:
    """Have all references to chunks that name nobody name this writer."""
    from spark.graphs.checkpoint.encoding.followed import Followed  # not needed by those who save nothing

    chunked = followed.chunked
    chunked.head = None
    for chunk in chunked.chunks.values():
        chunk.ref = of_writer(chunk.ref, writer)
    for each in chunked.apart.values():
        if isinstance(each, Followed):
            _attribute(each, writer)
