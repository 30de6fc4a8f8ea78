"""``spark worker`` and ``spark submit``: runs that are stored by one process, and carried out by whichever worker is free."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from spark_cli.answers import inputs_of
from spark_cli.exit_codes import FAILED, FINE, refuse
from spark_cli.options import Builder, Url, not_a_url
from spark_cli.stores import opened_store, wait_for
from spark_cli.targets import load_builder
from spark_cli.terminal.output import say, say_json, tell
from spark_cli.terminal.showing import counted

if TYPE_CHECKING:
    from spark.graphs import Message
    from spark.graphs.checkpoint import Recovery
    from spark_cli.running.signals import Stopping
    from spark_cli.running.working import Worker

_ENDS: Final = "When it ends"
"""A group of options."""


def worker(
    target: Builder,
    url: Url = "",
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, metavar="COUNT", help="The number of runs at a time.")
    ] = 8,
    every: Annotated[
        float,
        typer.Option(
            "--every",
            min=0.05,
            metavar="SECONDS",
            help="The time between polls when nothing is due, and between those for runs of dead workers.",
        ),
    ] = 5.0,
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix", metavar="TEXT", help="Resume only graph ids that begin with this text.", callback=not_a_url
        ),
    ] = "",
    owner: Annotated[
        str,
        typer.Option(
            "--owner",
            metavar="NAME",
            help="The name that claims the runs, unique to this worker.",
            show_default="host, process id and a random part",
        ),
    ] = "",
    ttl: Annotated[
        float,
        typer.Option(
            "--ttl",
            min=0.1,
            metavar="SECONDS",
            help="Others take over the runs of a dead worker after twice this time.",
        ),
    ] = 30.0,
    max_restarts: Annotated[
        int,
        typer.Option(
            "--max-restarts",
            min=-1,
            metavar="COUNT",
            help="A run fails after so many restarts in a row that ended its worker before a checkpoint; -1 for no limit.",
        ),
    ] = 10,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            metavar="SECONDS",
            rich_help_panel=_ENDS,
            help="The time that running nodes get to finish after SIGTERM or Ctrl-C.",
        ),
    ] = 20.0,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            rich_help_panel=_ENDS,
            help="Resume once what can continue now, print the result as JSON, and end: for cron.",
        ),
    ] = False,
    idle_exit: Annotated[
        float | None,
        typer.Option(
            "--idle-exit",
            min=0,
            metavar="SECONDS",
            rich_help_panel=_ENDS,
            help="End when there was nothing to do for this long.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report only runs that fail or are lost.")] = False,
) -> None:
    """Resume all runs of a store that can continue, until stopped. MODULE:BUILD makes the graph for a graph id.

    Any number of workers may share a store: each run is claimed by one of them. The first SIGTERM or Ctrl-C lets runs stop at
    their next boundary, for others to resume; a second one cancels them, and a third one kills the process.

    Exit codes: 0 stopped, or nothing left to do; 1 the store failed at first, or with --once a run; 2 wrong usage.
    """
    if once and idle_exit is not None:
        refuse("--once ends after one poll; leave out --idle-exit.")
    claim = {"owner": owner or None, "ttl": ttl, "max_restarts": max_restarts if max_restarts >= 0 else None}
    work, stopping = _prepared(
        target, url, concurrency=concurrency, prefix=prefix, claim=claim, grace=grace, option="spark worker"
    )
    if once:
        stopping.wait_for(work.once(), show=_show_report)
    stopping.wait_for(work.again_and_again(every=every, idle_exit=idle_exit, quiet=quiet), show=_show_counts)


def resume_once(target: str, url: str, *, limit: int, grace: float) -> None:
    """``spark run --due``: what ``spark worker --once`` does, for all graph ids."""
    work, stopping = _prepared(target, url, concurrency=limit, prefix="", claim={}, grace=grace, option="--due")
    stopping.wait_for(work.once(), show=_show_report)


def _prepared(
    target: str, url: str, *, concurrency: int, prefix: str, claim: dict[str, Any], grace: float, option: str
) -> tuple[Worker, Stopping]:
    """A worker, and what stops it at a signal."""
    with contextlib.redirect_stdout(sys.stderr):
        build = load_builder(target, option=option)
    from asyncio import Event, get_running_loop

    from spark.graphs.checkpoint import Claim
    from spark_cli.running.signals import Stopping
    from spark_cli.running.working import Worker

    stop = Event()
    work = Worker(build, url, concurrency=concurrency, prefix=prefix, claim=Claim(**claim), stop=stop, grace=grace)
    stopping = Stopping(
        lambda: get_running_loop().call_soon_threadsafe(stop.set),
        says=f"runs stop at their next boundary, within {grace:g} s. A second signal cancels them, a third one kills.",
    )
    return work, stopping


def submit(
    target: Builder,
    graph_id: Annotated[
        str, typer.Argument(metavar="GRAPH_ID", help="The graph id of the new run.", callback=not_a_url)
    ],
    inputs: Annotated[
        str,
        typer.Option("--input", metavar="JSON", help="Inputs of the start node, an object; - reads standard input."),
    ] = "",
    url: Url = "",
) -> None:
    """Store a run, and leave it to a worker. MODULE:BUILD makes the graph for a graph id. Submitted again, it changes nothing."""
    given = inputs_of(inputs) if inputs else None

    async def store_it() -> bool:
        from spark_cli.running.working import built

        async with opened_store(url, create=True) as store:
            return await (await built(build, graph_id, store)).submit(given)

    with contextlib.redirect_stdout(sys.stderr):
        build = load_builder(target, option="spark submit")
        stored = wait_for(store_it())
    say("submitted" if stored else f"not submitted: graph {graph_id!r} has this run already")


def _show_report(recovery: Recovery[Message]) -> int:
    from spark_cli.running.working import report

    say_json(report(recovery))
    tell(
        f"spark: {counted(len(recovery.resumed), 'run')} resumed, {len(recovery.failed):,} failed, "
        f"{len(recovery.skipped):,} skipped"
    )
    return FAILED if recovery.failed else FINE


def _show_counts(counts: dict[str, int]) -> int:
    parts = [f"{count:,} {what}" for what, count in counts.items() if count]
    tell(f"spark: the worker has ended; {', '.join(parts) if parts else 'there was nothing to do'}.")
    return FINE
