"""The arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from spark_cli.completing import checkpoint_ids, graph_ids

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
PluginName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Show only this plugin or distribution, with its options.", show_default=False),
]
Id: TypeAlias = Annotated[
    str, typer.Argument(metavar="CHECKPOINT_ID", help="The checkpoint's id.", autocompletion=checkpoint_ids)
]
Url: TypeAlias = Annotated[
    str, typer.Option(help="The store. Without it: SPARK_CHECKPOINT_URL, spark.toml, pyproject.toml.", metavar="URL")
]
Target: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE:GRAPH", help="A graph, or a function that makes one.")
]
Builder: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE:BUILD", help="A function that makes the graph for a graph id.")
]
Imports: TypeAlias = Annotated[
    list[str],
    typer.Option("--import", metavar="MODULE", help="Import this module first, to create objects of its types."),
]

Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Don't ask for confirmation; required without a terminal.")
]

Limit: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        show_default="as many as fit a terminal, elsewhere all",
        help="The number of rows; 0 shows all.",
        metavar="NUMBER",
    ),
]


def not_a_url(graph_id: str) -> str:
    """The graph id, unless it is a URL, which is wrong usage."""
    if "://" in graph_id:
        from spark.hooks import redact

        raise typer.BadParameter(f"{redact(graph_id)!r} is a URL, not a graph id; name the store with --url.")
    return graph_id


def _no_urls(graph_ids: list[str]) -> list[str]:
    return [not_a_url(graph_id) for graph_id in graph_ids]


Graph: TypeAlias = Annotated[
    str, typer.Argument(metavar="GRAPH_ID", help="The graph's id.", callback=not_a_url, autocompletion=graph_ids)
]
OneGraph: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="GRAPH_ID",
        help="Restrict it to this graph.",
        show_default=False,
        callback=not_a_url,
        autocompletion=graph_ids,
    ),
]
Graphs: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="GRAPH_ID",
        help="Restrict it to these graphs.",
        show_default=False,
        callback=_no_urls,
        autocompletion=graph_ids,
    ),
]
