"""What the command line shows: tables of parity, gates and plans, and text while it is decoded."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from quantkit.bundle.manifest import weights_and_bits
from quantkit.core.names import kind_and_layer

#: Columns that a table may take in a pipe or a log.
LOG_WIDTH = 132


class PlanRow(Protocol):
    """A stage of a plan."""

    @property
    def stage(self) -> str: ...
    @property
    def cached(self) -> bool: ...
    @property
    def why(self) -> str: ...


def plan_line(row: PlanRow) -> str:
    """`export    run: settings.chunk_ms 560 -> 160`, or `export    cached`."""
    return f"{row.stage:<10} {'cached' if row.cached else f'run: {row.why}'}"


def parity_table(parity: Mapping[str, Any]) -> Table:
    """The few numbers of a parity report that fit on a screen."""
    table = Table(title=f"against PyTorch, {parity['utterances']} utterances", title_justify="left")
    table.add_column("measured")
    table.add_column("value", justify="right")
    errors, tokens = parity["token_errors"], parity["reference_tokens"]
    exact, utterances = parity["token_exact_utterances"], parity["utterances"]
    share = f"{exact} of {utterances} ({exact / max(utterances, 1):.1%})"
    table.add_row("utterances with the same tokens", share)
    table.add_row("  and at the same frames", str(parity["frame_exact_utterances"]))
    table.add_row("token errors", f"{errors} of {tokens} ({errors / max(tokens, 1):.2%})")
    table.add_row("  at near-ties of PyTorch", str(parity["near_tie_errors"]))
    if parity["encoder_max_abs_error"] is not None:
        table.add_row("largest encoder error", f"{parity['encoder_max_abs_error']:.2g}")
    divergence = parity.get("kl")
    if divergence:
        numbers = (f"{divergence[name]:.2g}" for name in ("mean", "p99", "max"))
        table.add_row("KL mean, p99, max", ", ".join(numbers))
    wer = parity.get("wer")
    if wer:
        table.add_row("WER PyTorch", f"{wer['reference']:.2%}")
        table.add_row("WER artifact", f"{wer['candidate']:.2%}")
        bounds = f"{wer['difference_low']:+.2%} to {wer['difference_high']:+.2%}"
        table.add_row("  difference, 95 % interval", f"{wer['difference']:+.2%}, {bounds}")
    return table


def calibration_table(report: Mapping[str, Any]) -> Table:
    """What was measured in each graph, and how many rows its least used input met."""
    minutes, seconds = divmod(round(report["seconds"]), 60)
    title = f"{report['recordings']} recordings, {minutes}:{seconds:02d} minutes of speech"
    table = Table(title=title, title_justify="left")
    table.add_column("graph")
    for head in ("matrices", "distinct inputs", "largest input", "rows seen"):
        table.add_column(head, justify="right")
    for name, graph in report["graphs"].items():
        keys = ("matrices", "inputs", "largest_input", "rows")
        table.add_row(name, *(f"{graph[key]:,}" for key in keys))
    return table


def sensitivity_table(report: Mapping[str, Any]) -> Table:
    """Mean KL and stored bytes of each tensor at each width, the most sensitive tensor first."""
    title = (
        f"mean KL in nats and kB with one tensor quantized by {report['scheme']['scheme']}, "
        f"{report['utterances']} utterances, {report['decisions']} decisions"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("tensor", overflow="fold")
    tensors = sorted(report["tensors"], key=_worst, reverse=True)
    for choice in tensors[0]["choices"] if tensors else []:
        table.add_column(_width(choice), justify="right", no_wrap=True)
    for tensor in tensors:
        cells = [
            f"{choice['kl_mean']:.1e}\n{choice['bytes'] / 1e3:.0f} kB"
            for choice in tensor["choices"]
        ]
        table.add_row(tensor["name"].removesuffix(".weight"), *cells)
    return table


def allocation_table(report: Mapping[str, Any]) -> Table:
    """Which layers of each kind of tensor take which width, under the size that this makes."""
    title = (
        f"{report['bytes'] / 1e6:.3f} of {report['budget_bytes'] / 1e6:.3f} MB, "
        f"{report['bits_per_weight']:.3f} bits per weight; sum of KL {report['kl_sum']:.2g}, "
        f"at most {report['gap']:.1%} above the least possible"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("tensor", overflow="fold")
    widths = sorted({(one["bits"], one["block_size"]) for one in report["tensors"]}, key=_stored)
    kinds: dict[str, dict[tuple[int, int], list[int | None]]] = {}
    for one in report["tensors"]:
        kind, layer = kind_and_layer(one["name"])
        cells = kinds.setdefault(kind.removesuffix(".weight"), {})
        cells.setdefault((one["bits"], one["block_size"]), []).append(layer)
    for bits, block_size in widths:
        table.add_column(_width({"bits": bits, "block_size": block_size}))
    for kind, cells in kinds.items():
        table.add_row(kind, *(_layers(cells.get(width, [])) for width in widths))
    return table


def _layers(layers: Sequence[int | None]) -> str:
    """`0-3 5`, or `x` for what belongs to no layer."""
    numbers = sorted(layer for layer in layers if layer is not None)
    # What follows on a number has the same distance from its place as that.
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda x: x[1] - x[0])]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return " ".join(words if numbers else ["x"] * len(layers))


def _worst(tensor: Mapping[str, Any]) -> float:
    return max(float(choice["kl_mean"]) for choice in tensor["choices"])


def _stored(width: tuple[int, int]) -> float:
    """What grows with the bytes that a weight takes at a width."""
    bits, block_size = width
    return bits + 32 / block_size


def _width(choice: Mapping[str, Any]) -> str:
    return f"{choice['bits']} bit/{choice['block_size']}"


def size_line(manifest: Mapping[str, Any]) -> str:
    """Size and bits per weight of an artifact."""
    weights, bits = weights_and_bits(manifest)
    size = manifest["total_bytes"] / 1e6
    return f"{size:.1f} MB, {weights / 1e6:.1f} M weights, {bits:.2f} bits each"


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


class Partial:
    """The tail of a growing text, rewritten in place; nothing where there is no terminal."""

    def __init__(self, *, wanted: bool) -> None:
        self._shown = wanted and sys.stdout.isatty()

    def show(self, text: str) -> None:
        """Replace what is shown by the last part of the text that fits on one line."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f"\r\x1b[K{text[-width:]}")
            sys.stdout.flush()

    def clear(self) -> None:
        """Leave the line empty for what comes next."""
        if self._shown:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


def messages() -> Console:
    """Where progress and errors go: standard error."""
    return Console(stderr=True)
