"""`…/doi` and `/api/dois`: make a DOI, see where it stands and what stands in its way, have the registry told again."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access.principals import Caller
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.doi import minting, names
from catalog.doi.minting import DoiView
from catalog.doi.names import Subject
from catalog.doi.tables import PUBLIC, DoiState
from catalog.errors import Fault, Forbidden, NotFound
from catalog.objects import reading, versions

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
DOI = "/api/dois/{prefix:str}/{suffix:str}"


class FieldFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something wrong, by its place."""

    pointer: str
    message: str
    suggestion: str | None = None


class ShownDoi(msgspec.Struct, frozen=True):
    """A DOI as it stands.

    `resolves`: whether it leads anywhere outside this catalog. `reason` and `errors` say why it failed, or why the last
    change of its metadata was refused; they are for those who may change the object.
    """

    doi: str
    object: UUID | None
    version: int | None
    snapshot: UUID | None
    title: str | None
    state: DoiState
    resolves: bool
    page: str
    made_at: datetime
    changed_at: datetime
    attempts: int
    reason: str | None
    errors: list[FieldFault]


class DoiList(msgspec.Struct, frozen=True):
    """The DOIs of an object: its own first, then those of its versions."""

    items: list[ShownDoi]


class DoiPage(msgspec.Struct, frozen=True):
    """Some DOIs, and where the next ones begin."""

    items: list[ShownDoi]
    cursor: str | None


class Preflight(msgspec.Struct, frozen=True):
    """What stands between something and its DOI: `faults` must be mended, `advice` had better be followed."""

    doi: str
    ready: bool
    faults: list[FieldFault]
    advice: list[FieldFault]


class PreflightQuery(BaseModel):
    """What the DOI shall name."""

    model_config = ConfigDict(extra="forbid")

    version: int | None = Field(
        default=None, ge=1, le=999_999_999, description="A version by its number; left out, the object."
    )


class DoisQuery(BaseModel):
    """Which DOIs to list."""

    model_config = ConfigDict(extra="forbid")

    state: DoiState | None = Field(default=None, description="Only those in this state.")
    attention: bool = Field(
        default=False, description="Only those that failed, or whose last change the registry refused."
    )
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


def _shown(request: AnyRequest, view: DoiView, *, whole: bool = True) -> ShownDoi:
    house = requests.engines(request).house
    return ShownDoi(
        doi=view.doi,
        object=view.object_id,
        version=view.version,
        snapshot=view.snapshot_id,
        # What it is called now may be hidden by now; what the registry was told is known to everybody.
        title=view.title if whole else _registered_title(view),
        state=view.state,
        resolves=house.resolves and view.state in PUBLIC,
        page=house.page_of(view.doi),
        made_at=view.created_at,
        changed_at=view.changed_at,
        attempts=view.attempts,
        reason=view.reason if whole else None,
        errors=_faults(view.faults) if whole else [],
    )


def _registered_title(view: DoiView) -> str | None:
    return None if view.registered is None else str(view.registered["titles"][0]["title"])


def _faults(faults: Sequence[Fault]) -> list[FieldFault]:
    return [FieldFault(one.pointer, one.message, one.suggestion) for one in faults]


def version_number(request: AnyRequest) -> int:
    """Return the number of a version in the path; raises NotFound for labels, which may move to another one."""
    text = str(request.path_params["version"])
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:10]) < 10**9 or len(text) > len("999999999"):
        raise NotFound(f"A DOI names a version by its number, and {text[:80]!r} is none.")
    return int(text)


async def _mint(request: AnyRequest, version: int | None) -> Response[bytes]:
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        view, new = await minting.mint(session, object_id, version=version, caller=caller, house=engines.house)
    return made(request, view, new=new)


def made(request: AnyRequest, view: DoiView, *, new: bool) -> Response[bytes]:
    """Return the answer to whoever asked for a DOI."""
    return shapes.json_response(
        _shown(request, view),
        status=201 if new else 200,
        headers={"Location": f"/api/dois/{view.doi}", "Cache-Control": "no-store"},
    )


MADE = {
    201: Answer("Reserved; the registry is told.", ShownDoi, headers={"Location": "The DOI's address."}),
    200: Answer("It was there already.", ShownDoi, headers={"Location": "The DOI's address."}),
}


@operation(
    "POST",
    "/api/objects/{object_id:str}/doi",
    Operation(
        id="mint_doi",
        summary="Make a DOI for an object, whatever its version",
        description=(
            "The object must be public and have a published version. Everything that is missing or malformed is told "
            "at once, and then nothing is reserved. The registry is told afterwards, and again until it answers."
        ),
        tag="dois",
        token=True,
        answers=MADE,
        problems=(403, 404, 410, 422),
    ),
)
async def mint_doi(request: AnyRequest) -> Response[bytes]:
    """Make the DOI of one object."""
    return await _mint(request, None)


@operation(
    "POST",
    "/api/objects/{object_id:str}/versions/{version:str}/doi",
    Operation(
        id="mint_version_doi",
        summary="Make a DOI for one version of an object, by its number",
        tag="dois",
        token=True,
        answers=MADE,
        problems=(403, 404, 410, 422),
    ),
)
async def mint_version_doi(request: AnyRequest) -> Response[bytes]:
    """Make the DOI of one version."""
    return await _mint(request, version_number(request))


@operation(
    "GET",
    "/api/objects/{object_id:str}/doi",
    Operation(
        id="list_object_dois",
        summary="List the DOIs of an object and of its versions",
        description="Who may not change the object sees those that are or were public.",
        tag="dois",
        answers={200: Answer("The DOIs.", DoiList)},
        problems=(404,),
    ),
)
async def list_object_dois(request: AnyRequest) -> Response[bytes]:
    """List the DOIs of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await reading.find_even_withdrawn(session, object_id, caller.audience)
        views = await minting.all_of(session, object_id)
    whole = caller.audience.includes(entry.writers)
    items = [_shown(request, view, whole=whole) for view in views if whole or view.state in PUBLIC]
    return shapes.json_response(DoiList(items), headers={"Cache-Control": "no-cache", "Vary": "Authorization"})


@operation(
    "GET",
    "/api/objects/{object_id:str}/doi/preflight",
    Operation(
        id="check_doi",
        summary="Tell what stands between an object and its DOI",
        tag="dois",
        query=PreflightQuery,
        answers={200: Answer("The faults, and advice.", Preflight)},
        problems=(404, 410),
    ),
)
async def check_doi(request: AnyRequest) -> Response[bytes]:
    """Check one object."""
    object_id = requests.object_id(request)
    asked = requests.query(request, PreflightQuery)
    caller = await requests.caller(request)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        entry = await reading.find(session, object_id, caller.audience)
        if asked.version is not None:
            await versions.find(session, object_id, str(asked.version), caller.audience)
        checked = await minting.check(session, entry, engines.house, asked.version)
    doi = names.doi_of(engines.house.prefix, Subject(object_id, asked.version))
    found = Preflight(doi, not checked.faults, _faults(checked.faults), _faults(checked.advice))
    return shapes.json_response(found, headers={"Cache-Control": "no-cache", "Vary": "Authorization"})


@operation(
    "GET",
    "/api/dois",
    Operation(
        id="list_dois",
        summary="List DOIs with what the registry said of them",
        description="Of the objects that the caller may change: for curators, of all.",
        tag="dois",
        token=True,
        query=DoisQuery,
        answers={200: Answer("A page of DOIs.", DoiPage, headers={"Link": "The next page."})},
    ),
)
async def list_dois(request: AnyRequest) -> Response[bytes]:
    """List DOIs."""
    asked = requests.query(request, DoisQuery)
    caller = await requests.caller(request)
    caller.must_be_known()
    bound_to = ("dois", caller.id, asked.state, asked.attention)
    page = requests.paging(request, asked, str, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        found = await minting.page(
            session,
            caller,
            state=asked.state,
            attention=asked.attention,
            after=page.after,
            limit=page.one_more,
        )
    views, cursor = page.cut(found, lambda one: one.doi)
    return shapes.json_response(
        DoiPage([_shown(request, view) for view in views], cursor),
        headers={**requests.next_link(request, cursor), "Cache-Control": "no-cache", "Vary": "Authorization"},
    )


async def _seen(request: AnyRequest, caller: Caller) -> tuple[DoiView, bool]:
    """Return the DOI in the path, and whether the caller may change what it names; raises NotFound."""
    doi = f"{request.path_params['prefix']}/{request.path_params['suffix']}".lower()
    async with requests.engines(request).database.transaction() as session:
        return await minting.seen(session, doi, caller)


@operation(
    "GET",
    DOI,
    Operation(
        id="read_doi",
        summary="Read where a DOI stands",
        tag="dois",
        answers={200: Answer("The DOI.", ShownDoi)},
        problems=(404,),
    ),
)
async def read_doi(request: AnyRequest) -> Response[bytes]:
    """Read one DOI."""
    caller = await requests.caller(request)
    view, whole = await _seen(request, caller)
    return shapes.json_response(
        _shown(request, view, whole=whole), headers={"Cache-Control": "no-cache", "Vary": "Authorization"}
    )


@operation(
    "POST",
    DOI + "/retry",
    Operation(
        id="retry_doi",
        summary="Have the registry told again of a DOI that failed",
        description="Not needed after the object was mended: that is noticed.",
        tag="dois",
        token=True,
        answers={202: Answer("The registry will be told.", ShownDoi)},
        problems=(403, 404, 409),
    ),
)
async def retry_doi(request: AnyRequest) -> Response[bytes]:
    """Try one DOI again."""
    caller = await requests.caller(request)
    caller.must_be_known()
    view, whole = await _seen(request, caller)
    if not whole:
        raise Forbidden("You may read this DOI, but what it names belongs to another principal.")
    async with requests.engines(request).database.transaction() as session:
        again = await minting.retry(session, view.doi)
    return shapes.json_response(_shown(request, again), status=202)


ROUTES: list[HTTPRouteHandler] = [
    mint_doi,
    mint_version_doi,
    list_object_dois,
    check_doi,
    list_dois,
    read_doi,
    retry_doi,
]
