"""What the hub holds after an upload against what was meant to be there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from huggingface_hub.hf_api import RepoFile

from quantkit.core.errors import InputError
from quantkit.hub.client import Hub
from quantkit.hub.upload import ATTRIBUTES, Item, list_files, read_file


def read_back(hub: Hub, repository: str, commit: str, items: Sequence[Item]) -> None:
    """Compare every file of a commit by size and SHA-256.

    Large files have their digest in the listing, because the hub stores them by it; the others are
    downloaded.

    Raises:
        InputError: one line for each file that is missing, foreign or different.
    """
    where = f"hf://{repository}@{commit}"
    with hub.errors(f"reading {where} back"):
        found = {
            file.path: file for file in hub.retried(lambda: list_files(hub, repository, commit))
        }
        wrong = [
            f"{where}: {item.name}: {problem}"
            for item in items
            if (problem := _problem(hub, repository, commit, item, found.get(item.name)))
        ]
    foreign = found.keys() - {item.name for item in items} - {ATTRIBUTES}
    wrong += [f"{where}: {name}: was not sent" for name in sorted(foreign)]
    if wrong:
        raise InputError(
            "\n".join([*wrong, "what the hub holds is not the artifact; publish again"])
        )


def _problem(
    hub: Hub, repository: str, commit: str, item: Item, found: RepoFile | None
) -> str | None:
    if found is None:
        return "is missing"
    if found.size != item.bytes:
        return f"found {found.size} bytes, sent {item.bytes}"
    if found.lfs is not None:
        digest = found.lfs.sha256
    else:
        content = hub.retried(lambda: read_file(hub, repository, commit, item.name))
        digest = hashlib.sha256(content).hexdigest()
    if digest != item.sha256:
        return f"found sha256 {digest[:12]}, sent {item.sha256[:12]}"
    return None
