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
            try:
                from quantkit.hub.checkpoint import fetch_checkpoint
            except ModuleNotFoundError:
                raise MissingExtraError("huggingface_hub", "hub") from None
            path = fetch_checkpoint(repository, revision)
            return _checkpoint(path, f"hf://{repository}", revision)


def _checkpoint(path: Path, name: str, revision: str | None = None) -> Checkpoint:
    if not path.is_file():
        raise InputError(
            f"model.source: the checkpoint {path} does not exist; relative paths start at the "
            f"working directory, {Path.cwd()}"
        )
    return Checkpoint(path, name, revision, sha256_file(path))


def _demo() -> Path:
    """The checkpoint of the sources, which no package holds.

    Raises:
        InputError: it is not here.
    """
    for path in (Path(quantkit.__file__).parents[1] / DEMO, DEMO):
        if path.is_file():
            return path
    raise InputError(
        f"model.source: found 'demo', whose checkpoint {DEMO} is not here: it lies in the sources "
        f"of quantkit {quantkit.__version__} and not in the package. Copy the folders demo and "
        "calibration of the sources into the working directory, or name another checkpoint by "
        "--set model.source=FILE.nemo"
    )
