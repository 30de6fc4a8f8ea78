"""``spark plugins``, and what the command loads to answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark.hooks import discovery
from tests.plugins.support.command_line import spark
from tests.support.sites import Site

PROVIDES = """
from spark.hooks import BackendSpec, hookimpl

@hookimpl
def spark_backends():
    return [BackendSpec(name={name!r}, target="{name}:Backend", schemes=({scheme!r},))]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder on the path, for plugins that are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    discovery.reset()
    yield Site(tmp_path)
    discovery.reset()
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


def test_installed_plugins_are_shown(site: Site) -> None:
    shown = spark("plugins")
    lines = {line["name"]: line for line in spark("plugins", "--json").json}

    assert shown.code == 0
    assert shown.out.startswith("NAME     DISTRIBUTION")
    assert {"builtin", "file", "sql", "pickle"} <= lines.keys()
    assert lines["file"]["provides"] == ["backend:file"]
    assert lines["file"]["distribution"] == "spark-graphs-backend-file"
    assert lines["file"]["status"] == "loaded"
    assert lines["file"]["load_milliseconds"] >= 0


def test_a_broken_one_is_shown_with_the_reason(site: Site) -> None:
    site.install("fake-broken", "import a_module_that_is_not_there")

    done = spark("plugins", "--json")
    shown = spark("plugins")

    (line,) = [line for line in done.json if line["distribution"] == "fake-broken"]
    assert done.code == 1
    assert line["status"] == "broken"
    assert "a_module_that_is_not_there" in line["reason"]
    assert line["reason"] in shown.out


def test_a_blocked_one_is_shown_and_no_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "sql")

    done = spark("plugins", "--json")

    (line,) = [line for line in done.json if line["name"] == "sql"]
    assert (done.code, line["status"], line["provides"]) == (0, "blocked", [])
    assert "SPARK_DISABLE_PLUGINS" in line["reason"]


def test_two_that_claim_one_scheme_are_shown_as_conflicting(site: Site) -> None:
    site.install("fake-one", PROVIDES.format(name="one", scheme="same"))
    site.install("fake-two", PROVIDES.format(name="two", scheme="same"))

    done = spark("plugins", "--json")

    lines = {line["name"]: line for line in done.json}
    assert done.code == 1
    assert (lines["one"]["status"], lines["two"]["status"]) == ("conflicting", "conflicting")
    assert "URL scheme 'same': also claimed by fake-two" in lines["one"]["reason"]
    assert lines["file"]["status"] == "loaded"


HEAVY = {
    "pydantic",
    "asyncio",
    "sqlalchemy",
    "spark.graphs",
    "spark_backend_file.backend",
    "rich.table",
}


@pytest.mark.parametrize(
    ("arguments", "also"),
    [(["--help"], set()), (["plugins"], {"typer"}), (["plugins", "--json"], {"typer"})],
)  # fmt: skip
def test_quick_commands_load_neither_the_engine_nor_a_backend(arguments: list[str], also: set[str]) -> None:
    """Counted instead of timed: a clock on a busy machine proves nothing."""
    program = (
        "import sys, json\nfrom spark_cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=30)
    code, loaded = json.loads(done.stderr.splitlines()[-1])

    assert code == 0
    assert not set(loaded) & (HEAVY | also)
    assert len(done.stdout) > 200


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    """As ``spark plugins | head -1`` does."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-u", "-m", "spark_cli", "plugins"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, b"")
