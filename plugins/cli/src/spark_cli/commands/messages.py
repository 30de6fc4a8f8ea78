"""``spark send`` and ``spark answer``: messages to graphs, which any process may run, or none yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from spark_cli.answers import answer_of, json_of
from spark_cli.existing import check_graphs
from spark_cli.options import Graph, Json, Url
from spark_cli.running.endings import answer_command, question_data
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import say, say_json, tell
from spark_cli.terminal.showing import summary
from spark_cli.terminal.tables import Column, say_table
from spark_cli.terminal.times import age

_COLUMNS: Final = (
    Column(title="ID"),
    Column(title="NODE", gives_way=2, shortest=12, middle=True),
    Column(title="AGE", gives_way=1, right=True),
    Column(title="QUESTION", shortest=20),
)


def send(
    graph_id: Graph,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name that the step waits for: context.wait_for(NAME).")
    ],
    value: Annotated[str, typer.Argument(metavar="JSON", help="The value; - reads standard input.")] = "null",
    url: Url = "",
    key: Annotated[str, typer.Option(help="Send it only if no signal with this name and key was sent before.")] = "",
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Send it even if the graph or the store does not exist yet: the first run gets it."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Send a signal to a graph, whether or not it is running.

    A step that waits for it gets the value, now or when the graph runs next.
    """
    given = json_of(value, what="the value")
    sent = wait_for(_send(url, graph_id, name, given, key=key or None, anyway=anyway))
    if as_json:
        say_json({"sent": sent})
    else:
        say("sent" if sent else f"not sent: a signal with the key {key!r} was sent before")


async def _send(url: str, graph_id: str, name: str, value: Any, *, key: str | None, anyway: bool) -> bool:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url, create=anyway) as store:
        if not anyway:
            await check_graphs(store, [graph_id])
        return await CheckpointManager(store).send(graph_id, name, value, key=key)


def answer(
    graph_id: Graph,
    answers: Annotated[list[str], typer.Argument(metavar="ID=JSON", show_default=False)] = [],  # noqa: B006
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Show a graph's open questions, or answer them. Answer a question by its id.

    A run in progress takes the answers at once; otherwise spark run --resume continues with them.
    """
    given = dict(map(answer_of, answers))
    if not given:
        _show_questions(wait_for(_questions(url, graph_id)), graph_id, url, as_json)
        return
    wait_for(_give(url, graph_id, given))
    if as_json:
        say_json({"answered": [*given]})
    else:
        say(f"{len(given)} answered")


async def _give(url: str, graph_id: str, answers: dict[str, Any]) -> None:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        await CheckpointManager(store).answer(graph_id, answers)


async def _questions(url: str, graph_id: str) -> list[dict[str, Any]]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        asked = await CheckpointManager(store).interrupts(graph_id)
        return [question_data(each) for each in asked]


def _show_questions(questions: list[dict[str, Any]], graph_id: str, url: str, as_json: bool) -> None:
    if as_json:
        say_json(questions)
        return
    now = datetime.now(UTC)
    rows = [(each["id"], each["node"], age(each["since"], now), summary(each["payload"])) for each in questions]
    say_table(_COLUMNS, rows)
    if questions:
        tell(f"spark: to answer: {answer_command(graph_id, [each['id'] for each in questions], url)}")
    else:
        tell("spark: no question is open.")
