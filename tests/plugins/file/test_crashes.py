"""When a process dies or the system refuses, what was acknowledged is there, and what was not is whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, SequenceTakenError
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage import frame
from spark_backend_file.local_directory import LocalDirectory
from spark_backend_file.local_folder import LocalFolder
from spark_backend_file.names import record_name
from spark_testing.records import make_record
from tests.plugins.support.file_faults import WatchedOs, complaints, is_killed, run_in_child, start_in_child, watching
from tests.support.variants import first_of

EARLIER = [make_record("g", 1), make_record("g", 2, checkpoint_id="kept"), make_record("g", 3)]
SAVED = {
    "plain": make_record("g", 4),
    "manual": make_record("g", 4, checkpoint_id="new"),
    "manual again": make_record("g", 4, checkpoint_id="kept"),
    "binary": make_record("g", 4, format="pickle", payload=bytes(range(256)) * 40),
    "with large values": make_record("g", 4, blobs={"000000000004-ab-1": b"x" * 9_000, "000000000004-ab-2": b"y"}),
}


def filled(path: Path, records: list[Record]) -> LocalDirectory:
    store = LocalDirectory(str(path))
    for record in records:
        store.put(record)
    return store


def leftovers(path: Path) -> list[str]:
    return [found.name for found in path.rglob("*") if found.name.startswith(".tmp-")]


def check_store(path: Path, *, earlier: list[Record], maybe: Record | None) -> None:
    """The acknowledged records are there, the one in question is whole or absent, and the store goes on."""
    store = LocalDirectory(str(path))
    for record in earlier:
        assert store.get("g", record.header.sequence) == record
    stored = store.get("g", maybe.header.sequence) if maybe else None
    assert stored in (None, maybe)
    if stored and maybe:
        assert store.get_blobs("g", [*maybe.blobs]) == maybe.blobs
    expected = [record.header.sequence for record in (*earlier, stored) if record]
    assert [info.sequence for info in store.listing("g").infos] == expected
    latest = store.latest("g")
    assert (latest.sequence if latest else 0) == max(expected, default=0)
    for record in (*earlier, stored):
        if record and record.header.manual:
            by_id = store.find(record.header.checkpoint_id)
            assert by_id is not None
            assert by_id.manual
            assert by_id.sequence >= record.header.sequence
    if maybe and maybe.header.manual and not stored:
        by_id = store.find(maybe.header.checkpoint_id)
        assert by_id is None or by_id.sequence < maybe.header.sequence
    following = make_record("g", store.next_sequence("g"))
    store.put(following)
    assert store.get("g", following.header.sequence) == following


def kill_everywhere(tmp_path: Path, earlier: list[Record], record: Record) -> int:
    """Kill a ``put`` before its first call, its second… until one completes; how many kills that took."""
    for number in count(1):
        path = tmp_path / str(number)
        store = filled(path, earlier)
        killed = is_killed(lambda store=store: store.put(record), before=number)
        check_store(path, earlier=earlier, maybe=record)
        assert leftovers(path) == []
        if not killed:
            assert LocalDirectory(str(path)).get("g", record.header.sequence) == record
            return number - 1
    raise AssertionError("unreachable")


@pytest.mark.parametrize("kind", first_of([*SAVED]))
def test_a_save_killed_before_any_of_its_calls_is_whole_or_absent(tmp_path: Path, kind: str) -> None:
    kills = kill_everywhere(tmp_path, EARLIER, SAVED[kind])

    assert kills >= 10


@pytest.mark.thorough
@pytest.mark.parametrize("checkpoint_id", [None, "first"])
def test_the_first_save_of_all_can_be_killed_too(tmp_path: Path, checkpoint_id: str | None) -> None:
    """It makes the directory and its parents, which later ones find."""
    kills = kill_everywhere(tmp_path / "new" / "parents", [], make_record("g", 1, checkpoint_id=checkpoint_id))

    assert kills >= 15


def write_straight_to_the_name(folder: LocalFolder, record: Record, *arguments: Any, **options: Any) -> list[int]:
    from spark_backend_file import local_folder as module

    file = module.os.open(
        record_name(record.header.sequence), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder._folder
    )
    for half in (frame(record)[:100], frame(record)[100:]):
        module.os.write(file, half)
    module.os.fsync(file)
    os.close(file)
    return []


def never_remove_leftovers(folder: LocalFolder, *, remove: bool) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("method", "bug"), [("put", write_straight_to_the_name), ("leftovers", never_remove_leftovers)]
)
def test_the_killing_finds_planted_bugs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, bug: Callable[..., None]
) -> None:
    """Otherwise its silence would mean nothing."""
    monkeypatch.setattr(LocalFolder, method, bug)

    with pytest.raises((AssertionError, ValueError)):
        kill_everywhere(tmp_path, EARLIER, SAVED["plain"])


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_a_deletion_killed_before_any_of_its_calls_leaves_the_rest(tmp_path: Path, sequence: int) -> None:
    for number in count(1):
        store = filled(tmp_path / str(number), EARLIER)
        killed = is_killed(lambda store=store: store.delete("g", sequence), before=number)
        deleted = store.get("g", sequence) is None
        rest = [record for record in EARLIER if record.header.sequence != sequence]
        if deleted:
            assert LocalDirectory(store.path).next_sequence("g") == 4
            check_store(Path(store.path), earlier=rest, maybe=None)
            with pytest.raises(SequenceTakenError):
                store.put(EARLIER[sequence - 1])
        else:
            check_store(Path(store.path), earlier=EARLIER, maybe=None)
        if not killed:
            break
    assert deleted
    assert number > 5


@pytest.mark.thorough
def test_forgetting_killed_before_any_of_its_calls_is_done_by_calling_again(tmp_path: Path) -> None:
    """Until it is done, what is there is whole, and no sequence is used again."""
    large = [make_record("g", 4, blobs={"000000000004-ab-1": b"x"}), make_record("g", 5)]
    for number in count(1):
        store = filled(tmp_path / str(number), [*EARLIER, *large, make_record("h", 1)])
        store.delete("g", 1)
        killed = is_killed(lambda store=store: store.forget("g"), before=number)

        left = [info.sequence for info in store.listing("g").infos]
        assert left == [2, 3, 4, 5][4 - len(left) :]
        assert 4 not in left or store.get_blobs("g", [*large[0].blobs]) == large[0].blobs
        assert store.next_sequence("g") == 6 or not (tmp_path / str(number) / "g" / "floor").exists()
        assert store.forget("g") == left
        assert [found.name for found in (tmp_path / str(number)).iterdir()] == ["h"]
        assert [info.graph_id for info in store.listing(None).infos] == ["h"]
        if not killed:
            assert left == []
            break
    assert number > 20


def error_of(action: Callable[[], object], watched: WatchedOs) -> BackendError | None:
    try:
        with watching(watched):
            action()
    except BackendError as error:
        return error
    return None


@pytest.mark.parametrize("code", first_of([errno.ENOSPC, errno.EIO]))
@pytest.mark.parametrize("kind", ["plain", "manual", "manual again", "with large values"])
def test_a_save_that_the_system_refuses_leaves_nothing(tmp_path: Path, kind: str, code: int) -> None:
    """Any one of its calls fails; either the save does too and is absent, or it did not need that call."""
    record = SAVED[kind]
    refused = 0
    for number in count(1):
        path = tmp_path / str(number)
        filled(path, EARLIER)
        store = LocalDirectory(str(path))  # a new one, so that the first save in a folder is meant
        failed: list[str] = []

        def refuse(name: str, failed: list[str] = failed) -> None:
            failed.append(name)
            raise OSError(code, os.strerror(code))

        error = error_of(partial(store.put, record), WatchedOs(number, refuse))
        if error is None:
            assert store.get("g", 4) == record
        else:
            refused += 1
            assert isinstance(error.__cause__, OSError)
            assert os.strerror(code) in str(error)
            assert store.get("g", 4) is None
        check_store(path, earlier=EARLIER, maybe=record)
        assert len(leftovers(path)) <= failed.count("unlink")
        if not failed:
            break
    assert refused >= 10


def refusing(call: str, path: Path, *, after: str) -> WatchedOs:
    """Has the first such call on this path fail that follows another call."""

    class Refusing(WatchedOs):
        def __getattr__(self, name: str) -> Any:
            watched = super().__getattr__(name)

            def refused(*args: Any, **kwargs: Any) -> Any:
                is_after = any(step.name == after for step in self.log)
                if is_after and self.paths.get(args[0]) == str(path):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return watched(*args, **kwargs)

            return refused if name == call else watched

    return Refusing()


def test_the_sequence_of_a_save_that_was_withdrawn_stays_used(tmp_path: Path) -> None:
    """Others may have seen the record, and continued from it, before its folder could not be made durable."""
    store = filled(tmp_path, EARLIER)

    error = error_of(partial(store.put, SAVED["plain"]), refusing("fsync", tmp_path / "g", after="link"))

    assert error is not None
    assert store.get("g", 4) is None
    assert store.next_sequence("g") == 5
    with pytest.raises(SequenceTakenError, match="deleted"):
        store.put(SAVED["plain"])


def test_a_folder_that_can_t_be_made_durable_is_not_left_open(tmp_path: Path) -> None:
    filled(tmp_path, EARLIER)
    before = sorted(os.listdir("/proc/self/fd"))

    error = error_of(
        partial(LocalDirectory(str(tmp_path)).put, SAVED["plain"]), refusing("fsync", tmp_path, after="open")
    )

    assert error is not None
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("sequence", [1, 2, 3])
def test_a_deletion_that_the_system_refuses_says_so(tmp_path: Path, sequence: int) -> None:
    for number in count(1):
        store = filled(tmp_path / str(number), EARLIER)
        failed: list[str] = []

        def refuse(name: str, failed: list[str] = failed) -> None:
            failed.append(name)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        try:
            with watching(WatchedOs(number, refuse)):
                deleted = store.delete("g", sequence)
        except BackendError:
            deleted = False
        if deleted:
            assert store.get("g", sequence) is None
        deleted = store.get("g", sequence) is None
        kept = [record for record in EARLIER if not deleted or record.header.sequence != sequence]
        check_store(Path(store.path), earlier=kept, maybe=None)
        if not failed:
            break
    assert deleted
    assert number > 5


def test_a_save_does_first_things_first(tmp_path: Path) -> None:
    """Written, durable, linked, durable in its folder; what the system may lose is lost before anybody relies on it."""
    store = filled(tmp_path, EARLIER)

    with watching(WatchedOs()) as watched:
        store.put(SAVED["plain"])

    changes = [operation for operation in watched.log if operation.name not in ("open", "stat", "close")]
    temporary, name, folder = changes[0].paths[0], f"{tmp_path}/g/000000000004.ckpt", f"{tmp_path}/g"
    assert [(operation.name, operation.paths) for operation in changes] == [
        ("write", (temporary,)),
        ("utime", (temporary,)),
        ("fsync", (temporary,)),
        ("link", (temporary, name)),
        ("unlink", (temporary,)),
        ("fsync", (folder,)),
    ]


def test_large_values_are_durable_before_the_record_that_refers_to_them(tmp_path: Path) -> None:
    store = filled(tmp_path, EARLIER)

    with watching(WatchedOs()) as watched:
        store.put(SAVED["with large values"])

    assert complaints(watched.log) == []
    blobs, graph = f"{tmp_path}/g/blobs", f"{tmp_path}/g"
    first, second = (f"{blobs}/{name}.blob" for name in SAVED["with large values"].blobs)
    until_linked = [(step.name, step.paths[-1]) for step in watched.log if step.name in ("mkdir", "fsync", "link")]
    assert until_linked[:5] == [
        ("mkdir", blobs),
        ("fsync", graph),
        ("fsync", first),
        ("fsync", second),
        ("fsync", blobs),
    ]
    assert until_linked[-2] == ("link", f"{graph}/000000000004.ckpt")


@pytest.mark.parametrize("checkpoint_id", [None, "by hand"])
def test_a_first_save_makes_every_new_folder_durable(tmp_path: Path, checkpoint_id: str | None) -> None:
    store = LocalDirectory(str(tmp_path / "a" / "b" / "store"))

    with watching(WatchedOs()) as watched:
        store.put(make_record("g", 1, checkpoint_id=checkpoint_id))

    made = [operation.paths[0] for operation in watched.log if operation.name == "mkdir"]
    assert {f"{tmp_path}/a", f"{tmp_path}/a/b", f"{tmp_path}/a/b/store", f"{tmp_path}/a/b/store/g"} <= set(made)
    assert complaints([step for step in watched.log if step.name != "mkdir" or os.path.exists(step.paths[0])]) == []


def test_a_folder_made_by_somebody_else_is_not_trusted_to_be_durable(tmp_path: Path) -> None:
    """Its maker may have died before its fsync."""
    (tmp_path / "store" / "g").mkdir(parents=True)
    store = LocalDirectory(str(tmp_path / "store"))

    with watching(WatchedOs()) as watched:
        store.put(make_record("g", 1))

    synced = [operation.paths[0] for operation in watched.log if operation.name == "fsync"]
    assert synced[:2] == [str(tmp_path), str(tmp_path / "store")]


def test_a_forgotten_folder_that_somebody_else_makes_is_not_trusted_either(tmp_path: Path) -> None:
    store = filled(tmp_path, EARLIER)
    store.forget("g")
    os.mkdir(tmp_path / "g")

    with watching(WatchedOs()) as watched:
        store.put(make_record("g", 1))

    until_linked = [(step.name, step.paths[0]) for step in watched.log if step.name in ("fsync", "link")]
    assert until_linked[0] == ("fsync", str(tmp_path.parent))
    assert until_linked[1] == ("fsync", str(tmp_path))


def test_a_directory_that_was_removed_and_made_anew_is_not_trusted_either(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = filled(path, EARLIER)
    store.put(make_record("h", 1))
    shutil.rmtree(path)
    store.put(make_record("g", 1))
    (path / "h").mkdir()

    with watching(WatchedOs()) as watched:
        store.put(make_record("h", 1))

    until_linked = [(step.name, step.paths[0]) for step in watched.log if step.name in ("fsync", "link")]
    assert until_linked[0] == ("fsync", str(path))


@pytest.mark.parametrize("forgotten", ["/g", ".tmp-"])
def test_the_check_for_durability_finds_planted_bugs(tmp_path: Path, forgotten: str) -> None:
    store = filled(tmp_path, EARLIER)
    with watching(WatchedOs()) as watched:
        store.put(SAVED["plain"])

    log = [step for step in watched.log if step.name != "fsync" or forgotten not in step.paths[0].removesuffix("x")]

    assert complaints(log) != []


@pytest.mark.parametrize("deleted", [1, 3])
def test_only_the_last_record_needs_a_durable_deletion(tmp_path: Path, deleted: int) -> None:
    """Retention deletes at every step and pays for no fsync; a last record that came back would be continued from."""
    store = filled(tmp_path, EARLIER)

    with watching(WatchedOs()) as watched:
        store.delete("g", deleted)

    names = [operation.name for operation in watched.log if operation.name in ("fsync", "ftruncate", "unlink")]
    assert names == (["ftruncate", "unlink"] if deleted == 1 else ["ftruncate", "fsync", "fsync", "unlink", "fsync"])


def test_a_writer_that_slept_can_not_bring_a_deleted_sequence_back(tmp_path: Path) -> None:
    """It may fall asleep before any of its calls; meanwhile another continues, and retention deletes."""
    for number in count(1):
        path = tmp_path / str(number)
        store = filled(path, [make_record("g", 1)])
        rival = LocalDirectory(str(path))

        def overtake(name: str, rival: LocalDirectory = rival) -> None:
            with watching(WatchedOs()):
                for sequence in (2, 3, 4):
                    try:
                        rival.put(make_record("g", sequence))
                    except SequenceTakenError:
                        assert sequence == 2
                rival.delete("g", 2)

        sleeper = WatchedOs(number, overtake)
        with watching(sleeper):
            try:
                store.put(make_record("g", 2))
            except SequenceTakenError:
                pass
            else:
                # It was acknowledged first, and deleted then; or never overtaken.
                assert len(sleeper.log) < number or sleeper.log[number - 1].name == "fsync"
        if len(sleeper.log) < number:
            break

        assert store.get("g", 2) is None
        assert store.next_sequence("g") == 5
        assert [info.sequence for info in store.listing("g").infos] == [1, 3, 4]
        assert leftovers(path) == []
    assert number > 8


@pytest.mark.thorough
def test_a_stale_writer_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    """If deleted_up_to were read only after the link, one that dies between the two would not read it at all."""
    for number in count(1):
        store = filled(tmp_path / str(number), EARLIER)
        store.delete("g", 2)
        stale = LocalDirectory(store.path)

        killed = is_killed(lambda stale=stale: suppressed(stale.put, EARLIER[1]), before=number)

        assert store.get("g", 2) is None
        if not killed:
            break
    assert number > 3


def suppressed(put: Callable[[Record], None], record: Record) -> None:
    with pytest.raises(SequenceTakenError):
        put(record)


def test_processes_that_race_for_sequences_win_each_once(tmp_path: Path) -> None:
    go, start = os.pipe()

    def race(racer: int) -> str:
        os.close(start)
        os.read(go, 1)  # ends when the parent closes its end
        return _race(LocalDirectory(str(tmp_path)), racer)

    children = [start_in_child(partial(race, racer)) for racer in range(2)]
    os.close(go)
    os.close(start)
    results = [wait() for wait in children]

    won = [set(result.split()) for result in results]
    store = LocalDirectory(str(tmp_path))
    assert won[0].isdisjoint(won[1])
    assert won[0] | won[1] == {str(sequence) for sequence in range(1, 61)}
    for sequence in range(1, 61):
        record = store.get("g", sequence)
        assert record is not None
        assert str(sequence) in won[int(record.payload)]


def _race(store: LocalDirectory, racer: int) -> str:
    won = []
    for sequence in range(1, 61):
        try:
            store.put(make_record("g", sequence, payload=str(racer).encode()))
        except SequenceTakenError:
            continue
        won.append(sequence)
    return " ".join(map(str, won))


def test_a_live_writers_temporary_file_is_left_alone(tmp_path: Path) -> None:
    store = filled(tmp_path, EARLIER)
    seen: list[list[str]] = []

    def save_meanwhile(name: str) -> None:
        with watching(WatchedOs()):
            assert run_in_child(lambda: LocalDirectory(str(tmp_path)).put(make_record("g", 9))) == "[]"
        seen.append(leftovers(tmp_path))

    with watching(WatchedOs()) as counted:
        store.put(SAVED["plain"])
    link = [operation.name for operation in counted.log].index("link") + 1
    with watching(WatchedOs(link, save_meanwhile)):
        store.put(make_record("g", 10))

    assert len(seen[0]) == 1
    assert store.get("g", 10) is not None


def test_a_file_size_limit_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """A real refusal by the kernel, half way through the write."""
    resource = pytest.importorskip("resource")
    store = filled(tmp_path, EARLIER)

    def save() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        store.put(make_record("g", 4, payload=b'"' + b"x" * 10_000 + b'"'))

    told = run_in_child(save)

    assert told.startswith("BackendError: The file backend could not save checkpoint 4 of graph 'g' in")
    assert "ulimit -f" in told
    assert leftovers(tmp_path) == []
    check_store(tmp_path, earlier=EARLIER, maybe=None)


def test_a_full_disk_is_reported_and_can_be_deleted_from(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=96k tmpfs {mounted} 2>/dev/null"):
        pytest.skip("mounting a small file system takes root")
    try:
        store = filled(mounted / "store", EARLIER)
        with pytest.raises(BackendError, match=r"No space left on device\. Free some space"):
            store.put(make_record("g", 4, payload=b'"' + b"x" * 200_000 + b'"'))

        assert leftovers(mounted) == []
        assert store.delete("g", 1) is True
        check_store(mounted / "store", earlier=EARLIER[1:], maybe=None)
    finally:
        os.system(f"umount {mounted}")


@pytest.mark.skipif(os.geteuid() != 0, reason="without root, the next test does the same")
def test_a_directory_of_somebody_else_is_reported(tmp_path: Path) -> None:
    store = filled(tmp_path, EARLIER)
    parents = [tmp_path, *tmp_path.parents]
    modes = {parent: parent.stat().st_mode for parent in parents[:4]}

    def save() -> None:
        os.setuid(65534)
        store.put(SAVED["plain"])

    try:
        for parent in modes:
            parent.chmod(0o755)
        (tmp_path / "g").chmod(0o755)
        told = run_in_child(save)
    finally:
        for parent, mode in modes.items():
            parent.chmod(mode & 0o7777)

    assert told.startswith("BackendError: The file backend could not save checkpoint 4 of graph 'g' in")
    assert "Make the directory writable" in told
    assert "PermissionError" in told
    check_store(tmp_path, earlier=EARLIER, maybe=None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only directories")
def test_a_read_only_directory_is_reported(tmp_path: Path) -> None:
    store = filled(tmp_path, EARLIER)
    (tmp_path / "g").chmod(0o555)

    try:
        with pytest.raises(BackendError, match="Make the directory writable"):
            store.put(SAVED["plain"])
    finally:
        (tmp_path / "g").chmod(0o700)

    check_store(tmp_path, earlier=EARLIER, maybe=None)
