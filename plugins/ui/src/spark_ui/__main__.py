"""``python -m spark_ui``: the same as ``spark ui``."""

import typer

from spark_ui.command import ui

typer.run(ui)
