"""``spark ui``: serve the view to this machine, and open it in the browser."""

from __future__ import annotations

from typing import Annotated

import typer


def ui(
    url: Annotated[
        str,
        typer.Option(help="The store. Without it: SPARK_CHECKPOINT_URL, spark.toml, pyproject.toml.", metavar="URL"),
    ] = "",
    port: Annotated[
        int | None, typer.Option(help="The port. Without it: 4730, or a free one.", min=0, max=65535)
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, but open no browser.")] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Let pages change the store; each asks first.")
    ] = False,
) -> None:
    """See the runs of a store in your browser. Only this machine can open the printed address."""
    from spark_ui.serving import serve  # loads a web server, which `spark --help` does not need

    raise typer.Exit(serve(url, port=port, open_browser=not no_open, allow_changes=allow_changes))
