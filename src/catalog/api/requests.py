"""Reading requests: bodies up to a limit, queries into models, revisions, paging cursors. Every fault has its place."""

import asyncio
import base64
import binascii
import hashlib
import hmac
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
from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.access.uses import Uses
from catalog.engines import Engines
from catalog.errors import Fault, Invalid, NotFound, PreconditionMissing, TooLarge, Unauthenticated, Unsupported
from catalog.objects import validation
from catalog.objects.remembering import Remember
from catalog.settings import Settings

AnyRequest = Request[Any, Any, Any]
Model = TypeVar("Model", bound=BaseModel)
Told = TypeVar("Told")
Place = TypeVar("Place")
Name = TypeVar("Name", bound=str)

JSON = "application/json"
# A description with a thousand declared files is about 300 kB.
BODY_BYTES_MAX = 2 * 1024 * 1024
# A text of 1,000 characters and a filter of 4,000, percent-encoded, with some hundred chosen values beside them.
# An answer may repeat its address in each of its links.
QUERY_BYTES_MAX = 16 * 1024
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,200}")
QUALITY = re.compile(r"[01](\.\d{1,3})?")
CONTENT_LENGTH = re.compile(r"[0-9]{1,20}")
NONCE_BYTES = 12
# Under this name a route says which scope a token needs for it.
NEEDED_SCOPE = "scope"
# Some 500 bytes each; who is not among them is asked for first.
RECOGNISED_MAX = 10_000


# Where the scope of a request says that only the head of the answer is wanted.
HEAD = "catalog.head"


def engines(request: AnyRequest) -> Engines:
    """Return the clients that this process opened at its start."""
    opened: Engines = request.app.state.engines
    return opened


async def caller(request: AnyRequest) -> Caller:
    """Return who sent the request, with a token that is good for the operation.

    Raises Unauthenticated for a header or token that is no good, InsufficientScope for one that is good for less.
    """
    return await _identified(request, _token(request))


async def while_identifying(
    request: AnyRequest, ask: Callable[[Caller], Coroutine[Any, Any, Told]]
) -> tuple[Caller, Told]:
    """Return who sent the request, and what `ask` answers this caller; both at once where the token was seen before.

    The database says whose token it is and what its holder may see, as ever, and what everybody may without one. What
    it said last is where the asking begins meanwhile; a beginning that proves wrong (revoked, another role) is thrown
    away. Raises what `caller` and `ask` raise.
    """
    token = _token(request)
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


async def _identified(request: AnyRequest, token: str | None) -> Caller:
    """Return who holds a token, and remember whether it worked; without one, nobody in particular.

    Raises what `_holder` does, and InsufficientScope.
    """
    recognised: Recognised = request.app.state.recognised
    try:
        caller = await _holder(request, token)
    except Unauthenticated:
        recognised.forget(token)
        raise
    recognised.put(token, caller)
    uses: Uses = request.app.state.uses
    uses.note(caller)
    scope: Scope | None = request.route_handler.opt.get(NEEDED_SCOPE)
    if scope is not None:
        caller.must_have(scope)
    return caller


async def _holder(request: AnyRequest, token: str | None) -> Caller:
    """Return who holds a token of ours or of the provider; raises Unauthenticated, or Unavailable for the latter."""
    opened = engines(request)
    if token is None:
        return await principals.nobody(opened.database)
    if opened.provider is not None and oidc.is_shaped(token):
        return await identities.identify(opened.database, opened.provider, token)
    return await principals.identify(opened.database, token)


def _token(request: AnyRequest) -> str | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    token = bearer(header)
    if token is None:
        raise Unauthenticated("Send the token as `Authorization: Bearer <token>`.")
    return token


def bearer(header: str) -> str | None:
    """Return the token of an Authorization header (RFC 6750, section 2.1); None where it holds none."""
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def is_of_a_store(settings: Settings, token: str | None) -> bool:
    """Whether a token is that with which stores notify us."""
    expected = settings.notification_token.get_secret_value()
    return token is not None and hmac.compare_digest(token.encode(), expected.encode())


class Recognised:
    """Whom each token, or none, named last, by its digest: a guess to begin with, never an answer."""

    def __init__(self) -> None:
        self._callers: dict[bytes, Caller] = {}

    def get(self, token: str | None) -> Caller | None:
        """Return whom this token named last, if it has been seen."""
        return self._callers.get(_key(token))

    def forget(self, token: str | None) -> None:
        """Know no more whom this token named: it names nobody."""
        self._callers.pop(_key(token), None)

    def put(self, token: str | None, caller: Caller) -> None:
        """Remember whom this token names, and forget the oldest beyond the limit."""
        self._callers[_key(token)] = caller
        if len(self._callers) > RECOGNISED_MAX:
            del self._callers[next(iter(self._callers))]


def _key(token: str | None) -> bytes:
    return b"" if token is None else principals.digest_of(token)


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
    # The database can neither keep nor look for it.
    faults.add(validation.nul_faults(raw))
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


def must_be_short(query_string: bytes) -> None:
    """Raise Invalid, before anything of it is read, for a query string that is longer than any question needs."""
    if len(query_string) > QUERY_BYTES_MAX:
        message = f"what follows the ? has {len(query_string):,} bytes: at most {QUERY_BYTES_MAX:,}"
        fault = Fault("", message, "Send a long question as the JSON body of a POST, where there is one.")
        raise Invalid("The address is too long.", faults=[fault])


def must_name_something(path: str) -> None:
    """Raise NotFound for a path with a NUL: nothing is called so, and the database would refuse to look for it."""
    if validation.NUL in path:
        raise NotFound("There is nothing at this address.")


class _Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


async def no_query(request: AnyRequest) -> None:
    """Refuse every parameter, for an operation that has none; raises Invalid."""
    query(request, _Nothing)


def organization(request: AnyRequest) -> str:
    """Return the name of the organization in the path."""
    return str(request.path_params["organization"])


def scope(request: AnyRequest) -> str:
    """Return the organization in the path, or its project where the path names one: organization/project."""
    project = request.path_params.get("project")
    return organization(request) if project is None else f"{organization(request)}/{project}"


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


async def sent(request: AnyRequest, model: type[Model], *, most_bytes: int = BODY_BYTES_MAX) -> Model:
    """Return the JSON body as the model; raises Unsupported, TooLarge, or Invalid with every fault."""
    return parsed(await body(request, media_types=(JSON,), most_bytes=most_bytes), model)


def parsed(sent: bytes, model: type[Model]) -> Model:
    """Return a JSON body as the model; raises Invalid with every fault."""
    raw, faults = validation.read(sent)
    read = None
    try:
        read = model.model_validate_json(sent)
    except ValidationError as wrong:
        faults.add_from(wrong, raw, model)
    faults.add(validation.unkept(sent, raw, faults.shown))
    if read is None or faults.count:
        raise faults.refusal()
    return read
