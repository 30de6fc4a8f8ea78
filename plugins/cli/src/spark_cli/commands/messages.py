"""``spark send`` and ``spark answer``: messages to graphs, which any process may run, or none yet."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_cli.answers import answer_of
from spark_cli.exit_codes import refuse
from spark_cli.options import Json, Url, not_a_url
from spark_cli.output import say, say_json, say_table, tell
from spark_cli.showing import summary
from spark_cli.stores import opened_store, wait_for

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend

Graph = Annotated[str, typer.Argument(metavar="GRAPH_ID", callback=not_a_url)]


def send(
    graph_id: Graph,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the step waits for: context.wait_for(NAME).")],
    value: Annotated[str, typer.Argument(metavar="[JSON]", help="The value; - reads standard input.")] = "null",
    url: Url = "",
    key: Annotated[str, typer.Option(help="Send it only if no message with this name and key was sent before.")] = "",
    as_json: Json = False,
) -> None:
    """Send a message to a graph: a step that waits for it gets the value, now or when the graph runs."""
    sent = wait_for(_send(url, graph_id, name, _value(value), key or None))
    if as_json:
        say_json({"sent": sent})
    else:
        say("sent" if sent else f"not sent: a message with the key {key!r} was sent before")


async def _send(url: str, graph_id: str, name: str, value: Any, key: str | None) -> bool:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        _check_persistent(store)
        return await CheckpointManager(store).send(graph_id, name, value, key=key)


def answer(
    graph_id: Graph,
    answers: Annotated[list[str], typer.Argument(metavar="ID=JSON...", show_default=False)] = [],  # noqa: B006
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Answer questions that a graph has asked, by their ids; without any, show those that are open.

    A run that is under way takes the answers. If there is none, spark run --resume continues with them.
    """
    given = dict(map(answer_of, answers))
    if not given:
        _show_questions(wait_for(_questions(url, graph_id)), as_json)
        return
    wait_for(_give(url, graph_id, given))
    if as_json:
        say_json({"answered": [*given]})
    else:
        say(f"{len(given)} answered")


async def _give(url: str, graph_id: str, answers: dict[str, Any]) -> None:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await CheckpointManager(store).answer(graph_id, answers)


async def _questions(url: str, graph_id: str) -> list[dict[str, Any]]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        asked = await CheckpointManager(store).interrupts(graph_id)
        return [{"id": each.id, "node": each.node, "since": each.since, "payload": each.payload} for each in asked]


def _show_questions(questions: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        say_json(questions)
        return
    say_table(("ID", "NODE", "SINCE", "QUESTION"), [_row(each) for each in questions])
    if not questions:
        tell("spark: no question is open.")


def _row(question: dict[str, Any]) -> tuple[str, ...]:
    since = question["since"].isoformat(sep=" ", timespec="seconds")
    return question["id"], question["node"], since, summary(question["payload"])


def _value(text: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        refuse(f"the value is not JSON: {error}. A text needs quotes of its own: '\"yes\"'.")


def _check_persistent(store: CheckpointBackend) -> None:
    if not store.persistent:
        refuse(f"{store.name!r} keeps nothing after this command.")
