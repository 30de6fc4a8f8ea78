"""A page of the documentation, above all the specification, as the code blocks that it holds."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional

import spark.graphs
import spark.graphs.checkpoint

ROOT = Path(__file__).parents[2]

PAGE = ROOT / "docs" / "graph-checkpointing.md"
"""The specification: what functions below are about when they are not given another page."""

DIRECTORIES = ("/var/lib/spark/checkpoints", "/var/checkpoints")
"""What the page writes to; beside the addresses of its databases the only text of it that is replaced."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_HEADING = re.compile(r"^(?P<marks>#{2,3}) (?P<title>.+)$")


@dataclass(frozen=True)
class Block:
    """One fenced code block of a page."""

    page: Path
    section: str
    """The ``##`` heading it stands under."""
    heading: str
    """The ``###`` heading below that."""
    number: int
    """Its place among the blocks of that heading, from 1."""
    line: int
    """Where on the page its code begins."""
    language: str
    """What the fence says: ``python``, or nothing."""
    code: str
    """The code as it stands on the page, without the indentation that it shares with a list."""

    def source(self, directory: Path, *, addresses: Mapping[str, str] = MappingProxyType({})) -> str:
        """The code, with the page's directories replaced by one that a test may write to, and its databases likewise.

        :param addresses: of databases, from the page's to the test's.
        """
        code = self.code
        for name, address in addresses.items():
            assert repr(name) in code, f"The block does not speak of {name}"
            code = code.replace(repr(name), repr(address))
        for name in DIRECTORIES:
            code = code.replace(f"'{name}'", repr(str(directory)))
        return code

    async def run(
        self, given: Mapping[str, Any], *, directory: Path, addresses: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Any]:
        """Execute the code, where ``await`` may stand at the top, and return every name that it knows at its end.

        :param given: the names that the page leaves to the reader.
        :param addresses: as ``source`` takes them.
        """
        names = {"__name__": "the_page", **imported_on_the_page(), **given}
        await self.run_among(names, directory=directory, addresses=addresses)
        return names

    async def run_among(
        self, names: dict[str, Any], *, directory: Path, addresses: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Execute the code, where ``await`` may stand at the top, among these names, which it changes."""
        # Empty lines above, so that a traceback shows the line of the page.
        source = "\n" * (self.line - 1) + self.source(directory, addresses=addresses)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, str(self.page), "exec", flags=flags, dont_inherit=True)
        running = eval(code, names)
        if inspect.isawaitable(running):
            await running

    def written_signature(self) -> tuple[Any, inspect.Signature]:
        """Of a block such as ``backend = Backend(directory: str, …)``: what it imports, and the signature it writes down.

        The annotations of the signature are the page's own text.
        """
        call = re.search(r"^\w+ = (?P<name>\w+)\((?P<parameters>.*)^\)", self.code, re.DOTALL | re.MULTILINE)
        assert call, f"Line {self.line} of the page writes down no signature"
        names: dict[str, Any] = {}
        exec(self.code[: call.start()], names)
        exec(f"from __future__ import annotations\ndef written({call['parameters']}): ...", names)
        return names[call["name"]], inspect.signature(names["written"])


@cache
def blocks(page: Path = PAGE) -> tuple[Block, ...]:
    """All code blocks, in the order of the page."""
    found: list[Block] = []
    section = heading = ""
    fence: re.Match[str] | None = None
    begin = 0
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if match := _FENCE.match(line):
            if fence is None:
                fence, begin = match, number + 1
                continue
            code = textwrap.dedent("\n".join(lines[begin - 1 : number - 1])) + "\n"
            place = 1 + sum((block.section, block.heading) == (section, heading) for block in found)
            found.append(Block(page, section, heading, place, begin, fence["language"], code))
            fence = None
        elif fence is None and (title := _HEADING.match(line)):
            if title["marks"] == "##":
                section, heading = title["title"], ""
            else:
                heading = title["title"]
    return tuple(found)


def block(section: str, heading: str, number: int = 1) -> Block:
    """The block with this place on the page."""
    for found in blocks():
        if (found.section, found.heading, found.number) == (section, heading, number):
            return found
    raise LookupError(f"The page has no block {number} under {section!r} / {heading!r}")


def headings(level: int = 2) -> list[str]:
    """The headings of one level, outside of code."""
    marks = "#" * level + " "
    text = re.sub(r"^ *```.*?^ *```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [line.removeprefix(marks) for line in text.splitlines() if line.startswith(marks)]


def section_text(section: str) -> str:
    """Everything under a ``##`` heading, up to the next one."""
    text = PAGE.read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition(f"\n## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a ``###`` heading, without their backticks."""
    below = PAGE.read_text(encoding="utf-8").partition(f"\n### {heading}\n")[2]
    rows = re.search(r"^\|.*?(?=\n\n)", below, re.DOTALL | re.MULTILINE)
    assert rows, f"No table under {heading!r}"
    cells = [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[0].splitlines()]
    return cells[2:]


@cache
def imported_on_the_page() -> dict[str, Any]:
    """What a reader who follows the page has imported: the library's names, and those of Python that blocks share."""
    names: dict[str, Any] = {"datetime": datetime, "timedelta": timedelta, "List": list, "Optional": Optional}
    for module in (spark.graphs, spark.graphs.checkpoint):
        names |= {name: getattr(module, name) for name in module.__all__}
    for name in ("FileCheckpointBackend", "DatabaseCheckpointBackend"):
        with suppress(ImportError):  # where the core is tried alone, it is not installed
            names[name] = getattr(spark.graphs.checkpoint, name)
    return names


def file_name(section: str) -> str:
    """The test file of a ``##`` heading."""
    return f"test_{re.sub(r'[^a-z]+', '_', section.lower())}.py"
