"""Whatever stands in the place of settings: they are in force, or one error names the file and the key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, SparkError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend, KeepFor
from tests.support.variants import in_full, tries

URL = "SPARK_CHECKPOINT_URL"
DEEP = 2_000
VALUES = [
    *("1e308", "-1e308", "1e-400", "inf", "-inf", "nan", "9" * 400, "9" * 5_000, f"0x{'f' * 3_000}", "-1", "0", "true"),
    *("''", "'x'", "[]", "{}", "['a']", "[nan]", "[[[[1]]]]", "{a = {a = {a = 1}}}", "2024-01-01", "07:32:00"),
    *('"\\u0000"', '"a\\nb"', '"\\U0010FFFF"', "'\\x'", f"{'[' * DEEP}{']' * DEEP}", f"{'{a=' * DEEP}1{'}' * DEEP}"),
    *(
        '"file:///tmp/x"',
        '"file:x"',
        '"file://~nobody-here/x"',
        '"file:///a\\u0000b"',
        '"memory"',
        '"file"',
        '"sqlite:"',
    ),
    *(
        '"sqlite://"',
        '"sqlite:///x.db?mode=memory"',
        '"s3://"',
        '"s3://a:b@c@d"',
        '"sftp://h:x/y"',
        '"http://x"',
        '"://"',
    ),
    *('"postgresql://me:p@ss/word@h/db"', f'"{"x" * 2_000}:"', '"\\u001b[2J"', '"~/x"', '"fsspec+memory://a"'),
]
KEYS = [
    *CheckpointConfig.__dataclass_fields__,
    *("url", "options", "x", '"\\u001b[2J\\n"', f"{'k' * 3_000}", f"{'k.' * 3_000}k"),
    *("retention.days", "retention.keep_for.hours", "retention.any", "retention.last", "retention.keep_last.count"),
    *(
        "trigger.every_seconds.seconds",
        "trigger.all",
        "trigger.x.y",
        "format.json.x",
        "codec",
        "serializer.x",
        "plugins",
    ),
    *(
        f"options.{name}"
        for name in (
            "directory",
            "format",
            "compression",
            "serializer",
            "pretty_print",
            "lock_timeout",
            "limits",
            "limits.x",
        )
    ),
    *(f"options.{name}" for name in ("storage_options", "connection_string", "table_name", "bucket", "timeout", "x")),
    f"options.storage_options.{'a.' * DEEP}a",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without settings."""
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def use_settings(*, opening: bool = True) -> SparkError | None:
    """Load what is in force and make a graph of it; what stands in the way, if it is an error of ours."""
    try:
        config = CheckpointConfig.load()
        if opening:
            Graph(start=ExitNode(), id="g", checkpoint_config=config)
    except SparkError as error:
        return error
    return None


@in_full
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("file", "table"), [("spark.toml", "checkpoint"), ("pyproject.toml", "tool.spark.checkpoint")])
def test_whatever_stands_in_a_file_is_in_force_or_named(folder: Path, seed: int, file: str, table: str) -> None:
    """A failure names the seed; the last text that was tried stands in the file."""
    random = Random(seed)
    for _ in range(tries(60)):
        chosen = random.sample(KEYS, k=random.randint(1, 3))
        lines = [f"{key} = {random.choice(VALUES)}" for key in chosen]
        if random.random() < 0.5 and not {"url", "backend"} & {*chosen}:
            lines.insert(0, f'backend = "{random.choice(["file", "memory", "sql", "s3"])}"')
        (folder / file).write_text(f"[{table}]\n" + "\n".join(lines))

        error = use_settings()

        if error is not None:
            said = str(error)
            assert said.startswith((file, "Graph 'g' has no node"))
            assert len(said) < 20_000
            assert [letter for letter in said if not letter.isprintable() and letter != "\n"] == []


@pytest.mark.parametrize("key", ["days", "hours", "seconds"])
def test_a_span_of_time_that_nobody_lives_to_see_is_named(folder: Path, key: str) -> None:
    (folder / "spark.toml").write_text(f"[checkpoint.retention.keep_for]\n{key} = 1e300\n")

    error = use_settings()

    assert isinstance(error, GraphDefinitionError)
    assert str(error).startswith("spark.toml:[checkpoint] retention.keep_for: the retention 'keep_for' refuses")
    assert "KeepFor(…): give a span of time" in str(error)
    with pytest.raises(GraphDefinitionError, match="span of time"):
        KeepFor(days=float("nan"))


async def test_a_whole_number_of_any_length_works(folder: Path) -> None:
    (folder / "spark.toml").write_text(
        f"[checkpoint]\nmax_checkpoints = {'9' * 60}\ntrigger_on_iteration = {'9' * 60}\n"
    )
    store = InMemoryCheckpointBackend()

    for _ in range(3):
        await Graph(start=ExitNode(), id="g", checkpoint_config=CheckpointConfig.load(backend=store)).run()

    assert len((await store.list("g")).infos) == 3


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


MISPLACED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a folder": (Path.mkdir, "it is not a file"),
    "a pipe": (os.mkfifo, "it is not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is not a file"),
    "a link to nothing": (dangling, "No such file or directory"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "nothing but noise": (lambda path: path.write_bytes(Random(1).randbytes(3_000)), "codec can't decode"),
    "a NUL": (lambda path: path.write_bytes(b"[checkpoint]\n\0"), "Invalid"),
    "too much": (lambda path: path.write_bytes(b"# all good\n" * 200_000), "more than 1,048,576"),
    "a deep tree": (lambda path: path.write_text(f"a = {'[' * 9_000}"), "nested too deeply"),
    "two keys": (lambda path: path.write_text("a = 1\na = 2"), "Cannot overwrite"),
}


@pytest.mark.parametrize("file", ["spark.toml", "pyproject.toml"])
@pytest.mark.parametrize(("make", "said"), MISPLACED.values(), ids=MISPLACED)
def test_what_is_no_file_of_settings_is_no_absence(
    folder: Path, file: str, make: Callable[[Path], Any], said: str
) -> None:
    make(folder / file)

    error = use_settings()

    assert isinstance(error, GraphDefinitionError)
    assert str(error).startswith(f"{file} can't be read: ")
    assert said in str(error)
    assert str(error).endswith("Repair or remove it.")


def test_modules_beside_tables_of_plugins_are_shown_another_place(folder: Path) -> None:
    """TOML has no array beside tables of its name; what the parser says of it tells nobody what to do."""
    (folder / "spark.toml").write_text("plugins = ['my_rules']\n[plugins.webhook]\nurl = 'http://x'\n")

    assert str(use_settings()).endswith("name modules in [checkpoint]: plugins = […].")


@pytest.mark.parametrize(
    "url", ["file:///a\ud800b", "\ud800", "a\nb://c", "x" * 5_000, "file:relative", "sqlite://", ":"]
)
def test_whatever_the_variable_holds_works_or_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Bytes that are no UTF-8 reach Python as half characters."""
    monkeypatch.setitem(os.environ._data, os.fsencode(URL), os.fsencode(url.replace("\ud800", "\udcff")))  # type: ignore[attr-defined]

    error = use_settings()

    assert error is None or str(error).startswith(URL)


def test_a_working_directory_that_is_gone_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = folder / "gone"
    deleted.mkdir()
    monkeypatch.chdir(deleted)
    deleted.rmdir()

    error = use_settings(opening=False)

    assert isinstance(error, GraphDefinitionError)
    assert "the working directory can't be found" in str(error)
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("options", [{"format": ["a"]}, {"format": None}, {"serializer": 5}], ids=str)
def test_what_is_no_format_and_no_serializer_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GraphDefinitionError, match=next(iter(options))):
        InMemoryCheckpointBackend(**options)
