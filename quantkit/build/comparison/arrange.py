"""Groups into the systems to evaluate and the rows of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quantkit.build.comparison.groups import ChunkGroup, Scheme
from quantkit.bundle.manifest import weights_and_bits
from quantkit.evaluate.comparison.rows import ReportRow
from quantkit.evaluate.system import NemoSystem, System
from quantkit.recipe.suite import ModeSettings
from quantkit.report.schema import Bench, Gate, LayerDivergence
from quantkit.runtime.settings import StreamingSettings

Speed = Callable[[ChunkGroup, System], Bench | None]
"""What was measured of a group's system; None where nothing was."""
Layers = Callable[[ChunkGroup, Scheme], tuple[LayerDivergence, ...]]
"""The damage of a scheme layer by layer."""
FP32_BITS = 32.0


def systems_of(groups: Sequence[ChunkGroup], modes: Sequence[NemoSystem]) -> list[System]:
    """Everything that is evaluated."""
    graphs = [
        graph
        for group in groups
        for graph in (group.exported, group.fp32, *(scheme.system for scheme in group.schemes))
    ]
    return [*(group.pytorch for group in groups), *modes, *graphs]


def mode_systems(groups: Sequence[ChunkGroup], modes: Sequence[ModeSettings]) -> list[NemoSystem]:
    """PyTorch in further modes, without those that a group has anyway."""
    checkpoint = groups[0].floats.checkpoint
    own = {group.chunk_ms for group in groups}
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
    groups: Sequence[ChunkGroup], modes: Sequence[NemoSystem], speed: Speed, layers: Layers
) -> list[ReportRow]:
    """The report's rows: PyTorch, then each group's graphs."""
    settings = StreamingSettings.load(groups[0].floats.fused.directory)
    rows = [
        ReportRow(
            system,
            "pytorch",
            None,
            system.chunk_ms,
            latency_s=_latency_s(system, settings),
            chain=(system.name,),
            bench=bench,
        )
        for system, bench in [
            *((group.pytorch, speed(group, group.pytorch)) for group in groups),
            *((mode, None) for mode in modes),
        ]
    ]
    for group in groups:
        rows.append(_fp32_row(group, speed))
        rows += [_scheme_row(group, scheme, speed, layers) for scheme in group.schemes]
    return rows


def _fp32_row(group: ChunkGroup, speed: Speed) -> ReportRow:
    fused = group.floats.fused
    return ReportRow(
        group.fp32,
        "fp32",
        group.plain.manifest["recipe"]["name"] if group.plain else None,
        group.chunk_ms,
        total_bytes=fused.bytes,
        bits_per_weight=FP32_BITS,
        latency_s=StreamingSettings.load(fused.directory).algorithmic_latency_s,
        chain=_chain(group),
        bench=speed(group, group.fp32),
    )


def _scheme_row(group: ChunkGroup, scheme: Scheme, speed: Speed, layers: Layers) -> ReportRow:
    manifest = scheme.built.manifest
    return ReportRow(
        scheme.system,
        "scheme",
        scheme.entry.recipe.name,
        group.chunk_ms,
        total_bytes=manifest["total_bytes"],
        bits_per_weight=weights_and_bits(manifest)[1],
        latency_s=manifest["latency"]["algorithmic_s"],
        chain=(*_chain(group), scheme.system.name),
        layers=layers(group, scheme),
        bench=speed(group, scheme.system),
    )


def _chain(group: ChunkGroup) -> tuple[str, str, str]:
    return group.pytorch.name, group.exported.name, group.fp32.name


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


def build_gates(groups: Sequence[ChunkGroup]) -> list[Gate]:
    """The recipes' own gates, as their builds judged them on the speech that each recipe names."""
    built = [
        *((group.fp32.name, group.plain) for group in groups if group.plain is not None),
        *((scheme.system.name, scheme.built) for group in groups for scheme in group.schemes),
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
