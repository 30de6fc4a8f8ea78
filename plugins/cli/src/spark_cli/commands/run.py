"""``spark run``: run a graph, watch it, and print its result."""

from __future__ import annotations

import contextlib
import sys
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from spark_cli.answers import answer_of
from spark_cli.endings import WayOn, code_of, result_of
from spark_cli.exit_codes import FAILED, FINE, refuse
from spark_cli.failures import failures_of, in_lines
from spark_cli.options import Target, Url
from spark_cli.output import say_json, tell, tell_lines
from spark_cli.targets import load_graph

if TYPE_CHECKING:
    from spark.graphs import Graph, Message
    from spark.graphs.checkpoint import Recovery


def run(
    target: Target,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the latest checkpoint, if there is one.")
    ] = False,
    resume_state: Annotated[
        bool, typer.Option("--resume-state", help="Begin a new run in the state of the latest checkpoint.")
    ] = False,
    inputs: Annotated[
        str,
        typer.Option("--input", metavar="JSON", help="Inputs of the start node, an object; - reads standard input."),
    ] = "",
    renamed: Annotated[
        list[str],
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="With a resume: the checkpoint's node OLD, a key, class or function, has the key NEW now.",
        ),
    ] = [],  # noqa: B006
    answers: Annotated[
        list[str],
        typer.Option("--answer", metavar="ID=JSON", help="Resume the latest run with the answer to a question of it."),
    ] = [],  # noqa: B006
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End when all that is left waits for a time, a signal or a retry.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            metavar="SECONDS",
            help="After SIGTERM or Ctrl-C: so long running nodes may take to finish.",
        ),
    ] = 20.0,
    due: Annotated[
        bool,
        typer.Option(
            "--due",
            help="Resume all unfinished runs of the store that can go on now; TARGET makes the graph for a graph id.",
        ),
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --due: so many runs at a time.")] = 8,
    url: Url = "",
) -> None:
    """Run a graph. Its result goes to standard output, as JSON; its progress, and what nodes print, to standard error.

    With --url, or when the graph itself makes no checkpoints and a store is configured, they go there. The first SIGTERM or
    Ctrl-C lets the run stop at its next boundary, a second one cancels it, and a third one kills the process.

    Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 questions are open, 4 it waits, 75 it was stopped and can be resumed.
    """
    if due:
        if resume or resume_state or inputs or renamed or answers or no_wait:
            refuse(
                "--due resumes runs with the inputs that they have; of the other options, it takes --limit, --grace and "
                "--url."
            )
        _run_due(target, url, limit=limit, grace=grace)
        return
    if resume_state and (resume or answers):
        refuse("give one of --resume, which finishes a run, and --resume-state, which begins another.")
    given = _inputs(inputs) if inputs else None
    how = {
        "resume": dict(map(answer_of, answers)) or ("state" if resume_state else resume),
        "rename": dict(map(_pair, renamed)) or None,
        "wait": not no_wait,
    }
    _run_one(target, url, given, how, grace=grace)


def _run_one(target: str, url: str, inputs: dict[str, Any] | None, how: dict[str, Any], *, grace: float) -> None:
    """Run a graph, and show what came of it.

    :param how: further arguments of ``Graph.run``.
    """
    from spark_cli.signals import Stopping  # asyncio takes long to import

    with contextlib.redirect_stdout(sys.stderr):
        graph = _checkpointed(load_graph(target), url)
    way_on = WayOn(graph, target, url)

    def show(message: Message | None) -> int:
        if message is None:
            return FAILED
        say_json(result_of(graph, message))
        for text in way_on.lines(message):
            tell(f"spark: {text}")
        return code_of(message)

    stopping = Stopping(
        lambda: graph.drain(stopping.received[0].name, grace=grace),
        says=f"the run stops at its next boundary, within {grace:g} s. The signal again cancels it, once more kills.",
    )
    stopping.wait_for(_run(graph, inputs, how, way_on), show=show)


def _run_due(target: str, url: str, *, limit: int, grace: float) -> None:
    from asyncio import Event, get_running_loop

    from spark_cli.due import builder, report, resume_due
    from spark_cli.signals import Stopping

    def show(recovery: Recovery[Message]) -> int:
        say_json(report(recovery))
        return FAILED if recovery.failed else FINE

    with contextlib.redirect_stdout(sys.stderr):
        build = builder(target)
    stop = Event()
    stopping = Stopping(
        lambda: get_running_loop().call_soon_threadsafe(stop.set),
        says=f"runs stop at their next boundary, within {grace:g} s. The signal again cancels them, once more kills.",
    )
    stopping.wait_for(resume_due(build, url, limit=limit, stop=stop, grace=grace), show=show)


def _inputs(text: str) -> dict[str, Any]:
    import json

    try:
        given = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        refuse(f"--input is not JSON: {error}")
    if not isinstance(given, dict):
        refuse('--input must be a JSON object, for instance \'{"name": "world"}\'.')
    return given


def _checkpointed(graph: Graph, url: str) -> Graph:
    from spark.graphs.checkpoint import CheckpointConfig

    own = graph.checkpoint_config
    if url:
        # What else the configuration in force says does not hold for this store, so that it is not even read.
        return graph.with_checkpoints(replace(own or CheckpointConfig(), backend=url, enabled=True))
    if own is None and (config := CheckpointConfig.load()).backend is not None:
        return graph.with_checkpoints(config)
    return graph


def _pair(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    if not (old and new) or "=" in new:
        refuse(f"--rename {text!r} must be OLD=NEW: two keys of nodes, with one '=' between them.")
    return old, new


async def _run(graph: Graph, inputs: dict[str, Any] | None, how: dict[str, Any], way_on: WayOn) -> Message | None:
    """The outcome; None when a node raised, which is shown as Python does."""
    from asyncio import CancelledError

    from spark.errors import GraphRestoreError, InputConflictError, RunError, SparkError
    from spark_cli.progress import watched

    began = datetime.now(UTC)
    try:
        async with watched(graph):
            store = graph.checkpoint_backend
            claim = store is not None and store.persistent  # others can see it
            return await graph.run(inputs, **how, claim=claim)
    except RunError as error:
        if isinstance(error, InputConflictError) or how["resume"] == "state":
            error.add_note(_IN_WORDS_OF_THE_COMMAND)
        raise
    except GraphRestoreError as error:
        if "rename=" in str(error):
            error.add_note("Here, write --rename OLD=NEW.")
        raise
    except SparkError:
        raise
    except Exception:
        tell_lines(traceback.format_exc())
        await _tell_failure(graph, since=began)
        if way_on.is_possible():
            tell(f"spark: to resume it: {way_on.resume()}")
        return None
    except CancelledError as error:
        if way_on.is_possible():
            error.add_note(f"to resume it: {way_on.resume()}")
        raise
    finally:
        if graph.checkpoint_backend is not None:
            await graph.checkpoint_backend.close()


async def _tell_failure(graph: Graph, *, since: datetime) -> None:
    """Show what the checkpoint of the failure says: the node and the attempt, which a traceback does not."""
    from spark.errors import SparkError
    from spark.graphs.checkpoint import CheckpointManager
    from spark.graphs.checkpoint.storage import CheckpointQuery

    store = graph.checkpoint_backend
    if store is None:
        return
    with contextlib.suppress(SparkError):  # what matters was told
        query = CheckpointQuery(graph_id=graph.graph_id, limit=1, newest_first=True)
        made = [info for info in (await CheckpointManager(store).listing(query)).infos if info.timestamp >= since]
        for error in (await failures_of(store, made, graph_id=graph.graph_id)).values():
            for line in in_lines(error) if error else ():
                tell(f"spark: {line}")


_IN_WORDS_OF_THE_COMMAND: Final = (
    "Here, --resume without --input finishes the run, or shows its result; --resume-state with --input begins a new run in the "
    "stored state; and without either, the run starts from scratch."
)
