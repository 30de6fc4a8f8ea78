"""What ``spark --version`` says."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def versions() -> str:
    """The versions of the core, of this command and of Python, and how many plugins are installed."""
    from spark.hooks import find_candidates

    plugins = sum(each.distribution != "spark-graphs" for each in find_candidates())
    counted = f"{plugins} plugin{'' if plugins == 1 else 's'}"
    python = f"Python {platform.python_version()}"
    return (
        f"spark-graphs {_version('spark-graphs')}, spark-graphs-cli {_version('spark-graphs-cli')}, {python}, {counted}"
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(version unknown)"
