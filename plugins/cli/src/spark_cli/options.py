"""The arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="For scripts.")]
PluginName: TypeAlias = Annotated[
    str, typer.Argument(metavar="[NAME]", help="Only what has this name, with its options.", show_default=False)
]
Id: TypeAlias = Annotated[str, typer.Argument(metavar="CHECKPOINT_ID")]
Url: TypeAlias = Annotated[
    str, typer.Option(help="The store. Without it: SPARK_CHECKPOINT_URL, spark.toml, pyproject.toml.", metavar="URL")
]
Target: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE:GRAPH", help="A graph, or a function that makes one.")
]
Imports: TypeAlias = Annotated[
    list[str],
    typer.Option("--import", metavar="MODULE", help="Import it first: it defines types that are in the state."),
]


def not_a_url(graph_id: str) -> str:
    """The graph id, unless it is a URL, which is wrong usage."""
    if "://" in graph_id:
        from spark.hooks import redact

        raise typer.BadParameter(f"{redact(graph_id)!r} is a URL, not a graph id; name the store with --url.")
    return graph_id


def _no_urls(graph_ids: list[str]) -> list[str]:
    return [not_a_url(graph_id) for graph_id in graph_ids]


OneGraph: TypeAlias = Annotated[
    str, typer.Argument(metavar="[GRAPH_ID]", help="Only of this graph.", show_default=False, callback=not_a_url)
]
Graphs: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="[GRAPH_ID]...", help="Only of these graphs.", show_default=False, callback=_no_urls),
]
