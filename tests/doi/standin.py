"""A server that behaves like DataCite's REST API, and misbehaves as a test says.

It keeps DOIs as DataCite does: draft, registered or findable; a PUT makes or changes one, an event moves it. What is
mandatory for a findable DOI is refused with JSON:API errors that name the attribute.
"""

import base64
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

USER, PASSWORD, PREFIX = "TEST.CATALOG", "not-a-real-password", "10.80000"

# What happens to a request: nothing bad, or one of these.
FINE, BROKEN, SLOW_DOWN, TIMEOUT, LOST, CUT = "fine", "500", "429", "timeout", "lost", "cut"


@dataclass
class StandIn:
    """What the registry has, what it was asked, and how it misbehaves.

    `mishap` tells what happens to the n-th request for a DOI; `unwanted` finds what is refused with 422.
    """

    url: str = ""
    dois: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    mishaps: Counter[str] = field(default_factory=Counter)
    mishap: Callable[[str], str] = lambda _: FINE
    unwanted: Callable[[dict[str, Any]], dict[str, str]] = lambda _: {}
    password: str = PASSWORD
    retry_after: str = "1"
    slow_seconds: float = 3.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def states(self) -> dict[str, str]:
        """Return the state of every DOI that the registry has."""
        with self.lock:
            return {doi: kept["state"] for doi, kept in self.dois.items()}

    def put(self, doi: str, attributes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Make or change a DOI."""
        errors = []
        event = attributes.get("event")
        if not doi.startswith(f"{PREFIX}/"):
            return 403, {"errors": [{"status": "403", "title": "You are not authorized to access this resource."}]}
        with self.lock:
            kept = self.dois.get(doi)
            merged = {**(kept or {"state": "draft"})["attributes"], **attributes} if kept else dict(attributes)
            if event == "publish":
                errors += [
                    {"source": name, "title": "can't be blank", "status": "422"}
                    for name in ("creators", "titles", "publisher", "publicationYear", "types", "url")
                    if not merged.get(name)
                ]
                errors += [
                    {"source": name, "title": why, "status": "422"} for name, why in self.unwanted(merged).items()
                ]
            if errors:
                return 422, {"errors": errors}
            state = "draft" if kept is None else kept["state"]
            if event == "publish":
                state = "findable"
            elif event == "hide" and state == "findable":
                state = "registered"
            if kept is None:
                self.made[doi] += 1
            self.dois[doi] = {"state": state, "attributes": merged}
            return (201 if kept is None else 200), {
                "data": {"id": doi, "type": "dois", "attributes": merged | {"state": state}}
            }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: StandIn

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        doi = unquote(self.path.removeprefix("/dois/"))
        standin = self.standin
        with standin.lock:
            event = json.loads(body)["data"]["attributes"].get("event", "")
            standin.asked.append((doi, event))
            mishap = standin.mishap(doi)
            standin.mishaps[mishap] += 1
        expected = "Basic " + base64.b64encode(f"{USER}:{standin.password}".encode()).decode()
        if self.headers.get("authorization") != expected:
            self._answer(401, {"errors": [{"status": "401", "title": "Bad credentials."}]})
            return
        if self.headers.get("content-type") != "application/vnd.api+json":
            self._answer(415, {"errors": [{"status": "415", "title": "Wrong media type."}]})
            return
        if mishap == BROKEN:
            self._answer(500, {"errors": [{"status": "500", "title": "Internal error"}]})
            return
        if mishap == SLOW_DOWN:
            self._answer(429, {"errors": [{"status": "429", "title": "Too many requests"}]}, retry=standin.retry_after)
            return
        if mishap == CUT:
            self.close_connection = True
            return
        status, answer = standin.put(doi, json.loads(body)["data"]["attributes"])
        if mishap == TIMEOUT:
            time.sleep(standin.slow_seconds)
        if mishap == LOST:
            # It is done, and nobody is told.
            self.close_connection = True
            return
        self._answer(status, answer)

    def _answer(self, status: int, body: dict[str, Any], *, retry: str | None = None) -> None:
        sent = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/vnd.api+json; charset=utf-8")
            self.send_header("content-length", str(len(sent)))
            if retry is not None:
                self.send_header("retry-after", retry)
            self.end_headers()
            self.wfile.write(sent)
        except OSError:
            # Whoever asked has gone.
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # ruff: ignore[A002] - its name in the library.
        """Say nothing."""


@contextmanager
def running(**told: Any) -> Generator[StandIn]:
    """Run a registry for the length of the block."""
    standin = StandIn(**told)
    handler = type("Handler", (_Handler,), {"standin": standin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # Clients are killed while they ask.
    server.handle_error = lambda *_: None
    standin.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def mishaps(seed: int, share: float) -> Callable[[str], str]:
    """Return what lets that share of all requests go wrong, each in one of the ways, and none for ever."""
    chance = random.Random(seed)  # noqa: S311 - seeded, so that a failure can be repeated.
    bad = (BROKEN, SLOW_DOWN, TIMEOUT, LOST, CUT)

    def mishap(_: str) -> str:
        return chance.choice(bad) if chance.random() < share else FINE

    return mishap
