"""Lanes into the systems to evaluate and the rows of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantkit.build.comparison.lanes import Lane, Scheme
from quantkit.bundle.manifest import weights_and_bits
from quantkit.evaluate.comparison.rows import Row
from quantkit.evaluate.system import NemoSystem, System
from quantkit.recipe.suite import ModeSettings
from quantkit.report.schema import Bench, Gate, LayerDivergence
from quantkit.runtime.settings import StreamingSettings

Speed = Callable[[Lane, System], Bench | None]
"""What was measured of a lane's system; None where nothing was."""
Layers = Callable[[Lane, Scheme], tuple[LayerDivergence, ...]]
"""The damage of a scheme layer by layer."""
FP32_BITS = 32.0


def systems_of(lanes: Sequence[Lane], modes: Sequence[NemoSystem]) -> list[System]:
    """Everything that is evaluated."""
    graphs = [
        graph
        for lane in lanes
        for graph in (lane.exported, lane.fp32, *(scheme.system for scheme in lane.schemes))
    ]
    return [*(lane.pytorch for lane in lanes), *modes, *graphs]


def mode_systems(lanes: Sequence[Lane], modes: Sequence[ModeSettings]) -> list[NemoSystem]:
    """PyTorch in further modes, without those that a lane has anyway."""
    checkpoint = lanes[0].floats.checkpoint
    own = {lane.chunk_ms for lane in lanes}
    return [
        NemoSystem(
            _mode_name(mode),
            checkpoint.path,
            checkpoint.sha256,
            mode.mode,
            mode.chunk_ms,
            mode.full_context,
        )
        for mode in modes
        if mode.mode != "streaming" or mode.chunk_ms not in own
    ]


def rows_of(
    lanes: Sequence[Lane], modes: Sequence[NemoSystem], speed: Speed, layers: Layers
) -> list[Row]:
    """The report's rows: PyTorch, then each lane's graphs."""
    settings = StreamingSettings.load(lanes[0].floats.fused.directory)
    rows = [
        Row(
            system,
            "pytorch",
            None,
            system.chunk_ms,
            latency_s=_latency_s(system, settings),
            chain=(system.name,),
            bench=bench,
        )
        for system, bench in [
            *((lane.pytorch, speed(lane, lane.pytorch)) for lane in lanes),
            *((mode, None) for mode in modes),
        ]
    ]
    for lane in lanes:
        rows.append(_fp32_row(lane, speed))
        rows += [_scheme_row(lane, scheme, speed, layers) for scheme in lane.schemes]
    return rows


def _fp32_row(lane: Lane, speed: Speed) -> Row:
    fused = lane.floats.fused
    return Row(
        lane.fp32,
        "fp32",
        lane.plain.manifest["recipe"]["name"] if lane.plain else None,
        lane.chunk_ms,
        total_bytes=fused.bytes,
        bits_per_weight=FP32_BITS,
        latency_s=StreamingSettings.load(fused.directory).algorithmic_latency_s,
        chain=_chain(lane),
        bench=speed(lane, lane.fp32),
    )


def _scheme_row(lane: Lane, scheme: Scheme, speed: Speed, layers: Layers) -> Row:
    manifest = scheme.built.manifest
    return Row(
        scheme.system,
        "scheme",
        scheme.entry.recipe.name,
        lane.chunk_ms,
        total_bytes=manifest["total_bytes"],
        bits_per_weight=weights_and_bits(manifest)[1],
        latency_s=manifest["latency"]["algorithmic_s"],
        chain=(*_chain(lane), scheme.system.name),
        layers=layers(lane, scheme),
        bench=speed(lane, scheme.system),
    )


def _chain(lane: Lane) -> tuple[str, str, str]:
    return lane.pytorch.name, lane.exported.name, lane.fp32.name


def _mode_name(mode: ModeSettings) -> str:
    match mode.mode:
        case "streaming":
            return f"PyTorch, {mode.chunk_ms} ms"
        case "chunked":
            return f"PyTorch, windows of {mode.chunk_ms} ms"
        case "offline":
            context = ", full context" if mode.full_context else ""
            return f"PyTorch, offline{context}"


def _latency_s(system: NemoSystem, settings: StreamingSettings) -> float | None:
    """Of another chunk length than the settings' the latency differs by as much as the length."""
    if system.chunk_ms is None:
        return None
    if system.mode == "chunked":
        # The first frame of a window waits for all of it.
        return system.chunk_ms / 1000
    return settings.algorithmic_latency_s + system.chunk_ms / 1000 - settings.chunk_s


def build_gates(lanes: Sequence[Lane]) -> list[Gate]:
    """The recipes' own gates, as their builds judged them on the speech that each recipe names."""
    built = [
        *((lane.fp32.name, lane.plain) for lane in lanes if lane.plain is not None),
        *((scheme.system.name, scheme.built) for lane in lanes for scheme in lane.schemes),
    ]
    return [
        gate.model_copy(
            update={
                "name": f"{gate.name} (recipe)",
                "scheme": name,
                "evidence": f"{artifact.artifact.name}/{gate.evidence}",
            }
        )
        for name, artifact in built
        for gate in artifact.gates
    ]
