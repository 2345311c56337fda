"""A picture of the damages: one panel for each kind of tensor, a line for each width."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantkit.core.errors import InputError
from quantkit.core.files import write_bytes
from quantkit.core.names import kind_and_layer
from quantkit.quantize.widths.measured import MeasuredTensor, Sensitivity

SUFFIXES = (".svg", ".png")
OTHERS = "outside the layers"

_COLUMNS = 3
_MARKERS = "osv^D*"

Panel = list[tuple[str, MeasuredTensor]]
"""Tensors with their labels on the horizontal axis."""


def check_plot(path: Path) -> None:
    """Refuse a file that cannot be drawn, before there is anything to draw.

    Raises:
        InputError: its suffix names another format.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"--plot {path}: accepted: a file ending in {' or '.join(SUFFIXES)}")


def plot_sensitivity(report: Sensitivity, path: Path) -> None:
    """Draw mean KL on a logarithmic axis, by layer, into an .svg or .png file.

    The same report and libraries give the same bytes.

    Raises:
        InputError: the suffix is neither.
    """
    check_plot(path)
    panels = _panels(report["tensors"])
    rows = math.ceil(len(panels) / _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 2.6 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, (title, panel) in zip(grid, panels.items(), strict=False):
        _draw(axes, title, panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[::_COLUMNS]:
        axes.set_ylabel("mean KL, nats")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    drawn = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "quantkit", "svg.fonttype": "none"}):
        undated = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(drawn, format=path.suffix[1:], dpi=150, metadata=undated)
    write_bytes(path, drawn.getvalue())


def _panels(tensors: Iterable[MeasuredTensor]) -> dict[str, Panel]:
    """Kinds that layers repeat have a panel each, what is there once shares the last."""
    panels: dict[str, Panel] = {}
    others: Panel = []
    for tensor in tensors:
        kind, layer = kind_and_layer(tensor["name"])
        if layer is None:
            others.append((tensor["name"].removesuffix(".weight").replace("/", "/\n"), tensor))
        else:
            title = kind.removeprefix("encoder/layers.*.").removesuffix(".weight")
            panels.setdefault(title, []).append((str(layer), tensor))
    return panels | ({OTHERS: others} if others else {})


def _draw(axes: Axes, title: str, panel: Panel) -> None:
    labels = [label for label, _ in panel]
    widths = [(choice["bits"], choice["block_size"]) for choice in panel[0][1]["choices"]]
    for index, (bits, block_size) in enumerate(widths):
        damage = [tensor["choices"][index]["kl_mean"] for _, tensor in panel]
        axes.plot(
            range(len(panel)),
            damage,
            # Layers follow each other, other tensors do not.
            linestyle="" if title == OTHERS else "-",
            linewidth=1,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            color=colormaps["viridis"](index / max(len(widths) - 1, 1) * 0.9),
            label=f"{bits} bits, block {block_size}",
        )
    axes.set_yscale("log")
    axes.set_title(title, fontsize=9)
    axes.grid(visible=True, axis="y", linewidth=0.3)
    axes.set_xticks(range(len(panel)), labels, fontsize=7)
    if title == OTHERS:
        axes.tick_params(axis="x", rotation=45)
    else:
        axes.set_xlabel("layer", fontsize=8)
