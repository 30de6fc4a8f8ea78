"""A page in which measured blocks stand between two comments, so that they can be measured again."""

from __future__ import annotations

import re
from pathlib import Path


def replaced(text: str, name: str, block: str) -> str:
    """The page with another block of this name.

    :raises ValueError: it has no such block, or two.
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"The page needs one block {begin} … {end}.")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n\n{block.strip()}\n\n{end}", text)


def names(text: str) -> list[str]:
    """Of its blocks, in order."""
    return re.findall(r"<!-- measured: (\S+) -->", text)


def rewrite(file: Path, name: str, block: str) -> None:
    file.write_text(replaced(file.read_text(encoding="utf-8"), name, block), encoding="utf-8")
