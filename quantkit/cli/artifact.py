"""Artifacts as commands take them: a directory, or a name on the hub."""

from __future__ import annotations

from pathlib import Path

from quantkit.core.errors import MissingExtraError
from quantkit.terminal.console import messages


def open_artifact(name: str) -> Path:
    """The directory of an artifact; hf://ORGANISATION/NAME[@REVISION] is downloaded if need be.

    Raises:
        InputError: the hub does not have it, or it is not what its manifest says.
        MissingExtraError: the hub is named and `huggingface_hub` is not installed.
    """
    if not name.startswith("hf:"):
        return Path(name)
    try:
        from quantkit.publish.snapshot import open_snapshot
    except ModuleNotFoundError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    snapshot = open_snapshot(name)
    messages().print(f"{name}: commit {snapshot.commit}", highlight=False)
    return snapshot.directory
