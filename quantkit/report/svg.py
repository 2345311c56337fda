"""Drawings of matplotlib as parts of a page: in its colors, its font and its width."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, PAGE = "#010101", "#020202", "#040404"

#: Series: as many colors as the page has variables `--series-0` and so on.
COLORS = tuple(f"#0300{index:02x}" for index in range(7))

# matplotlib needs fixed colors, while the page's depend on the reader's light or dark mode. So
# each role is drawn in a color that nothing else has, which becomes the page's variable.
_ROLES = {INK: "currentColor", FAINT: "var(--rule)", PAGE: "var(--page)"} | {
    color: f"var(--series-{index})" for index, color in enumerate(COLORS)
}

_WIDTH, _HEIGHT = 440, 300
_LEGEND_LINE = 18

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "lines.markersize": 6,
}

Style = dict[str, Any]
"""Colour and marker of a series, as matplotlib takes them."""

Styles = Mapping[str, Style]
"""By the name of the scheme."""


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        title: of the section.
        svg: an element for the page; None where there is nothing to draw.
        note: how to read it or, without a drawing, why it is left out.
    """

    title: str
    svg: str | None
    note: str


def draw(key: str, title: str, paint: Callable[[Axes], None], note: str) -> Plot:
    """A plot of what `paint` draws; the same drawing gives the same text.

    `key` names the drawing within the page, `title` is read out in its place.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": key}):
        figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72), layout="constrained")
        axes = figure.subplots()
        paint(axes)
        _add_legend(figure, axes)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return Plot(title, _inline(buffer.getvalue(), key, title), note)


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Below the axes and in addition to their height, so that it never covers anything."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    columns = 2 if max(map(len, labels)) <= 22 else 1
    lines = -(-len(labels) // columns)
    figure.set_figheight((_HEIGHT + _LEGEND_LINE * lines) / 72)
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)


def _inline(svg: str, key: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    # Styles of an inline drawing would hold for the whole page, and so would its ids.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"font-family: [^;\"]*; ?", "", svg)
    for color, role in _ROLES.items():
        svg = svg.replace(color, role)
    box = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index(">") + 1 :]
    opening = f'<svg {box[0] if box else ""} role="img" aria-labelledby="{key}-title">'
    return f'{opening}<title id="{key}-title">{escape(title)}</title>{body}'
