"""Commands that other distributions bring, and the list of all commands."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from spark_cli.app import _Checkpoints, _Spark
from spark_cli.group import Own
from tests.plugins.support.command_line import spark
from tests.support.sites import Site, site_in

COMMAND = '''
from typing import Annotated

import typer


def command(word: Annotated[str, typer.Argument(metavar="WORD")], loud: bool = False) -> None:
    """Say a word. It goes to standard output.

    Nothing else happens.
    """
    print(word.upper() if loud else word)
    raise typer.Exit(len(word))
'''

TWICE = """
from typing import Annotated
import typer
def command(word: Annotated[str, typer.Argument(), typer.Option()]): pass
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("SPARK_DISABLE_PLUGINS", raising=False)
    with site_in(tmp_path, monkeypatch) as site:
        yield site


def bring(site: Site, distribution: str, source: str, *, name: str = "say", target: str = "command") -> None:
    """Install a distribution that has a command and nothing else."""
    module = distribution.replace("-", "_")
    (site.folder / f"{module}.py").write_text(source)
    site.add_dist_info(distribution, "1.0", f"[spark.commands]\n{name} = {module}:{target}\n")


def test_a_command_of_another_distribution_is_listed_and_called(site: Site) -> None:
    bring(site, "fake-saying", COMMAND)

    help = spark("--help")
    assert "From plugins:\n  say          Say a word.\n" in help.out
    done = spark("say", "hello", "--loud")
    assert (done.code, done.out) == (5, "HELLO\n")
    own = spark("say", "--help").out
    assert own.startswith("Usage: spark say [OPTIONS] WORD\n\n  Say a word. It goes to standard output.\n")


def test_it_is_imported_only_when_it_is_needed(site: Site) -> None:
    bring(site, "fake-saying", COMMAND)

    spark("graph", "--help")
    assert "fake_saying" not in sys.modules
    spark("say", "--help")
    assert "fake_saying" in sys.modules


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("import no_such_module", "command", "importing fake_saying:command failed: ModuleNotFoundError: No module named 'no_s"),
        ("raise SystemExit(3)", "command", "importing fake_saying:command failed: SystemExit: 3."),
        (COMMAND, "other", "importing fake_saying:other failed: AttributeError"),
        ("command = 'text'", "command", "fake_saying:command is not a function. Upgrade fake-saying."),
        ("command = int", "command", "fake_saying:command is not a function. Upgrade fake-saying."),
        (TWICE, "command", "the parameters of fake_saying:command are not as typer wants them: "),
    ],
)  # fmt: skip
def test_a_broken_one_says_so_and_harms_no_other(site: Site, source: str, target: str, says: str) -> None:
    bring(site, "fake-saying", source, target=target)
    bring(site, "fake-well", COMMAND, name="well")

    done = spark("say", "hello")
    assert done.code == 1
    assert done.err.startswith("spark: The command 'say' of fake-saying can't be used: ")
    assert says in done.err
    help = spark("--help")
    assert help.code == 0
    assert "  well         Say a word.\n" in help.out
    assert "  say " in help.out
    assert source == TWICE or "(can't be used)" in help.out
    assert spark("well", "hello").out == "hello\n"


def test_one_whose_file_is_malformed_says_so(site: Site) -> None:
    site.add_dist_info("fake-saying", "1.0", "[spark.commands]\nsay = not a target\n")

    done = spark("say")

    assert done.code == 1
    assert "fake-saying" in done.err


def test_two_that_have_one_name_are_refused(site: Site) -> None:
    bring(site, "fake-saying", COMMAND)
    bring(site, "fake-telling", COMMAND)

    done = spark("say", "hello")

    assert done.code == 1
    assert "The command 'say' comes from several distributions: fake-saying, fake-telling. Uninstall one." in done.err


def test_none_takes_the_place_of_ours(site: Site) -> None:
    bring(site, "fake-saying", COMMAND, name="doctor")

    assert "Say a word" not in spark("--help").out
    assert "Say a word" not in spark("doctor", "--help").out


def test_one_that_is_blocked_is_neither_listed_nor_imported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(site, "fake-saying", COMMAND)
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", "fake-saying")

    assert "Say a word" not in spark("--help").out
    done = spark("say", "hello")
    assert done.code == 2
    assert "spark: the command 'say' of fake-saying is blocked. SPARK_DISABLE_PLUGINS lists 'fake-saying'." in done.err
    assert "fake_saying" not in sys.modules


@pytest.mark.filterwarnings("error::spark.errors.PluginWarning")
def test_one_may_be_named_in_the_lists_of_plugins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(site, "fake-saying", COMMAND)
    monkeypatch.setenv("SPARK_PLUGINS", "fake-saying, spark-graphs-backend-file")

    assert spark("plugins", "file").code == 0
    assert spark("say", "hi").out == "hi\n"


def test_what_nothing_brings_is_no_command(site: Site) -> None:
    done = spark("sya", "hello")

    assert done.code == 2
    assert "No such command 'sya'." in done.err


OWN = [own for group in (_Spark, _Checkpoints) for section in group.own.values() for own in section.values()]


@pytest.mark.parametrize("own", [own for own in OWN if own.target], ids=lambda own: str(own.target))
def test_the_list_says_of_each_command_what_its_own_help_begins_with(own: Own) -> None:
    module, _, name = own.target.partition(":")

    text = " ".join((inspect.getdoc(getattr(import_module(module), name)) or "").split())

    assert f"{text} ".startswith(f"{own.line} ")


def test_each_command_has_one_line_of_a_narrow_terminal() -> None:
    for group in ([], ["checkpoints"]):
        lines = spark(*group, "--help").out.splitlines()
        for own in OWN:
            if any(own.line[:20] in line for line in lines):
                assert any(line.endswith(own.line) and len(line) <= 80 for line in lines), own.line


def test_the_versions_are_shown() -> None:
    done = spark("--version")

    assert done.code == 0
    assert done.out.startswith("spark-graphs 0.")
    assert ", Python 3." in done.out
    assert " plugins\n" in done.out
