"""The rows of a comparison before anything about them was summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantkit.evaluate.system import System
from quantkit.report.schema import Bench, LayerDivergence


@dataclass(frozen=True)
class ReportRow:
    """One row: its system, and what is known of it besides the system's records.

    Attributes:
        system: whose records are summed up; its name is the row's.
        role: PyTorch, the fp32 graphs that all schemes start from, or a scheme.
        recipe: name of the recipe, for schemes.
        chunk_ms: None offline.
        total_bytes: of the artifact; None for PyTorch.
        bits_per_weight: likewise.
        latency_s: algorithmic latency; None offline.
        chain: names of the systems from PyTorch with the same chunk length to this one: itself,
            export, fp32, scheme; as far as the row goes.
        layers: see the report.
        bench: see the report.
    """

    system: System
    role: Literal["pytorch", "fp32", "scheme"]
    recipe: str | None
    chunk_ms: int | None
    total_bytes: int | None = None
    bits_per_weight: float | None = None
    latency_s: float | None = None
    chain: tuple[str, ...] = ()
    layers: tuple[LayerDivergence, ...] = ()
    bench: Bench | None = None


def counterpart(row: ReportRow, reference: str) -> str | None:
    """The system that a row's `delta` is against; None for the reference itself.

    For graphs this is PyTorch in chunks of the same length, so that the difference is what
    export, fusion and quantization did; for PyTorch in another mode it is the reference, so that
    the difference is what the mode does.
    """
    if row.role != "pytorch":
        return row.chain[0]
    return None if row.system.name == reference else reference
