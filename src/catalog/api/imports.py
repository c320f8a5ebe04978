"""`/api/imports`: records of others, registered as objects."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.api import contract, requests, shapes, written
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.objects import CHANGED, drafted, etag
from catalog.api.requests import AnyRequest
from catalog.errors import Fault, Invalid
from catalog.exchange import datacite_import, datacite_xml, subjects
from catalog.exchange.datacite_import import Imported
from catalog.exchange.formats import DATACITE_JSON, DATACITE_XML
from catalog.objects import validation, verbs
from catalog.objects.metadata import OBJECT_NAME_PATTERN, PROJECT_PATTERN
from catalog.provenance import recording

METADATA_CHARS_MAX = 8_000
RECORD: dict[str, Any] = {
    "type": "object",
    "description": "A DataCite record: the attributes alone, or as DataCite's REST API wraps them.",
    "required": ["creators", "titles", "publisher", "publicationYear", "types"],
    "properties": {
        "creators": {"type": "array", "minItems": 1},
        "titles": {"type": "array", "minItems": 1},
        "publisher": {"type": ["string", "object"]},
        "publicationYear": {"type": ["string", "integer"]},
        "types": {"type": "object", "required": ["resourceTypeGeneral"]},
    },
}
EXAMPLE = {
    "doi": "10.5281/zenodo.1234",
    "creators": [{"name": "Rivera, Ana", "nameType": "Personal"}],
    "titles": [{"title": "Cloud cover segmentation, U-Net"}],
    "publisher": {"name": "Elsewhere"},
    "publicationYear": 2024,
    "types": {"resourceTypeGeneral": "Model"},
}


class RecordQuery(BaseModel):
    """What a record of others does not say, and an object must."""

    model_config = ConfigDict(extra="forbid")

    project: Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)] = Field(
        description="Where it is registered, written org/project."
    )
    kind: str = Field(description="What it is here.", max_length=64)
    contact_email: str = Field(description="Whom to ask: DataCite has no mail addresses.", max_length=300)
    contact_name: str | None = Field(
        default=None, description="Left out: the record's contact person, else its first creator.", max_length=300
    )
    name: Annotated[str, StringConstraints(pattern=OBJECT_NAME_PATTERN)] | None = Field(
        default=None, description="What the object is called in its project."
    )
    visibility: Literal["public", "private"] = Field(default="private", description="Who may see it.")
    metadata: str = Field(
        default="{}", description="What only the kind says, as a JSON object.", max_length=METADATA_CHARS_MAX
    )


class LeftOut(msgspec.Struct, frozen=True):
    """Something of the record that has no place in the object: where it stands, and why."""

    pointer: str
    message: str


class ImportedObject(shapes.RegisteredObject, frozen=True, kw_only=True):
    """A registered object, with what was left out of the record that it came from."""

    left_out: list[LeftOut]


@operation(
    "POST",
    "/api/imports/datacite",
    Operation(
        id="import_datacite",
        summary="Register a DataCite record as an object",
        description=(
            "In DataCite's JSON or XML. What is mandatory there and missing is refused with its place; what else has "
            "no place in an object, or fails its check, is left out and named. Related identifiers become relations."
        ),
        tag="objects",
        token=True,
        query=RecordQuery,
        headers=(contract.IDEMPOTENCY_KEY,),
        body=Body(RECORD, media_type=DATACITE_JSON, example=EXAMPLE, also=(DATACITE_XML,)),
        answers={201: Answer("Registered.", ImportedObject, headers={"Location": "The object's address.", **CHANGED})},
        problems=(403, 409, 410, 413, 415, 422, 507),
    ),
)
async def import_datacite(request: AnyRequest) -> Response[bytes]:
    """Register one record."""
    caller = await requests.caller(request)
    caller.must_register()
    engines = requests.engines(request)
    asked = requests.query(request, RecordQuery)
    sent = await requests.body(request, media_types=(DATACITE_JSON, DATACITE_XML))
    is_xml = request.headers.get("content-type", "").lower().startswith(DATACITE_XML)
    taken = (datacite_xml if is_xml else datacite_import).description_from(sent)
    async with engines.database.transaction() as session:
        concepts = await subjects.meant(session, taken.subjects)
    subjects.take(taken, concepts)
    draft = await _drafted(request, asked, taken, caller)
    # What stands in the address belongs to the request as well.
    remember = requests.remember(request, sent + b"\n" + request.scope["query_string"])
    async with engines.database.transaction() as session:
        outcome = await verbs.register(session, draft, caller=caller, placement=engines.placement, remember=remember)
        entry = outcome.entry
        if taken.relations and not outcome.repeated:
            entry = await recording.relate_all(session, entry.id, taken.relations, caller=caller)
    shown = ImportedObject(
        **msgspec.structs.asdict(shapes.registered_object(entry, [])),
        left_out=[LeftOut(fault.pointer, fault.message) for fault in taken.left_out],
    )
    headers = {"Location": f"/api/objects/{entry.id}", "ETag": etag(entry.revision), "Cache-Control": "no-store"}
    headers |= written.token_of(request, caller, entry.id, entry.revision)
    return shapes.json_response(shown, status=201, headers=headers)


async def _drafted(request: AnyRequest, asked: RecordQuery, taken: Imported, caller: Caller) -> validation.Draft:
    """Return the registration; raises Invalid with places in the record and in the query."""
    people = [one["name"] for one in taken.said.get("contributors", ()) if one["contribution"] == "ContactPerson"]
    people += [one["name"] for one in taken.said["creators"]]
    told = taken.said | {
        "kind": asked.kind,
        "project": asked.project,
        "contact": {"name": asked.contact_name or people[0], "email": asked.contact_email},
        "visibility": asked.visibility,
        "metadata": _metadata(asked.metadata),
    }
    if asked.name is not None:
        told["name"] = asked.name
    places = {"/contact/email": "/contact_email", "/contact/name": "/contact_name"}
    try:
        return await drafted(request, msgspec.json.encode(told), caller)
    except Invalid as wrong:
        faults: Sequence[Fault] = wrong.faults
        raise Invalid(
            wrong.detail,
            faults=[
                Fault(places.get(one.pointer) or taken.place_of(one.pointer), one.message, one.suggestion)
                for one in faults
            ],
        ) from None


def _metadata(text: str) -> Any:
    try:
        return validation.json_from(text.encode())
    except Invalid:
        raise Invalid("The query has faults.", faults=[Fault("/metadata", "is no JSON object")]) from None


ROUTES: list[HTTPRouteHandler] = [import_datacite]
