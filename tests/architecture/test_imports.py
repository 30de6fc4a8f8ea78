"""Which part may know which: the direction of imports, and what an import must not drag along."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "src"
PLUGINS = sorted(path for path in (ROOT / "plugins").glob("*/src/spark_*") if path.is_dir())

LAYERS = [
    ["spark.errors", "spark.wording"],
    ["spark.graphs.values", "spark.graphs.clock"],
    ["spark.graphs.state.journal"],
    ["spark.graphs.message", "spark.graphs.progress"],
    ["spark.graphs.events.kinds", "spark.graphs.events.activity"],
    ["spark.graphs.concurrency"],
    ["spark.hooks"],
    ["spark.builtin", "spark._pyinstaller"],
    ["spark.graphs.state"],
    ["spark.graphs.definition"],
    ["spark.graphs.checkpoint.ids", "spark.graphs.checkpoint.calls"],
    ["spark.graphs.checkpoint.links", "spark.graphs.checkpoint.sections", "spark.graphs.checkpoint.pending"],
    ["spark.graphs.checkpoint.records"],
    ["spark.graphs.checkpoint.serialization", "spark.graphs.checkpoint.policies"],
    ["spark.graphs.checkpoint.manual"],
    ["spark.graphs.checkpoint.model", "spark.graphs.checkpoint.migrations"],
    ["spark.graphs.checkpoint.encoding", "spark.graphs.checkpoint.observers"],
    ["spark.graphs.checkpoint.storage"],
    ["spark.graphs.checkpoint.derived", "spark.graphs.checkpoint.inspection"],
    ["spark.graphs.checkpoint.maintenance", "spark.graphs.checkpoint.editing", "spark.graphs.checkpoint.configuration"],
    ["spark.graphs.checkpoint.recording"],
    ["spark.graphs.checkpoint"],
    ["spark.graphs.tasks"],
    ["spark.graphs.events"],
    *(
        [f"spark.graphs.executors.{name}" for name in names]
        for names in (
            ["values"],
            ["references"],
            ["functions"],
            ["messages"],
            ["contract"],
            ["writes", "failures", "local", "room", "choosing"],
        )
    ),
    ["spark.graphs.engine"],
    ["spark.graphs.executors"],
    ["spark.graphs.resuming"],
    ["spark.graphs.arguments"],
    ["spark.graphs.running", "spark.graphs.restored"],
    ["spark.graphs.graph"],
    ["spark.graphs"],
]
"""From the ground up, rooms and files, the longest name that fits counts; a file may import from its own layer and below."""
CHECKPOINT = "spark.graphs.checkpoint"
CHECKPOINT_USED_FROM = {
    "spark.graphs.events",
    "spark.graphs.executors",
    "spark.graphs.engine",
    "spark.graphs.resuming",
    "spark.graphs.arguments",
    "spark.graphs.running",
    "spark.graphs.restored",
    "spark.graphs.graph",
}
"""Checkpoints are handed plain data: what a graph is made of knows nothing of them, nor they of it,"""
GRAPHS_USED_FROM = {"spark.graphs.checkpoint.editing"}
"""but where somebody edits what a run has left pending."""
LOW_STATE = "spark.graphs.state.journal"
"""What of the state is below checkpoints."""
PUBLIC = {
    "spark.errors",
    "spark.hooks",
    "spark.graphs",
    "spark.graphs.checkpoint",
    "spark.graphs.checkpoint.storage",
    "spark.graphs.events",
    "spark.graphs.executors",
    "spark.graphs.tasks",
}
"""What plugins may import from."""
BENEATH_PLUGINS = {"spark_drawing": {"spark_cli", "spark_ui"}}
"""A library that is no plugin itself, to the plugins that stand on it: the one exception to their never importing each other."""
MOST_FILES = 16
"""In one room, besides the file that opens it."""


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """What a file imports, also inside functions and for type checkers only: modules, and the names out of them."""
    for found in import_statements(path.read_text()):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            yield found.module or ""
            yield from (f"{found.module}.{alias.name}" for alias in found.names)


@cache
def import_statements(source: str) -> list[ast.AST]:
    return [found for found in ast.walk(ast.parse(source)) if isinstance(found, ast.Import | ast.ImportFrom)]


def imported_files(root: Path) -> dict[str, set[str]]:
    """Each module to the modules of the same tree that it imports; a package is only meant where a name of its own is."""
    names = {module_name(path, root): path for path in modules(root)}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        for found in import_statements(path.read_text()):
            if isinstance(found, ast.Import):
                graph[name] |= {alias.name for alias in found.names} & names.keys()
            elif isinstance(found, ast.ImportFrom):
                whole = {f"{found.module}.{alias.name}" for alias in found.names}
                graph[name] |= whole & names.keys()
                if not whole <= names.keys():
                    graph[name] |= {found.module or ""} & names.keys()
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Those modules that can be reached from themselves, in groups that reach each other."""
    reached = {name: reachable(graph, name) for name in graph}
    found = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return [list(group) for group in sorted(found)]


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for name in graph[ahead.pop()] - seen:
            seen.add(name)
            ahead.append(name)
    return seen


def test_no_two_files_of_the_core_import_each_other_not_even_in_a_circle() -> None:
    assert circles(imported_files(CORE)) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from core.low import Low",
        "def late():\n    from core.low import Low",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from core import low",
        "import core.low",
    ],
)
def test_a_circle_of_imports_is_found_however_it_is_written(planted: str, tmp_path: Path) -> None:
    files = {
        "__init__": "",
        "low": "from core.middle import Middle",
        "middle": "from core import high",
        "high": planted,
    }
    (tmp_path / "core").mkdir()
    for name, source in files.items():
        (tmp_path / "core" / f"{name}.py").write_text(source)

    assert circles(imported_files(tmp_path)) == [["core.high", "core.low", "core.middle"]]

    (tmp_path / "core" / "high.py").write_text("")
    assert circles(imported_files(tmp_path)) == []


def layer_of(name: str) -> int:
    fitting = [
        (len(room), number)
        for number, layer in enumerate(LAYERS)
        for room in layer
        if name == room or name.startswith(f"{room}.")
    ]
    return max(fitting)[1]


def test_core_imports_point_downwards() -> None:
    graph = imported_files(CORE)
    del graph["spark.hooks"]  # exports what is inside, on first use

    assert [
        f"{name} imports {other}, which stands above it"
        for name, imported in graph.items()
        for other in imported
        if layer_of(other) > layer_of(name)
    ] == []


def is_in(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def test_the_core_imports_no_plugin() -> None:
    assert [
        f"{name} imports the plugin {imported}"
        for name, imported in imports_of_the_core()
        if imported.startswith("spark_") and name != CHECKPOINT
    ] == []


def test_graphs_know_checkpoints_only_where_they_run() -> None:
    assert [
        f"{name} imports {imported}"
        for name, imported in imports_of_the_core()
        if imported.startswith(CHECKPOINT) and not name.startswith(CHECKPOINT) and not is_in(name, CHECKPOINT_USED_FROM)
    ] == []


def test_checkpoints_know_nothing_of_graphs_but_where_somebody_edits_pending_work() -> None:
    above = ("spark.graphs.state.", "spark.graphs.definition.")

    assert [
        f"{name} imports {imported}"
        for name, imported in imports_of_the_core()
        if is_in(name, {CHECKPOINT})
        and imported.startswith(above)
        and not imported.startswith(LOW_STATE)
        and not is_in(name, GRAPHS_USED_FROM)
    ] == []


def imports_of_the_core() -> list[tuple[str, str]]:
    """The names of modules, each with something that it imports."""
    return [(module_name(path, CORE), imported) for path in modules(CORE) for imported in imports(path)]


def test_a_room_can_be_taken_in_at_a_glance() -> None:
    files = Counter(path.parent for path in modules(CORE) if path.name != "__init__.py")

    assert {room: count for room, count in files.items() if count > MOST_FILES} == {}


def test_plugins_import_only_public_names() -> None:
    core = {module_name(path, CORE) for path in modules(CORE)}
    for path in (path for plugin in PLUGINS for path in modules(plugin)):
        package = path.relative_to(ROOT).parts[3]
        own = {package, f"spark_{path.parent.name}_example"}  # what a template of the kit becomes
        own |= {library for library, users in BENEATH_PLUGINS.items() if package in users}
        for imported in imports(path):
            top = imported.partition(".")[0]
            assert not top.startswith("spark_") or top in own, f"{path} imports another plugin: {imported}"
            if top == "spark":
                home = imported if imported in PUBLIC else imported.rpartition(".")[0]
                assert home in PUBLIC, f"{path} imports {imported}, which is not public"
                assert imported in PUBLIC or imported not in core, f"{path} imports {imported}, which is not public"


def test_files_stay_one_noun() -> None:
    """Past about 400 lines a file is two."""
    lengths = {path: len(path.read_text().splitlines()) for folder in (CORE, *PLUGINS) for path in modules(folder)}

    assert len(lengths) > 300
    assert {path: length for path, length in lengths.items() if length > 420} == {}


def test_packages_only_export() -> None:
    packages = [path for folder in (CORE, *PLUGINS) for path in folder.rglob("__init__.py")]
    defined = {
        f"{path}: {found.name}"
        for path in packages
        for found in ast.parse(path.read_text()).body
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and found.name not in ("__getattr__", "__dir__")
    }

    assert defined == set()


OUR_PLUGINS = {
    "spark_backend_file",
    "spark_backend_s3",
    "spark_backend_sql",
    "spark_cli",
    "spark_drawing",
    "spark_executor_process",
    "spark_executor_ray",
    "spark_format_msgpack",
    "spark_format_pickle",
    "spark_observer_otel",
    "spark_testing",
    "spark_types_arrays",
    "spark_ui",
}
HEAVY = {
    "pluggy",
    "pydantic",
    "numpy",
    "sqlalchemy",
    "fsspec",
    "s3fs",
    "ray",
    "importlib.metadata",
    "importlib_metadata",
    *OUR_PLUGINS,
}
FOR_WAITING = {
    "spark.graphs.checkpoint.derived.history",
    "spark.graphs.definition.dialogue",
    "spark.graphs.definition.retry",
    "spark.graphs.engine.time_limits",
    "spark.graphs.engine.waiting.waits",
}
"""What leads to all that only steps need which wait, are tried again, or have time limits."""
FOR_LOOKING = {
    "spark.graphs.checkpoint.maintenance.manager",
    "spark.graphs.checkpoint.maintenance.reader",
    "spark.graphs.checkpoint.maintenance.verification",
    "spark.graphs.checkpoint.pending",
    "spark.graphs.checkpoint.storage.absent",
    "spark.graphs.checkpoint.storage.usage",
    "spark.graphs.restored",
}
"""The same of what only people and programs need who look at stored runs, or begin with one."""


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_no_plugin_and_nothing_heavy() -> None:
    """People pay for what they use; and a plugin that is broken must not break an import."""
    loaded = loaded_after("import spark.graphs, spark.graphs.checkpoint")

    assert "spark.graphs.graph" in loaded
    assert not loaded & HEAVY


def test_a_run_that_waits_for_nothing_loads_nothing_of_what_waiting_and_looking_take() -> None:
    loaded = loaded_after(
        "import asyncio\n"
        "from spark.graphs import Graph, node\n"
        "from spark.graphs.checkpoint import CheckpointConfig\n"
        "@node\n"
        "async def work(context): return {}\n"
        "asyncio.run(Graph(start=work, id='plain', checkpoint_config=CheckpointConfig(backend='memory://')).run())"
    )

    assert "spark.graphs.engine.run" in loaded
    assert not loaded & (FOR_WAITING | FOR_LOOKING)


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
        "ray",
    }
