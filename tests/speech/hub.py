"""A hub on this machine: the few addresses that `datasets` asks for one data set, `org/esb`."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves a folder as the data set at its only commit.

    Attributes:
        asked: the addresses that were asked for, in order.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.asked = folder, list[str]()
        Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if re.fullmatch(r"/api/datasets/org/esb/revision/\w+", path):
            self._json({"id": "org/esb", "sha": COMMIT, "siblings": []})
        elif found := re.fullmatch(rf"/api/datasets/org/esb/tree/{COMMIT}/?(.*)", path):
            self._json([self._entry(one) for one in sorted((self._at(found[1])).iterdir())])
        elif (
            found := re.fullmatch(rf"/datasets/org/esb/resolve/{COMMIT}/(.*)", path)
        ) and self._at(found[1]).is_file():
            self._file(self._at(found[1]))
        else:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def _at(self, name: str) -> Path:
        return self.server.folder / name

    def _entry(self, path: Path) -> dict[str, Any]:
        name = path.relative_to(self.server.folder).as_posix()
        kind = "directory" if path.is_dir() else "file"
        return {"type": kind, "path": name, "size": path.stat().st_size, "oid": "0" * 40}

    def _file(self, path: Path) -> None:
        content = path.read_bytes()
        headers = {"ETag": f'"{path.name}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._send(200, content, headers)
        first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self._send(206, content[first : last + 1], headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
