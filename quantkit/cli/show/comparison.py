"""The few numbers of a comparison that fit on a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD

from quantkit.cli.console import Table

if TYPE_CHECKING:
    from quantkit.report.schema import Report, Scheme

_HEADS = ("MB", "bits", "WER", "- PyTorch (95 %)", "tokens exact", "token errors", "KL", "x fp32")


def comparison_table(report: Report) -> Table:
    """One line a row of the report; what was not measured is a dash."""
    sets = report.suite.sets.values()
    utterances, words = sum(part.utterances for part in sets), sum(part.words for part in sets)
    title = f"suite {report.suite.name}, {utterances:,} utterances, {words:,} words"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("scheme", overflow="fold")
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for scheme in report.schemes:
        table.add_row(scheme.name, *_cells(scheme))
    return table


def _cells(scheme: Scheme) -> list[str]:
    rate, parity, bench = scheme.macro, scheme.parity, scheme.bench
    difference = "-"
    if rate.delta is not None and rate.delta_low is not None and rate.delta_high is not None:
        bounds = f"{rate.delta_low * 100:+.2f} {rate.delta_high * 100:+.2f}"
        difference = f"{rate.delta * 100:+.2f} ({bounds})"
    ratio = bench.faster_than_fp32 if bench else None
    return [
        "-" if scheme.total_bytes is None else f"{scheme.total_bytes / 1e6:.1f}",
        "-" if scheme.bits_per_weight is None else f"{scheme.bits_per_weight:.2f}",
        f"{rate.wer:.2%}",
        difference,
        f"{parity.token_exact_utterances} of {parity.utterances}" if parity else "-",
        "-" if not parity or parity.token_error_rate is None else f"{parity.token_error_rate:.2%}",
        f"{parity.kl.mean:.1e}" if parity and parity.kl else "-",
        f"{ratio.median:.2f}" if ratio else "-",
    ]
