"""Who takes part: ours, the floor, and one module for each peer, read without being imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest.rows import ROWS, Row

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".peers"
"""One for each peer, made by ``make bench-peers``."""

_HEADER = re.compile(r"^# /// script\n(?P<lines>(?:#.*\n)*?)# ///$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Participant:
    """A module that does the work of the rows, and the Python that runs it."""

    name: str
    """What the table calls it: its ``NAME``."""
    module: str
    python: Path
    says: str
    """Its docstring: what it uses, and what it really makes durable."""
    does: frozenset[str]
    """The names of the rows that it has a function for."""
    leaves_out: dict[str, str]
    """The names of the other rows, and why: its ``LEFT_OUT``."""
    limits: dict[str, int]
    """The largest size of rows whose cost grows too much beyond it: its ``LIMITS``."""
    pins: tuple[str, ...]
    """The distributions that its environment is made from."""

    @property
    def environment(self) -> Path:
        """The folder of its environment."""
        return self.python.parents[1]

    @property
    def is_installed(self) -> bool:
        return self.python.exists()

    def takes_part_in(self, row: Row) -> bool:
        return row.name in self.does

    def goes_to(self, row: Row, size: int) -> bool:
        return size <= self.limits.get(row.name, size)


def ours_and_floor() -> list[Participant]:
    """The two that run in our own environment."""
    folder = Path(__file__).parent
    python = Path(sys.executable)
    return [participant(folder / "floor.py", python=python), participant(folder / "ours.py", python=python)]


def peers(folder: Path = PEERS) -> list[Participant]:
    """Each module of the folder of peers."""
    files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    return [participant(path, python=ENVIRONMENTS / path.stem / "bin" / "python") for path in files]


def participant(path: Path, *, python: Path) -> Participant:
    """What a module says about itself.

    :raises ValueError: it lacks its docstring or name, or says nothing about a row.
    """
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, filename=str(path))
    constants = _constants(tree)
    known = {row.name for row in ROWS}
    does = (_defined(tree) & known) | ({"imports"} if "IMPORTS" in constants else set())
    leaves_out: dict[str, str] = constants.get("LEFT_OUT", {})
    silent = known - does - set(leaves_out)
    if silent or "NAME" not in constants or not ast.get_docstring(tree):
        raise ValueError(
            f"{path} needs a docstring, a NAME, and a function or a line in LEFT_OUT for: {sorted(silent)}."
        )
    return Participant(
        name=constants["NAME"],
        module=".".join(path.relative_to(ROOT).with_suffix("").parts),
        python=python,
        says=ast.get_docstring(tree) or "",
        does=frozenset(does),
        leaves_out=leaves_out,
        limits=constants.get("LIMITS", {}),
        pins=_pins(source),
    )


def _defined(tree: ast.Module) -> set[str]:
    functions = {found.name for found in tree.body if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = {
        target.id
        for found in tree.body
        if isinstance(found, ast.Assign)
        for target in found.targets
        if isinstance(target, ast.Name)
    }
    return functions | assigned


def _constants(tree: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in ("NAME", "IMPORTS", "LEFT_OUT", "LIMITS"):
                found[name] = ast.literal_eval(statement.value)
    return found


def _pins(source: str) -> tuple[str, ...]:
    header = _HEADER.search(source)
    if header is None:
        return ()
    lines = (line.removeprefix("#").removeprefix(" ") for line in header["lines"].splitlines())
    return tuple(tomllib.loads("\n".join(lines)).get("dependencies", ()))
