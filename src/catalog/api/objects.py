"""`/api/objects`: register, read, revise, withdraw, list."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.audience import Visibility
from catalog.access.principals import Caller
from catalog.api import contract, links, requests, shapes
from catalog.api import written as wrote
from catalog.api.contract import MERGE_PATCH, Answer, Body, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.database import now
from catalog.doi import describing
from catalog.errors import Invalid
from catalog.exchange.formats import FORMATS
from catalog.exchange.work import Work
from catalog.objects import kinds, reading, remaining, validation, verbs
from catalog.objects.metadata import OBJECT_NAME_PATTERN, PROJECT_PATTERN, printable
from catalog.objects.reading import Entry
from catalog.objects.verbs import Registered

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
REASON_CHARS_MAX = 1_000

ETAG = {"ETag": "The revision, in quotes."}
CHANGED = {**ETAG, **wrote.TOLD}
REGISTRATION: dict[str, Any] = {
    "type": "object",
    "description": "One object. `metadata` depends on the kind: GET /api/kinds/{kind} has the whole JSON Schema.",
    "required": ["kind", "project", "title", "creators", "contact", "metadata"],
    "properties": {
        "kind": {"type": "string", "enum": list(kinds.known())},
        "project": {"type": "string", "pattern": PROJECT_PATTERN},
        "name": {"type": ["string", "null"], "pattern": OBJECT_NAME_PATTERN},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "creators": {"type": "array", "minItems": 1},
        "contact": {"type": "object"},
        "contributors": {"type": "array"},
        "publisher": {"type": ["object", "null"]},
        "titles": {"type": "array"},
        "language": {"type": ["string", "null"]},
        "funding": {"type": "array"},
        "identifiers": {"type": "array"},
        "keywords": {"type": "array"},
        "subjects": {"type": "array"},
        "licence": {"type": ["string", "null"], "description": "An SPDX licence expression."},
        "visibility": {"enum": [one.value for one in Visibility], "default": "private"},
        "embargo_until": {"type": ["string", "null"], "format": "date-time"},
        "dates": {"type": "array"},
        "coverage": {"type": ["object", "null"]},
        "external": {"type": "array"},
        "custom": {"type": "object"},
        "metadata": {"type": "object"},
        "files": {"type": "array"},
    },
    "additionalProperties": False,
}
PATCH: dict[str, Any] = {"type": "object", "description": "A JSON Merge Patch (RFC 7396) of the description."}
EXAMPLE = dict(kinds.known()["training-dataset"].example)


class ListQuery(BaseModel):
    """What a listing of objects may be narrowed to."""

    model_config = ConfigDict(extra="forbid")

    kind: str | None = Field(default=None, description="Only objects of this kind.")
    project: Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)] | None = Field(
        default=None, description="Only objects of this project, written org/project."
    )
    mine: bool = Field(default=False, description="Only objects that belong to the caller.")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many objects a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class Reason(BaseModel):
    """Why something is withdrawn: whoever looks for it is told."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=REASON_CHARS_MAX),
        AfterValidator(printable),
        Field(description="Why it is withdrawn, for whoever looks for it."),
    ]


class ObjectFormat(StrEnum):
    """How an object is written."""

    JSON = "json"
    DATACITE = "datacite"
    DATACITE_XML = "datacite-xml"
    SCHEMA_ORG = "schema-org"
    CSL = "csl"
    BIBTEX = "bibtex"
    RIS = "ris"
    APA = "apa"
    VANCOUVER = "vancouver"


MEDIA_TYPES = {ObjectFormat.JSON: JSON} | {ObjectFormat(name): one.media_type for name, one in FORMATS.items()}
OTHERS = tuple(dict.fromkeys(one.media_type for one in FORMATS.values()))


class ReadQuery(BaseModel):
    """How an object is told."""

    model_config = ConfigDict(extra="forbid")

    format: ObjectFormat | None = Field(
        default=None, description="The catalog's own JSON, or a format of others; left out, the Accept header decides."
    )


def written(work: Work, wanted: ObjectFormat) -> Response[bytes]:
    """Return a work in a format of others."""
    form = FORMATS[wanted]
    return Response(
        form.write(work),
        media_type=form.media_type,
        headers={"Cache-Control": "no-cache", "Vary": "Authorization, Accept"},
    )


def etag(revision: int) -> str:
    """Return the entity tag of a revision."""
    return f'"{revision}"'


async def read(request: AnyRequest, object_id: UUID, caller: Caller, *, path: str | None = None) -> Entry:
    """Return the object as this caller may see it, with `path` that file alone; the pages read through here too."""
    async with requests.engines(request).database.transaction() as session:
        return await reading.find(session, object_id, caller.audience, path=path)


async def drafted(request: AnyRequest, sent: bytes, caller: Caller) -> validation.Draft:
    """Return the draft of a registration; raises Invalid with every fault, those of terms and references too."""
    engines = requests.engines(request)
    try:
        return validation.draft_from(sent, prefix=engines.placement.prefix)
    except validation.Misshapen as wrong:
        async with engines.database.transaction() as session:
            raise await remaining.refusal(session, wrong, caller.audience) from None


async def registered(request: AnyRequest, caller: Caller, outcome: Registered, *, status: int = 201) -> Response[bytes]:
    """Return the answer to a registration, with freshly signed tickets."""
    entry = outcome.entry
    tickets = await links.tickets(request, caller, outcome.uploads, now())
    return shapes.json_response(
        shapes.registered_object(entry, tickets),
        status=status,
        headers={
            "Location": f"/api/objects/{entry.id}",
            "ETag": etag(entry.revision),
            **wrote.token_of(request, caller, entry.id, entry.revision),
            # Tickets are leave to write: no cache may keep them.
            "Cache-Control": "no-store",
        },
    )


@operation(
    "POST",
    "/api/objects",
    Operation(
        id="register_object",
        summary="Register an object and declare its files",
        description="Answers an upload ticket for each declared file. Nothing is recorded when there is any fault.",
        tag="objects",
        token=True,
        headers=(contract.IDEMPOTENCY_KEY,),
        body=Body(REGISTRATION, example=EXAMPLE),
        answers={
            201: Answer(
                "Registered.", shapes.RegisteredObject, headers={"Location": "The object's address.", **CHANGED}
            )
        },
        problems=(403, 409, 410, 413, 415, 422, 507),
    ),
)
async def register_object(request: AnyRequest) -> Response[bytes]:
    """Register one object."""
    caller = await requests.caller(request)
    caller.must_register()
    engines = requests.engines(request)
    sent = await requests.body(request, media_types=(JSON,))
    draft = await drafted(request, sent, caller)
    remember = requests.remember(request, sent)
    outcome = await engines.registrations.register(draft, caller=caller, size_bytes=len(sent), remember=remember)
    return await registered(request, caller, outcome)


@operation(
    "GET",
    "/api/objects",
    Operation(
        id="list_objects",
        summary="List objects, newest first",
        description=f"Each object shows its first {shapes.FILES_SHOWN_MAX} files; `files_total` says how many it has.",
        tag="objects",
        query=ListQuery,
        answers={200: Answer("A page of objects.", shapes.ObjectPage, headers={"Link": "The next page."})},
    ),
)
async def list_objects(request: AnyRequest) -> Response[bytes]:
    """List objects."""
    asked = requests.query(request, ListQuery)
    if asked.kind is not None and asked.kind not in kinds.known():
        raise Invalid("The query has faults.", faults=[kinds.unknown("/kind", asked.kind)])
    caller = await requests.caller(request)
    bound_to = ("objects", caller.id, asked.kind, asked.project, asked.mine)
    page = requests.paging(request, asked, UUID, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        entries = await reading.page(
            session,
            caller.audience,
            kind=asked.kind,
            project=asked.project,
            owner_id=caller.must_be_known() if asked.mine else None,
            after=page.after,
            limit=page.one_more,
            files_most=shapes.FILES_SHOWN_MAX,
        )
    items, cursor = page.cut(entries, lambda one: one.id)
    return shapes.json_response(
        shapes.ObjectPage([shapes.shown_object(entry) for entry in items], cursor),
        headers={**requests.next_link(request, cursor), "Vary": "Authorization"},
    )


@operation(
    "GET",
    "/api/objects/{object_id:str}",
    Operation(
        id="read_object",
        summary="Read an object, as JSON or in a format of others",
        description="DataCite JSON and XML, schema.org's JSON-LD, CSL-JSON, BibTeX, RIS, and lines to cite it by.",
        tag="objects",
        query=ReadQuery,
        headers=(contract.IF_NONE_MATCH,),
        answers={200: Answer("The object.", shapes.ShownObject, also=OTHERS), 304: Answer("Still that revision.")},
        problems=(404, 410),
    ),
)
async def read_object(request: AnyRequest) -> Response[bytes]:
    """Read one object."""
    object_id = requests.object_id(request)
    asked = requests.query(request, ReadQuery)
    caller = await requests.caller(request)
    wanted = asked.format or requests.accepted(request, MEDIA_TYPES) or ObjectFormat.JSON
    if wanted != ObjectFormat.JSON:
        engines = requests.engines(request)
        async with engines.database.transaction() as session:
            entry = await reading.find(session, object_id, caller.audience)
            work = await describing.work_of(session, entry, engines.house, caller.audience)
        return written(work, wanted)
    entry = await read(request, object_id, caller)
    tag = etag(entry.revision)
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Authorization, Accept"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers)
    return shapes.json_response(shapes.shown_object(entry), headers=headers)


@operation(
    "PATCH",
    "/api/objects/{object_id:str}",
    Operation(
        id="revise_object",
        summary="Change an object's description by a merge patch",
        tag="objects",
        token=True,
        headers=(contract.IF_MATCH,),
        body=Body(PATCH, MERGE_PATCH, example={"title": "A better title", "licence": None}),
        answers={200: Answer("The changed object.", shapes.ChangedObject, headers=CHANGED)},
        problems=(403, 404, 409, 410, 412, 413, 415, 422, 428),
    ),
)
async def revise_object(request: AnyRequest) -> Response[bytes]:
    """Revise one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    patch = await requests.body(request, media_types=(MERGE_PATCH,))
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await verbs.revise(session, object_id, patch, caller=caller, revisions=revisions)
    headers = {"ETag": etag(entry.revision), **wrote.token_of(request, caller, entry.id, entry.revision)}
    return shapes.json_response(shapes.changed_object(entry), headers=headers)


@operation(
    "DELETE",
    "/api/objects/{object_id:str}",
    Operation(
        id="withdraw_object",
        summary="Withdraw an object and say why",
        description="It leaves every list and search; reading it then answers 410 with the reason.",
        tag="objects",
        token=True,
        headers=(contract.IF_MATCH,),
        query=Reason,
        answers={204: Answer("Withdrawn.", headers=wrote.TOLD)},
        problems=(403, 404, 410, 412, 428),
    ),
)
async def withdraw_object(request: AnyRequest) -> Response[bytes]:
    """Withdraw one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, Reason)
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        revision = await verbs.withdraw(session, object_id, asked.reason, caller=caller, revisions=revisions)
    return Response(b"", status_code=204, headers=wrote.token_of(request, caller, object_id, revision))


ROUTES: list[HTTPRouteHandler] = [register_object, list_objects, read_object, revise_object, withdraw_object]
