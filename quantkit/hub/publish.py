"""An artifact onto the hub: checked, described, uploaded, read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.bundle.card import Publication
from quantkit.bundle.manifest import MANIFEST, load_manifest, sealed
from quantkit.core.files import sha256_file
from quantkit.hub.artifact import CARD, FORCED, Artifact, check_artifact
from quantkit.hub.client import Hub
from quantkit.hub.evaluation import Evaluation, find_evaluation
from quantkit.hub.hub_card import hub_card
from quantkit.hub.license import License, find_license
from quantkit.hub.read_back import read_back
from quantkit.hub.repository import check_repository, prepare_repository
from quantkit.hub.upload import Item, upload
from quantkit.recipe.source import parse_source


@dataclass(frozen=True)
class Request:
    """What is published, where to, and what is said about it.

    Attributes:
        directory: the artifact.
        repository: ORGANISATION/NAME.
        revision: the branch.
        license: an identifier, for sources that do not tell theirs.
        report: report.json of a comparison.
        force: publish what would be refused, and say so in the card.
    """

    directory: Path
    repository: str
    revision: str = "main"
    license: str | None = None
    report: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class Plan:
    """What will be on the hub.

    Attributes:
        name: of the artifact.
        items: every file.
        card: the content of one of them.
        license: None where only the hub can tell it and was not asked.
    """

    name: str
    items: Sequence[Item]
    card: str
    license: License | None


def plan(request: Request, hub: Hub | None) -> Plan:
    """Check an artifact and describe it; without a hub no network is touched.

    The card is written anew, with what is known by now. It is not in the published manifest:
    people may correct it on the hub, and the artifact stays what it was.

    Raises:
        InputError: the artifact, the report or the license is not what it has to be.
        GateError: a gate was missed.
    """
    check_repository(request.repository)
    evaluation = _evaluation(request)
    artifact = check_artifact(request.directory, evaluation, force=request.force)
    terms = find_license(parse_source(artifact.recipe.model.source), request.license, hub)
    publication = Publication(
        repository=request.repository,
        revision=request.revision,
        license=str(terms) if terms else None,
        confidence=evaluation.report.statistics.confidence if evaluation else None,
        rates=evaluation.rates() if evaluation else (),
        problems=artifact.problems,
    )
    card = hub_card(artifact.manifest, artifact.recipe, publication, terms, evaluation)
    files = [_file(artifact, name) for name in sorted(artifact.manifest["files"]) if name != CARD]
    manifest = _published(artifact, files)
    text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
    items = [*files, _text(CARD, card), _text(MANIFEST, text)]
    return Plan(artifact.recipe.name, items, card, terms)


def publish(
    request: Request, hub: Hub, planned: Plan, say: Callable[[str], None], *, private: bool
) -> str:
    """Upload a plan and compare what the hub then holds with it.

    Returns:
        The commit.

    Raises:
        InputError: the hub refuses, or holds something else afterwards.
    """
    repository, revision = request.repository, request.revision
    prepare_repository(hub, repository, revision, private=private)
    commit = upload(hub, repository, revision, planned.items, f"quantkit: {planned.name}", say)
    read_back(hub, repository, commit, planned.items)
    return commit


def _evaluation(request: Request) -> Evaluation | None:
    if request.report is None:
        return None
    return find_evaluation(request.report, load_manifest(request.directory))


def _file(artifact: Artifact, name: str) -> Item:
    """As the manifest says; where that was overruled, as the file is."""
    path, facts = artifact.directory / name, artifact.manifest["files"][name]
    if artifact.problems:
        return Item(name, path, path.stat().st_size, sha256_file(path))
    return Item(name, path, facts["bytes"], facts["sha256"])


def _text(name: str, text: str) -> Item:
    content = text.encode()
    return Item(name, content, len(content), hashlib.sha256(content).hexdigest())


def _published(artifact: Artifact, files: Sequence[Item]) -> Mapping[str, Any]:
    """The manifest for the hub: without the card, and with what was overruled."""
    return sealed(
        {
            **artifact.manifest,
            "files": {file.name: {"bytes": file.bytes, "sha256": file.sha256} for file in files},
            "total_bytes": sum(file.bytes for file in files),
            **({FORCED: list(artifact.problems)} if artifact.problems else {}),
        }
    )
