"""An API that says what a test tells it to, on one page each: what the sandbox, being faithful, never sends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def scripted(answers: dict[str, Any]) -> Iterator[str]:
    """Serves `answers`, the body for each path below the base URL, or a function that gives it; they may change while the block lasts.
    `Date` is the server's clock, where it is to differ from the host's. Gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/v3")
            if path == "/account/summary" and path not in answers:
                self.send_error(404)
                return
            answer = answers[path]
            body = json.dumps(answer() if callable(answer) else answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            """The moment that the test says it is, `Date`, or the host's."""
            return answers.get("Date") or super().date_time_string(timestamp)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v3"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def contact(identifier: str, updated_at: str, **more: Any) -> dict[str, Any]:
    """A contact as the API sends it."""
    lists = {"custom_fields": [], "list_memberships": [], "taggings": [], "phone_numbers": [], "street_addresses": [], "notes": []}
    return {"contact_id": identifier, "created_at": "2026-01-01T00:00:00Z", "updated_at": updated_at, **lists, **more}


def contact_id(at: int) -> str:
    """The id of a contact."""
    return f"{at * 2654435761 % 2**32:08x}-2d41-11e7-8fc9-d4ae529a8612"
