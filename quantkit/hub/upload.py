"""Files into one commit of a repository; what has arrived before is not sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.hf_api import RepoFile

from quantkit.bundle.manifest import MANIFEST
from quantkit.core.errors import InputError
from quantkit.core.files import temporary_directory
from quantkit.core.strict_json import parse_json
from quantkit.hub.answers import checked_commit
from quantkit.hub.artifact import CARD
from quantkit.hub.client import Hub

#: Every repository of the hub has it; it says which files are large.
ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True)
class Item:
    """A file as it will be on the hub."""

    name: str
    content: Path | bytes
    bytes: int
    sha256: str


def upload(
    hub: Hub,
    repository: str,
    revision: str,
    items: Sequence[Item],
    message: str,
    say: Callable[[str], None],
) -> str:
    """Make a branch hold exactly these files, by one commit after all large files have arrived.

    The branch keeps what it had until then. A large file that arrived completely stays with the
    hub, so that neither the next attempt nor the next run sends it again.

    Returns:
        The commit.

    Raises:
        InputError: the branch holds files that are no part of an artifact, or the hub refuses.
    """

    def attempt() -> str:
        found = hub.api.repo_info(repository, revision=revision).sha
        head = checked_commit(found, f"hf://{repository}@{revision}")
        stale = _stale(hub, repository, head, items)
        additions = [CommitOperationAdd(item.name, item.content) for item in items]
        for item, addition in zip(items, additions, strict=True):
            say(f"{item.name}: {item.bytes:,} bytes")
            # One by one: each is complete on the hub before the next one begins.
            hub.api.preupload_lfs_files(repository, [addition], revision=revision)
        commit = hub.api.create_commit(
            repository,
            [*(CommitOperationDelete(name) for name in stale), *additions],
            commit_message=message,
            revision=revision,
            parent_commit=head,
        )
        return checked_commit(commit.oid, f"hf://{repository}@{revision}")

    with hub.errors(f"hf://{repository}@{revision}"):
        return hub.retried(attempt)


def list_files(hub: Hub, repository: str, commit: str) -> list[RepoFile]:
    """The files of a commit."""
    tree = hub.api.list_repo_tree(repository, recursive=True, revision=commit)
    return [entry for entry in tree if isinstance(entry, RepoFile)]


def read_file(hub: Hub, repository: str, commit: str, name: str) -> bytes:
    """A small file of a commit, past the client's cache."""
    with temporary_directory() as folder:
        path = hub.api.hf_hub_download(repository, name, revision=commit, local_dir=folder)
        return Path(path).read_bytes()


def _stale(hub: Hub, repository: str, head: str, items: Iterable[Item]) -> list[str]:
    """What an artifact published before has and this one has not.

    Raises:
        InputError: there are other files, which somebody else put there.
    """
    there = {file.path for file in list_files(hub, repository, head)}
    more = there - {item.name for item in items} - {ATTRIBUTES}
    if not more:
        return []
    published = set()
    if MANIFEST in there:
        published = _listed(read_file(hub, repository, head, MANIFEST))
    if foreign := sorted(more - published - {CARD}):
        raise InputError(
            f"hf://{repository}: found {', '.join(foreign)}, which are no part of an artifact; "
            "accepted: a repository or --revision of artifacts only"
        )
    return sorted(more)


def _listed(manifest: bytes) -> set[str]:
    """The files of a manifest; none if it is of another kind."""
    try:
        content = parse_json(manifest, MANIFEST)
    except InputError:
        return set()
    files = content.get("files") if isinstance(content, dict) else None
    return set(files) if isinstance(files, dict) else set()
