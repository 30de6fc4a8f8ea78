"""The graph of a run as a drawing in its page, with its pending work lit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from markupsafe import Markup

from spark_drawing import DrawingError, Mark, Shape
from spark_ui.views.pending import Work

_SMALL: Final = 600
"""Up to this width a drawing shrinks to fit a narrow screen, and can still be read; wider ones scroll."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A graph as SVG."""

    svg: Markup
    is_small: bool


def drawn(topology: Mapping[str, Any] | None, work: Work, *, label: str) -> Drawn | None:
    """The graph as SVG; None where a checkpoint has none, or a damaged one.

    :param label: what the drawing shows, for screen readers.
    """
    try:
        shape = Shape.of_topology(topology)  # equal shapes share one layout
    except DrawingError:
        return None
    marks = cast("Mapping[str, Mark]", work.marks)
    svg = Markup(shape.svg(marks=marks, counts=work.counts, standalone=False, label=label))
    return Drawn(svg, shape.layout().width <= _SMALL)
