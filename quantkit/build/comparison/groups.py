"""Everything that a comparison runs, built: a group for each chunk length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from quantkit.build.artifact import Built, build
from quantkit.build.checkpoint import find_checkpoint
from quantkit.build.comparison.entries import Entry
from quantkit.build.models import FloatModels, Model, artifact_model, float_models
from quantkit.build.progress import StageProgress
from quantkit.build.stages import streaming_reference
from quantkit.build.store import Store
from quantkit.core.errors import InputError
from quantkit.evaluate.system import GraphSystem, NemoSystem
from quantkit.recipe.load import located
from quantkit.recipe.source import parse_source


@dataclass(frozen=True)
class Scheme:
    """A recipe that quantizes, as built."""

    entry: Entry
    built: Built
    model: Model
    system: GraphSystem


@dataclass(frozen=True)
class ChunkGroup:
    """PyTorch, the graphs as exported, the fp32 graphs and the schemes at one chunk length.

    `plain` is the recipe that asks for the fp32 graphs, as built, where there is one.
    """

    chunk_ms: int
    floats: FloatModels
    pytorch: NemoSystem
    exported: GraphSystem
    fp32: GraphSystem
    schemes: list[Scheme]
    plain: Built | None


def build_groups(
    entries: Sequence[Entry], artifacts: Path, store: Store, progress: StageProgress
) -> list[ChunkGroup]:
    """Build every entry into `artifacts`/NAME; groups in the order of their chunk lengths.

    Raises:
        InputError: something that a recipe names is missing or wrong, or the recipes start from
            several checkpoints.
    """
    _check_checkpoints(entries)
    by_length = sorted(entries, key=lambda entry: entry.recipe.model.chunk_ms)
    return [
        _build_group(chunk_ms, list(group), artifacts, store, progress)
        for chunk_ms, group in groupby(by_length, lambda entry: entry.recipe.model.chunk_ms)
    ]


def _check_checkpoints(entries: Sequence[Entry]) -> None:
    sources = {entry.recipe.model.source: entry for entry in reversed(entries)}
    if len(sources) == 1:
        return
    found: dict[str, Entry] = {}
    for entry in reversed(sources.values()):
        with located(entry.path, entry.overrides):
            digest = find_checkpoint(parse_source(entry.recipe.model.source)).sha256
        found.setdefault(digest, entry)
    if len(found) > 1:
        named = ", ".join(f"{entry.path} ({digest[:12]})" for digest, entry in found.items())
        raise InputError(
            f"compare: model.source: found {len(found)} checkpoints: {named}; accepted: one, "
            "because schemes of different models cannot be compared"
        )


def _build_group(
    chunk_ms: int, entries: list[Entry], artifacts: Path, store: Store, progress: StageProgress
) -> ChunkGroup:
    with located(entries[0].path, entries[0].overrides):
        floats = float_models(entries[0].recipe, store, progress)
    pytorch = streaming_reference(floats.checkpoint, chunk_ms)

    def graphs(name: str, model: Model) -> GraphSystem:
        return GraphSystem(name, model.directory, model.sha256, pytorch)

    schemes, plain = [], None
    for entry in entries:
        with located(entry.path, entry.overrides):
            built = build(entry.recipe, artifacts / entry.name, store, progress)
        if entry.recipe.quantize is None:
            plain = built
        else:
            model = artifact_model(built)
            schemes.append(Scheme(entry, built, model, graphs(entry.name, model)))
    return ChunkGroup(
        chunk_ms,
        floats,
        pytorch,
        graphs(f"export, {chunk_ms} ms", floats.exported),
        graphs(f"fp32 ONNX, {chunk_ms} ms", floats.fused),
        schemes,
        plain,
    )
