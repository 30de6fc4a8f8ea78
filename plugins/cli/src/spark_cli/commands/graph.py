"""``spark graph``: a picture of a graph."""

from __future__ import annotations

from typing import Annotated

import typer

from spark_cli.exit_codes import refuse
from spark_cli.options import Target
from spark_cli.output import say_lines
from spark_cli.targets import load_graph


def draw(
    target: Target,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart, which is the default.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="As an SVG drawing.")] = False,
) -> None:
    """Draw a graph; the drawing goes to standard output."""
    if mermaid and svg:
        refuse("give one of --mermaid and --svg.")
    graph = load_graph(target)
    if svg:
        from spark_cli.svg import svg_of

        say_lines(svg_of(graph).rstrip("\n"))
    else:
        say_lines(graph.mermaid().rstrip("\n"))
