"""Artifacts opened by their name on the hub."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from huggingface_hub import constants

from quantkit.bundle.manifest import (
    MANIFEST,
    check_files,
    file_problems,
    load_manifest,
    seal_problem,
)
from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.core.files import sync_tree
from quantkit.hub.answers import COMMIT, checked_commit
from quantkit.recipe.source import REPOSITORY, REVISION

_NAME = re.compile(rf"hf://(?P<repository>{REPOSITORY})(@(?P<revision>{REVISION}))?", re.ASCII)
#: Far more than the manifest of the largest model.
_MANIFEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Snapshot:
    """An artifact on this machine, and the commit that it is."""

    directory: Path
    commit: str


def open_snapshot(name: str) -> Snapshot:
    """Download the artifact `hf://ORGANISATION/NAME[@REVISION]`, unless it is here already.

    It lies in HF_HOME/quantkit/ORGANISATION/NAME@COMMIT, as files of its own: ONNX loaders refuse
    the links of the hub's cache. A directory has its name only once its files are what its manifest
    says. What a cut download left is used by the next one. A name with a whole commit needs no
    network once it is here.

    Raises:
        InputError: the name is none, the hub does not have it, or it is no sound artifact.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(f"found {name!r}, accepted: hf://ORGANISATION/NAME or ...@REVISION")
    repository, revision = match["repository"], match["revision"] or "main"
    commit = revision if COMMIT.fullmatch(revision) else _commit(name, repository, revision)
    directory = Path(constants.HF_HOME) / "quantkit" / f"{repository}@{commit[:12]}"
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(directory.with_name(f"{directory.name}.lock")):
            if not directory.is_dir():
                _fetch(name, repository, commit, directory)
    return Snapshot(directory, commit)


def _commit(name: str, repository: str, revision: str) -> str:
    from quantkit.hub.client import Hub  # heavy, and not needed for what is here

    hub = Hub()
    with hub.errors(name):
        found = hub.retried(lambda: hub.api.repo_info(repository, revision=revision)).sha
    return checked_commit(found, name)


def _sizes(name: str, repository: str, commit: str) -> dict[str, int]:
    """Bytes of each file of a commit, as the hub lists them."""
    from quantkit.hub.client import Hub

    hub = Hub()

    def listed() -> dict[str, int]:
        tree = hub.api.list_repo_tree(repository, recursive=True, revision=commit)
        return {entry.path: entry.size for entry in tree if hasattr(entry, "size")}

    with hub.errors(name):
        return hub.retried(listed)


def _fetch(name: str, repository: str, commit: str, directory: Path) -> None:
    """Download beside `directory`, check, and rename. Nothing comes that has another size."""
    partial = directory.with_name(f"{directory.name}.partial")
    sizes = _sizes(name, repository, commit)
    if MANIFEST not in sizes:
        raise InputError(
            f"{name}: found no {MANIFEST}, accepted: an artifact that `quantkit publish` uploaded"
        )
    shapes.integer(most=_MANIFEST_BYTES)(sizes[MANIFEST], f"{name}: size of {MANIFEST}")
    _download(name, repository, commit, partial, [MANIFEST], again=True)
    manifest = load_manifest(partial)
    if problem := seal_problem(manifest):
        raise InputError(f"{name}: {MANIFEST} {problem}; it has to be built and published again")
    for file, facts in manifest["files"].items():
        if sizes.get(file) != facts["bytes"]:
            found = "no such file" if file not in sizes else f"{sizes[file]!r:.80} bytes"
            raise InputError(
                f"{name}: {file}: the hub has {found}, the manifest says {facts['bytes']}; it has "
                "to be published again"
            )
    _download(name, repository, commit, partial, list(manifest["files"]))
    if damaged := file_problems(partial, manifest):
        # Whatever arrived whole is right for the client, even if it is not what was sent.
        _download(name, repository, commit, partial, list(damaged), again=True)
        check_files(partial, manifest)
    shutil.rmtree(partial / ".cache")
    sync_tree(partial)
    partial.replace(directory)


def _download(
    name: str, repository: str, commit: str, folder: Path, files: list[str], *, again: bool = False
) -> None:
    from huggingface_hub import snapshot_download

    from quantkit.hub.client import Hub

    hub = Hub()
    with hub.errors(name):
        hub.retried(
            lambda: snapshot_download(
                repository,
                revision=commit,
                local_dir=folder,
                allow_patterns=files,
                force_download=again,
                endpoint=hub.api.endpoint,
            )
        )
