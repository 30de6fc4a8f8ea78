"""``spark checkpoints copy | export | import | verify | prune`` and ``spark doctor``, where checkpoints refer to large values."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager, InMemoryCheckpointBackend, open_backend
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Record
from spark_backend_file import FileCheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_cli.copying.archive import Archive
from spark_cli.copying.transfer import transfer
from spark_testing.records import make_record
from spark_testing.suites.blob_memory import PlainMemory
from tests.plugins.support.command_line import (
    STEADY,
    file_url,
    fill,
    fill_large,
    infos,
    large_text,
    records,
    sequences,
    spark,
    sqlite_url,
    with_store,
)
from tests.plugins.support.remote_stores import remove_from_memory

Contents = dict[str, bytes]


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Four checkpoints in files; the last one is made at the end and refers to what the third one does."""
    url = file_url(tmp_path / "source")
    fill_large(url, to=3)
    return url


def states(url: str) -> list[tuple[str, str]]:
    """Both large values in each checkpoint."""
    return with_store(url, states_in)


async def states_in(store: CheckpointBackend) -> list[tuple[str, str]]:
    manager = CheckpointManager(store)
    loaded = [await manager.load_checkpoint(info.checkpoint_id) for info in (await store.list()).infos]
    return [(each.graph_state["steady"], each.graph_state["text"]) for each in loaded]


EXPECTED = [(STEADY, large_text(count)) for count in (1, 2, 3, 3)]


def blobs(url: str, graph_id: str = "growing") -> Contents:
    async def look(store: CheckpointBackend) -> Contents:
        return await store.get_blobs(graph_id, await store.blob_names(graph_id))

    found: Contents = with_store(url, look)
    return found


def blob_file(folder: Path, *, of: int) -> Path:
    """The file of the value that only this checkpoint has."""
    (file,) = [
        file
        for file in (folder / "growing" / "blobs").iterdir()
        if file.name.startswith(f"{of:012d}") and f"step {of} ".encode() in file.read_bytes()
    ]
    return file


# copying


@pytest.mark.parametrize(("url_of", "to_url_of"), [(file_url, sqlite_url), (sqlite_url, file_url)])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
def test_a_copy_holds_the_large_values(
    tmp_path: Path, url_of: Callable[[Path], str], to_url_of: Callable[[Path], str], options: dict[str, Any]
) -> None:
    source, target = url_of(tmp_path / "source"), to_url_of(tmp_path / "target")
    fill_large(source, options=options)

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")
    again = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert (done.code, done.json["copied"], again.json["copied"], again.json["present"]) == (0, 4, 0, 4)
    assert records(target) == records(source)
    assert blobs(target) == blobs(source) != {}
    assert states(target) == EXPECTED


class Counting(FileCheckpointBackend):
    """Remembers which large values it was given."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.given: list[str] = []

    async def put(self, record: Record) -> None:
        self.given += record.blobs
        await super().put(record)


async def test_a_value_that_several_checkpoints_share_is_sent_once(tmp_path: Path) -> None:
    await asyncio.to_thread(fill_large, file_url(tmp_path / "source"))
    async with FileCheckpointBackend(tmp_path / "source") as source, Counting(tmp_path / "target") as target:
        await transfer(source, target)
        await target.delete("growing", 4)
        await transfer(source, target)

        assert sorted(target.given) == sorted(await source.blob_names("growing"))


class Pruned(FileCheckpointBackend):
    """Loses its second checkpoint, and what only that needs, between the reading of the record and that of its values."""

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> Contents:
        if any(name.startswith(f"{2:012d}") for name in names):
            await CheckpointManager(self).delete_checkpoint("ckpt_growing_000002")
        return await super().get_blobs(graph_id, names)


async def test_a_checkpoint_that_retention_removes_while_it_is_read_is_no_damage(tmp_path: Path) -> None:
    await asyncio.to_thread(fill_large, file_url(tmp_path / "source"))
    target = InMemoryCheckpointBackend()
    async with Pruned(tmp_path / "source") as source:
        outcome = await transfer(source, target)

    assert (outcome.is_fine, outcome.copied, sequences((await target.list()).infos)) == (True, 3, [1, 3, 4])


def test_what_a_killed_copy_left_of_a_value_is_written_anew(source: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    whole = blob_file(tmp_path / "source", of=1)
    (target / "growing" / "blobs").mkdir(parents=True)
    (target / "growing" / "blobs" / whole.name).write_bytes(whole.read_bytes()[:5000])

    assert spark("checkpoints", "copy", "--yes", "--url", source, "--to", file_url(target)).code == 0
    assert states(file_url(target)) == EXPECTED


def test_a_value_that_the_target_has_lost_comes_with_the_next_checkpoint_that_needs_it(
    source: str, tmp_path: Path
) -> None:
    target = shutil.copytree(tmp_path / "source", tmp_path / "target")
    for sequence in (3, 4):
        (target / "growing" / f"{sequence:012d}.ckpt").unlink()
    for file in (target / "growing" / "blobs").iterdir():
        if STEADY in file.read_text():
            file.unlink()
    assert [each["sequence"] for each in verified(file_url(target)).json["damaged"]] == [1, 2]

    spark("checkpoints", "copy", "--yes", "--url", source, "--to", file_url(target))

    assert states(file_url(target)) == EXPECTED


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(lambda file: file.unlink(), "is missing"), (lambda file: flip(file), "is not what was written")],
)
def test_a_checkpoint_whose_value_is_missing_or_changed_is_named_and_not_carried(
    source: str, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    file, target = blob_file(tmp_path / "source", of=2), sqlite_url(tmp_path / "target")
    spoil(file)

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert done.code == 1
    assert [(each["checkpoint_id"], each["reason"]) for each in done.json["damaged"]] == [
        ("ckpt_growing_000002", f"its large value '{file.stem}' {reason}")
    ]
    assert states(target) == [EXPECTED[0], *EXPECTED[2:]]
    assert "ckpt_growing_000002' is damaged: its large value" in done.err


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


def test_the_target_keeps_what_is_needed_and_lets_go_of_the_rest(source: str, tmp_path: Path) -> None:
    """Names hold the sequences that values were written for, and these are the same over there."""
    target = file_url(tmp_path / "target")
    spark("checkpoints", "prune", "--yes", "--keep", "3", "--url", source)
    spark("checkpoints", "copy", "--yes", "--url", source, "--to", target)
    assert {int(name[:12]) for name in blobs(target)} == {1, 2, 3}

    spark("checkpoints", "prune", "--yes", "--keep", "2", "--url", target)

    assert {int(name[:12]) for name in blobs(target)} == {1, 3}
    assert states(target) == [EXPECTED[2]] * 2
    fill_large(target, to=1)
    assert states(target) == [*[EXPECTED[2]] * 2, EXPECTED[0], EXPECTED[0]]
    assert spark("doctor", "--url", target).out == "4 intact, 0 damaged\n"


@pytest.fixture
async def remote() -> AsyncIterator[CheckpointBackend]:
    """A store behind fsspec."""
    url = f"memory://cli-{uuid4().hex}"
    async with FileCheckpointBackend(url) as store:
        yield store
    remove_from_memory(url)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
@pytest.mark.parametrize("keeps_blobs", [True, False])
async def test_a_store_of_any_kind_gets_large_values_in_its_own_way(
    remote: CheckpointBackend, tmp_path: Path, options: dict[str, Any], keeps_blobs: bool
) -> None:
    """Beside the records, or where it keeps none, in them."""
    target = remote if keeps_blobs else PlainMemory()
    await asyncio.to_thread(fill_large, file_url(tmp_path / "source"), options=options)
    async with FileCheckpointBackend(tmp_path / "source") as source:
        first, second = await transfer(source, target), await transfer(source, target)
        back = await transfer(target, source)

        assert (first.copied, second.present, back.present) == (4, 4, 4)
        assert first.is_fine
        assert second.is_fine
        assert back.is_fine
        assert await states_in(target) == EXPECTED
        assert (await CheckpointManager(target).verify()).intact == 4
        assert bool(await target.blob_names("growing")) is keeps_blobs


async def test_another_record_in_a_store_that_keeps_no_large_values_is_a_conflict(tmp_path: Path) -> None:
    for name in ("source", "other"):
        await asyncio.to_thread(fill_large, file_url(tmp_path / name))
    plain = PlainMemory()
    async with FileCheckpointBackend(tmp_path / "source") as source, FileCheckpointBackend(tmp_path / "other") as other:
        await transfer(source, plain)

        outcome = await transfer(other, plain)

    assert [each.sequence for each in outcome.conflicts] == [1]


@pytest.mark.filterwarnings("ignore:Checkpoints in the pickle format are not signed")
def test_a_format_that_holds_everything_is_carried_without_being_loaded(tmp_path: Path) -> None:
    source, target = file_url(tmp_path / "source"), sqlite_url(tmp_path / "target")
    fill_large(source, options={"format": "pickle"})

    assert spark("checkpoints", "copy", "--yes", "--url", source, "--to", target).code == 0
    assert records(target) == records(source)


@pytest.mark.parametrize("keeps_blobs", [True, False])
def test_a_record_that_does_not_say_what_it_needs_is_carried_with_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps_blobs: bool
) -> None:
    """Where large values have no place beside it, it stays: nobody could put them into it."""
    source, target = file_url(tmp_path / "source"), sqlite_url(tmp_path / "target")
    monkeypatch.setattr(DatabaseCheckpointBackend, "keeps_blobs", keeps_blobs)
    record = make_record("g", 1, blobs={"theirs": b"large"})
    header = replace(record.header, checksum=checksum("sha256", record.header.canonical(), record.payload))
    with_store(source, lambda store: store.put(Record(header, record.payload, blobs=record.blobs)))

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert (done.code, done.json["copied"], len(done.json["unreadable"])) == ((0, 1, 0) if keeps_blobs else (1, 0, 1))
    if keeps_blobs:
        assert records(target) == records(source)
        assert with_store(target, lambda store: store.get_blobs("g", ["theirs"])) == {"theirs": b"large"}


def test_a_format_that_is_not_installed_can_not_tell_what_has_to_come_along(tmp_path: Path) -> None:
    source, target = file_url(tmp_path / "source"), sqlite_url(tmp_path / "target")
    fill(source, graph_id="other", to=1)
    record = make_record(format="nowhere")
    header = replace(record.header, references_in_payload=True)
    header.checksum = checksum("sha256", header.canonical(), record.payload)
    with_store(source, lambda store: store.put(Record(header, record.payload)))

    done = spark("checkpoints", "copy", "--yes", "--url", source, "--to", target, "--json")

    assert (done.code, done.json["copied"], sequences(infos(target))) == (1, 2, [1, 2])
    assert [each["graph_id"] for each in done.json["unreadable"]] == ["g"]
    assert "is not readable here" in done.err
    assert "'nowhere'" in done.err
    assert [each["graph_id"] for each in verified(source).json["unreadable"]] == ["g"]


# export and import


@pytest.mark.parametrize(("url_of", "to_url_of"), [(file_url, sqlite_url), (sqlite_url, file_url)])
def test_an_export_holds_each_large_value_once(
    tmp_path: Path, url_of: Callable[[Path], str], to_url_of: Callable[[Path], str]
) -> None:
    source, file, target = url_of(tmp_path / "source"), tmp_path / "all.records", to_url_of(tmp_path / "target")
    fill_large(source)
    fill_large(source, graph_id="another")

    exported = spark("checkpoints", "export", file, "--url", source)
    imported = spark("checkpoints", "import", "--yes", file, "--url", target)

    assert (exported.code, imported.code, imported.err) == (0, 0, "")
    assert file.read_bytes().count(STEADY.encode()) == 2, "once for each graph"
    assert records(target) == records(source)
    for graph_id in ("growing", "another"):
        assert blobs(target, graph_id) == blobs(source, graph_id) != {}
    assert states(target) == EXPECTED * 2


async def test_an_export_goes_from_and_to_memory(tmp_path: Path) -> None:
    file, memory = tmp_path / "all.records", InMemoryCheckpointBackend()
    await asyncio.to_thread(fill_large, file_url(tmp_path / "source"))
    async with FileCheckpointBackend(tmp_path / "source") as source:
        await written(source, file)
    archive = Archive.read(file)
    await transfer(archive, memory)
    archive.close()
    await written(memory, tmp_path / "more.records")

    assert await states_in(memory) == EXPECTED
    more = Archive.read(tmp_path / "more.records")
    async with open_backend(sqlite_url(tmp_path / "target")) as target:
        assert (await transfer(more, target)).is_fine
        assert await states_in(target) == EXPECTED
    more.close()


async def written(source: CheckpointBackend, file: Path) -> None:
    archive = Archive.write(file)
    await transfer(source, archive)
    await archive.finish()
    archive.close()


def test_an_export_that_was_cut_off_anywhere_goes_on_and_comes_out_the_same(source: str, tmp_path: Path) -> None:
    file, partial = tmp_path / "all.records", tmp_path / "all.records.partial"
    spark("checkpoints", "export", file, "--url", source)
    whole = file.read_bytes()

    for length in lengths(whole, 16):
        file.unlink()
        partial.write_bytes(whole[:length])
        assert spark("checkpoints", "export", file, "--url", source).code == 0
        assert file.read_bytes() == whole, f"cut off at {length}"


def test_what_is_whole_in_a_file_that_is_cut_off_arrives_with_all_its_values(source: str, tmp_path: Path) -> None:
    file, counts = tmp_path / "all.records", set()
    spark("checkpoints", "export", file, "--url", source)
    whole = file.read_bytes()

    for length in lengths(whole, 6):
        target = file_url(tmp_path / f"target {length}")
        file.write_bytes(whole[:length])
        done = spark("checkpoints", "import", "--yes", file, "--url", target, "--json")
        assert (done.code, done.json["damaged"]) == (1, [])
        found = states(target)
        assert found == EXPECTED[: len(found)]
        counts.add(len(found))

    assert len(counts) > 2


def lengths(whole: bytes, count: int) -> Sequence[int]:
    return range(len(whole) // count, len(whole), len(whole) // count)


def test_a_changed_byte_of_a_large_value_in_a_file_is_noticed_wherever_it_is(source: str, tmp_path: Path) -> None:
    file = tmp_path / "all.records"
    spark("checkpoints", "export", file, "--url", source)
    whole = file.read_bytes()
    start = whole.index(b"blob ")
    places = [*range(start, start + 160, 8), start + 5000]

    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        archive = Archive.read(file)
        flaw, found = archive.flaw, asyncio.run(archive.list()).infos
        archive.close()
        assert (bool(flaw), found) == (True, []), place


# verify and doctor


def verified(url: str) -> Any:
    return spark("checkpoints", "verify", "--url", url, "--json")


def test_a_missing_value_is_damage_of_the_checkpoints_that_need_it(source: str, tmp_path: Path) -> None:
    assert verified(source).code == 0
    file = blob_file(tmp_path / "source", of=3)
    file.unlink()

    done = verified(source)

    assert (done.code, done.json["intact"]) == (1, 2)
    assert [each["sequence"] for each in done.json["damaged"]] == [3, 4]
    assert f"its large value '{file.stem}' is missing" in done.json["damaged"][0]["reason"]
    assert spark("doctor", "--repair", "--yes", "--url", source).code == 0
    assert states(source) == EXPECTED[:2]


def test_the_doctor_shows_values_that_nobody_needs_and_removes_them_when_told_to(source: str, tmp_path: Path) -> None:
    place = tmp_path / "source" / "growing" / "blobs"
    orphan, coming = place / "000000000002-killed-1.blob", place / "000000000009-running-1.blob"
    for each in (orphan, coming):
        each.write_bytes(b'"left"')
    shown = f"unreferenced: large value {orphan.stem} of graph 'growing'\n"

    assert verified(source).code == 0, "it harms nobody"
    looked = spark("doctor", "--url", source)
    assert (looked.code, orphan.exists()) == (1, True)
    repaired = spark("doctor", "--repair", "--yes", "--url", source)

    assert shown in looked.out
    assert (repaired.code, repaired.out) == (0, f"4 intact, 0 damaged\n{shown}large values removed: 1\n")
    assert (orphan.exists(), coming.exists()) == (False, True), "a run may be about to refer to the other one"
    assert spark("doctor", "--url", source).code == 0
    assert spark("doctor", "--repair", "--yes", "--at-rest", "growing", "--url", source, "--json").json["freed"] == 1
    assert not coming.exists()
    assert states(source) == EXPECTED


def test_what_is_left_of_a_graph_without_checkpoints_goes_when_it_is_said_to_be_at_rest(source: str) -> None:
    spark("checkpoints", "delete", "--yes", "--graph", "growing", "--url", source)
    assert blobs(source) != {}

    assert spark("doctor", "--at-rest", "growing", "--url", source).code == 2
    assert spark("doctor", "--repair", "--yes", "--at-rest", "growing", "--url", source).code == 0
    assert blobs(source) == {}
