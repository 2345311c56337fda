"""Plots of word error rates: what a byte buys, and which lengths of utterances a scheme hurts."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from quantkit.report.format import seconds_range
from quantkit.report.schema import Report, Scheme
from quantkit.report.svg import INK, PAGE, Plot, Style, Styles, draw


def pareto_front(schemes: Sequence[Scheme]) -> list[Scheme]:
    """Those that no other equals or beats in both bytes and average WER, the smallest first."""
    front: list[Scheme] = []
    for scheme in sorted(schemes, key=lambda one: (one.total_bytes or 0, one.macro.wer)):
        if not front or scheme.macro.wer < front[-1].macro.wer:
            front.append(scheme)
    return front


def rate_by_size(report: Report, graphs: Sequence[Scheme], styles: Styles) -> Plot:
    """Average WER against bytes, with the Pareto front."""
    title = "Word error rate against size"
    sized = [scheme for scheme in graphs if scheme.total_bytes is not None]
    if not sized:
        return Plot(title, None, "No row has a size: only PyTorch was evaluated.")
    front = pareto_front(sized)
    reference = next((one for one in report.schemes if one.name == report.reference), None)

    def paint(axes: Axes) -> None:
        if reference is not None:
            rate = reference.macro
            axes.axhspan(100 * rate.low, 100 * rate.high, color=INK, alpha=0.07, linewidth=0)
            axes.axhline(100 * rate.wer, color=INK, linewidth=1, dashes=(4, 3), label="PyTorch")
        sizes = [(one.total_bytes or 0) / 1e6 for one in front]
        rates = [100 * one.macro.wer for one in front]
        if len(front) > 1:
            axes.step(sizes, rates, where="post", color=INK, linewidth=1, label="Pareto front")
        on_front = {scheme.name for scheme in front}
        for scheme in sized:
            _rate_point(axes, scheme, styles[scheme.name], filled=scheme.name in on_front)
        _log_megabytes(axes, [(one.total_bytes or 0) / 1e6 for one in sized])
        axes.set_title("average WER, %")
        axes.set_xlabel("MB")

    band = f" The dashed line and its band are {report.reference}." if reference else ""
    return draw(
        "size",
        title,
        paint,
        f"Filled: on the Pareto front.{band} Thin bars: interval of the rate; thick bars: of the "
        "paired difference from PyTorch, in which the choice of utterances cancels out.",
    )


def _rate_point(axes: Axes, scheme: Scheme, style: Style, *, filled: bool) -> None:
    rate, size = scheme.macro, (scheme.total_bytes or 0) / 1e6
    color, wer = style["color"], 100 * rate.wer
    axes.vlines(size, 100 * rate.low, 100 * rate.high, color=color, linewidth=1)
    if rate.delta is not None and rate.delta_low is not None and rate.delta_high is not None:
        low, high = (wer + 100 * (end - rate.delta) for end in (rate.delta_low, rate.delta_high))
        axes.vlines(size, low, high, color=color, linewidth=3)
    face = color if filled else PAGE
    # Above the bars of all schemes, which meet where sizes do.
    shown: Style = {"linestyle": "", "markerfacecolor": face, "zorder": 4, "label": scheme.name}
    axes.plot(size, wer, **shown, **style)


def _log_megabytes(axes: Axes, sizes: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.15, max(sizes) * 1.15)
    wide = max(sizes) > 4 * min(sizes)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def difference_by_length(graphs: Sequence[Scheme], styles: Styles) -> Plot:
    """WER minus PyTorch's in each range of lengths."""
    title = "Difference by length of utterance"
    known = [scheme for scheme in graphs if scheme.by_length]
    if not known:
        return Plot(title, None, "No differences by length were computed.")
    spans = sorted(
        {(bucket.from_s, bucket.to_s) for scheme in known for bucket in scheme.by_length},
        key=lambda span: span[0],
    )

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=1)
        for index, scheme in enumerate(known):
            shift = 0.8 * ((index + 0.5) / len(known) - 0.5)
            at = [spans.index((bucket.from_s, bucket.to_s)) + shift for bucket in scheme.by_length]
            style = styles[scheme.name]
            low = [100 * bucket.delta_low for bucket in scheme.by_length]
            high = [100 * bucket.delta_high for bucket in scheme.by_length]
            axes.vlines(at, low, high, color=style["color"], linewidth=1.2)
            delta = [100 * bucket.delta for bucket in scheme.by_length]
            axes.plot(at, delta, linestyle="", label=scheme.name, **style)
        axes.set_xticks(range(len(spans)), [seconds_range(*span) for span in spans])
        axes.set_xlim(-0.5, len(spans) - 0.5)
        axes.tick_params(axis="x", length=0)
        axes.set_title("WER minus PyTorch, points")

    return draw("length", title, paint, "Bars: intervals of the paired difference.")
