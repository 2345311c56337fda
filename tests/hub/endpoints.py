"""The endpoints that huggingface_hub calls.

Large files go through Git LFS, whole or in parts. The hub's newer storage, Xet, is not offered: its
protocol is that of a service of its own, so tests tell the client to do without it
(HF_HUB_DISABLE_XET).
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from huggingface_hub import ModelCard

from tests.hub.connection import Connection
from tests.hub.hub import TOKEN, Blob, Hub

PART = 1 << 20


class Endpoints(Connection):
    """Names are those of the hub's documentation, as far as it has any."""

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

    def verify(self, repo: str) -> None:
        asked = json.loads(self._body())
        if self._allowed(repo, write=True):
            there = len(self.hub.objects.get(asked["oid"], b"")) == asked["size"]
            self._send(200 if there else 404, {})

    def validate(self) -> None:
        ModelCard(json.loads(self._body())["content"])
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
ROUTES = [
    (r"GET /api/whoami-v2", Endpoints.whoami),
    (r"POST /api/repos/create", Endpoints.create),
    (r"POST /api/validate-yaml", Endpoints.validate),
    (rf"GET /api/models/{_REPO}", Endpoints.info),
    (rf"GET /api/models/{_REPO}/revision/(.+)", Endpoints.info),
    (rf"POST /api/models/{_REPO}/branch/(.+)", Endpoints.branch),
    (rf"POST /api/models/{_REPO}/preupload/(.+)", Endpoints.preupload),
    (rf"POST /api/models/{_REPO}/commit/(.+)", Endpoints.commit),
    (rf"GET /api/models/{_REPO}/tree/(.+)", Endpoints.tree),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", Endpoints.batch),
    (rf"POST /{_REPO}\.git/info/lfs/verify", Endpoints.verify),
    (r"PUT /storage/([\w-]+)", Endpoints.store),
    (r"POST /complete/([\w-]+)", Endpoints.complete),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/([^/]+)/(.+)", Endpoints.resolve),
]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that lasts as long as the block."""
    hub = Hub()
    handler = type("Bound", (Endpoints,), {"hub": hub, "routes": ROUTES})
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
