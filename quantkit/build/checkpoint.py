"""Finds the checkpoint that a recipe names, and says exactly which one it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import quantkit
from quantkit.core import shapes
from quantkit.core.errors import InputError, MissingExtraError
from quantkit.core.files import sha256_file
from quantkit.core.hub import COMMIT, MALFORMED, checked_commit, unreachable
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


def _download(repository: str, revision: str) -> Path:
    """The checkpoint of a repository, in HF_HOME/quantkit or where the hub's client has it."""
    where = f"model.source: hf://{repository}@{revision}"
    try:
        from httpx2 import HTTPError
        from huggingface_hub import HfApi, constants, hf_hub_download
    except ModuleNotFoundError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    kept = _kept(repository, revision)
    if kept is not None:
        return kept
    try:
        api, commit = HfApi(library_name="quantkit"), revision
        if not COMMIT.fullmatch(revision):
            commit = checked_commit(api.model_info(repository, revision=revision).sha, where)
        # A folder of files that this names; the client's cache has names that the hub tells.
        folder = Path(constants.HF_HOME) / "quantkit" / "checkpoints" / f"{repository}@{commit}"
        found = sorted(folder.glob("*.nemo"))
        if len(found) == 1:
            return found[0]
        name = _only_checkpoint(api.list_repo_files(repository, revision=commit), where)
        hf_hub_download(repository, name, revision=commit, local_dir=folder)
    except InputError:
        raise
    except (HTTPError, OSError, RuntimeError, ValueError, ImportError, *MALFORMED) as error:
        problem = unreachable(error) or f"{error or type(error).__name__}"
        raise InputError(f"{where}: cannot get it: {problem}") from error
    return folder / name


def _kept(repository: str, revision: str) -> Path | None:
    """The checkpoint of a commit where the hub's client has it in its own cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if not COMMIT.fullmatch(revision):
        return None
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns="*.nemo", local_files_only=True
        )
    except (LocalEntryNotFoundError, OSError):
        return None
    found = sorted(Path(folder).glob("*.nemo"))
    return found[0] if len(found) == 1 else None


def _only_checkpoint(names: list[str], where: str) -> str:
    found = [name for name in names if name.endswith(".nemo")]
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise InputError(
            f"{where} holds {len(found)} .nemo files ({listed}), accepted: exactly one; download "
            "the file and give its path"
        )
    shapes.file_name(found[0], where)
    return found[0]
