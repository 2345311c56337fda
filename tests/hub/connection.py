"""A connection to the hub: requests, answers, and both broken off."""

import json
import re
import socket
import struct
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.hub import Fault, Hub

PIECE = 1 << 14


class CutError(Exception):
    """The connection breaks."""


class Connection(BaseHTTPRequestHandler):
    """Finds the method of a request in `routes`, unless a fault comes first."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub
    routes: list[tuple[str, Callable[..., None]]]

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        self.query = {key: one[0] for key, one in parse_qs(urlsplit(self.path).query).items()}
        hub.requests.append(f"{self.command} {path}")
        try:
            fault = self._fault(path)
            if fault is not None and not fault.done:
                self._body()
                self._send(fault.status, {"error": fault.message}, fault.headers)
                return
            if fault is not None:
                self._send = lambda *_, **__: self._break()  # type: ignore[method-assign]
            for pattern, method in self.routes:
                match = re.fullmatch(pattern, f"{self.command} {path}")
                if match:
                    method(self, *match.groups())
                    return
            self._send(404, {"error": f"no {self.command} {path}"})
        except CutError:
            self._break()
        except ConnectionError:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def _fault(self, path: str) -> Fault | None:
        if self.hub.down:
            raise CutError
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

    def _large(self, name: str) -> bytes:
        """Take a body piece by piece, so that it can break anywhere."""
        size, pieces = int(self.headers["Content-Length"]), []
        while size:
            piece = self.rfile.read(min(size, PIECE))
            if not piece:
                raise CutError
            with self.hub.lock:
                self.hub.received += len(piece)
                if self.hub.cut_after is not None:
                    self.hub.cut_after -= len(piece)
                    if self.hub.cut_after <= 0:
                        self.hub.cut_after, self.hub.down = None, True
                        raise CutError
            self.hub.on_piece(name, len(piece))
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

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
