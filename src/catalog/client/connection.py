"""One HTTP connection pool to the catalog, and one to its store, which never sees the token.

Knows retries, problem documents and what must not be logged; nothing of objects.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2

from catalog import __version__
from catalog.client.patience import PASSING, Patience, retry_after
from catalog.client.problems import NotACatalog, Problem, Unreachable
from catalog.errors import CatalogError, Invalid

CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 60.0
# A store may think for a while at the end of a large PUT.
STORE_ANSWER_SECONDS_MAX = 300.0
CONNECTIONS_MAX = 16

Parameters = Sequence[tuple[str, str]]

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


class Connection:
    """Sends requests to one catalog, patiently."""

    def __init__(self, url: str, token: str | None, *, patience_seconds: float) -> None:
        parsed = _parsed(url)
        if token is not None and not _TOKEN.fullmatch(token):
            raise CatalogError("The token is empty or has spaces or control characters; check where it comes from.")
        _keep_signatures_out_of_logs()
        self.address = str(parsed).rstrip("/")
        self.patience_seconds = patience_seconds
        agent = {"user-agent": f"science-catalog/{__version__}"}
        limits = httpx2.Limits(max_connections=CONNECTIONS_MAX)
        self._catalog = httpx2.Client(
            base_url=self.address,
            headers=agent | ({"authorization": f"Bearer {token}"} if token else {}),
            timeout=httpx2.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            limits=limits,
        )
        self.store = httpx2.Client(
            # Sizes and hashes are of the bytes as stored.
            headers=agent | {"accept-encoding": "identity"},
            timeout=httpx2.Timeout(STORE_ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            limits=limits,
        )

    def close(self) -> None:
        """Close both pools."""
        self._catalog.close()
        self.store.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters = (),
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        answer_seconds: float = ANSWER_SECONDS_MAX,
        accept: frozenset[int] = frozenset(),
    ) -> httpx2.Response:
        """Return a successful answer, or one of the statuses in `accept`; raises Problem or Unreachable.

        A body of bytes is sent as it is, any other as JSON. Repeats what is `repeatable` after lost connections and
        passing refusals, and anything at all while no connection could be made.
        """
        content = body if body is None or isinstance(body, bytes) else encoded(body)
        timeout = httpx2.Timeout(answer_seconds, connect=CONNECT_SECONDS_MAX)
        sent = {"accept": "application/json"} | ({} if body is None else {"content-type": "application/json"})
        patience = Patience(self.patience_seconds)
        while True:
            try:
                response = self._catalog.request(
                    method,
                    path,
                    params=list(parameters),
                    content=content,
                    headers=sent | dict(headers or {}),
                    timeout=timeout,
                )
            except httpx2.TransportError as fault:
                unsent = isinstance(fault, httpx2.ConnectError | httpx2.ConnectTimeout)
                if not (repeatable or unsent) or not patience.lasts():
                    raise Unreachable(f"No catalog answers at {self.address}: {reason(fault)}.") from None
                continue
            if response.is_success or response.status_code in accept:
                return response
            passing = repeatable and response.status_code in PASSING
            if not passing or not patience.lasts(retry_after(response)):
                raise Problem.of(response)

    @contextmanager
    def streaming(
        self, method: str, path: str, content: Iterator[bytes], media_type: str, answer_seconds: float
    ) -> Iterator[httpx2.Response]:
        """Send a body as it comes and yield the answer while it comes, once; whoever asks judges it."""
        timeout = httpx2.Timeout(answer_seconds, connect=CONNECT_SECONDS_MAX)
        headers = {"accept": media_type, "content-type": media_type}
        with self._catalog.stream(method, path, content=content, headers=headers, timeout=timeout) as response:
            yield response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of a successful answer."""
        return self.decoded(self.send(method, path, **options))

    def pages(self, path: str, parameters: Parameters = ()) -> Iterator[Any]:
        """Yield every item of a listing, asking for the next page as it is wanted."""
        cursor: str | None = None
        while True:
            more = [("cursor", cursor)] if cursor else []
            page = self.json("GET", path, parameters=[*parameters, *more], repeatable=True)
            yield from page["items"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def decoded(self, response: httpx2.Response) -> Any:
        """Return an answer's JSON; raises NotACatalog when it is none."""
        try:
            return response.json()
        except ValueError:
            raise NotACatalog(f"What answers at {self.address} is not a catalog; check the address.") from None


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
