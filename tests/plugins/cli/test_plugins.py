"""``spark plugins``, and what the command loads to answer."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark.hooks import discovery, register
from tests.plugins.support.command_line import Done, spark
from tests.support.sites import Site

PROVIDES = """
from spark.hooks import BackendSpec, hookimpl

@hookimpl
def spark_backends():
    return [BackendSpec(name={name!r}, target="{name}:Backend", schemes=({scheme!r},))]
"""


LISTENS = """
from spark.hooks import hookimpl

@hookimpl
def spark_checkpoint_deleted():
    pass
"""

TRIGGERS = """
from spark.hooks import TriggerSpec, hookimpl

@hookimpl
def spark_triggers():
    return [{}]
"""

RULES = """
from pydantic import BaseModel, SecretStr
from spark.graphs.checkpoint import EverySeconds as Rule

class Options(BaseModel):
    dollars: float
    token: SecretStr = SecretStr("hunter2")
    spans: tuple[int, ...] | None = None
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


def rows(done: Done) -> dict[tuple[str, str], dict[str, Any]]:
    """Those of the JSON, by kind and name."""
    return {(row["kind"], row["name"]): row for row in done.json}


def test_each_thing_that_plugins_provide_has_a_row(site: Site) -> None:
    site.install("fake-listening", LISTENS)

    shown, told = spark("plugins"), rows(spark("plugins", "--json"))

    assert shown.code == 0
    assert shown.out.splitlines()[0].split() == ["KIND", "NAME", "STATUS", "FROM", "SCHEMES", "SUMMARY"]
    assert {
        ("backend", "memory"),
        ("format", "json"),
        ("trigger", "every_seconds"),
        ("format", "pickle"),
    } <= told.keys()
    file = told["backend", "file"]
    assert file.pop("load_milliseconds") >= 0
    assert file == {
        "kind": "backend",
        "name": "file",
        "status": "loaded",
        "reason": "",
        "schemes": ["file", "local", "fsspec", "gs", "gcs", "az", "abfs", "abfss", "sftp", "ssh"],
        "summary": "Checkpoints in a folder, on a disk or behind fsspec.",
        "plugin": "file",
        "source": "spark-graphs-backend-file 0.1.0",
        "distribution": "spark-graphs-backend-file",
    }
    assert told["event", "spark_checkpoint_deleted"]["source"] == "fake-listening 1.0"
    assert "event" in shown.out


def test_one_is_shown_with_its_options(site: Site) -> None:
    modelled = 'TriggerSpec(name="modelled", target="fake_rules:Rule", options="fake_rules:Options")'
    site.install("fake-rules", TRIGGERS.format(modelled), fake_rules=RULES)

    every, rule = spark("plugins", "every_seconds", "--json"), spark("plugins", "modelled", "--json")
    shown = spark("plugins", "modelled")

    assert [row["options"] for row in every.json] == [[{"name": "seconds", "type": "float", "default": ""}]]
    assert [row["options"] for row in rule.json] == [
        [
            {"name": "dollars", "type": "float", "default": ""},
            {"name": "token", "type": "SecretStr", "default": "SecretStr('**********')"},
            {"name": "spans", "type": "tuple[int, ...] | None", "default": "None"},
        ]
    ]
    assert ["dollars", "float", "(required)"] in [line.split() for line in shown.out.splitlines()]
    assert "options" not in spark("plugins", "--json").json[0]


def test_a_plugin_is_shown_with_all_that_it_provides(site: Site) -> None:
    assert rows(spark("plugins", "builtin", "--json")).keys() > {("backend", "memory"), ("trigger", "every_seconds")}
    assert list(rows(spark("plugins", "spark-graphs-backend-sql", "--json"))) == [("backend", "sql")]


def test_a_name_that_nothing_has_is_a_failure(site: Site) -> None:
    done = spark("plugins", "every_second")

    assert done.code == 1
    assert "nothing has the name 'every_second'. Did you mean 'every_seconds'?" in done.err


def test_a_class_that_can_not_be_used_is_shown_as_broken_when_its_options_are(site: Site) -> None:
    site.install(
        "fake-rules", TRIGGERS.format('TriggerSpec(name="odd", target="fake_rules:Options")'), fake_rules=RULES
    )

    assert spark("plugins").code == 0
    done = spark("plugins", "odd")

    assert done.code == 1
    assert "trigger odd (fake-rules 1.0) is broken." in done.out
    assert "is not a subclass of spark.graphs.checkpoint.Trigger" in done.out


def test_a_broken_one_is_shown_with_the_reason(site: Site) -> None:
    site.install("fake-broken", "import a_module_that_is_not_there")

    done = spark("plugins", "--json")
    shown = spark("plugins")

    row = rows(done)["plugin", "broken"]
    assert (done.code, done.err) == (1, "")
    assert row["status"] == "broken"
    assert "a_module_that_is_not_there" in row["reason"]
    assert row["reason"] in shown.out


def test_what_is_skipped_is_shown_beside_what_is_not(site: Site) -> None:
    site.install("fake-rules", TRIGGERS.format('TriggerSpec(name="a", target="m:C"), TriggerSpec(name="b")'))

    done = spark("plugins", "--json")

    told = rows(done)
    assert (done.code, done.err) == (1, "")
    assert (told["trigger", "a"]["status"], told["trigger", "b"]["status"]) == ("loaded", "skipped")
    assert 'write "module:Class"' in told["trigger", "b"]["reason"]


def test_a_blocked_one_is_shown_and_no_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "sql")

    done = spark("plugins", "--json")

    row = rows(done)["plugin", "sql"]
    assert (done.code, row["status"]) == (0, "blocked")
    assert "SPARK_DISABLE_PLUGINS" in row["reason"]


def test_two_that_claim_one_scheme_are_shown_as_conflicting(site: Site) -> None:
    site.install("fake-one", PROVIDES.format(name="one", scheme="same"))
    site.install("fake-two", PROVIDES.format(name="two", scheme="same"))

    done = spark("plugins", "--json")

    told = rows(done)
    assert done.code == 1
    assert (told["backend", "one"]["status"], told["backend", "two"]["status"]) == ("conflicting", "conflicting")
    assert "URL scheme 'same': also claimed by fake-two 1.0" in told["backend", "one"]["reason"]
    assert told["backend", "file"]["status"] == "loaded"


def test_what_is_registered_in_code_is_shown_with_its_source(site: Site) -> None:
    (site.folder / "fake_own.py").write_text(TRIGGERS.format('TriggerSpec(name="a", target="m:C")'))

    with register(importlib.import_module("fake_own"), name="mine"):
        row = rows(spark("plugins", "--json"))["trigger", "a"]

    assert (row["plugin"], row["source"], row["distribution"]) == ("mine", "registered in code", "")


@pytest.fixture
def project(site: Site, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with settings that name a module in it."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "spark.toml").write_text('[checkpoint]\nurl = "memory"\nplugins = ["fake_own"]\n')
    (folder / "fake_own.py").write_text(TRIGGERS.format('TriggerSpec(name="a", target="m:C")'))
    monkeypatch.chdir(folder)
    return folder


def test_what_settings_name_is_shown_with_the_file_and_key(project: Path) -> None:
    row = rows(spark("plugins", "--json"))["trigger", "a"]

    assert (row["plugin"], row["status"]) == ("fake_own", "loaded")
    assert row["source"].startswith("named in spark.toml")
    assert "plugins" in row["source"]


def test_what_settings_name_in_vain_is_told_beside_all_others(project: Path) -> None:
    (project / "fake_own.py").write_text("import fake_nothing")

    done = spark("plugins", "--json")

    assert done.code == 1
    assert ("backend", "memory") in rows(done)
    assert "Importing fake_own failed: ModuleNotFoundError: No module named 'fake_nothing'" in done.err


def test_other_commands_find_what_settings_name(project: Path) -> None:
    (project / "fake_own.py").write_text("raise RuntimeError('this was imported')")

    assert "this was imported" in spark("checkpoints", "list").err


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
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=200)
    code, loaded = json.loads(done.stderr.splitlines()[-1])

    assert code == 0
    assert not set(loaded) & (HEAVY | also)
    assert len(done.stdout) > 200


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    """As ``spark plugins | head -1`` does."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-u", "-m", "spark_cli", "plugins"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=200, check=False)
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, b"")
