"""Verify a finished artifact again, on other speech or another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from quantkit.build.checkpoint import find_checkpoint
from quantkit.build.engine import run
from quantkit.build.progress import StageProgress
from quantkit.build.stages import reference_stage
from quantkit.build.store import Store
from quantkit.bundle.manifest import MANIFEST, check_files, load_manifest
from quantkit.core.errors import InputError
from quantkit.core.files import temporary_directory
from quantkit.core.strict_json import read_json
from quantkit.evaluate.parity_gates import GateResult, evaluate
from quantkit.recipe.document import Document
from quantkit.recipe.load import validated
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import FileSource, parse_source


@dataclass(frozen=True)
class Proof:
    """The content of parity.json, and what the artifact's gates say about it."""

    parity: Mapping[str, Any]
    gates: list[GateResult]


def verify_artifact(
    artifact: Path,
    speech: Path | None,
    checkpoint: Path | None,
    store: Store,
    progress: StageProgress,
) -> Proof:
    """Compare an artifact with the checkpoint that it was made from.

    Args:
        artifact: its directory; the manifest and every file are checked first.
        speech: a speech manifest; None takes the recipe's.
        checkpoint: where the .nemo file is; None finds it as the recipe says.
        store: where a recorded reference is kept and found again.
        progress: draws it.

    Raises:
        InputError: the artifact is damaged, or the checkpoint is another one.
    """
    manifest = load_manifest(artifact)
    check_files(artifact, manifest)
    stored = Document(f"{artifact / MANIFEST}: recipe", manifest["recipe"], {})
    recipe = validated(TypeAdapter(Recipe), stored)
    source = FileSource(checkpoint) if checkpoint else parse_source(recipe.model.source)
    found = find_checkpoint(source)
    wanted = manifest["source"]["sha256"]
    if found.sha256 != wanted:
        raise InputError(
            f"{found.path}: found a checkpoint with sha256 {found.sha256[:12]}, accepted: the one "
            f"that {artifact} was made from, {wanted[:12]}; give it by --source"
        )
    from quantkit.evaluate.parity_stage import verify_model

    speech = speech or Path(recipe.verify.manifest)
    recorded = run(
        [reference_stage(found, recipe.model.chunk_ms, speech)], store, recipe.name, progress
    )
    with temporary_directory() as folder, progress.stage("verify"):
        verify_model(artifact, recorded["reference"].directory, speech, folder, progress)
        parity = read_json(folder / "parity.json")
    return Proof(parity, evaluate(recipe.verify.gates, parity))
