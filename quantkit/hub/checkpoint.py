"""Checkpoints of the hub: the one .nemo file of a repository at a revision."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from quantkit.core import shapes
from quantkit.core.errors import InputError
from quantkit.hub.answers import COMMIT, checked_commit
from quantkit.hub.client import Hub


def fetch_checkpoint(repository: str, revision: str) -> Path:
    """The .nemo file of a repository, in HF_HOME/quantkit or where the hub's client has it.

    A revision that is a whole commit needs no network once its file is here.

    Raises:
        InputError: the hub does not have it, or has several.
    """
    where = f"model.source: hf://{repository}@{revision}"
    kept = _kept(repository, revision)
    if kept is not None:
        return kept
    hub = Hub()
    with hub.errors(f"{where}: cannot get it"):
        commit = revision
        if not COMMIT.fullmatch(revision):
            info = hub.retried(lambda: hub.api.model_info(repository, revision=revision))
            commit = checked_commit(info.sha, where)
        # A folder of files that this names; the client's cache has names that the hub tells.
        folder = Path(constants.HF_HOME) / "quantkit" / "checkpoints" / f"{repository}@{commit}"
        there = sorted(folder.glob("*.nemo"))
        if len(there) == 1:
            return there[0]
        names = hub.retried(lambda: hub.api.list_repo_files(repository, revision=commit))
        name = _only_checkpoint(names, where)
        hub.retried(lambda: hf_hub_download(repository, name, revision=commit, local_dir=folder))
    return folder / name


def _kept(repository: str, revision: str) -> Path | None:
    """The checkpoint of a commit where the hub's client has it in its own cache."""
    if not COMMIT.fullmatch(revision):
        return None
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns="*.nemo", local_files_only=True
        )
    except (LocalEntryNotFoundError, OSError):
        return None
    there = sorted(Path(folder).glob("*.nemo"))
    return there[0] if len(there) == 1 else None


def _only_checkpoint(names: list[str], where: str) -> str:
    checkpoints = [name for name in names if name.endswith(".nemo")]
    if len(checkpoints) != 1:
        listed = ", ".join(checkpoints) or "none"
        raise InputError(
            f"{where} holds {len(checkpoints)} .nemo files ({listed}), accepted: exactly one; "
            "download the file and give its path"
        )
    shapes.file_name(checkpoints[0], where)
    return checkpoints[0]
