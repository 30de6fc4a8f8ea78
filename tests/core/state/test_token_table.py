"""Tokens in checkpoints: by their ids, with what is not said left out, and only those looked at that changed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from spark.graphs.state.frontier import Frontier, frontier_data
from spark.graphs.state.token import Token
from spark.graphs.values.item_mapping import Captured
from tests.support.variants import first_of


def started(**more: Any) -> Frontier:
    frontier = Frontier(**more)
    frontier.add("start", {"n": 1})
    return frontier


def fan_out(branches: int, **more: Any) -> Frontier:
    """The frontier after a start with so many branches."""
    frontier = started(**more)
    frontier.finish(frontier.start(), {"of": "start"}, [f"branch {number}" for number in range(branches)])
    return frontier


def reloaded(captured: dict[str, Any], **more: Any) -> Frontier:
    frontier = Frontier(**more)
    frontier.load(json.loads(json.dumps(captured, default=dict)))
    return frontier


def is_priority(value: Any) -> bool:
    return value in (0, 1, 2)


@dataclass(slots=True, eq=False)
class UrgentToken(Token):
    """One with a field that is made up."""

    priority: Annotated[int, is_priority] = 0


class TestFields:
    def test_what_has_its_default_is_not_written(self) -> None:
        assert Token("7", {}, "work", 5, "start", "6").to_data() == {
            "node": "work",
            "lineage": 5,
            "source": "start",
            "content": "6",
        }

    def test_what_was_not_written_has_its_default(self) -> None:
        token = Token.from_data("7", {}, {"node": "work", "lineage": 5, "source": "start", "content": "6"})

        assert (token.joined, token.failures, token.generation, token.path) == (False, 0, 0, ())

    def test_a_field_that_somebody_adds_is_written_read_and_checked(self) -> None:
        """One line declares it."""
        token = UrgentToken("7", {}, "work", 5, "start", "6", priority=2)
        data = token.to_data()

        assert data["priority"] == 2
        assert UrgentToken.from_data("7", {}, data).priority == 2
        assert (
            UrgentToken.from_data("7", {}, {**data, "priority": 0}).to_data()
            == Token.from_data("7", {}, data).to_data()
        )
        assert UrgentToken.wrong_field(data) is None
        assert UrgentToken.wrong_field({**data, "priority": 3}) == "priority"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("node", 5),
            ("lineage", -1),
            ("source", b""),
            ("content", None),
            ("joined", 1),
            ("failures", True),
            ("path", [None]),
        ],
    )
    def test_a_field_that_no_token_has_is_named(self, name: str, value: Any) -> None:
        data = Token("7", {}, "work", 5, "start", "6").to_data()

        assert Token.wrong_field(data) is None
        assert Token.wrong_field({**data, name: value}) == name

    def test_a_field_that_is_always_written_is_missed(self) -> None:
        assert Token.wrong_field({"node": "work", "lineage": 5, "source": None}) == "content"


class TestContents:
    def test_tokens_of_one_fan_out_share_one_content(self) -> None:
        captured = fan_out(3).capture()

        assert {token["content"] for token in captured["tokens"].values()} == {"2"}
        assert captured["contents"] == {"2": {"of": "start"}}

    @pytest.mark.parametrize("branches", [3, 100])
    def test_a_content_is_there_as_long_as_a_token_with_it(self, branches: int) -> None:
        frontier = fan_out(branches)
        kept: list[bool] = []
        for _ in range(branches):
            kept.append("2" in frontier.capture()["contents"])
            frontier.finish(frontier.start(), None, [])

        assert kept == [True] * branches
        assert frontier.capture() == {"next_token": branches + 2, "tokens": {}, "contents": {}}

    def test_a_loaded_frontier_shares_them_again(self) -> None:
        frontier = reloaded(fan_out(3).capture())

        inputs = [token.inputs for token in frontier.pending()]
        assert inputs[0] is inputs[1] is inputs[2]


def changed(captured: Captured, before: Captured) -> tuple[list[str], list[str]]:
    """What was put since, and what was removed."""
    changes = captured.changes_since(before.moment)
    assert changes is not None
    return [*changes.put], [*changes.removed]


class TestChanges:
    def test_what_was_captured_of_a_few_pending_tokens_stays_as_it_was(self) -> None:
        frontier = fan_out(10)
        frozen, before = frontier.freeze(), frontier.capture()["tokens"]
        failing, running = frontier.start(), frontier.start()
        frontier.count_failure(failing)
        again = frontier.capture()["tokens"]
        frontier.finish(running, {}, ["next"])

        assert (before[failing.id].get("failures"), again[failing.id]["failures"]) == (None, 1)
        assert frontier_data(*frozen)["tokens"] == before

    def test_a_thousand_pending_tokens_cost_only_the_one_that_changed(self) -> None:
        frontier = fan_out(1_000)
        before = frontier.capture()
        running = frontier.start()
        frontier.count_failure(running)
        after = frontier.capture()
        tokens: Captured = after["tokens"]

        assert changed(tokens, before["tokens"]) == ([running.id], [])
        assert tokens[running.id]["failures"] == 1
        assert all(tokens.kept()[id] is token for id, token in before["tokens"].kept().items() if id != running.id)
        assert after["contents"] is before["contents"]

    def test_a_step_changes_its_own_token_and_those_that_follow(self) -> None:
        frontier = fan_out(1_000)
        before = frontier.capture()
        frontier.finish(frontier.start(), {"of": "branch"}, ["next"])
        captured = frontier.capture()

        assert changed(captured["tokens"], before["tokens"]) == (["1002"], ["2"])
        assert changed(captured["contents"], before["contents"]) == (["1002"], [])

    def test_a_branch_that_arrives_at_a_join_changes_no_other(self) -> None:
        """Where it stands among the others is in its path, which needs no numbering of all."""
        frontier = fan_out(1_000, joins=["join"], reaches={f"branch {number}": ["join"] for number in range(1_000)})
        captured = frontier.capture()
        for _ in range(10):
            before = captured
            frontier.finish(frontier.start(), {}, ["join"])
            captured = frontier.capture()

            assert [*map(len, changed(captured["tokens"], before["tokens"]))] == [1, 1]


def plain(frontier: Frontier) -> dict[str, Any]:
    """What a capture has to say, token by token."""
    tokens: Iterable[Token] = frontier.pending()
    return {
        "next_token": frontier.next_id,
        "tokens": {token.id: token.to_data() for token in tokens},
        "contents": {token.content: token.inputs for token in tokens},
    }


@pytest.mark.parametrize("seed", first_of(range(10), always=3))
def test_however_a_frontier_grows_and_shrinks_a_capture_is_all_of_it(seed: int) -> None:
    """It knows what changed where there are many, and looks at each where there are few."""
    drawn = random.Random(seed)
    nodes = ["a", "b", "join"]
    wiring = {"joins": ["join"], "reaches": {"a": ["join"], "b": ["join"]}, "order": {"a": 0, "b": 1, "join": 2}}
    frontier = started(**wiring)
    for step in range(300):
        while frontier.waiting and len(frontier.running) < 3:
            frontier.start()
        token = drawn.choice([*frontier.running.values()])
        if drawn.random() < 0.1:
            frontier.count_failure(token)
        else:
            most = 30 if len(frontier.pending()) < 10 else 2
            frontier.finish(token, {"step": step}, drawn.choices(nodes, weights=[3, 3, 1], k=drawn.randint(0, most)))
            frontier.release_joins()
        if drawn.random() < 0.7:
            captured = frontier.capture()

            assert captured == plain(frontier)
            assert [*captured["tokens"]] == sorted(captured["tokens"], key=int)
            assert reloaded(captured, **wiring).capture() == captured
        if not frontier:
            break


def test_a_path_stays_short_and_keeps_its_order() -> None:
    """A loop that sends a branch to a join in each round, of which none has finished yet."""
    frontier = started(joins=["join"], reaches={"start": ["join"], "work": ["join"]})
    for _ in range(200):
        loop = next(token for token in frontier.waiting if token.node == "start")
        frontier.waiting.remove(loop)
        frontier.waiting.appendleft(loop)
        frontier.finish(frontier.start(), {}, ["start", "work"])

        assert frontier.capture() == plain(frontier)
    pending = sorted(frontier.pending(), key=lambda token: token.path)

    assert max(len(token.path) for token in pending) <= 33
    assert pending[0].node == "start"
    assert [token.generation for token in pending[1:]] == [*range(200, 0, -1)]


def test_a_path_grows_at_fan_outs_only() -> None:
    frontier = started(joins=["join"], reaches={"start": ["join"]})
    for _ in range(200):
        frontier.finish(frontier.start(), {}, ["start"])

    (token,) = frontier.pending()
    assert (token.generation, len(token.path)) == (200, 1)
