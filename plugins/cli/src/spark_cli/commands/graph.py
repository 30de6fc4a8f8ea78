"""``spark graph``: a picture of a graph."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from spark_cli.exit_codes import refuse
from spark_cli.options import Target
from spark_cli.targets import load_graph
from spark_cli.terminal.output import say_lines


def draw(
    target: Target,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart (the default).")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Print an SVG drawing.")] = False,
    theme: Annotated[
        Literal["auto", "light", "dark"] | None,
        typer.Option("--theme", help="The colours of an SVG drawing. The default follows the reader's system."),
    ] = None,
) -> None:
    """Draw a graph. The drawing goes to standard output."""
    if mermaid and svg:
        refuse("give one of --mermaid and --svg.")
    if theme and not svg:
        refuse("--theme is for drawings; give --svg as well.")
    graph = load_graph(target)
    if svg:
        from spark_drawing import Shape

        say_lines(Shape.of_graph(graph).svg(label=graph.id, theme=theme or "auto").rstrip("\n"))
    else:
        say_lines(graph.mermaid().rstrip("\n"))
