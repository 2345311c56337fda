"""The repository that an artifact goes to."""

from __future__ import annotations

import re

from huggingface_hub import get_token

from quantkit.core.errors import InputError
from quantkit.hub.client import Hub
from quantkit.recipe.source import REPOSITORY


def check_repository(name: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        InputError: it is none.
    """
    if not re.fullmatch(REPOSITORY, name, re.ASCII):
        raise InputError(f"--repo: found {name!r}, accepted: ORGANISATION/NAME")


def prepare_repository(hub: Hub, name: str, revision: str, *, private: bool) -> None:
    """Create repository and branch where they do not exist.

    Raises:
        InputError: no token, no permission, or the repository is visible to others than asked for.
    """
    if get_token() is None:
        raise InputError(
            "publish: found no token for the hub, accepted: one with write access in HF_TOKEN, or "
            "kept by `hf auth login`"
        )
    with hub.errors(f"hf://{name}"):
        hub.retried(hub.api.whoami)
        hub.retried(lambda: hub.api.create_repo(name, private=private, exist_ok=True))
        found = bool(hub.retried(lambda: hub.api.repo_info(name)).private)
        if found != private:
            is_, asked = ("private", "public") if found else ("public", "private")
            raise InputError(
                f"hf://{name}: found a {is_} repository, accepted: a {asked} one; say --{is_}, or "
                "change it in the repository's settings"
            )
        if revision != "main":
            hub.retried(lambda: hub.api.create_branch(name, branch=revision, exist_ok=True))
