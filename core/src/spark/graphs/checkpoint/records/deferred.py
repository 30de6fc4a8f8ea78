"""A payload that is put together only when somebody reads it."""

from __future__ import annotations

from spark.graphs.checkpoint.records.formats import Format, Sections


class DeferredPayload:
    """The encoded parts of one payload. What did not change, it shares with the payloads before and after it.

    ``bytes(pieces)`` is the payload, and ``len(pieces)`` its length, which is known without putting it together.
    """

    __slots__ = ("_format", "_sections")

    def __init__(self, format: Format, sections: Sections) -> None:
        """Of ``sections``, nothing may be changed afterwards."""
        self._format = format
        self._sections = sections

    def __len__(self) -> int:
        return self._format.composed_size(self._sections)

    def __bytes__(self) -> bytes:
        return self._format.compose(self._sections)
