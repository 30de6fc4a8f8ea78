"""``spark checkpoints copy | export | import``: records arrive as they are, also when the command is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointBackend
from spark.graphs.checkpoint.derived.history import DerivedHistory
from spark.graphs.checkpoint.storage import derived_id
from tests.plugins.support.command_line import (
    damage,
    file_url,
    fill,
    infos,
    records,
    save_by_hand,
    sequences,
    spark,
    sqlite_url,
    with_store,
)
from tests.support.variants import first_of

DIE_AFTER_PUT = """
import os, signal, sys
from {module} import {kind}

put, count = {kind}.put, 0

async def put_and_die(self, record):
    global count
    await put(self, record)
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)

{kind}.put = put_and_die
from spark_cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Two graphs, one with a checkpoint made by hand."""
    url = file_url(tmp_path / "source")
    fill(url, graph_id="a", to=3)
    fill(url, graph_id="b/ü", to=2)
    save_by_hand(url, "by hand", graph_id="a")
    return url


def killed(module: str, kind: str, *arguments: str) -> None:
    """Call the command in a process that is killed after four records."""
    code = DIE_AFTER_PUT.format(module=module, kind=kind)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=200)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("url_of", [file_url, sqlite_url])
def test_a_copy_holds_every_record_unchanged(source: str, tmp_path: Path, url_of: Callable[[Path], str]) -> None:
    target = url_of(tmp_path / "target")

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert (done.code, done.err) == (0, "")
    nothing: dict[str, list[object]] = {"conflicts": [], "damaged": [], "unlisted": [], "unreadable": []}
    assert done.json == {"copied": 8, "present": 0} | nothing
    assert records(target) == records(source)
    assert "by hand" in [info.checkpoint_id for info in infos(target)]


def test_only_the_graphs_that_are_named_are_copied(source: str, tmp_path: Path) -> None:
    target = file_url(tmp_path / "target")

    spark("checkpoints", "copy", "--yes", "b/ü", "--url", source, "--to", target)

    assert {info.graph_id for info in infos(target)} == {"b/ü"}


@pytest.mark.parametrize(
    ("url_of", "module", "kind"),
    first_of(
        [
            (sqlite_url, "spark_backend_sql", "DatabaseCheckpointBackend"),
            (file_url, "spark_backend_file", "FileCheckpointBackend"),
        ]
    ),
)
def test_a_copy_that_was_killed_goes_on_where_it_stopped(
    source: str, tmp_path: Path, url_of: Callable[[Path], str], module: str, kind: str
) -> None:
    target = url_of(tmp_path / "target")
    killed(module, kind, "checkpoints", "copy", "--yes", "--url", source, "--to", target)
    assert sequences(infos(target)) == [1, 2, 3, 4], "a whole beginning"

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert (done.json["copied"], done.json["present"], done.code) == (4, 4, 0)
    assert records(target) == records(source)


def test_a_graph_whose_place_is_taken_is_left_alone_and_others_are_carried(source: str, tmp_path: Path) -> None:
    target = file_url(tmp_path / "target")
    fill(target, graph_id="a", to=1)
    before = records(target)

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert done.code == 1
    assert [(each["graph_id"], each["sequence"]) for each in done.json["conflicts"]] == [("a", 1)]
    assert "histories are not mixed" in done.err
    assert [record for record in records(target) if record.graph_id == "a"] == before
    assert len([record for record in records(target) if record.graph_id == "b/ü"]) == 3


def test_a_place_that_was_used_and_freed_is_a_conflict(source: str, tmp_path: Path) -> None:
    target = sqlite_url(tmp_path / "target")
    fill(target, graph_id="a", to=1)
    spark("checkpoints", "delete", "--yes", "--graph", "a", "--url", target)

    done = spark("checkpoints", "copy", "--yes", "a", "--url", source, "--to", target, "--json")

    assert done.code == 1
    assert done.json["conflicts"][0]["reason"] == "its sequence was used there before"
    assert infos(target) == []


def test_what_is_damaged_is_named_and_not_carried(tmp_path: Path) -> None:
    source, target = file_url(tmp_path / "source"), sqlite_url(tmp_path / "target")
    fill(source)
    damage(tmp_path / "source", sequence=2)

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert done.code == 1
    assert [each["sequence"] for each in done.json["damaged"]] == [2]
    assert sequences(infos(target)) == [1, 3, 4, 5]


def test_a_store_that_keeps_nothing_is_no_target(source: str) -> None:
    assert spark("checkpoints", "copy", "--yes", "--url", source, "--to", "memory://").code == 2


def test_an_export_is_imported_unchanged(source: str, tmp_path: Path) -> None:
    file, target = tmp_path / "all.records", file_url(tmp_path / "target")

    exported = spark("checkpoints", "export", file, "--url", source)
    imported = spark("checkpoints", "import", "--yes", file, "--url", target)
    again = spark("checkpoints", "import", "--yes", file, "--url", target, "--json")

    assert (exported.code, exported.out) == (0, "8 copied, 0 already there\n")
    assert (imported.code, imported.err) == (0, "")
    assert records(target) == records(source)
    assert (again.json["copied"], again.json["present"]) == (0, 8)
    assert file.stat().st_mode & 0o077 == 0, "states are nobody else's"


@pytest.mark.thorough
def test_an_export_that_was_killed_goes_on_where_it_stopped(source: str, tmp_path: Path) -> None:
    file, target = tmp_path / "all.records", file_url(tmp_path / "target")
    killed("spark_cli.copying.archive", "Archive", "checkpoints", "export", str(file), "--url", source)
    partial = file.with_name("all.records.partial")
    assert not file.exists()
    with partial.open("ab") as rest:
        rest.write(b"record 300 40000\nhalf of a record" + bytes(30_000))

    done = spark("checkpoints", "export", file, "--url", source, "--json")

    assert (done.json["copied"], done.json["present"], done.code) == (4, 4, 0)
    assert not partial.exists()
    assert spark("checkpoints", "import", "--yes", file, "--url", target).code == 0
    assert records(target) == records(source)


def test_of_what_a_stopped_export_left_only_what_is_intact_is_kept(source: str, tmp_path: Path) -> None:
    file = tmp_path / "all.records"
    spark("checkpoints", "export", file, "a", "--url", source)
    content = file.read_bytes().removesuffix(b"end 5\n")
    file.unlink()
    (tmp_path / "all.records.partial").write_bytes(content[:-9] + b"?" + content[-8:])

    done = spark("checkpoints", "export", file, "a", "--url", source, "--json")

    assert (done.json["copied"], done.json["present"], done.code) == (1, 4, 0)
    assert file.read_bytes() == content + b"end 5\n"


def test_what_a_stopped_export_of_another_store_left_is_not_added_to(source: str, tmp_path: Path) -> None:
    file, other = tmp_path / "all.records", file_url(tmp_path / "other")
    fill(other, graph_id="a", to=4)
    killed("spark_cli.copying.archive", "Archive", "checkpoints", "export", str(file), "--url", other)
    left = (tmp_path / "all.records.partial").read_bytes()

    done = spark("checkpoints", "export", file, "a", "--url", source)

    assert done.code == 1
    assert "all.records.partial belongs to another store; remove it to start again" in done.err
    assert not file.exists()
    assert (tmp_path / "all.records.partial").read_bytes() == left


def test_an_export_does_not_replace_a_file(source: str, tmp_path: Path) -> None:
    file = tmp_path / "all.records"
    file.write_text("mine")

    done = spark("checkpoints", "export", file, "--url", source)

    assert (done.code, file.read_text()) == (1, "mine")
    assert "exists" in done.err


def test_two_exports_do_not_write_one_file(source: str, tmp_path: Path) -> None:
    import fcntl

    file = tmp_path / "all.records"
    with (tmp_path / "all.records.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = spark("checkpoints", "export", file, "--url", source)

    assert done.code == 1
    assert "is being written by another process" in done.err


def test_what_is_whole_in_a_file_that_is_cut_off_is_imported_and_the_rest_is_told(source: str, tmp_path: Path) -> None:
    file, target = tmp_path / "all.records", sqlite_url(tmp_path / "target")
    spark("checkpoints", "export", file, "--url", source)
    whole = file.read_bytes()

    ends = {}
    for length in (len(whole) - 1, len(whole) - len(b"end 8\n"), len(whole) - len(b"end 8\n") - 1, len(whole) // 2):
        file.write_bytes(whole[:length])
        done = spark("checkpoints", "import", "--yes", file, "--url", target, "--json")
        ends[length] = (done.code, "is damaged" in done.err, done.json["copied"] + done.json["present"])

    assert [code for code, _, _ in ends.values()] == [1, 1, 1, 1]
    assert all(told for _, told, _ in ends.values())
    counts = [count for _, _, count in ends.values()]
    assert counts[:3] == [8, 8, 7]
    assert 0 < counts[3] < 7


@pytest.mark.thorough
def test_a_changed_byte_in_a_file_is_noticed_wherever_it_is(source: str, tmp_path: Path) -> None:
    file, target = tmp_path / "all.records", sqlite_url(tmp_path / "target")
    spark("checkpoints", "export", file, "b/ü", "--url", source)
    whole = file.read_bytes()

    codes = []
    for place in range(0, len(whole), len(whole) // 12):
        changed = bytearray(whole)
        changed[place] ^= 0x20
        file.write_bytes(changed)
        codes.append(spark("checkpoints", "import", "--yes", file, "--url", target).code)

    assert len(codes) >= 12
    assert set(codes) == {1}
    originals = records(source)
    assert all(record in originals for record in records(target))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("milk\n")

    done = spark("checkpoints", "import", "--yes", file, "--url", sqlite_url(tmp_path / "target"))

    assert done.code == 1
    assert "is not a file that" in done.err


def test_a_copy_can_be_continued_from(source: str, tmp_path: Path) -> None:
    """What counts in the end: the run goes on in the other store, with the next sequence."""
    target = file_url(tmp_path / "target")
    spark("checkpoints", "copy", "--yes", "--url", source, "--to", target)

    async def next_sequence(store: CheckpointBackend) -> int:
        return await store.next_sequence("a")

    assert with_store(target, next_sequence) == with_store(source, next_sequence) == 6


def test_what_can_not_be_listed_is_named_and_not_carried(source: str, tmp_path: Path) -> None:
    (tmp_path / "source" / "a" / "000000000009.ckpt").mkdir()

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", sqlite_url(tmp_path / "target"), "--json")

    assert (done.code, done.json["copied"]) == (1, 8)
    assert "000000000009.ckpt" in done.json["unlisted"][0]["place"]
    assert "damaged, and not copied" in done.err


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(
    source: str, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "odd")
    make(tmp_path / "all.records.partial")

    taken = spark("checkpoints", "import", "--yes", str(tmp_path / "odd"), "--url", source)
    given = spark("checkpoints", "export", str(tmp_path / "all.records"), "--url", source)

    assert (taken.code, given.code) == (1, 1)
    assert "can't be read: " in taken.err
    assert "can't be written: " in given.err


def test_files_and_stores_in_the_users_home_may_be_named_with_a_tilde(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell expands only words that begin with it, and a program that calls the command has none."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert spark("checkpoints", "export", "~/all.records", "--url", "file://~/source").code == 0
    assert spark("checkpoints", "import", "--yes", "~/all.records", "--url", "file://~/other").code == 0

    assert records(file_url(tmp_path / "other")) == records(source)


@pytest.mark.parametrize("graph_ids", [[], ["counting"]], ids=["all", "one"])
def test_messages_that_were_sent_to_a_graph_go_with_it(graph_ids: list[str], tmp_path: Path) -> None:
    source, copied, imported = (sqlite_url(tmp_path / name) for name in ("source", "copied", "imported"))
    fill(source)

    async def send(store: CheckpointBackend) -> None:
        for number in (1, 2):
            await DerivedHistory(store, "inbox", "counting").append({"number": number})

    with_store(source, send)
    assert spark("checkpoints", "copy", "--yes", *graph_ids, "--url", source, "--to", copied).code == 0
    archive = str(tmp_path / "archive")
    assert spark("checkpoints", "export", archive, *graph_ids, "--url", source).code == 0
    assert spark("checkpoints", "import", "--yes", archive, *graph_ids, "--url", imported).code == 0
    assert records(copied) == records(imported) == records(source)
    assert (derived_id("inbox", "counting"), 2) in {(record.graph_id, record.sequence) for record in records(imported)}
