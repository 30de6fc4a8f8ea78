"""The time of the running event loop, moved by a test."""

from __future__ import annotations

import asyncio

import pytest


class LoopTime:
    """Stands still from now on: however busy the machine is, no timer of the event loop goes off before the test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self._now)

    def advance(self, seconds: float) -> None:
        """Let time pass: the timers that are due by then go off in the next turn."""
        self._now += seconds
