"""What does a listing leave out? Backends say so in their logs, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out() -> Iterator[list[str]]:
    """A list of what backends warn about meanwhile, also others than the one that is asked, if they list at this moment."""
    listener = _Listener(logging.WARNING)
    logger = logging.getLogger("spark.checkpoint")
    logger.addHandler(listener)
    try:
        yield listener.messages
    finally:
        logger.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Of a backend's own logger, "spark.checkpoint.file" for instance: what runs warn about is told on the one above.
        if record.name.startswith("spark.checkpoint."):
            self.messages.append(record.getMessage())
