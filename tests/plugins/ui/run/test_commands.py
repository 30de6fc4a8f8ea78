"""The commands that pages show do what the pages do: whatever the texts, a shell gives them to the command as they are."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from spark_ui.views.commands import Commands

ODD = ["it's", "a b", "$(rm -rf /)", "-x", "--url", 'say "hi"; ls', "new\nline", "ü", "`id`", "*", "&&"]


@pytest.mark.parametrize("text", ODD)
def test_texts_reach_the_command_as_they_are(text: str) -> None:
    commands = Commands("sqlite:///my runs.db", text)

    assert shlex.split(commands.answer({"1a": text}))[:2] == ["spark", "answer"]
    assert f"1a={json.dumps(text, ensure_ascii=False)}" in shlex.split(commands.answer({"1a": text}))
    assert text in shlex.split(commands.send(text, {"x": text}))
    assert text in shlex.split(commands.forget())
    assert {"--reason", text} <= {*shlex.split(commands.edit({"reason": text}))} or text.startswith("-")
    assert "sqlite:///my runs.db" in shlex.split(commands.drain(""))


def test_arguments_that_look_like_options_stand_behind_two_dashes() -> None:
    words = shlex.split(Commands("file:runs", "-g").send("-n", None))

    assert words == ["spark", "send", "--url", "file:runs", "--", "-g", "-n", "null"]


def test_an_edit_is_written_with_all_its_parts() -> None:
    edits: dict[str, Any] = {
        "set": {"total": 3, "text": "a b"},
        "append": {"log": [{"x": 1}]},
        "delete": ["old"],
        "as_node": "review",
        "output": {"ok": True},
        "reason": "by hand",
    }

    words = shlex.split(Commands("file:runs", "g").edit(edits))

    assert words == [
        *("spark", "edit", "g", "--url", "file:runs"),
        *("--set", "total=3", "--set", 'text="a b"', "--append", 'log={"x": 1}', "--delete", "old"),
        *("--as-node", "review", "--output", '{"ok": true}', "--reason", "by hand"),
    ]


def test_no_command_shows_a_password() -> None:
    assert "secret" not in Commands("postgresql://me:secret@host/db", "g").resume()


def test_a_store_without_a_url_has_a_place_for_it() -> None:
    assert Commands("InMemoryCheckpointBackend", "g").forget() == "spark checkpoints forget g --url URL"
