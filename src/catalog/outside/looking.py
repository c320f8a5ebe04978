"""Looking whether anything is at an outside address, once, within bounds.

Server-side request forgery is what this must not be good for: names are resolved once, every address they have must be
public (or in a network that the operator named), the connection goes to exactly that address, and every redirect
passes the same door. Nothing of an answer but its status is kept (OWASP, "Server-Side Request Forgery Prevention").
"""

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx2

from catalog import __version__
from catalog.outside.door import Door, Network, NoSuchHost, NotAdmitted
from catalog.outside.tables import Look, State

LOOK_SECONDS_MAX = 10.0
REDIRECTS_MAX = 5
ANSWER_BYTES_MAX = 64 * 1024
# A manifest is named by its digest in any of these forms (OCI Image Specification, "media types").
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_CHALLENGE = re.compile(r'(realm|service|scope)="([^"]*)"')


class _Refused(Exception):
    """This address is none that we ask."""


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks at addresses; `networks` are those beside the public ones that may be asked, `tls` checks certificates."""

    networks: Sequence[Network] = ()
    tls: ssl.SSLContext | None = None

    async def look(self, address: str) -> Look:
        """Return what is at `https://…`, `git+https://…` (a repository) or `image://host/name@digest`; never raises."""
        # In a thread: sockets that are closed there are closed at once, whatever the loop does next.
        return await asyncio.to_thread(self._judge, address, time.monotonic() + LOOK_SECONDS_MAX)

    def _judge(self, address: str, ends: float) -> Look:
        try:
            with httpx2.Client(verify=self.tls or True, trust_env=False, follow_redirects=False) as client:
                return _Visit(client, Door(self.networks), ends).look(address)
        except (_Refused, NotAdmitted) as why:
            return Look(State.REFUSED, str(why))
        except NoSuchHost as absent:
            return Look(State.UNREACHABLE, str(absent))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as fault:
            return Look(State.UNREACHABLE, _told(fault))


@dataclass(frozen=True, slots=True)
class _Visit:
    """One look, until it is over or its time is."""

    client: httpx2.Client
    door: Door
    ends: float

    def look(self, address: str) -> Look:
        scheme, _, rest = address.partition("://")
        if scheme == "git+https":
            # The first request of every clone (Git, "HTTP transfer protocols", smart clients).
            return _judged(self._ask("GET", f"https://{rest}/info/refs?service=git-upload-pack"))
        if scheme == "image":
            return self._image(rest)
        status = self._ask("HEAD", address)
        if status in {400, 403, 404, 405, 501}:
            # Some servers know no HEAD.
            status = self._ask("GET", address)
        return _judged(status)

    def _image(self, image: str) -> Look:
        host, _, name = image.partition("/")
        name, mark, digest = name.partition("@")
        if not mark:
            name, _, digest = name.rpartition(":")
        url = f"https://{host}/v2/{name}/manifests/{digest}"
        response = self._answer("HEAD", url, {"accept": _MANIFESTS})
        if response.status_code == httpx2.codes.UNAUTHORIZED:
            # A public registry gives leave to read to everybody who asks (Distribution, "Token Authentication").
            asked = dict(_CHALLENGE.findall(response.headers.get("www-authenticate", "")))
            if "realm" not in asked:
                return _judged(response.status_code)
            query = {"service": asked.get("service", ""), "scope": f"repository:{name}:pull"}
            given = self._answer("GET", str(httpx2.URL(asked["realm"], params=query)), {})
            token = _token_of(given)
            if token is None:
                return _judged(httpx2.codes.UNAUTHORIZED)
            headers = {"accept": _MANIFESTS, "authorization": f"Bearer {token}"}
            response = self._answer("HEAD", url, headers)
        return _judged(response.status_code)

    def _ask(self, method: str, url: str) -> int:
        return (self._answer(method, url, {})).status_code

    def _answer(self, method: str, url: str, headers: dict[str, str]) -> httpx2.Response:
        """Return the answer after redirects, with at most the beginning of its body."""
        for _ in range(REDIRECTS_MAX + 1):
            response = self._one(method, url, headers)
            target = response.headers.get("location")
            if not response.is_redirect or target is None:
                return response
            there = urljoin(url, target)
            if urlsplit(there).netloc != urlsplit(url).netloc:
                headers = {name: value for name, value in headers.items() if name != "authorization"}
            url = there
        raise _Refused(f"more than {REDIRECTS_MAX} redirects")

    def _one(self, method: str, url: str, headers: dict[str, str]) -> httpx2.Response:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
            raise _Refused("only https addresses without a user are asked")
        host = parts.hostname
        found = self.door.admitted(host, parts.port or 443)
        pinned = httpx2.URL(url).copy_with(host=str(found))
        request = self.client.build_request(
            method,
            pinned,
            headers={"host": parts.netloc, "user-agent": f"science-catalog/{__version__}", **headers},
            extensions={"sni_hostname": host, "timeout": httpx2.Timeout(self._left()).as_dict()},
        )
        response = self.client.send(request, stream=True)
        try:
            body = b""
            for chunk in response.iter_raw():
                body += chunk
                self._left()
                if len(body) > ANSWER_BYTES_MAX:
                    break
        finally:
            response.close()
        kept = [(name, value) for name, value in response.headers.multi_items() if name.lower() in _KEPT_HEADERS]
        return httpx2.Response(response.status_code, headers=kept, content=body[:ANSWER_BYTES_MAX])

    def _left(self) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise httpx2.ReadTimeout("over")
        return left


_KEPT_HEADERS = {"location", "www-authenticate", "content-type"}


def _token_of(response: httpx2.Response) -> str | None:
    try:
        told = response.json()
        token = told.get("token") or told.get("access_token")
    except (ValueError, AttributeError):
        return None
    return token if isinstance(token, str) and re.fullmatch(r"[!-~]{1,8000}", token) else None


def _judged(status: int) -> Look:
    if status < 300:  # ruff: ignore[PLR2004] - RFC 9110, section 15: success.
        return Look(State.REACHABLE)
    if status in {401, 403, 407}:
        return Look(State.RESTRICTED, f"it answers {status}: it wants to know who asks")
    return Look(State.UNREACHABLE, f"it answers {status}")


def _told(fault: Exception) -> str:
    if isinstance(fault, httpx2.TimeoutException):
        return f"no answer within {LOOK_SECONDS_MAX:g} s"
    text = str(fault).splitlines()
    return text[0] if text else type(fault).__name__
