"""What may be published: an artifact that is what its manifest says and keeps its gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from quantkit.bundle.manifest import MANIFEST, file_problems, load_manifest, seal_problem
from quantkit.core.errors import GateError, InputError
from quantkit.evaluate.gates import recipe_gates
from quantkit.hub.evaluation import Evaluation
from quantkit.recipe.document import Document
from quantkit.recipe.load import validated
from quantkit.recipe.schema import Recipe
from quantkit.report.format import describe_gate

CARD = "README.md"
#: Where a published manifest keeps what was overruled.
FORCED = "forced"
#: What the runtime keeps beside an artifact; it never leaves the machine.
PREPARED = ".prepared"


@dataclass(frozen=True)
class Artifact:
    """An artifact that may be published.

    Attributes:
        directory: where it is.
        manifest: as its file says.
        recipe: of the manifest.
        problems: what would have been refused, where that was overruled; else empty.
    """

    directory: Path
    manifest: Mapping[str, Any]
    recipe: Recipe
    problems: Sequence[str]


def check_artifact(directory: Path, evaluation: Evaluation | None, *, force: bool) -> Artifact:
    """Refuse an artifact that is not what its manifest says, or that missed a gate.

    With `force` changed files and missed gates are only noted. Missing files and files that the
    manifest does not know stay errors: there is nothing right to send.

    Raises:
        InputError: a file is missing, unknown or changed, or the manifest was edited.
        GateError: a gate of the recipe or of the comparison was missed, or the artifact comes from
            a hub where it was published in spite of such problems.
    """
    manifest = load_manifest(directory)
    _check_names(directory, manifest)
    stored = Document(f"{directory / MANIFEST}: recipe", manifest["recipe"], {})
    recipe = validated(TypeAdapter(Recipe), stored)
    seal = seal_problem(manifest)
    changed = [f"{MANIFEST} {seal}"] if seal else []
    changed += [f"{name}: {what}" for name, what in file_problems(directory, manifest).items()]
    if changed and not force:
        raise InputError(
            "\n".join(f"{directory}/{problem}" for problem in changed)
            + "\nbuild the artifact again, or say --force and the card will tell"
        )
    evidence = f"{MANIFEST}: parity"
    gates = recipe_gates(recipe.verify.gates, manifest["parity"], recipe.name, evidence)
    missed = [f"gate missed: {describe_gate(gate)}" for gate in gates if not gate.passed]
    missed += evaluation.missed() if evaluation else []
    missed += [problem for problem in manifest.get(FORCED, []) if problem not in missed]
    if missed and not force:
        raise GateError(
            "\n".join(f"{directory}: {problem}" for problem in missed)
            + "\nbuild an artifact that keeps its gates, or say --force and the card will tell"
        )
    return Artifact(directory, manifest, recipe, (*changed, *missed))


def _check_names(directory: Path, manifest: Mapping[str, Any]) -> None:
    listed = set(manifest["files"])
    found = {path.name for path in directory.iterdir()}
    if missing := sorted(listed - found):
        raise InputError(
            "\n".join(f"{directory / name}: is missing" for name in missing)
            + "\ncopy the artifact again, or build it again"
        )
    if unknown := sorted(found - listed - {MANIFEST, CARD, PREPARED}):
        raise InputError(
            "\n".join(f"{directory / name}: is not in {MANIFEST}" for name in unknown)
            + "\nremove what is no part of the artifact"
        )
