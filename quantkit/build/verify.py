"""Verify a finished artifact again, on other speech or another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from quantkit.build.checkpoint import find_checkpoint
from quantkit.build.progress import StageProgress
from quantkit.build.stages import streaming_reference
from quantkit.build.store import Store
from quantkit.bundle.manifest import MANIFEST, check_files, load_manifest
from quantkit.core.errors import InputError
from quantkit.evaluate.gates import recipe_gates
from quantkit.evaluate.gather import gather
from quantkit.evaluate.verification import verify, verify_on_manifest
from quantkit.recipe.document import Document
from quantkit.recipe.load import validated
from quantkit.recipe.schema import Recipe
from quantkit.recipe.source import FileSource, parse_source
from quantkit.recipe.suite import SuiteSettings
from quantkit.report.schema import Gate
from quantkit.runtime.settings import StreamingSettings


@dataclass(frozen=True)
class Proof:
    """The content of parity.json, and what the artifact's gates say about it."""

    parity: Mapping[str, Any]
    gates: list[Gate]


def verify_artifact(
    artifact: Path,
    speech: Path | SuiteSettings | None,
    checkpoint: Path | None,
    store: Store,
    progress: StageProgress,
) -> Proof:
    """Compare an artifact with the checkpoint that it was made from.

    Args:
        artifact: its directory; the manifest and every file are checked first.
        speech: a speech manifest, or a suite, whose utterances are verified on together; None takes
            the recipe's manifest.
        checkpoint: where the .nemo file is; None finds it as the recipe says.
        store: where decoded speech and what systems said of it are kept and found again.
        progress: draws it.

    Raises:
        InputError: the artifact is damaged, the checkpoint is another one, or speech is wrong.
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
    store.hold()
    pytorch = streaming_reference(found, recipe.model.chunk_ms)
    with progress.stage("verify"):
        if isinstance(speech, SuiteSettings):
            rate = StreamingSettings.load(artifact).sample_rate
            gathered = gather(speech, store.root / "speech", rate, progress)
            if gathered.problems:
                raise InputError("\n".join(gathered.problems))
            parity = verify(artifact, pytorch, gathered.utterances, store.root, progress)
        else:
            path = speech or Path(recipe.verify.manifest)
            parity = verify_on_manifest(artifact, pytorch, path, store.root, progress)
    gates = recipe_gates(recipe.verify.gates, parity, recipe.name, "the parity report")
    return Proof(parity, gates)
