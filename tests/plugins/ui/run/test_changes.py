"""Changing a run through the view: each change is filled in, confirmed, done, and shown."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from spark.graphs.checkpoint import CheckpointManager, open_backend
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import Answer, Served, serving

ODD = '<b>it\'s</b> "$(x)"\nü'


class Changed:
    """A view that may change a store with one graph, ``g``, which asks a question."""

    def __init__(self, served: Served, url: str) -> None:
        self.served = served
        self.url = url

    def fill_in(self, path: str, **given: str) -> Answer:
        """Send a form with the hidden values that its page has."""
        page = self.served.get(path).text
        return self.post(path, _hidden(page) | given)

    def confirm(self, path: str, page: Answer) -> Answer:
        """Press the button of the page that asks."""
        assert page.status == 200, page.text
        return self.post(path, _hidden(page.text) | {"confirmed": "yes"})

    def post(self, path: str, given: Mapping[str, str], **headers: str) -> Answer:
        """Send a form."""
        own = {"Origin": self.served.base, "Content-Type": "application/x-www-form-urlencoded"}
        return self.served.ask(path, method="POST", headers=own | headers, body=urlencode(given))

    def asked(self, do: Any) -> Any:
        """What the manager says of the store."""

        async def ask() -> Any:
            store = open_backend(self.url)
            try:
                return await do(CheckpointManager(store))
            finally:
                await store.close()

        return asyncio.run(ask())

    def state(self, graph_id: str = "g") -> dict[str, Any]:
        """The state of the latest checkpoint."""
        latest: Any = self.asked(lambda manager: manager.load_latest(graph_id))
        return dict(latest.graph_state)


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Changed]:
    url = f"sqlite:///{tmp_path}/runs.db"
    asyncio.run(programs.run("ask", url, "g"))
    with serving(url, allow_changes=True) as served:
        yield Changed(served.open(), url)


def _hidden(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {unescape(name): unescape(value) for name, value in found}


def question_path(changed: Changed) -> str:
    (question,) = changed.asked(lambda manager: manager.interrupts("g"))
    return f"/run/g/answer?question={question.id}"


def test_an_answer_is_checked_confirmed_and_given_to_the_next_resume(changed: Changed) -> None:
    path = question_path(changed)

    wrong = changed.fill_in(path, **{"answer/amount": "much", "answer/note": ODD})
    page = changed.fill_in(path, **{"answer/decision": '"approve"', "answer/amount": "12.5", "answer/note": ODD})
    done = changed.confirm(path, page)

    assert wrong.status == 422
    assert unescape(wrong.text).count("This is needed.") == 1
    assert "Give a number." in wrong.text
    assert ODD in unescape(wrong.text)
    assert "spark answer g" in page.text
    assert (done.status, done.headers["location"]) == (303, "/run/g?done=answer")
    assert "The answer is stored" in changed.served.get("/run/g?done=answer").text
    assert asyncio.run(programs.run("ask", changed.url, "g", resume=True)) == (
        "completed",
        {"decision": "approve", "amount": 12.5, "note": ODD},
    )


def test_back_from_the_last_page_nothing_is_lost(changed: Changed) -> None:
    path = question_path(changed)
    page = changed.fill_in(path, **{"answer/decision": '"reject"', "answer/amount": "3", "answer/note": ODD})

    back = changed.post(path, _hidden(page.text) | {"back": "yes"})

    assert back.status == 200
    assert ODD in unescape(back.text)
    assert re.search(r'value="&#34;reject&#34;" checked', back.text)


def test_a_signal_is_sent(changed: Changed) -> None:
    page = changed.fill_in(
        "/run/g/send?name=paid", **{"answer/name": "paid", "answer/value": '{"x": 1}', "answer/key": ""}
    )
    changed.confirm("/run/g/send", page)

    assert "spark send g paid" in page.text
    assert "signal:paid" in str(_inbox(changed))


def test_the_state_is_edited(changed: Changed) -> None:
    given = {
        "answer/changes/~count": "1",
        "answer/changes/0/do": '"set"',
        "answer/changes/0/key": "total",
        "answer/changes/0/value": "42",
        "answer/reason": ODD,
    }
    done = changed.confirm("/run/g/edit", changed.fill_in("/run/g/edit", **given))

    assert done.headers["location"] == "/run/g?done=edit"
    assert changed.state() == {"total": 42}
    assert ODD in unescape(changed.served.get("/run/g").text), "the reason is shown"


def test_an_edit_of_what_is_not_there_says_so_and_keeps_the_form(changed: Changed) -> None:
    given = {"answer/changes/~count": "1", "answer/changes/0/do": '"delete"', "answer/changes/0/key": "nothing"}

    refused = changed.confirm("/run/g/edit", changed.fill_in("/run/g/edit", **given))

    assert refused.status == 422
    assert "has no key &#39;nothing&#39;" in refused.text
    assert 'value="nothing"' in refused.text


def test_an_edit_is_refused_if_the_run_has_moved_on(changed: Changed) -> None:
    given = {
        "answer/changes/~count": "1",
        "answer/changes/0/do": '"set"',
        "answer/changes/0/key": "total",
        "answer/changes/0/value": "42",
    }
    page = changed.fill_in("/run/g/edit", **given)
    changed.asked(lambda manager: manager.edit("g", set={"other": 1}))

    refused = changed.confirm("/run/g/edit", page)
    again = changed.confirm("/run/g/edit", changed.post("/run/g/edit", _hidden(refused.text) | given))

    assert refused.status == 409
    assert "The run has moved on" in refused.text
    assert again.status == 303
    assert changed.state() == {"other": 1, "total": 42}


def test_a_fork_begins_another_history(changed: Changed) -> None:
    given = {
        "answer/graph_id": "what if",
        "answer/changes/~count": "1",
        "answer/changes/0/do": '"set"',
        "answer/changes/0/key": "total",
        "answer/changes/0/value": "1",
    }
    path = "/run/g/fork?at=1"
    done = changed.confirm(path, changed.fill_in(path, **given))

    assert done.headers["location"] == "/run/what~20if?done=fork"
    assert changed.state("what if") == {"total": 1}
    assert changed.state() == {}


def test_a_checkpoint_is_deleted_and_a_graph_forgotten(changed: Changed) -> None:
    count = len(changed.asked(lambda manager: manager.history("g")))

    changed.confirm("/run/g/delete?at=1", changed.served.ask("/run/g/delete?at=1"))
    left = len(changed.asked(lambda manager: manager.history("g")))
    done = changed.confirm("/run/g/forget", changed.served.ask("/run/g/forget"))

    assert left == count - 1
    assert done.headers["location"] == "/run/g?done=forget"
    assert "Nothing is left of graph" in changed.served.ask("/run/g?done=forget").text
    assert changed.asked(lambda manager: manager.graph_ids()) == []


def test_a_run_is_asked_to_drain(changed: Changed) -> None:
    page = changed.fill_in("/run/g/drain", **{"answer/reason": "deployment"})

    assert "spark drain g --url" in page.text
    assert "--reason deployment" in page.text
    assert changed.confirm("/run/g/drain", page).status == 303


@pytest.mark.parametrize(
    "given",
    [{"form_token": ""}, {"form_token": "0" * 64}],
)
def test_a_form_of_another_site_changes_nothing(changed: Changed, given: dict[str, str]) -> None:
    own = {"confirmed": "yes", "at": "1"}

    assert changed.post("/run/g/delete", own | given).status == 403
    assert changed.post("/run/g/delete", own | {"form_token": "x"}, Origin="http://127.0.0.1:1").status == 403
    assert changed.served.ask("/run/g/delete?at=1&confirmed=yes").status == 200
    assert len(changed.asked(lambda manager: manager.history("g"))) > 0


def test_an_item_is_added_to_the_form_without_losing_the_others(changed: Changed) -> None:
    more = changed.fill_in(
        "/run/g/edit",
        **{
            "answer/changes/~count": "1",
            "answer/changes/0/key": ODD,
            "press": "add:answer/changes",
            "answer/changes/0/value": "{",
        },
    )

    assert more.status == 200
    assert 'name="answer/changes/1/key"' in more.text
    assert ODD.partition("\n")[0] in unescape(more.text)
    assert "field-error" not in more.text


def test_what_no_page_leads_to_is_not_found(changed: Changed) -> None:
    for path in ("answer?question=x", "answer", "fork?at=99", "delete?at=99", "delete?at=x", f"fork?at={'9' * 30}"):
        assert changed.served.ask(f"/run/g/{path}").status == 404
    assert changed.served.ask(f"/run/{quote('nobody')}/edit").status == 404


def test_a_form_that_is_sent_twice_changes_something_once(changed: Changed) -> None:
    before = len(changed.asked(lambda manager: manager.history("g")))
    given = {"answer/name": "paid", "answer/value": "1", "answer/key": ""}
    forms = {
        "/run/g/send": changed.fill_in("/run/g/send", **given),
        "/run/g/delete?at=1": changed.served.ask("/run/g/delete?at=1"),
    }

    for path, form in forms.items():
        first, second = changed.confirm(path, form), changed.confirm(path, form)
        assert (second.status, second.headers["location"]) == (303, first.headers["location"])
    again = changed.confirm("/run/g/send", changed.fill_in("/run/g/send", **given))

    assert len(changed.asked(lambda manager: manager.history("g"))) == before - 1
    assert again.status == 303
    assert len(_inbox(changed)) == 2, "a form that was filled in again is another one"


@pytest.mark.parametrize("text", ["soft\u00adhyphen", "\u200fשלום\u200f", "a\u200bb", "\U0001f3f4\U000e0067\U000e007f"])
def test_what_is_filled_in_comes_back_as_it_was_whether_it_can_be_seen_or_not(changed: Changed, text: str) -> None:
    path = question_path(changed)
    given = {"answer/decision": '"approve"', "answer/amount": "1", "answer/note": text}

    page = changed.fill_in(path, **given)
    back = changed.post(path, _hidden(page.text) | {"back": "yes"})
    changed.confirm(path, changed.post(path, _hidden(back.text) | given))

    assert text in unescape(back.text)
    assert asyncio.run(programs.run("ask", changed.url, "g", resume=True))[1]["note"] == text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"0/do": '"set"', "0/key": "a"}, "This is needed."),
        ({"0/do": '"delete"', "0/key": "a", "0/value": "1"}, "Leave it empty to delete the key."),
        (
            {"0/do": '"set"', "0/key": "a", "0/value": "1", "1/do": '"set"', "1/key": "a", "1/value": "2"},
            "changed above",
        ),
    ],
)
def test_an_edit_that_says_too_little_or_two_things_is_refused_at_its_field(
    changed: Changed, given: dict[str, str], words: str
) -> None:
    fields = {f"answer/changes/{name}": text for name, text in given.items()}

    refused = changed.fill_in("/run/g/edit", **{"answer/changes/~count": str(1 + ("1/do" in given)), **fields})

    assert refused.status == 422
    assert re.search(f'class="field-error"[^>]*>[^<]*{words}', refused.text)


def test_an_edit_that_is_based_on_nothing_is_refused(changed: Changed) -> None:
    given = {"answer/changes/~count": "1", "answer/changes/0/do": '"set"', "answer/changes/0/key": "a"}
    page = changed.fill_in("/run/g/edit", **given, **{"answer/changes/0/value": "1"})

    assert changed.post("/run/g/edit", _hidden(page.text) | {"confirmed": "yes", "based_on": "9" * 5_000}).status == 409


def test_a_fork_to_a_graph_that_is_there_says_so(changed: Changed) -> None:
    path = "/run/g/fork?at=1"

    refused = changed.confirm(path, changed.fill_in(path, **{"answer/graph_id": "g"}))

    assert refused.status == 409
    assert "has checkpoints already" in refused.text
    assert "moved on" not in refused.text


def test_where_the_latest_checkpoint_is_damaged_earlier_ones_can_be_forked(changed: Changed) -> None:
    latest = changed.asked(lambda manager: manager.history("g"))[-1]
    with closing(sqlite3.connect(changed.url.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE checkpoints SET payload = x'00' WHERE sequence = ?", [latest.sequence])

    path = "/run/g/fork?at=1"
    done = changed.confirm(path, changed.fill_in(path, **{"answer/graph_id": "again"}))

    assert changed.served.get("/run/g/commands").status == 200
    assert done.status == 303
    assert "This checkpoint can&#39;t be read" in changed.served.ask("/run/g/edit").text


def test_a_form_that_is_too_large_is_refused(changed: Changed) -> None:
    refused = changed.post("/run/g/send", {"x": "y" * 5_000_000})

    assert refused.status == 413
    assert "4 MB at most" in refused.text


def test_a_large_value_is_not_sent_back_and_forth_in_a_command(changed: Changed) -> None:
    value = json.dumps("x" * 1_000_000)

    page = changed.fill_in("/run/g/send", **{"answer/name": "paid", "answer/value": value, "answer/key": ""})

    assert "spark send g NAME JSON" in page.text
    assert len(page.text) < 1_100_000
    assert changed.confirm("/run/g/send", page).status == 303


def test_a_question_that_was_answered_meanwhile_is_said_to_be_closed(changed: Changed) -> None:
    path = question_path(changed)
    page = changed.fill_in(path, **{"answer/decision": '"approve"', "answer/amount": "1", "answer/note": ""})
    changed.asked(lambda manager: manager.answer("g", {path.partition("=")[2]: {"decision": "reject", "amount": 1}}))
    asyncio.run(programs.run("ask", changed.url, "g", resume=True))

    late = changed.confirm(path, page)

    assert late.status == 404
    assert "This question is not open any more" in late.text


def _inbox(changed: Changed) -> Any:
    async def topics(manager: CheckpointManager) -> Any:
        from spark.graphs.checkpoint.derived.inbox import Inbox

        return await Inbox(manager.backend, "g").read(after=0, until=99)

    return changed.asked(topics)
