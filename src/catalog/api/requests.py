"""Reading requests: bodies up to a limit, queries into models, revisions, paging cursors. Every fault has its place."""

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from litestar import Request
from litestar.exceptions import InternalServerException
from pydantic import BaseModel, ConfigDict, ValidationError

from catalog.access import identities, oidc, principals
from catalog.access.principals import NOBODY, Caller
from catalog.engines import Engines
from catalog.errors import Fault, Invalid, NotFound, PreconditionMissing, TooLarge, Unauthenticated, Unsupported
from catalog.objects import sent_json, validation
from catalog.objects.remembering import Remember

AnyRequest = Request[Any, Any, Any]
Model = TypeVar("Model", bound=BaseModel)
Told = TypeVar("Told")
Place = TypeVar("Place")
Name = TypeVar("Name", bound=str)

# A description with a thousand declared files is about 300 kB.
BODY_BYTES_MAX = 2 * 1024 * 1024
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,200}")
QUALITY = re.compile(r"[01](\.\d{1,3})?")
CONTENT_LENGTH = re.compile(r"[0-9]{1,20}")
NONCE_BYTES = 12
# Some 500 bytes each; who is not among them is asked for first.
RECOGNISED_MAX = 10_000


def engines(request: AnyRequest) -> Engines:
    """Return the clients that this process opened at its start."""
    opened: Engines = request.app.state.engines
    return opened


async def caller(request: AnyRequest) -> Caller:
    """Return who sent the request; raises Unauthenticated for a header or token that is no good."""
    token = _token(request)
    return NOBODY if token is None else await _identified(request, token)


async def while_identifying(
    request: AnyRequest, ask: Callable[[Caller], Coroutine[Any, Any, Told]]
) -> tuple[Caller, Told]:
    """Return who sent the request, and what `ask` answers this caller; both at once where the token was seen before.

    The database says whose token it is, as ever. Whom it named last is where the asking begins meanwhile; a beginning
    that proves wrong (revoked, another role) is thrown away. Raises Unauthenticated, and what `ask` raises.
    """
    token = _token(request)
    if token is None:
        return NOBODY, await ask(NOBODY)
    recognised: Recognised = request.app.state.recognised
    guess = recognised.get(token)
    if guess is None:
        caller = await _identified(request, token)
        return caller, await ask(caller)
    asking = asyncio.create_task(ask(guess))
    try:
        caller = await _identified(request, token)
        if caller == guess:
            return caller, await asking
    finally:
        if not asking.done():
            asking.cancel()
    return caller, await ask(caller)


async def _identified(request: AnyRequest, token: str) -> Caller:
    """Return who holds a token, and remember whether it worked; raises what `_holder` does."""
    recognised: Recognised = request.app.state.recognised
    try:
        caller = await _holder(request, token)
    except Unauthenticated:
        recognised.forget(token)
        raise
    recognised.put(token, caller)
    return caller


async def _holder(request: AnyRequest, token: str) -> Caller:
    """Return who holds a token of ours or of the provider; raises Unauthenticated, or Unavailable for the latter."""
    opened = engines(request)
    if opened.provider is not None and oidc.is_shaped(token):
        return await identities.identify(opened.database, opened.provider, token)
    return await principals.identify(opened.database, token)


def _token(request: AnyRequest) -> str | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send the token as `Authorization: Bearer <token>`.")
    return token.strip()


class Recognised:
    """Whom each token named last, by its digest: a guess to begin with, never an answer."""

    def __init__(self) -> None:
        self._callers: dict[bytes, Caller] = {}

    def get(self, token: str) -> Caller | None:
        """Return whom this token named last, if it has been seen."""
        return self._callers.get(principals.digest_of(token))

    def forget(self, token: str) -> None:
        """Know no more whom this token named: it names nobody."""
        self._callers.pop(principals.digest_of(token), None)

    def put(self, token: str, caller: Caller) -> None:
        """Remember whom this token names, and forget the oldest beyond the limit."""
        self._callers[principals.digest_of(token)] = caller
        if len(self._callers) > RECOGNISED_MAX:
            del self._callers[next(iter(self._callers))]


async def body(request: AnyRequest, *, media_types: tuple[str, ...], most_bytes: int = BODY_BYTES_MAX) -> bytes:
    """Return the whole body; raises Unsupported, or TooLarge before more than the limit is held."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in media_types:
        raise Unsupported(f"Send the body as Content-Type: {media_types[0]}, not {sent[:80] or 'without one'}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unsupported("Send the body without Content-Encoding.")
    return await limited(request, most_bytes)


async def limited(request: AnyRequest, most_bytes: int) -> bytes:
    """Return the body; raises TooLarge as soon as it exceeds the limit."""
    too_large = TooLarge(f"A body here has at most {most_bytes:,} bytes.")
    declared = request.headers.get("content-length", "")
    if CONTENT_LENGTH.fullmatch(declared) and int(declared) > most_bytes:
        raise too_large
    taken = await beginning(request, most_bytes)
    if len(taken) > most_bytes:
        raise too_large
    return taken


async def beginning(request: AnyRequest, most_bytes: int) -> bytes:
    """Return the body, or only as much of it as shows that it has more than so many bytes."""
    taken = bytearray()
    try:
        async for chunk in request.stream():
            taken += chunk
            if len(taken) > most_bytes:
                break
    except InternalServerException:
        # What Litestar calls its own fault here is the client's: it hung up.
        raise Invalid("The connection was closed before the whole body had come.") from None
    return bytes(taken)


def query(request: AnyRequest, model: type[Model]) -> Model:
    """Return the query string as the model; raises Invalid with every unknown, repeated or wrong parameter."""
    lists = {
        name for name, field in model.model_fields.items() if getattr(field.annotation, "__origin__", None) is list
    }
    raw: dict[str, Any] = {}
    faults = validation.Faults()
    for name, value in request.query_params.multi_items():
        if name in lists:
            raw.setdefault(name, []).append(value)
        elif name in raw:
            faults.add([Fault(validation.pointer_to([name]), "give this parameter once")])
        else:
            raw[name] = value
    try:
        asked = model.model_validate(raw)
    except ValidationError as wrong:
        faults.add_from(wrong, raw, model)
    else:
        if not faults.count:
            return asked
    if faults.count > len(faults.shown):
        raise faults.refusal("query")
    raise Invalid("The query has faults.", faults=faults.shown)


class _Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


async def no_query(request: AnyRequest) -> None:
    """Refuse every parameter, for an operation that has none; raises Invalid."""
    query(request, _Nothing)


def object_id(request: AnyRequest, name: str = "object_id") -> UUID:
    """Return the id in the path; raises NotFound for text that is no id at all."""
    text = str(request.path_params[name])
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"{text[:80]!r} is not an id; ids look like 0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f.") from None


def revisions(request: AnyRequest) -> list[int] | None:
    """Return the revisions that If-Match accepts, None for `*`; raises PreconditionMissing without the header."""
    header = request.headers.get("if-match")
    if header is None:
        raise PreconditionMissing('Send If-Match with the ETag you read, such as If-Match: "3".')
    if header.strip() == "*":
        return None
    # A weak tag never matches here (RFC 9110, section 13.1.1), and one that is not ours names no revision of ours.
    return [int(tag) for tag in re.findall(r'(?<!W/)"(\d{1,18})"', header)]


def remember(request: AnyRequest, sent: bytes) -> Remember | None:
    """Return the Idempotency-Key with the digest of the request, if there is one; raises Invalid for a wrong key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not IDEMPOTENCY_KEY.fullmatch(key):
        message = "1 to 200 visible ASCII characters"
        raise Invalid("The Idempotency-Key is not usable.", faults=[Fault("/Idempotency-Key", message)])
    digest = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode() + sent).digest()
    return Remember(key, digest)


def accepted(request: AnyRequest, offered: Mapping[Name, str]) -> Name | None:
    """Return the name of the offered media type that is asked for most (RFC 9110, section 12.5.1); none if none is."""
    wanted: list[tuple[float, Name]] = []
    for one in request.headers.get("accept", "").split(","):
        media_type, *parameters = [part.strip().lower() for part in one.split(";")]
        found = next((name for name, ours in offered.items() if ours == media_type), None)
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if found is not None and QUALITY.fullmatch(weight) and float(weight) > 0:
            wanted.append((float(weight), found))
    return max(wanted, key=lambda pair: pair[0])[1] if wanted else None


class Cursors:
    """Seals where a page ended: a cursor tells nothing, and fits only the caller and question it was made for."""

    def __init__(self, key: str) -> None:
        self._cipher = AESGCM(hashlib.sha256(b"cursor:" + key.encode()).digest())

    def seal(self, place: Any, *bound_to: Any) -> str:
        """Return the cursor for a place."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, msgspec.json.encode(place), _bound(bound_to))
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, cursor: str, *bound_to: Any) -> Any:
        """Return the place; raises Invalid for a cursor that is altered, foreign, or of another question."""
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            place = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(bound_to))
            return msgspec.json.decode(place)
        except (InvalidTag, binascii.Error, ValueError):
            message = "this cursor belongs to another question or caller, or was altered; start without a cursor"
            raise Invalid("The cursor does not fit.", faults=[Fault("/cursor", message)]) from None


def _bound(bound_to: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(msgspec.json.encode(bound_to)).digest()


def cursors(request: AnyRequest) -> Cursors:
    """Return the sealer of this process."""
    sealer: Cursors = request.app.state.cursors
    return sealer


@dataclass(frozen=True, slots=True)
class Paging(Generic[Place]):
    """One page of a listing: where it begins, and what seals where the next one does."""

    after: Place | None
    limit: int
    seal: Callable[[Any], str]

    @property
    def one_more(self) -> int:
        """How many to read: one more than the page has tells whether there is a next one."""
        return self.limit + 1

    def cut(self, found: Sequence[Told], place: Callable[[Told], Any]) -> tuple[Sequence[Told], str | None]:
        """Return the page of what was read, and the cursor to the next if there is one; `place` is where an item is."""
        items = found[: self.limit]
        return items, self.seal(place(items[-1])) if len(found) > self.limit else None


class _Paged(Protocol):
    """A question for a page."""

    limit: int
    cursor: str | None


def paging(request: AnyRequest, asked: _Paged, place: Callable[[Any], Place], *bound_to: Any) -> Paging[Place]:
    """Return the page that is asked for; `place` reads what a cursor holds. Raises Invalid where it does not fit."""
    sealer = cursors(request)
    after = None if asked.cursor is None else place(sealer.open(asked.cursor, *bound_to))
    return Paging(after, asked.limit, lambda here: sealer.seal(here, *bound_to))


def next_link(request: AnyRequest, cursor: str | None) -> Mapping[str, str]:
    """Return the Link header to the next page (RFC 8288), if there is one.

    Without scheme and host: behind a proxy only the client knows under which it reached us.
    """
    if cursor is None:
        return {}
    # In the order in which they were sent, which Litestar's own mapping does not keep.
    sent = parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True)
    kept = [(name, value) for name, value in sent if name != "cursor"]
    return {"Link": f'<{quote(request.scope["path"])}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'}


def parsed(sent: bytes, model: type[Model]) -> Model:
    """Return a JSON body as the model; raises Invalid with every fault."""
    raw = sent_json.value_of(sent)
    faults = validation.Faults()
    faults.add(sent_json.faults_in(sent, validation.pointer_to))
    read = None
    try:
        read = model.model_validate_json(sent)
    except ValidationError as wrong:
        faults.add_from(wrong, raw, model)
    if read is None or faults.count:
        raise faults.refusal()
    return read
