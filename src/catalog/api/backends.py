"""`/api/organizations/…/backends`: stores that organizations bring. What a key is goes in and never comes out."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from uuid_utils.compat import uuid7

from catalog.access.callers import Caller
from catalog.access.scopes import Scope
from catalog.api import event_tokens, health, requests, shapes
from catalog.api.contract import MERGE_PATCH, Answer, Body, Operation, operation
from catalog.api.event_tokens import ShownEventToken
from catalog.api.health import ShownCapabilities
from catalog.api.requests import AnyRequest
from catalog.engines import Engines
from catalog.errors import Fault, Invalid, Unprocessable
from catalog.objects import detaching
from catalog.storage import backends, guarding, policies, probing, sealing
from catalog.storage import event_tokens as kept_tokens
from catalog.storage import health as kept_health
from catalog.storage.backends import SIZES, Account, Backend, Fixed, OwnBucket, Place, Size, Tried, Use
from catalog.storage.capacity import CAPACITY_BYTES_MAX, RESERVED_GB_MAX
from catalog.storage.event_tokens import EventToken
from catalog.storage.health import HealthView
from catalog.storage.probing import Outcome
from catalog.storage.s3 import Remedy
from catalog.storage.sealing import Pair
from catalog.storage.signing import Addressing

# S3 User Guide, "General purpose bucket naming rules".
Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
# Nothing that a policy would read as a pattern or a path as a step up; a key has room for the rest.
PREFIX_PATTERN = r"^([A-Za-z0-9_=][A-Za-z0-9._=-]{0,99}(/[A-Za-z0-9_=][A-Za-z0-9._=-]{0,99}){0,9})?$"
Prefix = Annotated[str, StringConstraints(pattern=PREFIX_PATTERN, max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*[!-~][^\x00-\x1f\x7f]*$", max_length=100)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,50}$")]
Endpoint = Annotated[str, StringConstraints(min_length=8, max_length=300)]
Key = Annotated[str, StringConstraints(pattern=r"^[!-~]{3,200}$")]
Told = Annotated[str | None, Field(max_length=300)]
UseName = Literal["document", "data"]
CapacityBytes = Annotated[int | None, Field(ge=1, le=CAPACITY_BYTES_MAX)]
WatermarkPercent = Annotated[int | None, Field(ge=1, le=100)]
ReservedGb = Annotated[int | None, Field(ge=0, le=RESERVED_GB_MAX)]
Uses = Annotated[list[UseName], Field(min_length=1, max_length=2)]


class AccountTold(BaseModel):
    """Whose account it is, for people to read."""

    model_config = ConfigDict(extra="forbid", strict=True)

    arn: Told = None
    account_id: Told = None
    account_alias: Told = None
    user: Told = None


class BackendWanted(BaseModel):
    """A store that an organization brings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = Field(examples=["Lab archive"])
    endpoint: Endpoint = Field(examples=["https://s3.example.org"], description="Scheme, host and perhaps a port.")
    region: Region = "us-east-1"
    addressing: Literal["path", "virtual"] = Field(
        default="path", description="Whether addresses name the bucket in their path or as a host."
    )
    bucket: Bucket
    prefix: Prefix = Field(default="", description="Without slashes around it; left out, the whole bucket.")
    uses: Uses = Field(
        description="`document`: the catalog writes and reads what it is brought; `data`: it only lists and reads."
    )
    access_key: Key | None = Field(default=None, description="Left out, the catalog uses its own keys.")
    secret_key: Key | None = Field(default=None, description="Goes in and never comes out.")
    account: AccountTold = Field(default_factory=AccountTold)
    capacity_bytes: CapacityBytes = Field(default=None, description="What it can hold; left out, nobody knows.")
    watermark_percent: WatermarkPercent = Field(
        default=None, description="How full it may get before uploads are refused; left out, as everywhere."
    )
    reserved_gb: ReservedGb = Field(
        default=None, description="How much stays free in any case, in GB; left out, as everywhere."
    )


class BackendChange(BaseModel):
    """What changes of a backend: its name, its account, its keys. Where it is stays."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    access_key: Key | None = Field(default=None, description="With `secret_key`; null takes both away.")
    secret_key: Key | None = None
    account: AccountTold | None = None
    capacity_bytes: CapacityBytes = Field(default=None, description="What it can hold; null, nobody knows.")
    watermark_percent: WatermarkPercent = Field(default=None, description="Null, as everywhere.")
    reserved_gb: ReservedGb = Field(default=None, description="Null, as everywhere.")
    endpoint: Endpoint | None = None
    region: Region | None = None
    addressing: Literal["path", "virtual"] | None = None
    bucket: Bucket | None = None
    prefix: Prefix | None = None
    uses: Uses | None = None


class CreationQuery(BaseModel):
    """Whether it is kept."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Try everything and keep nothing.")


class DeletionQuery(BaseModel):
    """What becomes of files that lie there."""

    model_config = ConfigDict(extra="forbid")

    detach: bool = Field(default=False, description="Remove it although files lie there: nobody can fetch them then.")


class PolicyQuery(BaseModel):
    """Which place, and what for."""

    model_config = ConfigDict(extra="forbid")

    bucket: Bucket
    prefix: Prefix = ""
    use: Annotated[list[UseName], Field(min_length=1, max_length=2)]


class StoreAccount(msgspec.Struct, frozen=True):
    """Whose account it is."""

    arn: str | None
    account_id: str | None
    account_alias: str | None
    user: str | None


class ShownTry(msgspec.Struct, frozen=True):
    """One action that was tried, and why it failed; `reason` is null where it went well."""

    action: str
    ok: bool
    reason: str | None


class ShownBackend(msgspec.Struct, frozen=True):
    """A backend; of its keys, whether it has any."""

    id: UUID
    organization: str
    name: str
    endpoint: str
    region: str
    addressing: Literal["path", "virtual"]
    bucket: str
    prefix: str
    root: str
    uses: list[UseName]
    account: StoreAccount
    capacity_bytes: int | None
    watermark_percent: int | None
    reserved_gb: int | None
    has_keys: bool
    health: Literal["healthy", "failing"]
    checks: list[ShownTry]
    checked_at: datetime
    capabilities: ShownCapabilities
    event_token: ShownEventToken | None
    created_at: datetime
    changed_at: datetime
    warnings: list[str]


class Trial(msgspec.Struct, frozen=True):
    """A store that would be kept, and what was tried of it."""

    endpoint: str
    checks: list[ShownTry]
    warnings: list[str]


class BackendList(msgspec.Struct, frozen=True):
    """Backends, by name."""

    items: list[ShownBackend]


POLICY: dict[str, Any] = {
    "type": "object",
    "required": ["Version", "Statement"],
    "properties": {"Version": {"type": "string"}, "Statement": {"type": "array", "items": {"type": "object"}}},
}


def _shown(one: Backend, others: Sequence[Backend], view: HealthView | None, token: EventToken | None) -> ShownBackend:
    can = health.capabilities(view)
    unversioned = Use.DOCUMENT in one.uses and can.versioning in {"off", "suspended"}
    return ShownBackend(
        id=one.id,
        organization=one.organization,
        name=one.name,
        endpoint=one.place.endpoint,
        region=one.place.region,
        addressing=one.place.addressing.value,
        bucket=one.place.bucket,
        prefix=one.place.prefix,
        root=one.place.root,
        uses=[use.value for use in sorted(one.uses)],
        account=StoreAccount(**{name: getattr(one.account, name) for name in StoreAccount.__struct_fields__}),
        capacity_bytes=one.size.capacity_bytes,
        watermark_percent=one.size.watermark_percent,
        reserved_gb=one.size.reserved_gb,
        has_keys=one.has_keys,
        health=one.health.value,
        checks=_tries(one.checks),
        checked_at=one.checked_at,
        capabilities=can,
        event_token=event_tokens.shown(token),
        created_at=one.created_at,
        changed_at=one.changed_at,
        warnings=[
            *_overlaps([other for other in others if other.id != one.id], one.place),
            *([_UNVERSIONED] if unversioned else []),
        ],
    )


_UNVERSIONED = (
    "the bucket keeps no versions: what somebody puts over a published file, or removes, is gone; its owner can switch "
    "them on"
)


def _tries(found: Sequence[Tried]) -> list[ShownTry]:
    return [ShownTry(tried.action, tried.reason is None, tried.reason) for tried in found]


def _overlaps(others: Sequence[Backend], place: Place) -> list[str]:
    return [
        f"{other.name!r} lies within this place, or has it within: what is in one is in both"
        for other in backends.overlapping(others, place)
    ]


async def _answered(engines: Engines, organization: str, backend_id: UUID, *, status: int = 200) -> Response[bytes]:
    async with engines.database.transaction() as session:
        found = await backends.find(session, organization, backend_id)
        others = await backends.of(session, organization)
        views = await kept_health.of(session, [str(backend_id)])
        tokens = await kept_tokens.of(session, [backend_id])
    told = _shown(found, others, views.get(str(backend_id)), tokens.get(backend_id))
    return shapes.json_response(told, status=status)


@operation(
    "GET",
    "/api/organizations/{organization:str}/backends",
    Operation(
        id="list_backends",
        summary="List the stores that an organization brought",
        description="For its admins, and those of its projects. Beside them there is the catalog's own, `default`.",
        tag="access",
        token=True,
        answers={200: Answer("The backends.", BackendList)},
        problems=(403, 404),
    ),
)
async def list_backends(request: AnyRequest) -> Response[bytes]:
    """List backends."""
    caller = await requests.caller(request)
    engines, organization = requests.engines(request), requests.organization(request)
    async with engines.database.transaction() as session:
        await backends.must_know(session, organization, caller=caller)
        found = await backends.of(session, organization)
        views = await kept_health.of(session, [str(one.id) for one in found])
        tokens = await kept_tokens.of(session, [one.id for one in found])
    told = [_shown(one, found, views.get(str(one.id)), tokens.get(one.id)) for one in found]
    return shapes.json_response(BackendList(told))


@operation(
    "POST",
    "/api/organizations/{organization:str}/backends",
    Operation(
        id="create_backend",
        summary="Connect a store",
        description=(
            "For admins of the organization. Every action that its uses need is tried with these keys first: it is "
            "kept only if all went well, and else answered with 422 and what failed. With `dry_run` it is refused for "
            "the same reasons, and never kept."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        query=CreationQuery,
        body=Body(BackendWanted),
        answers={
            200: Answer("It would be connected; nothing was kept.", Trial),
            201: Answer("Connected, with what was tried.", ShownBackend, headers={"Location": "Its address."}),
        },
        problems=(403, 404, 409, 413, 415, 422),
    ),
)
async def create_backend(request: AnyRequest) -> Response[bytes]:
    """Try a store, and keep it."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, CreationQuery)
    wanted = await requests.sent(request, BackendWanted)
    engines, organization = requests.engines(request), requests.organization(request)
    pair = _pair(wanted.access_key, wanted.secret_key)
    async with engines.database.transaction() as session:
        await backends.must_administer(session, organization, caller=caller, own_identity=pair is None)
    place = _place(request, wanted)
    uses = frozenset(Use(one) for one in wanted.uses)
    async with engines.database.transaction() as session:
        await backends.must_be_free(session, organization, wanted.name, place)
    backend_id = uuid7()
    # Before the store is asked: without a key service nothing could be kept.
    sealed = None if pair is None else await sealing.seal(pair, backend_id, engines.stores.keys)
    since = time.monotonic()
    outcome = await _must_work(engines, place, uses, pair)
    if asked.dry_run:
        async with engines.database.transaction() as session:
            others = await backends.of(session, organization)
        return shapes.json_response(Trial(place.endpoint, _tries(outcome.tried), _overlaps(others, place)))
    async with engines.database.transaction() as session:
        await backends.must_administer(session, organization, caller=caller, own_identity=pair is None)
        await backends.insert(
            session,
            backend_id,
            organization,
            name=wanted.name,
            place=place,
            uses=uses,
            account=Account(**wanted.account.model_dump()),
            size=Size(**wanted.model_dump(include=set(SIZES))),
            checks=outcome.tried,
            caller=caller,
        )
        if sealed is not None:
            await sealing.put(session, backend_id, sealed)
        await health.note(engines, session, str(backend_id), outcome, since=since)
    answer = await _answered(engines, organization, backend_id, status=201)
    answer.headers["Location"] = f"/api/organizations/{organization}/backends/{backend_id}"
    return answer


def _pair(access_key: str | None, secret_key: str | None) -> Pair | None:
    if (access_key is None) != (secret_key is None):
        missing = "access_key" if access_key is None else "secret_key"
        raise Invalid("A key is missing.", faults=[Fault(f"/{missing}", "send both keys, or neither")])
    return None if access_key is None or secret_key is None else Pair(access_key, secret_key)


def _place(request: AnyRequest, wanted: BackendWanted) -> Place:
    try:
        endpoint = guarding.endpoint_of(wanted.endpoint)
    except ValueError as wrong:
        raise Invalid("The endpoint is none.", faults=[Fault("/endpoint", str(wrong))]) from None
    settings = request.app.state.settings
    own = {guarding.endpoint_of(str(one)) for one in (settings.store_url, settings.store_link_url)}
    if endpoint in own and wanted.bucket == settings.store_bucket:
        raise OwnBucket
    return Place(
        endpoint, wanted.region, Addressing(wanted.addressing), wanted.bucket, wanted.prefix, settings.backend_root
    )


async def _must_work(engines: Engines, place: Place, uses: frozenset[Use], pair: Pair | None) -> Outcome:
    try:
        await guarding.must_admit(engines.stores.door, place.endpoint)
    except guarding.EndpointRefused as refused:
        raise Unprocessable("The endpoint is not admitted.", faults=[Fault("/endpoint", refused.detail)]) from None
    outcome = await engines.stores.tried(place, uses, pair, remedy=_REMEDY)
    failed = probing.failures(outcome.tried)
    if failed:
        raise Unprocessable(
            f"{len(failed)} of {len(outcome.tried)} actions failed: {', '.join(one.action for one in failed)}. "
            "Nothing was kept.",
            faults=[Fault("", f"{one.action}: {one.reason}", _SUGGESTION) for one in failed],
        )
    return outcome


_REMEDY = Remedy(keys="these keys", refused="Check the access and secret key", absent="its owner has to make it")
_SUGGESTION = "`catalog backend policy` prints what the keys must be allowed"


@operation(
    "GET",
    "/api/organizations/{organization:str}/backends/{backend_id:str}",
    Operation(
        id="read_backend",
        summary="See a store that an organization brought",
        tag="access",
        token=True,
        answers={200: Answer("The backend.", ShownBackend)},
        problems=(403, 404),
    ),
)
async def read_backend(request: AnyRequest) -> Response[bytes]:
    """Read one backend."""
    caller = await requests.caller(request)
    engines, organization = requests.engines(request), requests.organization(request)
    async with engines.database.transaction() as session:
        await backends.must_know(session, organization, caller=caller)
    return await _answered(engines, organization, requests.object_id(request, "backend_id"))


@operation(
    "PATCH",
    "/api/organizations/{organization:str}/backends/{backend_id:str}",
    Operation(
        id="change_backend",
        summary="Change a store's name, account, keys, or how much it may take",
        description=(
            "A JSON Merge Patch, for admins of the organization. New keys are tried before they replace the old ones. "
            "Where a backend is never changes, because files lie there: connect the other place and choose it."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(BackendChange, MERGE_PATCH),
        answers={200: Answer("The backend as it is now.", ShownBackend)},
        problems=(403, 404, 409, 413, 415, 422),
    ),
)
async def change_backend(request: AnyRequest) -> Response[bytes]:
    """Change a backend."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines, organization = requests.engines(request), requests.organization(request)
    backend_id = requests.object_id(request, "backend_id")
    wanted = requests.parsed(await requests.body(request, media_types=(MERGE_PATCH,)), BackendChange)
    rekeyed = bool({"access_key", "secret_key"} & wanted.model_fields_set)
    pair = _pair(wanted.access_key, wanted.secret_key)
    backend = await _administered(engines, organization, backend_id, caller, own_identity=rekeyed and pair is None)
    _must_stay(backend, wanted)
    sealed = outcome = None
    since = time.monotonic()
    if rekeyed:
        sealed = None if pair is None else await sealing.seal(pair, backend_id, engines.stores.keys)
        outcome = await _must_work(engines, backend.place, backend.uses, pair)
    account = None
    if wanted.account is not None:
        told = wanted.account.model_dump(exclude_unset=True)
        account = {"account_user" if name == "user" else name: value for name, value in told.items()}
    size = wanted.model_dump(include=set(SIZES) & wanted.model_fields_set)
    async with engines.database.transaction() as session:
        await backends.must_administer(session, organization, caller=caller)
        await backends.hold(session, backend_id)
        backend = await backends.find(session, organization, backend_id)
        checks = None if outcome is None else outcome.tried
        await backends.change(
            session, backend, caller=caller, name=wanted.name, account=account, size=size, checks=checks
        )
        if sealed is not None:
            await sealing.put(session, backend_id, sealed)
        elif rekeyed:
            await sealing.remove(session, backend_id)
        if outcome is not None:
            await health.note(engines, session, str(backend_id), outcome, since=since)
    engines.stores.forget(str(backend_id))
    return await _answered(engines, organization, backend_id)


def _must_stay(backend: Backend, wanted: BackendChange) -> None:
    now = {
        "endpoint": backend.place.endpoint,
        "region": backend.place.region,
        "addressing": backend.place.addressing.value,
        "bucket": backend.place.bucket,
        "prefix": backend.place.prefix,
        "uses": sorted(use.value for use in backend.uses),
    }
    told = wanted.model_dump(include=set(now) & wanted.model_fields_set)
    if told.get("uses"):
        told["uses"] = sorted(set(told["uses"]))
    moved = sorted(name for name, value in told.items() if value != now[name])
    if moved:
        raise Fixed(
            f"The {' and '.join(moved)} of a backend cannot change: files lie there, and their locations name it. "
            "Connect the other place as a backend of its own and choose it; `catalog relocate` moves what is here."
        )


async def _administered(
    engines: Engines, organization: str, backend_id: UUID, caller: Caller, *, own_identity: bool = False
) -> Backend:
    async with engines.database.transaction() as session:
        await backends.must_administer(session, organization, caller=caller, own_identity=own_identity)
        return await backends.find(session, organization, backend_id)


@operation(
    "DELETE",
    "/api/organizations/{organization:str}/backends/{backend_id:str}",
    Operation(
        id="delete_backend",
        summary="Disconnect a store",
        description=(
            "For admins of the organization; its keys are removed, and who used it uses the next one. Refused while "
            "files lie there, unless `detach` is true. Nothing is removed from the store itself."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        query=DeletionQuery,
        answers={204: Answer("Disconnected.")},
        problems=(403, 404, 409),
    ),
)
async def delete_backend(request: AnyRequest) -> Response[bytes]:
    """Remove a backend."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, DeletionQuery)
    engines, organization = requests.engines(request), requests.organization(request)
    backend_id = requests.object_id(request, "backend_id")
    async with engines.database.transaction() as session:
        await backends.must_administer(session, organization, caller=caller)
        backend = await backends.find(session, organization, backend_id)
        await detaching.remove(session, backend, even_if_used=asked.detach, caller=caller)
    engines.stores.forget(str(backend_id))
    return Response(b"", status_code=204)


@operation(
    "POST",
    "/api/organizations/{organization:str}/backends/{backend_id:str}/check",
    Operation(
        id="check_backend",
        summary="Try a store again",
        description="For admins of the organization. What is found is kept as its health.",
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        answers={200: Answer("The backend, with what was tried.", ShownBackend)},
        problems=(403, 404),
    ),
)
async def check_backend(request: AnyRequest) -> Response[bytes]:
    """Try a backend, and keep what was found."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines, organization = requests.engines(request), requests.organization(request)
    backend_id = requests.object_id(request, "backend_id")
    backend = await _administered(engines, organization, backend_id, caller)
    async with engines.database.transaction() as session:
        sealed = await sealing.find(session, backend_id)
    since = time.monotonic()
    outcome = await engines.stores.tried_again(backend, sealed)
    async with engines.database.transaction() as session:
        # It may have been disconnected meanwhile.
        await backends.find(session, organization, backend_id)
        await health.note(engines, session, str(backend_id), outcome, since=since)
    engines.stores.forget(str(backend_id))
    return await _answered(engines, organization, backend_id)


@operation(
    "GET",
    "/api/organizations/{organization:str}/backends/{backend_id:str}/policy",
    Operation(
        id="read_backend_policy",
        summary="See the least that a store's keys must be allowed",
        tag="access",
        token=True,
        answers={200: Answer("The policy, to be attached to the user whose keys they are.", POLICY)},
        problems=(403, 404),
    ),
)
async def read_backend_policy(request: AnyRequest) -> Response[bytes]:
    """Write the policy of a backend."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines, organization = requests.engines(request), requests.organization(request)
    backend = await _administered(engines, organization, requests.object_id(request, "backend_id"), caller)
    return shapes.json_response(policies.policy_of(backend.place, backend.uses))


@operation(
    "GET",
    "/api/organizations/{organization:str}/policy",
    Operation(
        id="plan_backend_policy",
        summary="See the least that keys must be allowed, before a store is connected",
        tag="access",
        token=True,
        query=PolicyQuery,
        answers={200: Answer("The policy, to be attached to the user whose keys they are.", POLICY)},
        problems=(403, 404),
    ),
)
async def plan_backend_policy(request: AnyRequest) -> Response[bytes]:
    """Write the policy of a place."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, PolicyQuery)
    async with requests.engines(request).database.transaction() as session:
        await backends.must_administer(session, requests.organization(request), caller=caller)
    root = request.app.state.settings.backend_root
    place = Place("", "", Addressing.PATH, asked.bucket, asked.prefix, root)
    return shapes.json_response(policies.policy_of(place, [Use(one) for one in asked.use]))


ROUTES: list[HTTPRouteHandler] = [
    list_backends,
    create_backend,
    read_backend,
    change_backend,
    delete_backend,
    check_backend,
    read_backend_policy,
    plan_backend_policy,
]
