"""The tutorial's programs do what it shows: one is killed in a shell, and resumed; the other is the example of that name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.spec.page import ROOT, Block, blocks

TUTORIAL = ROOT / "docs" / "tutorial.md"

UNSHOWN = re.compile(r"^(export|spark (answer|runs|send|show)|spark checkpoints (list|show|copy))\b")
"""Commands whose output the page leaves out, as it differs from run to run; the tests of the command try these."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader has written ``invoices.py``, as the page says: from all Python up to *Run it*."""
    program = [block.code for block in python_before("Run it")]
    (tmp_path / "invoices.py").write_text("\n\n".join(program))
    return tmp_path


def test_the_commands_of_the_tutorial_print_what_it_shows(folder: Path) -> None:
    url = f"file://{folder}/checkpoints"

    for command, shown in commands():
        printed = typed(command, folder=folder, url=url)
        shown, is_cut, _ = shown.partition("...\n")
        assert printed == shown or (is_cut and printed.startswith(shown)), command

    keys = [line.split()[0] for line in (folder / "sent.txt").read_text().splitlines()]
    assert (len(keys), len(set(keys))) == (5, 4), "five lines and only four different keys"


def test_the_agent_of_the_tutorial_is_the_example() -> None:
    """Without its docstrings and types: the pieces that a reader puts together can be run as they are."""
    example = definitions((ROOT / "examples" / "refund_agent.py").read_text())
    section = [block.code for block in blocks(TUTORIAL) if block.section == "An agent that asks before it pays"]

    shown = definitions("\n\n".join(code for code in section if not code.startswith("$")))

    assert shown == {name: code for name, code in example.items() if name not in ("main", "run_unattended")}


def definitions(code: str) -> dict[str, str]:
    """What the code defines at its top, by name, as whoever leaves out docstrings and types would write it."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree = compile(code, "code", "exec", flags=flags)
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name: ast.unparse(Plain().visit(each)) for each in tree.body if isinstance(each, kinds)}


class Plain(ast.NodeTransformer):
    """Leaves out docstrings and types, but not those of a pydantic model, which it needs."""

    def visit_ClassDef(self, found: ast.ClassDef) -> ast.AST:
        return self._without_docstring(found)

    def visit_FunctionDef(self, found: ast.FunctionDef) -> ast.AST:
        found.returns = None
        return self._without_docstring(found)

    def visit_AsyncFunctionDef(self, found: ast.AsyncFunctionDef) -> ast.AST:
        found.returns = None
        return self._without_docstring(found)

    def visit_arg(self, found: ast.arg) -> ast.AST:
        found.annotation = None
        return found

    def visit_AnnAssign(self, found: ast.AnnAssign) -> ast.AST:
        if isinstance(found.target, ast.Name):
            return found
        assert found.value is not None
        return ast.Assign([found.target], found.value, lineno=found.lineno)

    def _without_docstring(self, found: Any) -> ast.AST:
        if ast.get_docstring(found) is not None:
            found.body = found.body[1:]
        return self.generic_visit(found)


def python_before(section: str) -> list[Block]:
    found = list(blocks(TUTORIAL))
    end = next(number for number, block in enumerate(found) if block.section == section)
    return [block for block in found[:end] if block.language == "python"]


def commands() -> list[tuple[str, str]]:
    """Each command that is typed after a ``$``, and what the page shows below it."""
    shells = [block.code for block in blocks(TUTORIAL) if block.code.startswith("$ ")]
    typed = [part.partition("\n") for code in shells for part in re.split(r"^\$ ", code, flags=re.MULTILINE) if part]
    return [(command, shown) for command, _, shown in typed if not UNSHOWN.match(command)]


def typed(command: str, *, folder: Path, url: str) -> str:
    """What a shell prints, in which Python and the command are those of this test."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "SPARK_CHECKPOINT_URL": url}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.stderr in ("", "Killed\n")
    return done.stdout
