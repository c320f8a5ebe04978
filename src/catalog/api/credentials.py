"""`/api/credentials`: keys of the store that end by themselves and reach one folder of one project."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access import issued, places
from catalog.access.issued import Issued, What
from catalog.api import problems, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.errors import Fault, Invalid
from catalog.objects.metadata import PROJECT_PATTERN
from catalog.storage import capacity, choices, keys
from catalog.storage.credentials import (
    LIFETIME_DEFAULT,
    LIFETIME_MAX,
    PATTERN_CHARACTERS,
    Access,
    NoTemporaryCredentials,
)
from catalog.storage.keys import OWN, WrongPath

SECONDS_MIN = 1
SECONDS_MAX = int(LIFETIME_MAX.total_seconds())
SECONDS_DEFAULT = int(LIFETIME_DEFAULT.total_seconds())


class CredentialsWanted(BaseModel):
    """Which folder they shall reach, and what for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    project: Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)] = Field(examples=["lab/soil"])
    prefix: Annotated[str, StringConstraints(max_length=keys.KEY_BYTES_MAX)] = Field(
        default="",
        description="A folder of the project, which ends in a slash; left out, all of the project.",
        examples=["uploads/gateway-7/"],
    )
    access: Annotated[list[Literal["read", "write"]], Field(min_length=1, max_length=2)] = Field(
        default=["read"],
        description="Reading is getting and listing; writing is putting, and neither lists, gets nor removes.",
    )
    lifetime_seconds: int = Field(
        default=SECONDS_DEFAULT, ge=SECONDS_MIN, le=SECONDS_MAX, description="How long they work."
    )


class IssuedCredentials(msgspec.Struct, frozen=True):
    """Keys for the S3 API of the store at `endpoint`: they reach `prefix` of `bucket`, until `expires_at`."""

    access_key: str
    secret_key: str
    session_token: str
    endpoint: str
    region: str
    bucket: str
    prefix: str
    access: list[Literal["read", "write"]]
    expires_at: datetime


@operation(
    "POST",
    "/api/credentials",
    Operation(
        id="issue_credentials",
        summary="Get keys of the store for one folder, for a short time",
        description=(
            "Curators and admins of a project may read all of it, and write into any folder below `uploads/` but those "
            "of objects; whoever else registers there may write below `uploads/<their name>/`. Answers 409 where the "
            "store makes no such keys; tickets and links work everywhere."
        ),
        tag="files",
        token=True,
        scope=None,
        body=Body(
            CredentialsWanted, example={"project": "lab/soil", "prefix": "uploads/gateway-7/", "access": ["write"]}
        ),
        answers={201: Answer("The keys, this once.", IssuedCredentials, headers={"Cache-Control": "no-store"})},
        problems=(403, 409, 413, 415, 507),
    ),
)
async def issue_credentials(request: AnyRequest) -> Response[bytes]:
    """Have the store make keys, and note who got them before they are answered."""
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, CredentialsWanted)
    settings, engines = request.app.state.settings, requests.engines(request)
    prefix = _prefix(engines.placement.prefix, wanted)
    access = [one for one in Access if one.value in wanted.access]
    principal_id = places.must_reach(
        caller, wanted.project, wanted.prefix, writing=Access.WRITE in access, reading=Access.READ in access
    )
    if Access.WRITE in access:
        async with engines.database.transaction() as session:
            if await choices.documents_of(session, wanted.project) is not None:
                raise NoTemporaryCredentials(
                    f"What is brought to {wanted.project} goes to a store of its organization, which makes no keys "
                    "for the catalog to hand out. Bring files with tickets (POST /api/objects or /api/uploads)."
                )
        # Nobody tells how much will come by them: none are made where not a byte more may come.
        async with engines.database.transaction() as session:
            await capacity.must_fit(session, OWN, 1, engines.placement.told, at="/access")
    at = now()
    made = await engines.token_service.issue(
        prefix, access=access, until=at + timedelta(seconds=wanted.lifetime_seconds), now=at
    )
    row = Issued(at, problems.request_id.get(), principal_id, _what(access), None, None, [prefix], made.expires_at)
    async with engines.database.transaction() as session:
        await issued.write(session, [row])
    return shapes.json_response(
        IssuedCredentials(
            access_key=made.access_key,
            secret_key=made.secret_key,
            session_token=made.session_token,
            endpoint=str(settings.store_link_url).rstrip("/"),
            region=settings.store_region,
            bucket=engines.placement.bucket,
            prefix=prefix,
            access=[one.value for one in access],
            expires_at=made.expires_at,
        ),
        status=201,
        headers={"Cache-Control": "no-store"},
    )


def _prefix(store_prefix: str, wanted: CredentialsWanted) -> str:
    faults = []
    odd = sorted(set(wanted.prefix) & set(PATTERN_CHARACTERS))
    if odd:
        faults.append(Fault("/prefix", f"leave out {' '.join(odd)}: policies of stores read them as patterns"))
    try:
        prefix = keys.place_of(store_prefix, wanted.project, wanted.prefix)
    except WrongPath as wrong:
        faults.append(Fault("/prefix", wrong.detail))
    if faults:
        raise Invalid("The prefix cannot be granted.", faults=faults)
    return prefix


def _what(access: list[Access]) -> What:
    if len(access) == len(Access):
        return What.READ_AND_WRITE
    return What.READ if access == [Access.READ] else What.WRITE


ROUTES: list[HTTPRouteHandler] = [issue_credentials]
