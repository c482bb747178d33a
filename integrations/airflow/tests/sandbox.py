"""The API that the tests run against: `ctct-etl sandbox`, and a gate before it that counts, holds and refuses requests."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Seconds that anything may take on a busy machine before a test gives up.
PATIENCE = 600


class Sandbox:
    """A sandbox in a process of its own, until `stop`."""

    def __init__(self, program: Path, options: Sequence[str] = ()) -> None:
        command = [str(program), "sandbox", "--port", "0", "--requests-per-second", "1000", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self._said(r"serves (http\S+)")
        self.token = self._said(r"Bearer ([^']+)")

    def _said(self, pattern: str) -> str:
        for line in self.process.stdout or ():
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"the sandbox ended without {pattern}")

    @property
    def port(self) -> int:
        return int(re.findall(r":(\d+)", self.url)[0])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Gate:
    """Passes requests on to a sandbox; from `limit` on they wait until it is moved."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        #: Requests that got a response, in the order of the responses.
        self.answered: list[str] = []
        #: A piece of the paths that are answered with 400.
        self.refused: str | None = None
        self._limit: int | None = None
        self._taken = 0
        self._waiting = 0
        self._changed = threading.Condition()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gate.pass_on(self)

            def log_message(self, *_: object) -> None:
                """Nothing: the tests look at `answered`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return self.sandbox.url.replace(str(self.sandbox.port), str(self.server.server_address[1]))

    def limit(self, requests: int | None) -> None:
        """Lets so many requests through in all; `None` lets all through."""
        with self._changed:
            self._limit = requests
            self._changed.notify_all()

    def wait_until_full(self) -> None:
        """Waits until the limit is reached, every request below it is answered, and one more waits."""
        with self._changed:
            full = self._changed.wait_for(
                lambda: self._waiting > 0 and self._taken == len(self.answered) == self._limit, PATIENCE
            )
        assert full, f"{len(self.answered)} requests came, {self._waiting} wait"

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._limit is None or self._taken < self._limit)
            self._waiting -= 1
            if has_left(request.connection):
                request.close_connection = True
                return
            self._taken += 1
        status, headers, body = self._answer(request)
        try:
            request.send_response_only(status)
            for name, value in headers:
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            request.close_connection = True
        with self._changed:
            self.answered.append(request.path)
            self._changed.notify_all()

    def _answer(self, request: BaseHTTPRequestHandler) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.refused and self.refused in request.path:
            body = b'[{"error_key": "bad_request", "error_message": "refused by the test"}]'
            return 400, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body
        connection = http.client.HTTPConnection("127.0.0.1", self.sandbox.port)
        connection.request("GET", request.path, headers=dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in ("transfer-encoding", "content-length")]
        connection.close()
        return answer.status, [*kept, ("Content-Length", str(len(body)))], body

    def stop(self) -> None:
        self.limit(None)
        self.server.shutdown()
        self.server.server_close()


def has_left(connection: socket.socket) -> bool:
    """Whether the other side has closed the connection, as a process that was killed does."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
