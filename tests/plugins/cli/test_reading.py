"""Reading never creates: a store, a graph or a checkpoint that does not exist is an error with what is near, and exit code 2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from spark.graphs.checkpoint import open_backend
from spark_testing.records import make_record
from tests.plugins.support.command_line import file_url, fill, infos, save_by_hand, spark, sqlite_url
from tests.support.variants import one_apart

READING = [
    ["runs"],
    ["show", "counting"],
    ["drain", "counting", "--yes"],
    ["edit", "counting", "--set", "a=1", "--yes"],
    ["fork", "ckpt_counting_000001", "--yes"],
    ["answer", "counting"],
    ["answer", "counting", "id=1"],
    ["send", "counting", "approved"],
    ["doctor"],
    ["doctor", "--repair", "--yes"],
    ["checkpoints", "list"],
    ["checkpoints", "list", "counting"],
    ["checkpoints", "show", "ckpt_counting_000001"],
    ["checkpoints", "diff", "ckpt_counting_000001", "ckpt_counting_000002"],
    ["checkpoints", "verify"],
    ["checkpoints", "delete", "ckpt_counting_000001", "--yes"],
    ["checkpoints", "delete", "--graph", "counting", "--yes"],
    ["checkpoints", "forget", "counting", "--yes"],
    ["checkpoints", "prune", "--keep", "1", "--yes"],
    ["checkpoints", "export", "records"],
    ["checkpoints", "copy", "--to", "sqlite:///copy.db", "--yes"],
]
"""Every command that reads, as it is called where there is a graph "counting"."""
OF_A_GRAPH = [
    *([*command] for command in READING if "counting" in command),
    ["checkpoints", "prune", "counting", "--keep", "1", "--yes"],
    ["checkpoints", "verify", "counting"],
    ["checkpoints", "export", "records", "counting"],
    ["checkpoints", "copy", "counting", "--to", "sqlite:///copy.db", "--yes"],
    ["doctor", "--repair", "--yes", "--at-rest", "counting"],
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    return folder


def with_words(command: list[str], **words: str) -> list[str]:
    return [words.get(word, word) for word in command]


@pytest.mark.parametrize(("url_of", "command"), one_apart([file_url, sqlite_url], READING))
def test_a_mistyped_url_is_no_such_store_and_none_is_made(
    here: Path, url_of: Callable[[Path], str], command: list[str]
) -> None:
    fill(url_of(here / "runs"), to=1)
    before = sorted(here.rglob("*"))

    done = spark(*command, "--url", url_of(here / "rums"))

    assert done.code == 2
    name = "runs" if url_of is file_url else "runs.db"
    assert f"There is no store at {here}/{name.replace('n', 'm')}: " in done.err
    assert f"Did you mean '{here}/{name}'? Check the URL. Nothing was created" in done.err
    assert done.out == ""
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqllite:///runs.db", "Did you mean 'sqlite'?"),
        ("runs.db", "If it is a file, give its URL, for instance sqlite:///runs.db."),
        ("nowhere", "Check the spelling, or install the plugin that provides it."),
    ],
)
def test_a_url_of_an_unknown_kind_is_wrong_usage(here: Path, url: str, told: str) -> None:
    done = spark("runs", "--url", url)

    assert done.code == 2
    assert done.err.startswith(f"spark: '{url}' is not a store: No installed plugin provides")
    assert done.err.rstrip().endswith(told)


def test_the_store_of_the_settings_is_no_exception(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_CHECKPOINT_URL", f"sqlite:///{here}/nowhere.db")
    assert spark("checkpoints", "list").code == 2
    (here / "spark.toml").write_text(
        "[checkpoint]\nbackend = 'file'\n[checkpoint.options]\ndirectory = 'nowhere'\ncreate = true\n"
    )
    monkeypatch.delenv("SPARK_CHECKPOINT_URL")

    done = spark("doctor")

    assert done.code == 2
    assert "nowhere" in done.err
    assert [file.name for file in here.iterdir()] == ["spark.toml"]


def test_what_writes_makes_a_store(here: Path) -> None:
    fill(file_url(here / "runs"), to=1)

    assert spark("checkpoints", "export", "records", "--url", file_url(here / "runs")).code == 0
    assert (
        spark("checkpoints", "import", "records", "--url", "sqlite:///imported.db").out == "2 copied, 0 already there\n"
    )
    assert spark("checkpoints", "copy", "--url", "sqlite:///imported.db", "--to", file_url(here / "copy")).code == 0


def test_a_store_that_is_there_and_empty_says_so(here: Path) -> None:
    (here / "empty").mkdir()

    done = spark("checkpoints", "list", "--url", file_url(here / "empty"))

    assert (done.code, done.err) == (0, "spark: there are no checkpoints here.\n")
    assert [*(here / "empty").iterdir()] == []


@pytest.mark.parametrize(("url_of", "command"), one_apart([file_url, sqlite_url], OF_A_GRAPH))
def test_an_unknown_graph_id_is_an_error_with_the_nearest_ones(
    here: Path, url_of: Callable[[Path], str], command: list[str]
) -> None:
    url = url_of(here / "runs")
    fill(url, to=1)
    fill(url, graph_id="other", to=1)
    before = infos(url)

    done = spark(*with_words(command, counting="countnig"), "--url", url)

    assert done.code == 2
    assert done.err == "spark: there is no graph 'countnig' in this store. Did you mean 'counting'?\n"
    assert infos(url) == before
    assert not (here / "copy.db").exists()


def test_an_unknown_graph_id_of_a_file_is_an_error_as_well(here: Path) -> None:
    fill("sqlite:///runs.db", to=1)
    spark("checkpoints", "export", "records", "--url", "sqlite:///runs.db")

    done = spark("checkpoints", "import", "records", "countnig", "--url", "sqlite:///other.db")

    assert done.code == 2
    assert done.err == "spark: there is no graph 'countnig' in records. Did you mean 'counting'?\n"
    assert not (here / "other.db").exists()


def test_a_graph_that_has_lost_its_checkpoints_or_has_messages_only_is_known(here: Path) -> None:
    url = "sqlite:///runs.db"
    fill(url, to=1)
    spark("checkpoints", "delete", "--graph", "counting", "--yes", "--url", url)
    assert spark("checkpoints", "list", "counting", "--url", url).code == 0
    assert spark("send", "new", "go", "--anyway", "--url", url).code == 0
    assert spark("send", "new", "go", "--url", url).code == 0


def test_the_nearest_ids_are_found_among_many_without_reading_all(here: Path) -> None:
    async def save() -> None:
        async with open_backend("sqlite:///many.db") as backend:
            names = [f"batch-{number:04}" for number in range(1500)]
            await asyncio.gather(*(backend.put(make_record(name, 1)) for name in [*names, "orders-17"]))

    asyncio.run(save())

    assert "Did you mean 'orders-17'" in spark("checkpoints", "list", "orders-71", "--url", "sqlite:///many.db").err
    assert "Did you mean 'batch-14" in spark("checkpoints", "list", "batch-14OO", "--url", "sqlite:///many.db").err


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("ckpt_counting_000099", "The latest one of graph 'counting' is ckpt_counting_000002."),
        ("ckpt_countnig_000001", "Did you mean 'ckpt_counting_000001'?"),
        ("before the relaese", "Did you mean 'before the release'?"),
        ("xyz", "`spark checkpoints list` shows which there are."),
    ],
)
def test_an_unknown_checkpoint_is_an_error_with_the_nearest_one(here: Path, wanted: str, says: str) -> None:
    fill("sqlite:///runs.db", to=1)
    save_by_hand("sqlite:///runs.db", "before the release", graph_id="other")

    for command in (
        ["checkpoints", "show", wanted],
        ["checkpoints", "diff", "ckpt_counting_000001", wanted],
        ["checkpoints", "delete", wanted, "--yes"],
        ["fork", wanted, "--yes"],
    ):
        done = spark(*command, "--url", "sqlite:///runs.db")

        assert done.code == 2
        assert f"spark: there is no checkpoint {wanted!r} in this store. {says}\n" in done.err


def test_a_database_without_our_tables_is_no_store(here: Path) -> None:
    (here / "empty.db").touch()

    done = spark("checkpoints", "verify", "--url", "sqlite:///empty.db")

    assert done.code == 2
    assert "the database has no checkpoints in a table 'checkpoints'" in done.err
    assert (here / "empty.db").stat().st_size == 0


def test_a_folder_of_fsspec_that_is_not_there_is_no_store() -> None:
    done = spark("checkpoints", "list", "--url", "fsspec+memory://no/such/folder")

    assert done.code == 2
    assert "There is no store at memory://no/such/folder: there is no such folder. Check the URL." in done.err
