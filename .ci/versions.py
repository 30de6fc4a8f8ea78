"""Say what the tests run with: Python, and the version of each dependency that a distribution of the project declares."""

from __future__ import annotations

import platform
import re
from importlib.metadata import distributions, version

OURS = "spark-graphs"
ASKED_FOR = re.compile(r"([A-Za-z0-9._-]+)")


def main() -> None:
    installed = {found.name.lower(): found for found in distributions()}
    declared = {
        match[0].lower()
        for name, found in installed.items()
        if name.startswith(OURS)
        for requirement in found.requires or ()
        if (match := ASKED_FOR.match(requirement))
    }
    shown = sorted(name for name in declared if name in installed and not name.startswith(OURS))
    print(f"Python {platform.python_version()}:", ", ".join(f"{name} {version(name)}" for name in shown))


main()
