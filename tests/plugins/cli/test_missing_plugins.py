"""``spark checkpoints`` where settings name what is not installed: listings need none of it, and who loads is told what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark.hooks import discovery
from tests.plugins.support.command_line import fill, spark
from tests.support.shop import shop_in
from tests.support.variants import one_apart

pytestmark = pytest.mark.filterwarnings("always::spark.errors.PluginWarning")  # as where no test runs

Block = Callable[[str], None]


@pytest.fixture
def block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Block]:
    """Blocks a distribution, from now on."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)

    def block(distribution: str) -> None:
        monkeypatch.setenv("SPARK_DISABLE_PLUGINS", distribution)
        discovery.reset()

    with shop_in(tmp_path / "site", monkeypatch):
        yield block


WITHOUT = [
    ("format", "msgpack", "spark-graphs-format-msgpack"),
    ("serializer", "upper", "fake-shop"),
    ("codec", "mirror", "fake-shop"),
]


@pytest.mark.parametrize(("place", "what"), one_apart(["setting", "url", "variable"], WITHOUT))
def test_who_only_looks_is_warned_and_who_loads_is_told_what_to_do(
    block: Block, monkeypatch: pytest.MonkeyPatch, place: str, what: tuple[str, str, str]
) -> None:
    kind, name, distribution = what
    url = f"sqlite:///{Path.cwd()}/runs.db"
    fill(f"{url}?{kind}={name}", to=2)
    if place == "setting":
        Path("spark.toml").write_text(
            f"[checkpoint]\nurl = '{url}'\n{kind} = '{name}'\n[plugins.webhook]\nurl = 'http://x'\n"
        )
    elif place == "url":
        Path("spark.toml").write_text(f"[checkpoint]\nurl = '{url}?{kind}={name}'\n")
    else:
        monkeypatch.setenv("SPARK_CHECKPOINT_URL", f"{url}?{kind}={name}&inline_io=false")
    block(distribution)

    listed = spark("checkpoints", "list")
    assert listed.code == 0
    assert "ckpt_counting_000002" in listed.out
    assert f"Checkpoints that need the {kind} of the settings can't be loaded. " in listed.err
    # To look, no serializer is needed; to make objects, one is.
    assert "0 damaged, 3 not readable here" in spark("doctor", "--import", "json").out
    assert spark("doctor").out.startswith("3 intact" if kind == "serializer" else "0 intact, 0 damaged, 3 not readable")
    assert spark("checkpoints", "delete", "--yes", "ckpt_counting_000001").out == "1 deleted\n"
    shown = spark("checkpoints", "show", "ckpt_counting_000002", "--import", "json")
    assert shown.code == 1
    assert f"was written with the {kind} '{name}': " in shown.err
    assert "blocked" in shown.err


def test_the_retention_of_the_settings_needs_no_format(block: Block) -> None:
    fill(f"sqlite:///{Path.cwd()}/runs.db?format=msgpack", to=2)
    Path("spark.toml").write_text(
        "[checkpoint]\nurl = 'sqlite:///runs.db'\nformat = 'msgpack'\ntrigger = 'cost_budget'\nmax_checkpoints = 1\n"
    )
    block("spark-graphs-format-msgpack")

    assert spark("checkpoints", "prune", "--yes").out.splitlines()[-1] == "2 deleted"


def test_a_mistake_in_settings_is_still_one(block: Block) -> None:
    Path("spark.toml").write_text("[checkpoint]\nurl = 'sqlite:///runs.db'\nformt = 'json'\n")

    done = spark("checkpoints", "list")

    assert done.code == 1
    assert "spark.toml:[checkpoint] formt: there is no such setting. Did you mean 'format'?" in done.err


@pytest.mark.parametrize("query", ["fromat=json", "format="])
def test_a_mistake_in_the_url_is_still_one(block: Block, query: str) -> None:
    Path("spark.toml").write_text(f"[checkpoint]\nurl = 'sqlite:///runs.db?{query}'\n")

    done = spark("checkpoints", "list")

    assert done.code == 1
    assert "spark.toml:[checkpoint] url: 'sqlite:///runs.db?" in done.err
    assert "option" in done.err
