"""The runs of a store in the browser: ``spark ui``, or ``create_app`` for a server of your own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark_ui.app import create_app
    from spark_ui.security import new_token

__all__ = ["create_app", "new_token"]

_HOMES: Final = {"create_app": "spark_ui.app", "new_token": "spark_ui.security"}


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        """On first use, so that whoever only looks for commands loads no web server."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
