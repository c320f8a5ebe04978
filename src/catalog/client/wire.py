"""What both wires know without sending: where a catalog is, retries, problem documents, what must not be logged.

Knows no connection: it says what to send next and what an answer means, and `connection` does it.
"""

import json
import logging
import re
from collections.abc import Generator, Mapping
from typing import Any, TypeVar, cast

import httpx2

from catalog import __version__
from catalog.client.calls import Call, Pause, Steps
from catalog.client.patience import PASSING, Patience, retry_after
from catalog.client.problems import Closed, NotACatalog, Problem, Unreachable
from catalog.errors import CatalogError, Invalid

PATIENCE_SECONDS = 15.0
CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 60.0
CONNECTIONS_MAX = 16
WRITTEN = "catalog-written"
AGENT = {"user-agent": f"science-catalog/{__version__}"}

R = TypeVar("R")

_TOKEN = re.compile(r"[!-~]{1,500}")


class _Unsigned(logging.Filter):
    """Keeps queries and headers out of httpx2's own log lines: ours carry signatures that work for any reader."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None, username=None, password=None) if isinstance(arg, httpx2.URL) else arg
                for arg in record.args
            )
        return "return_value" not in record.msg


def _keep_signatures_out_of_logs() -> None:
    for name in ("httpx2", "httpcore2.http11", "httpcore2.http2"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Unsigned) for one in logger.filters):
            logger.addFilter(_Unsigned())


class Wire:
    """What both wires know: where the catalog is, how patient one is with it, and what an answer means."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS_MAX,
        connect_seconds: float = CONNECT_SECONDS_MAX,
    ) -> None:
        parsed = _parsed(url)
        if token is not None and not _TOKEN.fullmatch(token):
            raise CatalogError("The token is empty or has spaces or control characters; check where it comes from.")
        _keep_signatures_out_of_logs()
        self.address = str(parsed).rstrip("/")
        self.patience_seconds = patience_seconds
        self.answer_seconds = answer_seconds
        self.connect_seconds = connect_seconds
        # The token of the last write that was answered here.
        self.written: str | None = None
        self.closed = False

    def for_catalog(self, token: str | None) -> dict[str, Any]:
        """Return what the connections to the catalog are made of; kept by nobody, because it has the token."""
        return {
            "base_url": self.address,
            "headers": AGENT | ({"authorization": f"Bearer {token}"} if token else {}),
            "limits": httpx2.Limits(max_connections=CONNECTIONS_MAX),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def must_be_open(self) -> None:
        """Raise Closed after `close`."""
        if self.closed:
            raise Closed

    def steps(self, told: Call[R] | Steps[R]) -> Generator[dict[str, Any] | Pause, Any, R]:
        """Yield what to send next, as httpx2 takes it, or a pause, and return what was asked for."""
        if isinstance(told, Call):
            return (yield from self._tries(told))
        answer = None
        while True:
            try:
                step = told.send(answer)
            except StopIteration as over:
                return cast("R", over.value)
            if isinstance(step, Pause):
                answer = yield step
            else:
                answer = yield from self._tries(step)

    def _tries(self, call: Call[R]) -> Generator[dict[str, Any] | Pause, Any, R]:
        """Send one request, again where it may be and that may help.

        What is `repeatable` is sent again after lost connections and passing refusals, and anything at all while no
        connection could be made.
        """
        patience = Patience(self.patience_seconds)
        sending = self.sending(call)
        while True:
            self.must_be_open()
            answer: httpx2.Response | httpx2.TransportError = yield sending
            if isinstance(answer, httpx2.TransportError):
                unsent = isinstance(answer, httpx2.ConnectError | httpx2.ConnectTimeout)
                pause = patience.pause() if call.repeatable or unsent else None
                if pause is None:
                    raise Unreachable(f"No catalog answers at {self.address}: {reason(answer)}.")
            elif answer.is_success or answer.status_code in call.accept:
                self.written = answer.headers.get(WRITTEN, self.written)
                return self._read(call, answer)
            else:
                passing = call.repeatable and answer.status_code in PASSING
                pause = patience.pause(retry_after(answer)) if passing else None
                if pause is None:
                    raise Problem.of(answer)
            yield Pause(pause)

    def sending(self, call: Call[Any]) -> dict[str, Any]:
        """Return a request as httpx2 takes it."""
        body = call.body
        sent = {"accept": "application/json"} | ({} if body is None else {"content-type": "application/json"})
        answer_seconds = self.answer_seconds if call.answer_seconds is None else call.answer_seconds
        return {
            "method": call.method,
            "url": call.path,
            "params": list(call.parameters),
            "content": encoded(body) if isinstance(body, Mapping | list) else body,
            "headers": sent | dict(call.headers),
            "timeout": httpx2.Timeout(answer_seconds, connect=self.connect_seconds),
        }

    def _read(self, call: Call[R], response: httpx2.Response) -> R:
        try:
            return call.read(response)
        except (ValueError, KeyError, TypeError):
            raise NotACatalog(f"What answers at {self.address} is not a catalog; check the address.") from None

    def broken_off(self, fault: httpx2.TransportError) -> Unreachable:
        """Return what a stream that stopped in its midst, or never began, raises."""
        if isinstance(fault, httpx2.ConnectError | httpx2.ConnectTimeout):
            return Unreachable(f"No catalog answers at {self.address}: {reason(fault)}.")
        return Unreachable(f"What {self.address} was sending broke off: {reason(fault)}.")


def encoded(body: Any) -> bytes:
    """Return a body as bytes, always the same for the same content: a repeated request must be equal."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def reason(fault: httpx2.TransportError) -> str:
    """Say in a few words why there was no answer; never the request, which may hold a signature."""
    if isinstance(fault, httpx2.TimeoutException):
        return "it took too long"
    if isinstance(fault, httpx2.ConnectError):
        return "no connection"
    return "the connection broke"


def _parsed(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo:
        raise Invalid("The catalog's address is written as http://host:port or https://host, without user or password.")
    return parsed.copy_with(query=None, fragment=None)
