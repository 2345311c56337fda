"""The graphs of a model with what runs them: where they lie, and one digest over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.build.artifact import Built
from quantkit.build.checkpoint import Checkpoint, find_checkpoint
from quantkit.build.engine import run
from quantkit.build.progress import StageProgress
from quantkit.build.stages import export_stage, fuse_stage
from quantkit.build.store import Store
from quantkit.evaluate.system import is_deciding, model_digest
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import parse_source


@dataclass(frozen=True)
class Model:
    """A directory that the runtime streams audio through; only to be read.

    `sha256` is the same for the same graphs, wherever they lie and whatever made them.
    """

    directory: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class FloatModels:
    """The checkpoint in fp32, as exported and after the rewrites."""

    checkpoint: Checkpoint
    exported: Model
    fused: Model


def float_models(recipe: Recipe, store: Store, progress: StageProgress) -> FloatModels:
    """Run a recipe's chain up to its fp32 graphs.

    Raises:
        InputError: the checkpoint is missing or cannot be exported.
    """
    checkpoint = find_checkpoint(parse_source(recipe.model.source))
    stages = [export_stage(checkpoint, recipe.model.chunk_ms), fuse_stage()]
    done = run(stages, store, recipe.name, progress)
    exported, fused = (
        _model(done[name].directory, done[name].files) for name in ("export", "fuse")
    )
    return FloatModels(checkpoint, exported, fused)


def artifact_model(built: Built) -> Model:
    """The graphs of an artifact."""
    return _model(built.artifact, built.manifest["files"])


def _model(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> Model:
    digest = model_digest({name: facts["sha256"] for name, facts in files.items()})
    size = sum(facts["bytes"] for name, facts in files.items() if is_deciding(name))
    return Model(directory, digest, size)
