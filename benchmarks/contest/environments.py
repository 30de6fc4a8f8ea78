"""An environment for each peer, below a folder of their own: what a peer needs never meets what we need."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.contest.participants import Participant

PATIENCE = 300.0
"""Seconds in which one environment has to be made."""


def install(participants: Sequence[Participant]) -> None:
    """Make each environment that is missing, or was made from other pins; one that can't be made is named, and left out."""
    for participant in participants:
        if _made_from(participant) == list(participant.pins):
            continue
        print(f"Installing {', '.join(participant.pins)} …", file=sys.stderr)
        try:
            _make(participant)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(participant.environment, ignore_errors=True)
            said = getattr(error, "stderr", None) or str(error)
            print(f"{participant.name} is left out, its environment can't be made: {said.strip()}", file=sys.stderr)


def _make(participant: Participant) -> None:
    """Packages that the pins bring along are no newer than the workspace's ``exclude-newer``, which uv reads itself."""
    folder = participant.environment
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--python", str(participant.python), *participant.pins)
    (folder / "pins.json").write_text(json.dumps(participant.pins))


def _made_from(participant: Participant) -> list[str] | None:
    file = participant.environment / "pins.json"
    made: list[str] | None = json.loads(file.read_text()) if file.exists() else None
    return made


def _uv(*arguments: str) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise FileNotFoundError("uv is not here; run `make bench-peers`, or install it")
    subprocess.run([uv, "--quiet", *arguments], check=True, capture_output=True, text=True, timeout=PATIENCE)
