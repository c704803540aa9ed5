"""A web server that keeps every POST, for tests of what is sent to others."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Judge = Callable[[dict[str, Any]], tuple[int, str]]  # a body to a status and an answer


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses of its list, the last one for ever, or as ``judge`` says of the body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = [200]
        self.judge: Judge | None = None
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.waiting = threading.Event()
        self.waiting.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]

    def answer(self, body: bytes) -> tuple[int, str]:
        if self.judge is not None:
            return self.judge(json.loads(body))
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0], ""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((dict(self.headers), body))
        self.server.waiting.wait(60)
        status, text = self.server.answer(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """One that listens on a free port of 127.0.0.1."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.waiting.set()
            server.shutdown()
            thread.join()


def slack(body: dict[str, Any]) -> tuple[int, str]:
    """As an incoming webhook of Slack judges a message."""
    if not set(body) <= {"text", "blocks", "attachments", "channel", "username", "thread_ts"}:
        return 400, "invalid_payload"
    blocks = [b for a in body.get("attachments", []) for b in a.get("blocks", [])] + body.get("blocks", [])
    if not isinstance(body.get("text"), str) or not body["text"]:
        return 400, "no_text"
    if any(not 0 < len(block["text"]["text"]) <= 3000 for block in blocks):
        return 400, "invalid_blocks"
    return 200, "ok"


def teams(body: dict[str, Any]) -> tuple[int, str]:
    """As a workflow of Teams does: it wants adaptive cards."""
    cards = [a["content"] for a in body.get("attachments", []) if a["contentType"].endswith("card.adaptive")]
    sound = body.get("type") == "message" and cards and all(c["type"] == "AdaptiveCard" and c["body"] for c in cards)
    return (202, "") if sound else (400, "Invalid card")


class PagerDuty:
    """Incidents by their key, as Events API v2 keeps them."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.incidents: dict[str, list[str]] = {}

    def __call__(self, body: dict[str, Any]) -> tuple[int, str]:
        """An event's status and answer."""
        payload = body.get("payload", {})
        if body.get("routing_key") != self.key or body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            return 400, '{"status":"invalid event"}'
        if payload.get("severity") not in ("critical", "error", "warning", "info") or not payload.get("summary"):
            return 400, '{"status":"invalid event","errors":["payload"]}'
        if len(payload["summary"]) > 1024 or len(body["dedup_key"]) > 255:
            return 400, '{"status":"invalid event","errors":["length"]}'
        self.incidents.setdefault(body["dedup_key"], []).append(body["event_action"])
        return 202, '{"status":"success"}'
