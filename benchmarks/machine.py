"""What the figures were measured on, in one line."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine() -> str:
    """The date, Python's version, ours, those of pydantic and SQLAlchemy, the system, and the processor."""
    versions = ", ".join(
        f"{name} {found}" for name in ("spark-graphs", "pydantic", "sqlalchemy") if (found := _version(name))
    )
    python = f"{platform.python_implementation()} {platform.python_version()}"
    kernel = ".".join(platform.release().split(".")[:2])
    processor = f"{os.cpu_count()} cores ({_processor()})"
    return f"{datetime.now(UTC):%Y-%m-%d}: {python}, {versions}, {platform.system()} {kernel}, {processor}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """As the kernel names it, where it does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
