"""Nothing that a store, a graph or a plugin says reaches the terminal as more than text, whichever command shows it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import spark_cli
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint, open_backend
from spark.graphs.checkpoint.storage import Record, RecordCodec, automatic_id
from spark.hooks import discovery
from spark_cli.terminal.output import one_line, plain
from tests.plugins.support.command_line import Done, damage, file_url, spark, sqlite_url, with_store
from tests.plugins.support.terminals import COLOUR, spark_on_terminal
from tests.support.sites import Site
from tests.support.variants import first_of

EVIL = "\x1b[2J\x1b]0;owned\x07\nFAKE row\r\x9b31m\u202egnp\u2028\u200b\x00"
"""Clears a screen, sets its title, begins lines of its own, and turns letters around."""
NAME = EVIL.removesuffix("\x00")
"""The same, as far as file systems and databases take it for a name."""
LONE = "\ud800"
"""Half of a character, which no encoding has a word for."""

GRAPH = f"""
import warnings
from spark.graphs import ExitNode, Graph, Node

EVIL = {EVIL!r}

class Evil(Node):
    async def process(self, context):
        warnings.warn(EVIL)
        raise ValueError(EVIL)

class Fine(Node):
    async def process(self, context):
        return {{EVIL: EVIL}}

failing = Graph(start=Evil(name="a node"), id="failing")
fine = Graph(start=Fine(name="a node"), id="fine")
"""


def record(checkpoint_id: str, graph_id: str, sequence: int, *, manual: bool = True, **content: Any) -> Record:
    """A record as somebody who asks no questions would write it."""
    checkpoint = GraphCheckpoint(checkpoint_id="c", graph_id="g", timestamp=datetime(2024, 1, 1, tzinfo=UTC), **content)
    honest = RecordCodec().encode(checkpoint, sequence=sequence, manual=manual, nonce="n")
    header = replace(honest.header, checkpoint_id=checkpoint_id, graph_id=graph_id, checksum="")
    header.checksum = f"sha256:{sha256(header.canonical() + honest.payload).hexdigest()}"
    return Record(header, honest.payload)


def hostile(sequence: int = 1) -> dict[str, Any]:
    return {
        "graph_state": {f"key{EVIL}": f"value{EVIL}", "deep": [{f"inner{EVIL}": {EVIL}}], "sequence": sequence},
        "node_states": {f"node{EVIL}": {EVIL: EVIL}},
        "execution_metadata": {
            "error": {
                "type": f"Type{EVIL}",
                "message": f"message{EVIL}",
                "node": f"node{EVIL}",
                "attempt": 1,
                "time": "2024-01-01T00:00:00+00:00",
                "stack": [[f"file{EVIL}.py", 3, f"function{EVIL}"]],
            },
            EVIL: EVIL,
            **dict.fromkeys(("reason", "status", "last_node", "error_type", "error_message", "error_node"), EVIL),
            **dict.fromkeys(("run_id", "edit_reason", "edited_by", "due"), EVIL),
        },
        "origin": EVIL,
        "frontier": {
            "tokens": {"1": {"node": EVIL, "content": "1", "lineage": 1}},
            "contents": {"1": {EVIL: EVIL}},
            "journal": {
                f"1/interrupt:{EVIL}": {
                    "id": EVIL,
                    "key": EVIL,
                    "payload": EVIL,
                    "since": "2024-01-01T00:00:00+00:00",
                    "refused": EVIL,
                },
                "1/signal:1": {"signal": EVIL, "since": "2024-01-01T00:00:00+00:00"},
            },
        },
        "topology": {"start": EVIL, "nodes": [{"key": EVIL, "name": EVIL, "join": True}], "edges": []},
    }


@pytest.fixture(params=first_of([file_url, sqlite_url]), ids=["files", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Checkpoints with hostile ids and content, one of them damaged, and leftovers with hostile names."""
    url: str = request.param(tmp_path / "store")

    async def fill(backend: Any) -> None:
        await backend.put(record("evil", "plain", 1, **hostile()))
        await backend.put(record("evil-2", "plain", 2, **hostile(2)))
        await backend.put(record("damaged", "plain", 3, graph_state={"count": EVIL}))
        await backend.put(record(f"by hand{NAME}", "other", 1, **hostile()))
        await backend.put(record(f"id{NAME}", f"graph{NAME}", 1, **hostile()))
        await backend.put(record(automatic_id("run", 1), "run", 1, manual=False, **hostile()))

    with_store(url, fill)
    if url.startswith("file:"):
        damage(tmp_path / "store", sequence=3, graph_id="plain")
        (tmp_path / "store" / "plain" / f".tmp-{NAME}-1-2-3").write_text("")
        (tmp_path / "store" / "plain" / "blobs").mkdir()
        (tmp_path / "store" / "plain" / "blobs" / f"value{NAME}.blob").write_text("")
    return url


def check(done: Done) -> None:
    """That nothing but printable text and newlines came out, and that no line was made by somebody else."""
    for text in (done.out, done.err):
        assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == []
        assert [line for line in text.splitlines() if line.startswith(("FAKE", "gnp"))] == []


def test_no_subcommand_prints_what_a_terminal_would_obey(store: str, tmp_path: Path) -> None:
    other = file_url(tmp_path / "other")
    with_store(other, lambda backend: backend.put(record(f"rival{NAME}", "other", 1, graph_state={"a": EVIL})))
    commands = [
        ["runs"],
        ["show", "plain"],
        ["show", "run", "--verbose", "--forks"],
        ["show", f"graph{NAME}"],
        ["show", f"nothing{NAME}"],
        ["answer", "run"],
        ["answer", "run", f"{EVIL}=1"],
        ["edit", "run", "--delete", f"key{EVIL}"],
        ["edit", f"nothing{NAME}", "--set", f"{EVIL}=1", "--yes"],
        ["fork", f"nothing{NAME}", "--to", f"other{NAME}", "--yes"],
        ["drain", "run", "--reason", EVIL, "--yes"],
        ["checkpoints", "list"],
        ["checkpoints", "list", "--newest-first", "--limit", "2"],
        ["checkpoints", "show", "evil"],
        ["checkpoints", "show", f"by hand{NAME}"],
        ["checkpoints", "show", f"id{NAME}"],
        ["checkpoints", "show", f"nothing{NAME}"],
        ["checkpoints", "diff", "evil", "evil-2"],
        ["checkpoints", "diff", "evil", "damaged"],
        ["checkpoints", "verify"],
        ["doctor"],
        ["checkpoints", "copy", "--yes", "--to", other],
        ["checkpoints", "export", str(tmp_path / "records")],
        ["checkpoints", "prune", "--yes", "--keep", "1", "--dry-run"],
        ["doctor", "--repair", "--yes"],
        ["checkpoints", "prune", "--yes", "--keep", "1"],
        ["checkpoints", "delete", "--yes", f"nothing{NAME}"],
        ["checkpoints", "delete", "--yes", f"by hand{NAME}"],
        ["checkpoints", "delete", "--yes", "--graph", f"graph{NAME}"],
        ["checkpoints", "forget", f"graph{NAME}"],
        ["checkpoints", "forget", f"graph{NAME}", "--yes"],
    ]
    for command in commands:
        for form in ([], ["--json"]) if not {"--repair", "--yes", "delete", "forget"} & {*command} else ([],):
            done = spark(*command, *form, "--url", store)
            check(done)
            assert done.code in (0, 1) or "nothing" in str(command) or {*command} & {"edit", "delete", "forget"}, (
                command,
                done,
            )
    check(spark("checkpoints", "import", "--yes", str(tmp_path / "records"), "--url", file_url(tmp_path / "third")))


def test_a_terminal_gets_colours_and_no_other_commands(store: str) -> None:
    for command in (["runs"], ["show", "run"], ["show", "plain"], ["checkpoints", "list"], ["answer", "run"]):
        for width in (30, 80):
            done = spark_on_terminal(*command, "--url", store, width=width)
            check(Done(done.code, COLOUR.sub("", done.out), ""))
            assert "\\x1b" in done.out or width < 80, "it is spelt out"


def test_no_graph_prints_what_a_terminal_would_obey(tmp_path: Path) -> None:
    """In a process of its own, where warnings and the log have no other handlers than those of the command."""
    (tmp_path / "evil_graphs.py").write_text(GRAPH)
    url = file_url(tmp_path / "runs")
    for command in (
        ["run", "evil_graphs:failing", "--url", url],
        ["run", "evil_graphs:fine", "--url", url],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "spark_cli", *command], cwd=tmp_path, capture_output=True, timeout=200, check=False
        )
        check(Done(done.returncode, done.stdout.decode(), done.stderr.decode()))
        assert done.returncode == (1 if "failing" in command[1] else 0), done
    check(spark("checkpoints", "show", "ckpt_failing_000001", "--url", url))


def test_no_plugin_prints_what_a_terminal_would_obey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    site.install("fake-evil", f"raise RuntimeError({EVIL!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SPARK_DISABLE_PLUGINS", f"fake-evi{NAME}")
    for form in ([], ["--json"]):
        discovery.reset()
        done = spark("plugins", *form)
        check(done)
        assert "fake-evi" in done.err
    discovery.reset()


async def test_what_the_library_logs_of_a_store_is_text(store: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_backend(store) as backend:
        manager = CheckpointManager(backend)
        for graph_id in (None, "plain", "other"):
            await manager.list_checkpoints(graph_id)
        await manager.verify()

    assert [letter for each in caplog.records for letter in each.getMessage() if not letter.isprintable()] == []


@pytest.mark.parametrize("encoding", first_of(["ascii", "utf-8"]))
def test_what_the_terminals_encoding_has_no_word_for_is_spelt_out(tmp_path: Path, encoding: str) -> None:
    url = file_url(tmp_path / "store")
    state = {"word": "é€", "lone": LONE, LONE: LONE, "both": {"a": LONE}}
    asyncio.run(_save(url, state))

    done = subprocess.run(
        [sys.executable, "-m", "spark_cli", "checkpoints", "show", "mine", "--url", url],
        env={"PYTHONIOENCODING": encoding, "PATH": ""},
        capture_output=True,
        timeout=200,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ud800" in done.stdout
    assert spark("checkpoints", "show", "mine", "--json", "--url", url).json["graph_state"]["lone"] == "\\ud800"


async def _save(url: str, state: dict[str, Any]) -> None:
    async with open_backend(url) as backend:
        await Graph(start=ExitNode(), id="g", state=state).create_checkpoint("mine").save(backend)


def test_a_line_is_one_line_and_shows_what_it_spells() -> None:
    assert one_line(EVIL + LONE + "é") == (
        "\\x1b[2J\\x1b]0;owned\\x07\\nFAKE row\\r\\x9b31m\\u202egnp\\u2028\\u200b\\x00\\ud800é"
    )
    assert plain({LONE: [LONE, "fine"]}) == {"\\ud800": ["\\ud800", "fine"]}


def test_nothing_but_the_border_prints() -> None:
    folder = Path(spark_cli.__file__).parent
    printing = [
        file.name
        for file in folder.rglob("*.py")
        if any(word in file.read_text() for word in (" print(", "typer.echo(", "sys.stdout.write", "sys.stderr.write"))
    ]

    assert printing == ["output.py"]
