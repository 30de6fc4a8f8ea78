"""Make a project of your own from a template: ``python plugins/templates/render.py NAME DIRECTORY``.

The template is a working project whose name is ``example``; rendering copies it under another name.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

TEMPLATE = Path(__file__).with_name("backend")
_BUILT = {"__pycache__", ".pytest_cache", "dist"}


def render(name: str, target: Path) -> list[Path]:
    """Copy the template to a new directory, under this name; the files that it wrote.

    :param name: lower case letters and digits, for instance ``redis``: the URL scheme, and part of every other name.
    :raises ValueError: the name can't be used.
    :raises FileExistsError: there is something at the target.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):
        raise ValueError(f"{name!r}: a name has lower case letters and digits, a letter first.")
    target.mkdir(parents=True)
    written = []
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_file() and not _BUILT & {*source.parts}:
            file = target / _renamed(str(source.relative_to(TEMPLATE)), name)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            file.write_text(text if source.name == "LICENSE" else _renamed(text, name), encoding="utf-8")
            written.append(file)
    return written


def _renamed(text: str, name: str) -> str:
    return text.replace("example", name).replace("Example", name.capitalize())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a backend of your own for spark-graphs.")
    parser.add_argument("name", help="for instance redis: the URL scheme, and part of every other name")
    parser.add_argument("directory", type=Path, help="where to write the project; it must not exist yet")
    arguments = parser.parse_args()
    for path in render(arguments.name, arguments.directory):
        print(path)
