"""Tables and lines about a recipe: plan, sizes, parity, statistics, sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD

from quantkit.bundle.manifest import weights_and_bits
from quantkit.cli.console import Table
from quantkit.core.names import kind_and_layer
from quantkit.core.text import one_line


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
    return one_line(f"{row.stage:<10} {'cached' if row.cached else f'run: {row.why}'}")


def size_line(manifest: Mapping[str, Any]) -> str:
    """Size and bits per weight of an artifact."""
    weights, bits = weights_and_bits(manifest)
    size = manifest["total_bytes"] / 1e6
    return f"{size:.1f} MB, {weights / 1e6:.1f} M weights, {bits:.2f} bits each"


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
    widths = sorted(
        {(tensor["bits"], tensor["block_size"]) for tensor in report["tensors"]}, key=_stored
    )
    kinds: dict[str, dict[tuple[int, int], list[int | None]]] = {}
    for tensor in report["tensors"]:
        kind, layer = kind_and_layer(tensor["name"])
        cells = kinds.setdefault(kind.removesuffix(".weight"), {})
        cells.setdefault((tensor["bits"], tensor["block_size"]), []).append(layer)
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
