"""What works, and what is said, with nothing but these distributions installed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.install.programs import COUNT_TO_SIX, IN_MEMORY
from tests.install.wheels import Environment
from tests.plugins.support.s3.servers import S3Server


def test_the_core_alone_runs_a_graph_that_checkpoints_in_memory(core_only: Environment, tmp_path: Path) -> None:
    assert core_only.print(IN_MEMORY, directory=tmp_path).split("\n")[:2] == ["hello world", "1"]


@pytest.mark.parametrize(
    ("backend", "extra"),
    [("FileCheckpointBackend", "file"), ("DatabaseCheckpointBackend", "sql"), ("S3CheckpointBackend", "s3")],
)
def test_importing_a_backend_that_is_not_installed_says_what_to_install(
    core_only: Environment, tmp_path: Path, backend: str, extra: str
) -> None:
    error = core_only.last_error(f"from spark.graphs.checkpoint import {backend}", directory=tmp_path)

    assert error.startswith("ImportError: ")
    assert backend in error
    assert f"pip install 'spark-graphs[{extra}]'" in error


def test_a_url_whose_backend_is_not_installed_says_what_to_install(core_only: Environment, tmp_path: Path) -> None:
    program = """
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig

@node
def nothing():
    return {}

Graph(start=nothing, id="x", checkpoint_config=CheckpointConfig(backend="file:///var/lib/spark/checkpoints"))
"""
    error = core_only.last_error(program, directory=tmp_path)

    assert error.startswith("spark.errors.PluginNotFoundError: ")
    assert "pip install 'spark-graphs[file]'" in error
    assert "memory" in error, "what is installed"


@pytest.mark.parametrize("backend", ['FileCheckpointBackend("checkpoints")', 'f"file://{os.getcwd()}/checkpoints"'])
def test_with_the_file_backend_a_killed_run_goes_on(with_files: Environment, tmp_path: Path, backend: str) -> None:
    program = COUNT_TO_SIX.replace("BACKEND", backend)

    killed = with_files.run(program, directory=tmp_path, variables=[("DIE_AT", "4")])
    resumed = with_files.run(program, directory=tmp_path)
    complete = with_files.run(program, directory=tmp_path)

    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert resumed.stdout.splitlines() == ["4", "5", "6", "{'done': True, 'success': True}"]
    assert complete.stdout.splitlines() == ["{'done': True, 'success': True}"]


@pytest.mark.parametrize(
    "backend", ['DatabaseCheckpointBackend(connection_string="sqlite:///runs.db")', '"sqlite:///runs.db"']
)
def test_with_the_sql_backend_a_killed_run_goes_on(with_sql: Environment, tmp_path: Path, backend: str) -> None:
    """The page's SQLite address, with nothing else installed."""
    program = COUNT_TO_SIX.replace("BACKEND", backend).replace("FileCheckpointBackend", "DatabaseCheckpointBackend")

    killed = with_sql.run(program, directory=tmp_path, variables=[("DIE_AT", "4")])
    resumed = with_sql.run(program, directory=tmp_path)

    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert resumed.stdout.splitlines() == ["4", "5", "6", "{'done': True, 'success': True}"]


def test_with_the_s3_backend_a_killed_run_goes_on(with_s3: Environment, tmp_path: Path, s3_server: S3Server) -> None:
    """By its class first, then by URL. Nobody closes it: what it opened ends with the event loop, without a warning."""
    bucket = s3_server.new_bucket()
    by_class = f'S3CheckpointBackend("{bucket}", "runs", endpoint_url="{s3_server.endpoint_url}")'
    by_url = f'"{s3_server.url(bucket, "runs")}"'
    program = COUNT_TO_SIX.replace("FileCheckpointBackend", "S3CheckpointBackend")
    credentials = s3_server.environment.items()

    killed = with_s3.run(
        program.replace("BACKEND", by_class), directory=tmp_path, variables=[("DIE_AT", "4"), *credentials]
    )
    resumed = with_s3.run(program.replace("BACKEND", by_url), directory=tmp_path, variables=credentials)

    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert resumed.stdout.splitlines() == ["4", "5", "6", "{'done': True, 'success': True}"]


def test_postgresql_without_its_driver_says_what_to_install(with_sql: Environment, tmp_path: Path) -> None:
    program = COUNT_TO_SIX.replace("BACKEND", '"postgresql://user:secret@localhost/spark"')
    error = with_sql.last_error(
        program.replace("FileCheckpointBackend", "DatabaseCheckpointBackend"), directory=tmp_path
    )

    assert "pip install 'spark-graphs[postgresql]'" in error
    assert "secret" not in error


def test_a_url_of_fsspec_without_it_says_what_to_install(with_files: Environment, tmp_path: Path) -> None:
    program = COUNT_TO_SIX.replace("BACKEND", '"sftp://user:secret@localhost/spark"')
    error = with_files.last_error(program, directory=tmp_path)

    assert "pip install 'spark-graphs[fsspec]'" in error
    assert "secret" not in error


def test_pickle_is_refused_where_it_is_not_installed(with_files: Environment, tmp_path: Path) -> None:
    program = COUNT_TO_SIX.replace("BACKEND", 'FileCheckpointBackend("checkpoints", format="pickle")')

    error = with_files.last_error(program, directory=tmp_path)

    assert error.startswith("spark.errors.PluginNotFoundError: ")
    assert "pip install 'spark-graphs[pickle]'" in error
    assert not (tmp_path / "checkpoints").exists()


def test_pickle_works_where_it_is_installed_and_named(with_all: Environment, tmp_path: Path) -> None:
    program = COUNT_TO_SIX.replace("BACKEND", 'FileCheckpointBackend("checkpoints", format="pickle")')
    key = ("SPARK_PICKLE_KEY", "a key of the test, long enough to be one")

    killed = with_all.run(program, directory=tmp_path, variables=[key, ("DIE_AT", "4")])
    resumed = with_all.run(program, directory=tmp_path, variables=[key])

    assert killed.returncode == -signal.SIGKILL
    assert resumed.stdout.splitlines() == ["4", "5", "6", "{'done': True, 'success': True}"], resumed.stderr


def test_installing_pickle_does_not_make_it_chosen(with_all: Environment, tmp_path: Path) -> None:
    """A store written with pickle is refused by a program that does not name the format."""
    program = COUNT_TO_SIX.replace("BACKEND", 'FileCheckpointBackend("checkpoints", format="pickle")')
    with_all.run(
        program, directory=tmp_path, variables=[("SPARK_PICKLE_KEY", "a key of the test, long enough to be one")]
    )

    error = with_all.last_error(
        COUNT_TO_SIX.replace("BACKEND", 'FileCheckpointBackend("checkpoints")'), directory=tmp_path
    )

    assert error.startswith("spark.errors.")
    assert 'format="pickle"' in error or "format='pickle'" in error


def test_importing_the_library_loads_no_plugin(with_all: Environment, tmp_path: Path) -> None:
    program = (
        "import spark.graphs, spark.graphs.checkpoint, sys; print([n for n in sys.modules if n.startswith('spark_')])"
    )

    assert with_all.print(program, directory=tmp_path) == "[]\n"


HELLO = """
from spark.graphs import Graph, node

@node
async def greet(context):
    print("greeting")
    return {"greeting": f"hello {context.inputs['name']}"}

graph = Graph(start=greet, id="hello")
"""


def test_the_spark_command_comes_with_its_distribution(with_all: Environment, tmp_path: Path) -> None:
    """As somebody meets it: the installed plugins, a graph from a module in this directory, its checkpoints."""
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "spark.toml").write_text('[checkpoint]\nurl = "sqlite:///runs.db"\n')

    listed = with_all.call("spark", "plugins", "--json", directory=tmp_path)
    ran = with_all.call("spark", "run", "hello:graph", "--input", '{"name": "world"}', directory=tmp_path)
    shown = with_all.call("spark", "checkpoints", "list", "--json", directory=tmp_path)

    lines = {(line["kind"], line["name"]) for line in json.loads(listed.stdout)}
    assert lines >= {
        ("backend", "memory"),
        ("trigger", "on_signal"),
        ("retention", "keep_best"),
        *(("backend", name) for name in ("file", "s3", "sql")),
        *(("format", name) for name in ("json", "msgpack", "pickle")),
        *(("types", name) for name in ("numpy", "pandas", "pyarrow", "torch")),
    }
    assert json.loads(ran.stdout)["content"] == {"greeting": "hello world"}, ran.stderr
    assert [each["checkpoint_id"] for each in json.loads(shown.stdout)] == ["ckpt_hello_000001"], shown.stderr


def test_without_its_distribution_there_is_no_spark_command(core_only: Environment) -> None:
    assert not core_only.python.with_name("spark").exists()
