"""How drawings look: the style sheet of a page, and what is inside of a drawing that stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, get_args

from spark_drawing.parts import Mark, Theme

_LIGHT: Final = {
    "paper": "#ffffff",
    "fill": "#f6f8fa",
    "ink": "#1f2328",
    "quiet": "#59636e",
    "line": "#6e7781",
    "error": "#cf222e",
    "sign": "#ffffff",
    "running": "#0969da",
    "running-fill": "#ddf4ff",
    "waiting": "#8250df",
    "waiting-fill": "#fbefff",
    "interrupted": "#9a6700",
    "interrupted-fill": "#fff8c5",
    "failed": "#cf222e",
    "failed-fill": "#ffebe9",
    "done": "#1a7f37",
    "done-fill": "#dafbe1",
}
_DARK: Final = {
    "paper": "#0d1117",
    "fill": "#161b22",
    "ink": "#e6edf3",
    "quiet": "#9198a1",
    "line": "#8b949e",
    "error": "#ff7b72",
    "sign": "#0d1117",
    "running": "#58a6ff",
    "running-fill": "#10233f",
    "waiting": "#bc8cff",
    "waiting-fill": "#241a3d",
    "interrupted": "#d29922",
    "interrupted-fill": "#2e2307",
    "failed": "#ff7b72",
    "failed-fill": "#3c1618",
    "done": "#3fb950",
    "done-fill": "#0f2a18",
}
_SHAPES: Final = (
    ("text", "font-family:Arial,Helvetica,'Liberation Sans',sans-serif;text-anchor:middle"),
    (".name", "font-size:13px"),
    (".label text,.slot", "font-size:11px"),
    (".count text", "font-size:11px;font-weight:bold"),
    (".box,.sheet", "stroke-width:1.5"),
    (".line", "fill:none;stroke-width:1.5;stroke-linejoin:round"),
    (".edge.is-error .line", "stroke-dasharray:5 4"),
    (".edge.is-map .line", "stroke-width:3"),
    (".node[class*=is-] .box", "stroke-width:2.5"),
    (".node.is-waiting .box", "stroke-dasharray:7 4"),
    (".node.is-interrupted .box", "stroke-dasharray:2 3"),
    (".sign path", "fill:none;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round"),
)
"""What is the same in each theme: selectors inside of a drawing, with their declarations."""
_COLOURS: Final = (
    (".paper", "fill:{paper}"),
    ("text", "fill:{ink}"),
    (".label text,.slot", "fill:{quiet}"),
    (".label rect", "fill:{paper}"),
    (".box,.sheet", "fill:{fill};stroke:{ink}"),
    (".line", "stroke:{line}"),
    (".tip", "fill:{line}"),
    (".edge.is-error .line", "stroke:{error}"),
    (".edge.is-error .tip", "fill:{error}"),
    (".entry .dot,.entry .tip", "fill:{ink}"),
    (".entry .line", "stroke:{ink}"),
    (".count rect", "fill:{ink}"),
    (".count text", "fill:{sign}"),
    (".sign path", "stroke:{sign}"),
    *(
        rule
        for mark in get_args(Mark)
        for rule in (
            (f".node.is-{mark} .box,.node.is-{mark} .sheet", f"stroke:{{{mark}}};fill:{{{mark}-fill}}"),
            (f".is-{mark} .sign circle", f"fill:{{{mark}}}"),
        )
    ),
)


def style_for(theme: Theme) -> str:
    """The rules of a drawing that stands alone. Its colours are written out: not every program that shows SVG knows variables."""
    scope = f".spark-drawing.is-{theme}"
    if theme != "auto":
        return _rules(scope, _SHAPES) + _rules(scope, _COLOURS, _DARK if theme == "dark" else _LIGHT)
    dark = _rules(scope, _COLOURS, _DARK)
    return f"{_rules(scope, _SHAPES)}{_rules(scope, _COLOURS, _LIGHT)}@media(prefers-color-scheme:dark){{{dark}}}"


def _rules(scope: str, rules: Iterable[tuple[str, str]], colours: Mapping[str, str] | None = None) -> str:
    return "".join(
        ",".join(f"{scope} {one}" for one in selector.split(",")) + f"{{{text.format_map(colours or {})}}}"
        for selector, text in rules
    )


_VARIABLES: Final = "".join(f"--drawing-{name}:light-dark({_LIGHT[name]},{_DARK[name]});" for name in _LIGHT)
STYLESHEET: Final = (
    f".spark-drawing{{{_VARIABLES}}}.spark-drawing.is-light{{color-scheme:light}}.spark-drawing.is-dark{{color-scheme:dark}}"
    + _rules(".spark-drawing", _SHAPES)
    + _rules(".spark-drawing", _COLOURS, {name: f"var(--drawing-{name})" for name in _LIGHT})
)
"""The style sheet of a page whose drawings are made with ``standalone=False``.

Colours are variables, as ``--drawing-ink``, ``--drawing-paper`` and ``--drawing-failed``. A page can set its own for
``.spark-drawing``. The theme ``"auto"`` is that of the page: what its ``color-scheme`` says.
"""
