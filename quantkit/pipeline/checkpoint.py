"""Finds the checkpoint that a recipe names, and says exactly which one it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import quantkit
from quantkit.core.errors import InputError, MissingExtraError
from quantkit.core.files import sha256_file
from quantkit.recipe.source import DemoSource, FileSource, HubSource, Source

DEMO = Path("demo") / "demo.nemo"


@dataclass(frozen=True)
class Checkpoint:
    """A .nemo file on this machine; `name` and `revision` are what the manifest records."""

    path: Path
    name: str
    revision: str | None
    sha256: str


def find_checkpoint(source: Source) -> Checkpoint:
    """The file of a source, downloaded if it lies on the hub.

    Raises:
        InputError: there is no such file, repository or revision.
        MissingExtraError: the hub is named and `huggingface_hub` is not installed.
    """
    match source:
        case DemoSource():
            return _checkpoint(_demo(), "demo")
        case FileSource(path):
            return _checkpoint(path, path.name)
        case HubSource(repository, revision):
            return _checkpoint(_download(repository, revision), f"hf://{repository}", revision)


def _checkpoint(path: Path, name: str, revision: str | None = None) -> Checkpoint:
    if not path.is_file():
        raise InputError(
            f"model.source: the checkpoint {path} does not exist; relative paths start at the "
            f"working directory, {Path.cwd()}"
        )
    return Checkpoint(path, name, revision, sha256_file(path))


def _demo() -> Path:
    beside = Path(quantkit.__file__).parents[1] / DEMO
    if beside.is_file() or not DEMO.is_file():
        return beside
    return DEMO


def _download(repository: str, revision: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns="*.nemo"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"model.source: cannot get hf://{repository}@{revision}: {error}"
        ) from error
    found = sorted(folder.glob("*.nemo"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"model.source: hf://{repository}@{revision} holds {len(found)} .nemo files ({names}), "
            "accepted: exactly one; download the file and give its path"
        )
    return found[0]
