"""The page about configuration: its files are in force as written, and it has every setting and every variable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.configuration.resolve import VARIABLES
from spark.graphs.checkpoint.configuration.settings import CheckpointSettings
from tests.spec.page import ROOT, Block, blocks
from tests.support.shop import shop_in
from tests.support.sites import Site

PAGE = ROOT / "docs" / "configuration.md"
FILES = [block for block in blocks(PAGE) if block.language == "toml"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The plugins that the page speaks of, and a folder to work in."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "project" / "my_app").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.syspath_prepend(tmp_path / "project")
    with shop_in(tmp_path / "site", monkeypatch) as site:
        yield site


@pytest.mark.parametrize("block", FILES, ids=lambda block: f"line-{block.line}")
async def test_each_file_is_in_force(shop: Site, block: Block) -> None:
    Path("my_app/spark_plugins.py").write_text(
        "from spark.hooks import hookimpl\n\n@hookimpl\ndef spark_checkpoint_failed(): ...\n"
    )
    name = block.code.splitlines()[0].removeprefix("# ")
    Path(name).write_text(block.code)

    config = CheckpointConfig.load()

    assert any(source.startswith(name) for source in config.sources.values()) or "plugins = " in block.code
    await config.open_backend().close()


def test_the_first_file_says_what_the_page_says_it_does(shop: Site) -> None:
    Path("spark.toml").write_text(FILES[0].code)

    config = CheckpointConfig.load()

    assert repr(config.combined_trigger()) == "CostBudget(5.0)"
    assert repr(config.combined_retention()) == "KeepLast(20)"
    assert "handler=[{'webhook': {'url': 'http://127.0.0.1:9000/hook'}}]" in repr(config)


@pytest.mark.parametrize("name", [*CheckpointSettings.model_fields, *VARIABLES])
def test_every_setting_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()
