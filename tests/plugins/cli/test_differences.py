"""``spark checkpoints diff`` and ``show`` where values are long: lists by item, and one value by its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.support.command_line import file_url, save_by_hand, spark

MESSAGES = [{"role": "user", "text": f"message {number}"} for number in range(5_000)]


def test_a_grown_list_is_shown_by_what_was_added(tmp_path: Path) -> None:
    store = file_url(tmp_path / "store")
    save_by_hand(store, "earlier", state={"messages": MESSAGES[:4_997]})
    save_by_hand(store, "later", state={"messages": MESSAGES})

    done = spark("checkpoints", "diff", "earlier", "later", "--url", store)
    data = spark("checkpoints", "diff", "earlier", "later", "--url", store, "--json").json

    assert done.out == (
        "+ graph_state['messages']: 3 items added at 4,997\n"
        '    {"role": "user", "text": "message 4997"}\n'
        '    {"role": "user", "text": "message 4998"}\n'
        '    {"role": "user", "text": "message 4999"}\n'
    )
    assert data == [
        {"path": "graph_state['messages']", "change": "added", "before": None, "after": MESSAGES[4_997:], "at": 4_997}
    ]
    back = spark("checkpoints", "diff", "later", "earlier", "--url", store).out
    assert back.startswith("- graph_state['messages']: 3 items removed at 4,997\n")


def test_many_items_that_came_are_counted(tmp_path: Path) -> None:
    store = file_url(tmp_path / "store")
    save_by_hand(store, "earlier", state={"messages": []})
    save_by_hand(store, "later", state={"messages": MESSAGES})

    lines = spark("checkpoints", "diff", "earlier", "later", "--url", store).out.splitlines()

    assert lines[0] == "+ graph_state['messages']: 5,000 items added at 0"
    assert lines[-1] == "    … 4,995 more"
    assert len(lines) == 7


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with one checkpoint."""
    state = {"messages": MESSAGES, "files": {f"file {number}": number for number in range(3_000)}, "my.key": [{"a": 1}]}
    save_by_hand(file_url(tmp_path / "store"), "mine", state=state)
    return file_url(tmp_path / "store")


def test_what_is_long_is_shown_with_a_count(store: str) -> None:
    shown = spark("checkpoints", "show", "mine", "--url", store).out

    assert '    messages: 5,000 items, the last one: {"role": "user", "text": "message 4999"}\n' in shown
    assert "    files: 3,000 keys: file 0, file 1, " in shown
    assert '    my.key: [{"a": 1}]\n' in shown


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("graph_state.messages[-1].text", "message 4999\n"),
        ("graph_state.messages[4998:]", "".join(f'{{"role": "user", "text": "message {n}"}}\n' for n in (4998, 4999))),
        ("graph_state['messages'][0]", "role: user\ntext: message 0\n"),
        ("graph_state.messages[:1]", '{"role": "user", "text": "message 0"}\n'),
        ("graph_state['my.key'][0]['a']", "1\n"),
        ('graph_state["files"].file 7', "7\n"),
        ("sequence", "1\n"),
    ],
)
def test_one_value_is_shown_by_its_path(store: str, path: str, expected: str) -> None:
    assert spark("checkpoints", "show", "mine", "--url", store, "--path", path).out == expected


def test_one_value_is_given_as_json(store: str) -> None:
    done = spark("checkpoints", "show", "mine", "--url", store, "--path", "graph_state.messages[4998:]", "--json")

    assert done.json == MESSAGES[4_998:]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("graph_state.mesages", "there is no '.mesages' in graph_state; its keys: messages, files, my.key"),
        ("graph_state.messages[5000]", "there is no '[5000]' in graph_state.messages, which has 5,000 items"),
        ("graph_state.messages.text", "there is no '.text' in graph_state.messages"),
        ("graph_state.files[1:2]", "there is no '[1:2]' in graph_state.files"),
        ("graph_state.messages[0", "can't be read from '[0' on"),
        ("nowhere", "there is no 'nowhere' in a checkpoint; its keys: checkpoint_id"),
    ],
)
def test_a_path_that_leads_nowhere_is_wrong_usage(store: str, path: str, message: str) -> None:
    done = spark("checkpoints", "show", "mine", "--url", store, "--path", path)

    assert done.code == 2
    assert message in done.err
