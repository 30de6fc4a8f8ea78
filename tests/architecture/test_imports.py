"""Which part may know which: the direction of imports, and what an import must not drag along."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "src"
PLUGINS = sorted(path for path in (ROOT / "plugins").glob("*/src/spark_*") if path.is_dir())

LAYERS = [
    {"spark.errors"},
    {"spark.hooks"},
    {
        "spark.graphs.values.snapshots",
        "spark.graphs.concurrency.blocking",
        "spark.graphs.values.loaded",
        "spark.graphs.message",
        "spark.graphs.progress",
        "spark.graphs.values.containers",
        "spark.graphs.values.failures",
        "spark.graphs.concurrency.patience",
    },
    {
        "spark.graphs.definition.edges",
        "spark.graphs.state.transactions",
        "spark.graphs.state.frontier",
        "spark.graphs.tasks",
    },
    {"spark.graphs.state.step_state"},
    {"spark.graphs.definition.nodes", "spark.graphs.definition.plan"},
    {"spark.graphs.definition.topology", "spark.graphs.definition.context"},
    {
        "spark.graphs.engine.run",
        "spark.graphs.engine.ending",
        "spark.graphs.resuming.restore",
        "spark.graphs.arguments",
        "spark.graphs.resuming.recorded",
        "spark.graphs.resuming.identity",
        "spark.graphs.resuming.renaming",
        "spark.graphs.resuming.inputs",
        "spark.graphs.resuming.origin",
        "spark.graphs.resuming.standing",
    },
    {"spark.graphs.graph"},
]
"""From the ground up; a module may import from its own layer and those below."""
CHECKPOINT = "spark.graphs.checkpoint"
CHECKPOINT_USES = LAYERS[0] | LAYERS[1] | LAYERS[2]
"""Checkpoints are handed plain data, and know nothing of graphs."""
CHECKPOINT_USED_FROM = LAYERS[-2] | LAYERS[-1]
PUBLIC = {
    "spark.errors",
    "spark.hooks",
    "spark.graphs",
    "spark.graphs.checkpoint",
    "spark.graphs.checkpoint.records.framing",
    "spark.graphs.concurrency.pace",
    "spark.graphs.tasks",
}
"""What plugins may import from."""


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, for_types: bool = False) -> Iterator[str]:
    """The modules that a file imports when it runs, also inside functions; those for type checkers only if asked for."""
    tree = ast.parse(path.read_text())
    for_types_only = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING" and not for_types
        for inner in ast.walk(outer)
    }
    for found in ast.walk(tree):
        if found in for_types_only:
            continue
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            yield found.module or ""
            yield from (f"{found.module}.{alias.name}" for alias in found.names)


def layer_of(name: str) -> int | None:
    for number, layer in enumerate(LAYERS):
        if any(name == member or name.startswith(f"{member}.") for member in layer):
            return number
    return None


@pytest.mark.parametrize("path", modules(CORE), ids=lambda path: module_name(path, CORE))
def test_core_imports_point_downwards(path: Path) -> None:
    name = module_name(path, CORE)
    if path.name == "__init__.py" and not name.startswith("spark.hooks"):
        return  # packages export what is inside them
    for imported in imports(path):
        if not imported.startswith("spark."):
            assert not imported.startswith("spark_"), f"{name} imports the plugin {imported}"
        elif name.startswith(CHECKPOINT):
            assert imported.startswith(CHECKPOINT) or layer_of(imported) in (0, 1, 2, None), (
                f"{name} imports {imported}"
            )
        elif imported.startswith(CHECKPOINT):
            assert any(name == user for user in CHECKPOINT_USED_FROM), f"{name} imports {imported}"
        elif (theirs := layer_of(imported)) is not None:
            mine = layer_of(name)
            assert mine is not None, f"{name} stands in no layer; give it a place in LAYERS"
            assert theirs <= mine, f"{name} imports {imported}, which stands above it"


@pytest.mark.parametrize("path", [path for plugin in PLUGINS for path in modules(plugin)], ids=lambda path: path.stem)
def test_plugins_import_only_public_names(path: Path) -> None:
    own = path.relative_to(ROOT).parts[3]
    for imported in imports(path, for_types=True):
        top = imported.partition(".")[0]
        assert not top.startswith("spark_") or top == own, f"{path} imports another plugin: {imported}"
        if top == "spark":
            home = imported if imported in PUBLIC else imported.rpartition(".")[0]
            assert home in PUBLIC, f"{path} imports {imported}, which is not public"


@pytest.mark.parametrize(
    "path", [p for f in (CORE, *PLUGINS) for p in modules(f)], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_files_stay_one_noun(path: Path) -> None:
    """Past about 400 lines a file is two."""
    assert len(path.read_text().splitlines()) <= 420


@pytest.mark.parametrize("path", [p for f in (CORE, *PLUGINS) for p in f.rglob("__init__.py")], ids=str)
def test_packages_only_export(path: Path) -> None:
    defined = [
        found.name
        for found in ast.parse(path.read_text()).body
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert set(defined) <= {"__getattr__", "__dir__"}


OUR_PLUGINS = {
    "spark_backend_file",
    "spark_backend_s3",
    "spark_backend_sql",
    "spark_cli",
    "spark_serializer_pickle",
    "spark_testing",
}
HEAVY = {"pluggy", "pydantic", "sqlalchemy", "fsspec", "s3fs", "importlib.metadata", *OUR_PLUGINS}


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_no_plugin_and_nothing_heavy() -> None:
    """People pay for what they use; and a plugin that is broken must not break an import."""
    loaded = loaded_after("import spark.graphs, spark.graphs.checkpoint")

    assert "spark.graphs.graph" in loaded
    assert not loaded & HEAVY


def test_memory_and_json_need_no_scan_of_plugins() -> None:
    loaded = loaded_after(
        "import asyncio\n"
        "from spark.graphs import ExitNode, Graph\n"
        "from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend\n"
        "Graph(start=ExitNode(), checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()))"
    )

    assert not loaded & OUR_PLUGINS


def test_finding_out_what_plugins_provide_loads_neither_the_engine_nor_what_they_provide() -> None:
    """Python imports a plugin's package along with the module that describes it, so that must be light as well."""
    loaded = loaded_after("import spark.hooks; spark.hooks.plugins()")

    assert {"spark_backend_file.plugin", "spark_backend_s3.plugin", "spark_backend_sql.plugin"} <= loaded
    assert not loaded & {
        "spark.graphs",
        "spark_backend_file.backend",
        "spark_backend_s3.backend",
        "spark_backend_sql.backend",
        "sqlalchemy",
        "fsspec",
        "s3fs",
    }
