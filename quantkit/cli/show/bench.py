"""What was measured of speed, memory and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD

from quantkit.cli.console import Table


def bench_tables(report: Mapping[str, Any]) -> list[Table]:
    """What was measured of each candidate, what it costs and, of several, how they compare."""
    tables = [_measured_table(report), _cost_table(report), _pairs_table(report)]
    return [table for table in tables if table.row_count]


def profile_tables(report: Mapping[str, Any]) -> list[Table]:
    """Time by operator of each encoder step; operators below a thousandth of it are left out."""
    tables = []
    for row in report["candidates"]:
        table = _plain_table(f"{row['name']}, {_threads(row['threads'])}: a step by operator")
        table.add_column("operator")
        for head in ("ms", "share", "calls"):
            table.add_column(head, justify="right")
        for op in row["profile"] or []:
            if op["share"] >= 0.001:
                cells = (f"{op['ms_per_step']:.2f}", f"{op['share']:.1%}", str(op["calls"]))
                table.add_row(op["op"], *cells)
        tables.append(table)
    return [table for table in tables if table.row_count]


def streams_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Speed of all streams together, and over that of the fewest."""
    table = Table(title="streams at once", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("candidate", overflow="fold")
    for head in ("threads", "streams", "RTFx all", "times", "95 % interval"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        interval = f"{row['ratio_low']:.2f} .. {row['ratio_high']:.2f}"
        cells = [str(row["threads"]), str(row["streams"]), f"{row['rtfx']:.1f}"]
        table.add_row(row["name"], *cells, f"{row['ratio_median']:.2f}", interval)
    return table


def _measured_table(report: Mapping[str, Any]) -> Table:
    host = report["machine"]
    table = _plain_table(
        f"{host['processor']}, {host['cores']} usable cores, load {host['load'] or 0:.1f}"
    )
    heads = ("threads", "ms p50", "p95", "RTFx enc", "all", "load s", "MB", "RAM MB")
    table.add_column("candidate", overflow="fold")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in report["candidates"]:
        steps = [f"{row['step_ms'][rank]:.1f}" for rank in ("p50", "p95")]
        speeds = ["-" if x is None else f"{x:.1f}" for x in (row["rtfx_encoder"], row["rtfx"])]
        sizes = [f"{row[key] / 1e6:.0f}" for key in ("bytes", "rss_bytes")]
        cells = [str(row["threads"]), *steps, *speeds, f"{row['load_s']:.2f}", *sizes]
        table.add_row(row["name"], *cells)
    return table


def _cost_table(report: Mapping[str, Any]) -> Table:
    peaks = "; ".join(
        f"{_threads(peak['threads'])}: {peak['read_bytes_per_s'] / 1e9:.1f} GB/s read, "
        f"{peak['integer_multiply_adds_per_s'] / 1e9:.0f} G int8 MAC/s"
        for peak in report["peaks"]
    )
    table = _plain_table(f"cost of a step, with shares of the machine's peaks; {peaks}")
    table.add_column("candidate", overflow="fold")
    for head in ("threads", "M MAC", "G MAC/s audio", "of peak", "MB moved", "of peak"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in report["candidates"]:
        cost = row["cost"]
        if cost is not None:
            table.add_row(
                row["name"],
                str(row["threads"]),
                f"{cost['multiply_adds_per_step'] / 1e6:.0f}",
                f"{cost['multiply_adds_per_s'] / 1e9:.2f}",
                f"{cost['integer_share']:.0%}",
                f"{cost['bytes_per_step'] / 1e6:.1f}",
                f"{cost['bandwidth_share']:.0%}",
            )
    return table


def _pairs_table(report: Mapping[str, Any]) -> Table:
    table = _plain_table("time of a's step over b's, in the same rounds")
    for head in ("a", "b", "threads", "a / b", "95 % interval"):
        table.add_column(head)
    for pair in report["pairs"]:
        interval = f"{pair['ratio_low']:.2f} .. {pair['ratio_high']:.2f}"
        ratio = f"{pair['ratio_median']:.2f}"
        table.add_row(pair["a"], pair["b"], str(pair["threads"]), ratio, interval)
    return table


def _plain_table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
