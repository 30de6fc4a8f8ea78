"""A participant's process for one row, asked for one figure at a time."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any, Self

from benchmarks.contest.participants import ROOT, Participant
from benchmarks.contest.rows import Row

PATIENCE = 180.0
"""Seconds in which a participant has to answer; filling a long history counts."""
_FACTOR = {"us": 1e6, "ms": 1e3, "MB": 1e-6}


@dataclass(slots=True)
class Figures:
    """What one participant needed for one row and size."""

    found: list[float] = field(default_factory=list)
    """One figure a round: seconds, or bytes of memory."""
    on_disk: list[int] = field(default_factory=list)
    """The bytes in its folder afterwards, likewise."""
    failure: str = ""
    """Why there are no figures, or no more of them."""

    def in_units(self, row: Row) -> list[float]:
        return [found * _FACTOR[row.unit] for found in self.found]

    def megabytes_on_disk(self) -> list[float]:
        return [size / 1e6 for size in self.on_disk]


class ParticipantProcess:
    """A subprocess that does the work of one row whenever it is asked; its failure is a result like any other."""

    def __init__(
        self, participant: Participant, row: Row, orders: dict[str, Any], *, patience: float = PATIENCE
    ) -> None:
        self.participant = participant
        self.failure = ""
        self._patience = patience
        self._log = TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [
            participant.python,
            "-m",
            "benchmarks.contest.serve",
            participant.module,
            row.name,
            json.dumps(orders),
        ]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
        )

    def take_turn(self, size: int, figures: Figures) -> None:
        """Do the work of this size once, and note what it took. After a failure, nothing more is asked of the process."""
        answer = {} if self.failure else self._ask(size)
        self.failure = self.failure or answer.get("error", "")
        if self.failure:
            figures.failure = self.failure
        else:
            figures.found.append(answer["found"])
            figures.on_disk.append(answer.get("on_disk", 0))

    def close(self) -> None:
        """End the process."""
        pipes = (self._process.stdin, self._process.stdout)
        for pipe in pipes:
            if pipe is not None:
                _close_quietly(pipe)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _ask(self, size: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{size}\n")
        except BrokenPipeError:
            return self._last_word("it ended")
        if not _is_readable(self._process.stdout, self._patience):
            self._process.kill()
            return self._last_word(f"no answer in {self._patience:.0f} s")
        line = self._process.stdout.readline()
        return json.loads(line) if line else self._last_word("it ended")

    def _last_word(self, what: str) -> dict[str, Any]:
        # A process that could not begin has answered before it was asked.
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return {"error": f"{what}: {lines[-1][:200]}" if lines else what}


def _environment() -> dict[str, str]:
    """Ours, without what would lead a peer's Python to our packages, or out to a network."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "SPARK_"))
    }
    return kept | {"LANGSMITH_TRACING": "false", "DO_NOT_TRACK": "1"}


def _is_readable(pipe: Any, patience: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        give_up = time.monotonic() + patience
        return bool(selector.select(max(0.0, give_up - time.monotonic())))


def _close_quietly(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return
