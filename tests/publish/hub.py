"""A model hub on loopback: the endpoints that huggingface_hub calls, and faults on demand.

Large files go through Git LFS, whole or in parts. The hub's newer storage, Xet, is not offered: its
protocol is that of a closed service, so tests tell the client to do without (HF_HUB_DISABLE_XET).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_" + "s3cr3t" * 5
PART = 4 << 20
PIECE = 1 << 16


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


class Cut(Exception):
    """The connection breaks."""


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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        self.query = {key: one[0] for key, one in parse_qs(urlsplit(self.path).query).items()}
        hub.requests.append(f"{self.command} {path}")
        try:
            if hub.down:
                raise Cut
            fault = self._fault(path)
            if fault is not None and not fault.done:
                self._body()
                self._send(fault.status, {"error": fault.message}, fault.headers)
                return
            if fault is not None:
                self._send = lambda *_, **__: self._break()  # type: ignore[method-assign]
            for pattern, method in ROUTES:
                match = re.fullmatch(pattern, f"{self.command} {path}")
                if match:
                    method(self, *match.groups())
                    return
            self._send(404, {"error": f"no {self.command} {path}"})
        except Cut:
            self._break()
        except ConnectionError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _fault(self, path: str) -> Fault | None:
        with self.hub.lock:
            for fault in self.hub.faults:
                if fault.times and re.search(fault.where, f"{self.command} {path}"):
                    fault.times -= 1
                    return fault
        return None

    def _break(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(
        self, status: int, content: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _allowed(self, repo: str, *, write: bool) -> bool:
        given = self.headers.get("Authorization")
        found = self.hub.repos.get(repo)
        if given is not None and given != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid credentials in Authorization header"})
        elif found is None or (found.private and given is None):
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif write and repo.partition("/")[0] not in self.hub.writers:
            self._send(403, {"error": f"you may not write to {repo}"})
        else:
            return True
        return False

    def whoami(self) -> None:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            self._send(200, {"name": "tester", "type": "user", "orgs": [{"name": "org"}]})
        else:
            self._send(401, {"error": "Invalid credentials in Authorization header"})

    def create(self) -> None:
        asked = json.loads(self._body())
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] not in self.hub.writers:
            self._send(403, {"error": f"no rights to create under {asked['organization']}"})
        elif name in self.hub.repos:
            self._send(409, {"error": "exists", "url": f"{self.hub.url}/{name}"})
        else:
            self.hub.add(name, private=asked.get("visibility") != "public")
            self._send(200, {"url": f"{self.hub.url}/{name}"})

    def info(self, repo: str, revision: str | None = None) -> None:
        if not self._allowed(repo, write=False):
            return
        found = self.hub.repos[repo].at(revision or "main")
        if found is None:
            self._send(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
            return
        private, card = self.hub.repos[repo].private, self.hub.card
        facts = {"id": repo, "sha": found[0], "private": private, "tags": [], "siblings": []}
        self._send(200, facts | ({"cardData": card} if card else {}))

    def branch(self, repo: str, name: str) -> None:
        self._body()
        if not self._allowed(repo, write=True):
            return
        branches = self.hub.repos[repo].branches
        self._send(409 if name in branches else 200, {})
        branches.setdefault(name, branches["main"])

    def preupload(self, repo: str, revision: str) -> None:
        files = json.loads(self._body())["files"]
        if not self._allowed(repo, write=True):
            return
        found = self.hub.repos[repo].at(revision)
        assert found is not None
        answer = []
        for file in files:
            large = b"\0" in base64.b64decode(file["sample"]) or file["size"] > 10 << 20
            blob = found[1].get(file["path"])
            mode = "lfs" if large else "regular"
            facts = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            answer.append(facts | ({"oid": blob.oid} if blob else {}))
        self._send(200, {"files": answer})

    def batch(self, repo: str) -> None:
        asked = json.loads(self._body())
        if not self._allowed(repo, write=True):
            return
        objects = []
        for one in asked["objects"]:
            oid, size = one["oid"], one["size"]
            if oid not in self.hub.objects:
                verify = {"href": f"{self.hub.url}/{repo}.git/info/lfs/verify"}
                one["actions"] = {"upload": self._action(oid, size), "verify": verify}
            objects.append(one)
        self._send(200, {"transfer": "multipart", "objects": objects})

    def _action(self, oid: str, size: int) -> dict[str, Any]:
        if size <= PART:
            return {"href": f"{self.hub.url}/storage/{oid}"}
        with self.hub.lock:
            upload = f"{oid}-{len(self.hub.uploads)}"
            self.hub.uploads[upload] = {}
        count = -(-size // PART)
        urls = {str(n): f"{self.hub.url}/storage/{upload}?part={n}" for n in range(1, count + 1)}
        href = f"{self.hub.url}/complete/{upload}"
        return {"href": href, "header": {"chunk_size": str(PART), **urls}}

    def store(self, name: str) -> None:
        if "Authorization" in self.headers:  # the link is the permission; a token is not for it
            self._send(400, {"error": "token sent to the storage"})
            return
        content = self._large(name)
        digest = hashlib.sha256(content).hexdigest()
        if "part" in self.query:
            self.hub.uploads[name][int(self.query["part"])] = content
            self._send(200, b"", {"ETag": f'"{digest}"'})
        else:
            self._finish(name, content)

    def complete(self, upload: str) -> None:
        self._body()
        parts = self.hub.uploads[upload]
        self._finish(upload.partition("-")[0], b"".join(parts[n] for n in sorted(parts)))

    def _finish(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            self._send(400, {"error": f"the content is not {oid[:12]}"})
            return
        with self.hub.lock:
            self.hub.objects[oid] = content
            self.hub.stored[oid] += 1
        self._send(200, {})

    def _large(self, name: str) -> bytes:
        """Take a body piece by piece, so that it can break anywhere."""
        size, pieces = int(self.headers["Content-Length"]), []
        while size:
            piece = self.rfile.read(min(size, PIECE))
            if not piece:
                raise Cut
            with self.hub.lock:
                self.hub.received += len(piece)
                if self.hub.cut_after is not None:
                    self.hub.cut_after -= len(piece)
                    if self.hub.cut_after <= 0:
                        self.hub.cut_after, self.hub.down = None, True
                        raise Cut
            self.hub.on_piece(name, len(piece))
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def verify(self, repo: str) -> None:
        asked = json.loads(self._body())
        if self._allowed(repo, write=True):
            there = len(self.hub.objects.get(asked["oid"], b"")) == asked["size"]
            self._send(200 if there else 404, {})

    def validate(self) -> None:
        card = json.loads(self._body())["content"]
        yaml.safe_load(card.split("---")[1])
        self._send(200, {"errors": [], "warnings": []})

    def commit(self, repo: str, revision: str) -> None:
        lines = [json.loads(line) for line in self._body().splitlines()]
        if not self._allowed(repo, write=True):
            return
        found = self.hub.repos[repo].at(revision)
        assert found is not None
        parent, files = found[0], dict(found[1])
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", parent) != parent:
                self._send(412, {"error": "the branch has moved"})
                return
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                digest = hashlib.sha256(content).hexdigest()
                files[value["path"]] = Blob(len(content), digest, content)
            elif line["key"] == "lfsFile":
                assert value["oid"] in self.hub.objects
                files[value["path"]] = Blob(value["size"], value["oid"], None)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        state = json.dumps([parent, {path: blob.oid for path, blob in files.items()}])
        oid = hashlib.sha1(state.encode()).hexdigest()
        self.hub.repos[repo].commits[oid] = files
        self.hub.repos[repo].branches[revision] = oid
        self._send(200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})

    def tree(self, repo: str, revision: str) -> None:
        if not self._allowed(repo, write=False):
            return
        found = self.hub.repos[repo].at(revision)
        if found is None:
            self._send(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
            return
        entries: list[dict[str, Any]] = []
        for path, blob in found[1].items():
            entry = {"type": "file", "path": path, "size": blob.size, "oid": blob.oid}
            if blob.content is None:
                large = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
                entry = entry | {"lfs": large}
            entries.append(entry | self.hub.lies.get(path, {}))
        self._send(200, entries)

    def resolve(self, repo: str, revision: str, path: str) -> None:
        if not self._allowed(repo, write=False):
            return
        found = self.hub.repos[repo].at(revision)
        blob = found[1].get(path) if found else None
        if found is None or blob is None:
            self._send(404, {"error": "no entry"}, {"X-Error-Code": "EntryNotFound"})
            return
        content = self.hub.objects[blob.sha256] if blob.content is None else blob.content
        if self.command == "GET":
            content = self.hub.tampered.pop(path, content)
        headers = {"X-Repo-Commit": found[0], "ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        given = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if given:
            first = int(given[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            content = content[first:]
        headers["Content-Length"] = str(len(content))
        self._send(206 if given else 200, content, headers)


_REPO = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"GET /api/models/{_REPO}", Handler.info),
    (rf"GET /api/models/{_REPO}/revision/(.+)", Handler.info),
    (rf"POST /api/models/{_REPO}/branch/(.+)", Handler.branch),
    (rf"POST /api/models/{_REPO}/preupload/(.+)", Handler.preupload),
    (rf"POST /api/models/{_REPO}/commit/(.+)", Handler.commit),
    (rf"GET /api/models/{_REPO}/tree/(.+)", Handler.tree),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", Handler.batch),
    (rf"POST /{_REPO}\.git/info/lfs/verify", Handler.verify),
    (r"PUT /storage/([\w-]+)", Handler.store),
    (r"POST /complete/([\w-]+)", Handler.complete),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/([^/]+)/(.+)", Handler.resolve),
]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that lasts as long as the block."""
    hub = Hub()
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
