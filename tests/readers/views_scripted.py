"""An API that says what a test tells it to: contacts and custom fields, whole, on one page each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def scripted(answers: dict[str, Any]) -> Iterator[str]:
    """Serves `answers`, the body for each path below the base URL, which may change while the block lasts. Gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers[self.path.partition("?")[0].removeprefix("/v3")]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v3"
    finally:
        server.shutdown()
        thread.join()


def contact(identifier: str, updated_at: str, **more: Any) -> dict[str, Any]:
    """A contact as the API sends it."""
    lists = {"custom_fields": [], "list_memberships": [], "taggings": [], "phone_numbers": [], "street_addresses": [], "notes": []}
    return {"contact_id": identifier, "created_at": "2026-01-01T00:00:00Z", "updated_at": updated_at, **lists, **more}
