"""A model hub's state, the faults that it is asked for, and what it counted."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TOKEN = "hf_" + "s3cr3t" * 5


@dataclass
class Blob:
    """A file of a commit; large ones only by digest."""

    size: int
    sha256: str
    content: bytes | None

    @property
    def oid(self) -> str:
        if self.content is None:
            return self.sha256
        return hashlib.sha1(b"blob %d\0" % self.size + self.content).hexdigest()


@dataclass
class Repo:
    private: bool
    branches: dict[str, str]
    commits: dict[str, dict[str, Blob]]

    def at(self, revision: str) -> tuple[str, dict[str, Blob]] | None:
        commit = self.branches.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD path` matches."""

    where: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    times: int = 1
    done: bool = False  # whether the request is served all the same, and only the answer lost


class Hub:
    """State of the server, and what it counted."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.stored: Counter[str] = Counter()
        self.received = 0
        self.requests: list[str] = []
        self.writers = {"org"}
        self.down = False
        self.cut_after: int | None = None
        self.on_piece: Callable[[str, int], None] = lambda _sha, _size: None
        self.lies: dict[str, dict[str, Any]] = {}
        self.tampered: dict[str, bytes] = {}
        self.card: dict[str, Any] | None = None
        self.lock = threading.RLock()
        self.url = ""

    def add(self, name: str, *, private: bool = True, card: Any = None) -> Repo:
        first = Blob(0, hashlib.sha256(b"").hexdigest(), b"")
        repo = Repo(private, {"main": "0" * 40}, {"0" * 40: {".gitattributes": first}})
        self.repos[name] = repo
        self.card = card or self.card
        return repo

    def content(self, name: str, revision: str = "main") -> dict[str, bytes]:
        found = self.repos[name].at(revision)
        assert found is not None
        return {
            path: self.objects[blob.sha256] if blob.content is None else blob.content
            for path, blob in found[1].items()
        }
