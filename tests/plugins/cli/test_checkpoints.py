"""``spark checkpoints list | show | diff | delete | prune | verify`` and ``spark doctor``, on files and on SQLite."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint, open_backend
from spark.graphs.checkpoint.storage import CheckpointBackend, RecordCodec, automatic_id
from tests.plugins.support.command_line import (
    damage,
    file_url,
    fill,
    infos,
    save_by_hand,
    sequences,
    spark,
    sqlite_url,
    with_store,
)
from tests.support.variants import first_of


@pytest.fixture(params=first_of([file_url, sqlite_url]), ids=["file", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with five checkpoints of one graph, and one made by hand."""
    made: Callable[[Path], str] = request.param
    store = made(tmp_path / "store")
    fill(store, to=4)
    save_by_hand(store, "by hand")
    return store


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    fill(file_url(folder), to=4)
    return folder


def test_a_listing_has_a_line_for_each_checkpoint(url: str) -> None:
    shown = spark("checkpoints", "list", "--url", url)
    listed = spark("checkpoints", "list", "counting", "--url", url, "--json")

    assert shown.code == 0
    titles, heading, *lines = shown.out.splitlines()
    assert titles.split() == ["CHECKPOINT", "REASON", "STEP", "NODE", "AGE", "SIZE"]
    assert heading == "counting  ✓ completed"
    assert len(lines) == 6
    assert lines[1].startswith("  ckpt_counting_000002    trigger       2  Count     ")
    assert lines[4].startswith("  ckpt_counting_000005  ✓ completed     5  ExitNode  ")
    assert lines[5].startswith("  by hand               · by hand  ")
    assert [each["sequence"] for each in listed.json] == [1, 2, 3, 4, 5, 6]
    assert listed.json[-1]["manual"] is True


def test_a_listing_can_be_narrowed(url: str) -> None:
    newest = spark("checkpoints", "list", "--url", url, "--limit", "2", "--newest-first", "--json")

    assert [each["sequence"] for each in newest.json] == [6, 5]


def test_an_empty_listing_says_so(url: str) -> None:
    spark("checkpoints", "delete", "--yes", "--graph", "counting", "--url", url)
    nothing = spark("checkpoints", "list", "counting", "--url", url)

    assert (nothing.out, nothing.code) == ("", 0)
    assert "no checkpoints" in nothing.err


@pytest.mark.parametrize("command", [["list"], ["prune"], ["verify"], ["copy", "--to", "file:///nowhere"]])
def test_a_url_in_the_place_of_a_graph_is_no_graph_without_checkpoints(command: list[str]) -> None:
    """Else somebody who forgets ``--url`` would read that all is fine, or that all was copied."""
    done = spark("checkpoints", *command, "postgresql://user:secret@host/runs")

    assert done.code == 2
    assert "name the store with --url" in " ".join(done.err.split())
    assert "secret" not in done.err


def test_a_store_is_taken_from_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill("sqlite:///runs.db", to=1)
    (tmp_path / "spark.toml").write_text('[checkpoint]\nurl = "sqlite:///runs.db"\n')

    assert [each["sequence"] for each in spark("checkpoints", "list", "--json").json] == [1, 2]


def test_without_a_store_the_command_says_how_to_choose_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)

    done = spark("checkpoints", "list")

    assert done.code == 2
    assert "--url" in done.err


@pytest.mark.parametrize("store", ["nowhere://user:s3cret@x/y", "file://user:s3cret@host/x"])
def test_a_store_that_can_t_be_opened_is_told_without_its_secret(store: str) -> None:
    done = spark("checkpoints", "list", "--url", store)

    assert done.code == 2
    assert done.err.startswith("spark: ")
    assert "s3cret" not in done.out + done.err


def test_a_checkpoint_is_shown_with_its_state(url: str) -> None:
    shown = spark("checkpoints", "show", "ckpt_counting_000003", "--url", url)
    data = spark("checkpoints", "show", "ckpt_counting_000003", "--url", url, "--json").json

    assert "graph_state:\n    count: 3\n" in shown.out
    assert (data["sequence"], data["graph_state"], data["execution_metadata"]["last_node"]) == (
        3,
        {"count": 3},
        "Count",
    )


def test_what_a_terminal_takes_for_commands_is_spelt_out(tmp_path: Path) -> None:
    store = file_url(tmp_path / "store")
    save_by_hand(store, "by hand", state={"title": "\x1b]0;mine\x07", "also": ["\x1b[2J"], "plain": "naïve 🎈"})

    shown = spark("checkpoints", "show", "by hand", "--url", store).out

    assert "\x1b" not in shown
    assert '    title: "\\u001b]0;mine\\u0007"\n' in shown
    assert "    plain: naïve 🎈\n" in shown


def test_an_unknown_checkpoint_fails(url: str) -> None:
    done = spark("checkpoints", "show", "ckpt_counting_000099", "--url", url)

    assert done.code == 2
    assert "there is no checkpoint 'ckpt_counting_000099' in this store." in done.err


def test_a_difference_is_told_path_by_path(url: str) -> None:
    different = spark("checkpoints", "diff", "ckpt_counting_000002", "ckpt_counting_000003", "--url", url)
    same = spark("checkpoints", "diff", "ckpt_counting_000002", "ckpt_counting_000002", "--url", url, "--json")

    assert different.code == 1
    assert "- graph_state['count']: 2\n+ graph_state['count']: 3\n" in different.out
    assert (same.code, same.json) == (0, [])


def test_a_difference_names_what_came_and_went(url: str) -> None:
    done = spark("checkpoints", "diff", "ckpt_counting_000001", "by hand", "--url", url, "--json")

    changes = {each["path"]: each["change"] for each in done.json}
    assert changes["graph_state['count']"] == "removed"
    assert changes["execution_metadata['metadata']"] == "added"


def test_pending_work_is_shown_and_compared_token_by_token(tmp_path: Path) -> None:
    """Older releases wrote lists of tokens and contents, which are shown as they are stored, and mean the same."""
    token = {"node": "Count", "lineage": 1, "source": None, "content": "1"}
    old = {**token, "id": 1, "joined": False, "content": 0}
    frontiers: dict[str, dict[str, Any]] = {
        "old": {"next_token": 2, "tokens": [old], "contents": [{}]},
        "new": {"next_token": 2, "tokens": {"1": token}, "contents": {"1": {}}},
        "next": {"next_token": 3, "tokens": {"2": {**token, "content": "2"}}, "contents": {"2": {}}},
    }
    store = file_url(tmp_path / "store")

    async def save(backend: CheckpointBackend) -> None:
        for name, frontier in frontiers.items():
            await GraphCheckpoint(name, "g", datetime.now(UTC), frontier=frontier).save(backend)

    with_store(store, save)

    for name, frontier in frontiers.items():
        assert spark("checkpoints", "show", name, "--url", store, "--json").json["frontier"] == frontier
    older = spark("checkpoints", "diff", "old", "new", "--url", store, "--json")
    newer = spark("checkpoints", "diff", "new", "next", "--url", store, "--json")
    assert older.json == []
    assert [(each["path"], each["change"]) for each in newer.json] == [
        ("frontier['tokens']['1']", "removed"),
        ("frontier['tokens']['2']", "added"),
    ]


def test_a_map_is_shown_with_how_far_it_is(tmp_path: Path) -> None:
    token = {"lineage": 1, "source": "split", "content": "1"}
    frontier = {
        "next_token": 6,
        "tokens": {
            "1": {**token, "node": "work", "over": "items"},
            "4": {**token, "node": "after", "content": "4", "scope": [1, 1]},
            "5": {**token, "node": "more", "content": "4", "scope": [1, 1]},
            "1.3": {**token, "node": "work", "failures": 1, "scope": [1, 3]},
        },
        "contents": {"1": ["a", "b", "c", "d"], "4": {}, "1.0": {"join": [{}]}},
    }
    store = file_url(tmp_path / "store")
    with_store(store, GraphCheckpoint("mapping", "g", datetime.now(UTC), frontier=frontier).save)

    shown = spark("checkpoints", "show", "mapping", "--url", store).out

    assert "map: split, each items → work: 1 of 4 items done, 1 running, 2 waiting\n" in shown


def test_checkpoints_are_deleted_by_id(url: str) -> None:
    done = spark(
        "checkpoints", "delete", "--yes", "ckpt_counting_000002", "by hand", "ckpt_x_000001", "--url", url, "--json"
    )

    assert (done.code, done.json) == (2, {"deleted": 2, "missing": ["ckpt_x_000001"]})
    assert sequences(infos(url)) == [1, 3, 4, 5]


def test_all_checkpoints_of_a_graph_are_deleted_when_it_is_named(url: str) -> None:
    fill(url, graph_id="other", to=1)

    assert spark("checkpoints", "delete", "--yes", "--graph", "counting", "--url", url).code == 0
    assert {info.graph_id for info in infos(url)} == {"other"}
    assert spark("checkpoints", "delete", "--yes", "--url", url).code == 2


def test_a_graph_is_forgotten_by_whoever_is_sure(url: str) -> None:
    """Nobody can be asked where there is no terminal."""
    fill(url, graph_id="other", to=1)

    refused = spark("checkpoints", "forget", "counting", "--url", url)
    assert (refused.code, len(infos(url))) == (2, 8)
    assert "--yes" in refused.err
    done = spark("checkpoints", "forget", "counting", "--url", url, "--yes", "--json")

    assert (done.code, done.json) == (0, {"forgotten": 6})
    assert {info.graph_id for info in infos(url)} == {"other"}
    assert spark("checkpoints", "forget", "file:///x", "--yes").code == 2


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 6), ("y", 0, 0)])
def test_at_a_terminal_forgetting_asks_first(
    url: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))

    done = spark("checkpoints", "forget", "counting", "--url", url)

    assert (done.code, len(infos(url))) == (code, left)
    assert "Remove every trace of graph 'counting', including 6 checkpoints? [y/N]" in done.err


class Terminal(io.StringIO):
    """A standard input that somebody types at."""

    def isatty(self) -> bool:
        return True


def test_pruning_shows_first_and_deletes_then(url: str) -> None:
    tried = spark("checkpoints", "prune", "--yes", "--keep", "2", "--dry-run", "--json", "--url", url)
    assert len(infos(url)) == 6
    done = spark("checkpoints", "prune", "--yes", "--keep", "2", "--json", "--url", url)

    assert [each["sequence"] for each in tried.json] == [each["sequence"] for each in done.json] == [1, 2, 3]
    assert sequences(infos(url)) == [4, 5, 6], "the one made by hand neither goes nor counts"


def test_pruning_keeps_the_newest_of_each_branch_unless_it_is_told_otherwise(url: str) -> None:
    async def branch() -> None:
        backend = open_backend(url)
        manager = CheckpointManager(backend)
        second = next(info for info in await manager.list_checkpoints() if info.sequence == 2)
        await manager.fork(second.checkpoint_id)
        await backend.close()

    asyncio.run(branch())
    before = infos(url)
    keep = ("checkpoints", "prune", "--yes", "--keep", "1", "--url", url)

    assert spark(*keep).code == 0
    by_branch = infos(url)
    assert spark(*keep, "--current-branch").code == 0

    assert len(before) > len(by_branch) > len(infos(url))


def test_pruning_by_age_keeps_what_is_young_and_the_latest(url: str) -> None:
    spark("checkpoints", "prune", "--yes", "--days", "1", "--url", url)
    assert len(infos(url)) == 6
    spark("checkpoints", "prune", "--yes", "--days", "0.0000000001", "--url", url)
    assert sequences(infos(url)) == [5, 6]


def test_pruning_takes_the_retention_that_was_configured_and_no_default(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = spark("checkpoints", "prune", "--yes", "--url", url)
    (tmp_path / "spark.toml").write_text("[checkpoint.retention.keep_last]\ncount = 1\n")
    done = spark("checkpoints", "prune", "--yes", "--url", url, "--json")

    assert refused.code == 2
    assert [each["sequence"] for each in done.json] == [1, 2, 3, 4]


def test_a_healthy_store_is_verified(url: str) -> None:
    done = spark("checkpoints", "verify", "--url", url, "--json")

    assert (done.code, done.json) == (0, {"intact": 6, "damaged": [], "unreadable": [], "unlisted": [], "orphans": []})
    assert spark("doctor", "--url", url).out == "6 intact, 0 damaged\n"


def test_a_damaged_checkpoint_is_named(files: Path) -> None:
    damage(files, sequence=3)

    done = spark("checkpoints", "verify", "--url", file_url(files), "--json")
    shown = spark("checkpoints", "verify", "--url", file_url(files))

    assert done.code == shown.code == 1
    assert (done.json["intact"], [each["checkpoint_id"] for each in done.json["damaged"]]) == (
        4,
        ["ckpt_counting_000003"],
    )
    assert "damaged: Checkpoint 'ckpt_counting_000003'" in shown.out


def test_what_is_left_out_of_a_listing_is_found_too(files: Path) -> None:
    (files / "counting" / "000000000009.ckpt").mkdir()

    done = spark("checkpoints", "verify", "--url", file_url(files), "--json")

    assert done.code == 1
    assert len(done.json["unlisted"]) == 1
    assert "000000000009.ckpt" in done.json["unlisted"][0]["place"]
    listed = spark("checkpoints", "list", "--url", file_url(files))
    assert (listed.code, listed.err.startswith("damaged: ")) == (0, True)
    assert "000000000009.ckpt" in listed.err


def test_the_doctor_mends_only_when_told_to(files: Path) -> None:
    damage(files, sequence=5)
    leftover = files / "counting" / f".tmp-{'0' * 12}-999999999-0-abc"
    leftover.write_text("half a checkpoint")
    ours = own_leftover(leftover)
    before = sorted(path.name for path in files.rglob("*"))

    looked = spark("doctor", "--url", file_url(files), "--json")
    assert sorted(path.name for path in files.rglob("*")) == before
    repaired = spark("doctor", "--repair", "--yes", "--url", file_url(files), "--json")

    assert (looked.code, repaired.code) == (1, 0)
    assert looked.json["leftovers"] == [f"counting/{ours.name}"], "the other one may belong to another machine"
    assert looked.json["repaired"] == []
    assert repaired.json["repaired"] == ["ckpt_counting_000005", f"counting/{ours.name}"]
    assert leftover.exists()
    assert not ours.exists()
    assert spark("doctor", "--url", file_url(files)).code == 0
    assert sequences(infos(file_url(files))) == [1, 2, 3, 4]


def own_leftover(other: Path) -> Path:
    """A temporary file as a process of this machine leaves it that is gone."""
    import subprocess
    import sys

    code = "from spark_backend_file.names import new_temporary; print(new_temporary())"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    other.with_name(name).write_text("half a checkpoint")
    return other.with_name(name)


ERROR = {
    "type": "net.ServiceDown",
    "message": "no answer\nfor a minute",
    "node": "fetch",
    "attempt": 2,
    "time": "2024-01-01T00:00:00+00:00",
    "stack": [["/srv/app.py", 12, "fetch"], ["/srv/net.py", 3, "get"]],
}


def save_failed(url: str, error: Any, *, sequence: int, **facts: str) -> None:
    """A checkpoint of a run that failed, as a run makes it."""
    checkpoint = GraphCheckpoint(
        checkpoint_id=automatic_id("failing", sequence),
        graph_id="failing",
        timestamp=datetime(2024, 1, 1, tzinfo=UTC),
        execution_metadata={"reason": "failed", "error": error, **facts},
    )
    record = RecordCodec().encode(checkpoint, sequence=sequence, manual=False, nonce="n")
    with_store(url, lambda store: store.put(record))


@pytest.mark.parametrize("url_of", [file_url, sqlite_url])
def test_why_a_run_failed_is_listed_and_shown(tmp_path: Path, url_of: Callable[[Path], str]) -> None:
    url = url_of(tmp_path / "store")
    fill(url, graph_id="fine", to=1)
    save_failed(url, ERROR, sequence=1, error_type="net.ServiceDown", error_message="no\nanswer", error_node="fetch")

    listed = spark("checkpoints", "list", "--url", url)
    as_json = spark("checkpoints", "list", "--json", "--url", url).json
    shown = spark("checkpoints", "show", automatic_id("failing", 1), "--url", url)

    heading, line = [line for line in listed.out.splitlines() if "failed" in line]
    assert heading == "failing  ✗ failed"
    assert " ✗ failed           fetch " in line
    assert line.endswith("  net.ServiceDown: no\\nanswer")
    assert as_json[0]["metadata"]["error_type"] == "net.ServiceDown"
    assert (
        "    error: net.ServiceDown: no answer\\nfor a minute\n"
        "        in node 'fetch', attempt 2, at 2024-01-01T00:00:00+00:00\n"
        "        /srv/app.py:12 in fetch\n"
        "        /srv/net.py:3 in get\n"
    ) in shown.out


@pytest.mark.parametrize("error", [None, 5, "text", [], {}, {"stack": 7}, {"stack": [[1], "x", [1, 2, 3]], "node": {}}])
def test_an_error_that_is_none_is_shown_as_it_is(tmp_path: Path, error: Any) -> None:
    url = file_url(tmp_path / "store")
    save_failed(url, error, sequence=1)

    assert spark("checkpoints", "list", "--url", url).code == 0
    assert spark("checkpoints", "show", automatic_id("failing", 1), "--url", url).code == 0
