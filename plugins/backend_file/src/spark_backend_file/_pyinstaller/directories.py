"""Where PyInstaller finds the hook: it asks by the entry point group ``pyinstaller40``."""

from __future__ import annotations

from pathlib import Path


def hook_directories() -> list[str]:
    """This folder."""
    return [str(Path(__file__).parent)]
