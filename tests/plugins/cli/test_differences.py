"""``spark checkpoints diff`` and ``show`` where values are long: lists by item, and one value by its path."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.graphs.checkpoint import GraphCheckpoint
from spark_cli.differences import Difference, differences
from tests.plugins.support.command_line import file_url, save_by_hand, spark

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
MESSAGES = [{"role": "user", "text": f"message {number}"} for number in range(5_000)]


def differences_of(before: Any, after: Any) -> list[Difference]:
    """Those of a value in the state."""
    earlier, later = (GraphCheckpoint("c", "g", NOON, graph_state={"value": each}) for each in (before, after))
    found = differences(earlier, later)
    assert all(each.path.startswith("graph_state['value']") for each in found)
    return found


def told(before: Any, after: Any) -> list[tuple[str, str, int | None]]:
    return [
        (each.path.removeprefix("graph_state['value']"), each.change, each.at) for each in differences_of(before, after)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (MESSAGES[:4_997], MESSAGES, [("", "added", 4_997)]),
        (MESSAGES, MESSAGES[10:], [("", "removed", 0)]),
        (MESSAGES[:4_000], MESSAGES[3:4_003], [("", "removed", 0), ("", "added", 3_997)]),
        ([{"a": 1, "b": 2}, 0], [{"a": 1, "b": 3}, 0], [("[0]['b']", "changed", None)]),
        ([1, 2, 3], [1, 9, 3], [("[1]", "changed", None)]),
        ([1, 2, 3, 4], [1, 5, 6, 7, 4], [("", "removed", 1), ("", "added", 1)]),
        ([[1, 2], "x"], [[1, 2, 3], "x"], [("[0]", "added", 2)]),
        ((1, 2), (1, 2, 3), [("", "added", 2)]),
        ([1, 2], (1, 2), [("", "changed", None)]),
        ([True], [1], [("[0]", "changed", None)]),
        (["1", "a"], [1, "a", "b"], [("[0]", "changed", None), ("", "added", 2)]),
        ([], [], []),
    ],
)
def test_lists_are_compared_item_by_item(before: Any, after: Any, expected: list[tuple[str, str, int | None]]) -> None:
    assert told(before, after) == expected


lists = st.lists(st.sampled_from([0, 1, True, "1", "a", (1,), [1], {"a": 1}, {"a": True}]), max_size=12)


@given(lists, lists)
def test_differences_make_the_first_list_the_second(before: list[Any], after: list[Any]) -> None:
    """Removed from the end on, added from the beginning on, and then changed in place."""
    found = differences_of(before, after)

    made = deepcopy(before)
    for each in reversed([each for each in found if each.change == "removed" and each.at is not None]):
        assert each.at is not None
        assert repr(made[each.at : each.at + len(each.before)]) == repr(each.before)
        del made[each.at : each.at + len(each.before)]
    for each in found:
        if each.change == "added" and each.at is not None:
            made[each.at : each.at] = each.after
    for each in found:
        if each.at is None:
            place = each.path.removeprefix("graph_state['value']")
            exec(f"made{place} = new", {"made": made, "new": each.after})
    assert made == after


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
