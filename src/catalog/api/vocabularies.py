"""`/api/vocabularies` and `/api/concepts`: controlled terms, and bringing a scheme to what a SKOS file says."""

import tempfile
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.scopes import Scope
from catalog.api import contract, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import schemes
from catalog.vocabulary import guarding, importing, looking_up, skos, writing
from catalog.vocabulary.importing import Difference
from catalog.vocabulary.looking_up import ConceptView, SchemeView

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
TEXT_CHARS_MAX = 200
CHANGES_SHOWN_MAX = 100
TURTLE_IN_MEMORY_BYTES = 1024 * 1024

ETAG = {"ETag": "The scheme's revision, in quotes."}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": 'The revision the change starts from, as the ETag gave it ("3"). Left out: any.',
    "schema": {"type": "string"},
}
SKOS_FILE: dict[str, Any] = {
    "type": "string",
    "description": (
        f"One skos:ConceptScheme with all its concepts, in any of {', '.join(skos.MEDIA_TYPES)}. It stands for itself: "
        "no DOCTYPE, no owl:imports, no @context elsewhere, not compressed."
    ),
}


class ConceptQuery(BaseModel):
    """Which concepts of a scheme."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARS_MAX)] | None = Field(
        default=None, description="Only concepts with this text in a label of any language, or in a notation."
    )
    top: bool = Field(default=False, description="Only concepts that have no broader one.")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many concepts a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=4_000)


class SchemeQuery(BaseModel):
    """How to tell a vocabulary."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "turtle"] | None = Field(
        default=None, description="json for the facts, turtle for all of it; left out, the Accept header decides."
    )


class ConceptAddress(BaseModel):
    """Which concept."""

    model_config = ConfigDict(extra="forbid")

    uri: Annotated[str, StringConstraints(min_length=1, max_length=skos.URI_CHARS_MAX)] = Field(
        description="The concept's URI."
    )


class ImportQuery(BaseModel):
    """How to import."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Tell the difference and change nothing.")


class Retirement(BaseModel):
    """A concept that is to be used no more."""

    model_config = ConfigDict(extra="forbid", strict=True)

    uri: Annotated[str, StringConstraints(min_length=1, max_length=skos.URI_CHARS_MAX)]
    replaced_by: Annotated[str, StringConstraints(min_length=1, max_length=skos.URI_CHARS_MAX)] | None = None


class ShownScheme(msgspec.Struct, frozen=True):
    """A vocabulary; `deprecated` of its concepts are to be used no more."""

    name: str
    uri: str
    title: str
    description: str
    licence: str | None
    source: str | None
    version: str | None
    revision: int
    concepts: int
    deprecated: int


class SchemeList(msgspec.Struct, frozen=True):
    """All vocabularies."""

    items: list[ShownScheme]


class ShownConcept(msgspec.Struct, frozen=True):
    """A concept: `label` where there is room for one, all of them by language; the key "" is text without one."""

    uri: str
    scheme: str
    label: str
    notations: list[str]
    preferred: dict[str, str]
    alternative: dict[str, list[str]]
    hidden: dict[str, list[str]]
    definitions: dict[str, str]
    broader: list[str]
    narrower: list[str]
    related: list[str]
    exact_matches: list[str]
    deprecated: bool
    replaced_by: str | None


class ConceptPage(msgspec.Struct, frozen=True):
    """Some concepts, and where the next ones begin."""

    items: list[ShownConcept]
    cursor: str | None


class RegrettedImport(msgspec.Struct, frozen=True):
    """Something that was accepted and may be regretted, with the URI of its concept."""

    uri: str
    message: str


class ShownDifference(msgspec.Struct, frozen=True):
    """What an import changes: how many concepts of each fate, and the first of them by URI."""

    scheme: str
    revision: int
    dry_run: bool
    added: int
    changed: int
    retired: int
    unchanged: int
    uris: dict[str, list[str]]
    warnings: list[RegrettedImport]


def _shown_scheme(scheme: SchemeView) -> ShownScheme:
    return ShownScheme(**{name: getattr(scheme, name) for name in ShownScheme.__struct_fields__})


def _shown_concept(concept: ConceptView) -> ShownConcept:
    texts: dict[str, dict[str, list[str]]] = {"preferred": {}, "alternative": {}, "hidden": {}, "notation": {}}
    for kind, language, text in concept.labels:
        texts[kind].setdefault(language, []).append(text)
    return ShownConcept(
        uri=concept.uri,
        scheme=concept.scheme,
        label=concept.label,
        notations=[text for found in texts["notation"].values() for text in found],
        preferred={language: found[0] for language, found in texts["preferred"].items()},
        alternative=texts["alternative"],
        hidden=texts["hidden"],
        definitions=dict(concept.definitions),
        broader=concept.broader,
        narrower=concept.narrower,
        related=concept.related,
        exact_matches=concept.exact_matches,
        deprecated=concept.deprecated,
        replaced_by=concept.replaced_by,
    )


def _shown_difference(name: str, difference: Difference, *, revision: int, dry_run: bool) -> ShownDifference:
    fates: Mapping[str, Sequence[str]] = {
        "added": difference.added,
        "changed": difference.changed,
        "retired": difference.retired,
    }
    return ShownDifference(
        scheme=name,
        revision=revision,
        dry_run=dry_run,
        unchanged=difference.unchanged,
        uris={fate: list(uris[:CHANGES_SHOWN_MAX]) for fate, uris in fates.items()},
        warnings=[RegrettedImport(one.pointer, one.message) for one in difference.warnings[:CHANGES_SHOWN_MAX]],
        **{fate: len(uris) for fate, uris in fates.items()},
    )


@operation(
    "GET",
    "/api/vocabularies",
    Operation(
        id="list_vocabularies",
        summary="List the vocabularies",
        tag="vocabularies",
        scope=None,
        answers={200: Answer("The vocabularies, by name.", SchemeList)},
    ),
)
async def list_vocabularies(request: AnyRequest) -> Response[bytes]:
    """List the vocabularies."""
    return shapes.json_response(await every(request))


async def every(request: AnyRequest) -> SchemeList:
    """Return the vocabularies, by name; the pages read them here too."""
    async with requests.engines(request).database.transaction() as session:
        found = await looking_up.schemes(session)
    return SchemeList([_shown_scheme(scheme) for scheme in found])


async def one(request: AnyRequest, name: str) -> ShownScheme:
    """Return a vocabulary's facts; raises NotFound."""
    async with requests.engines(request).database.transaction() as session:
        return _shown_scheme(await looking_up.scheme(session, name))


@operation(
    "GET",
    "/api/vocabularies/{scheme:str}",
    Operation(
        id="read_vocabulary",
        summary="Read a vocabulary's facts, or all of it as Turtle",
        description="The Turtle has all concepts with all that is kept of them; importing it again changes nothing.",
        tag="vocabularies",
        query=SchemeQuery,
        headers=(contract.IF_NONE_MATCH,),
        scope=None,
        answers={
            200: Answer("The vocabulary.", ShownScheme, headers=ETAG, also=(skos.TURTLE,)),
            304: Answer("Still that revision."),
        },
        problems=(404,),
    ),
)
async def read_vocabulary(request: AnyRequest) -> Response[bytes]:
    """Read one vocabulary."""
    asked = requests.query(request, SchemeQuery)
    as_turtle = asked.format == "turtle" or (
        asked.format is None and request.headers.get("accept", "").partition(";")[0].strip() == skos.TURTLE
    )
    async with requests.engines(request).database.transaction() as session:
        found = await looking_up.scheme(session, request.path_params["scheme"])
    # The same revision is told in two ways.
    tag = f'"{found.revision}{"-turtle" if as_turtle else ""}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers)
    if as_turtle:
        return await _turtle(request, found, headers)
    return shapes.json_response(_shown_scheme(found), headers=headers)


async def _turtle(request: AnyRequest, found: SchemeView, headers: dict[str, str]) -> Response[Any]:
    # First into a file: a reader who takes long holds no transaction open, and memory holds some concepts at a time.
    told = tempfile.SpooledTemporaryFile(TURTLE_IN_MEMORY_BYTES)  # ruff: ignore[SIM115] - closed when it was sent.
    async with requests.engines(request).database.transaction() as session:
        told.write(writing.scheme_text(found).encode())
        async for concept in looking_up.every_concept(session, found.name):
            told.write(writing.concept_text(concept, found.uri).encode())
    told.seek(0)
    return Stream(shapes.blocks(told), media_type=skos.TURTLE, status_code=200, headers=headers)


@operation(
    "PUT",
    "/api/vocabularies/{scheme:str}",
    Operation(
        id="import_vocabulary",
        summary="Bring a vocabulary to what a SKOS file says",
        description=(
            "Concepts that the file no longer has become deprecated; none is removed. All faults are told at once, "
            f"each with the URI of its concept. `uris` lists the first {CHANGES_SHOWN_MAX} of each fate, "
            f"`warnings` the first {CHANGES_SHOWN_MAX} things that were accepted and may be regretted."
        ),
        tag="vocabularies",
        token=True,
        scope=Scope.CURATE,
        query=ImportQuery,
        headers=(IF_MATCH,),
        body=Body(SKOS_FILE, skos.TURTLE),
        answers={200: Answer("What was, or would be, changed.", ShownDifference, headers=ETAG)},
        problems=(403, 409, 412, 413, 415),
    ),
)
async def import_vocabulary(request: AnyRequest) -> Response[bytes]:
    """Import one vocabulary."""
    principal_id = (await requests.caller(request)).must_look_after_all()
    name = request.path_params["scheme"]
    asked = requests.query(request, ImportQuery)
    revisions = requests.revisions(request) if "if-match" in request.headers else None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await requests.body(request, media_types=skos.MEDIA_TYPES, most_bytes=skos.FILE_BYTES_MAX)
    vocabulary = await guarding.read(body, media_type)
    async with requests.engines(request).database.transaction() as session:
        if asked.dry_run:
            difference = await importing.compare(session, name, vocabulary)
        else:
            difference = await schemes.load(
                session,
                name,
                vocabulary,
                digest=importing.digest_of(body),
                by=principal_id,
                revisions=revisions,
            )
        # The database knows: a changed title alone is a new revision too.
        revision = difference.revision if asked.dry_run else (await looking_up.scheme(session, name)).revision
    shown = _shown_difference(name, difference, revision=revision, dry_run=asked.dry_run)
    return shapes.json_response(shown, headers={"ETag": f'"{revision}"'})


@operation(
    "GET",
    "/api/vocabularies/{scheme:str}/concepts",
    Operation(
        id="list_concepts",
        summary="List the concepts of a vocabulary, or find them by a text",
        description="By label. Case and accents do not matter.",
        tag="vocabularies",
        query=ConceptQuery,
        scope=None,
        answers={200: Answer("A page of concepts.", ConceptPage, headers={"Link": "The next page."})},
        problems=(404,),
    ),
)
async def list_concepts(request: AnyRequest) -> Response[bytes]:
    """List concepts."""
    asked = requests.query(request, ConceptQuery)
    told = await concepts(request, request.path_params["scheme"], asked)
    return shapes.json_response(told, headers=dict(requests.next_link(request, told.cursor)))


async def concepts(request: AnyRequest, name: str, asked: ConceptQuery) -> ConceptPage:
    """Return a page of the concepts of a vocabulary; raises NotFound, Invalid for a cursor of another question."""
    bound_to = ("concepts", name, asked.q, asked.top)
    page = requests.paging(request, asked, tuple, *bound_to)
    async with requests.engines(request).database.transaction() as session:
        await looking_up.scheme(session, name)
        found = await looking_up.page(session, name, text=asked.q, top=asked.top, after=page.after, limit=page.one_more)
    items, cursor = page.cut(found, lambda one: (one.label, one.uri))
    return ConceptPage([_shown_concept(concept) for concept in items], cursor)


async def concept(request: AnyRequest, uri: str) -> tuple[ShownConcept, dict[str, str]]:
    """Return a concept, and what those are called that it names, by their URI; raises NotFound."""
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        found = await looking_up.concept(session, uri)
        named = [*found.broader, *found.narrower, *found.related, *found.exact_matches]
        near = await looking_up.names_of(session, [*named, *([found.replaced_by] if found.replaced_by else [])])
    return _shown_concept(found), {known: one.label for known, one in near.items()}


@operation(
    "GET",
    "/api/concepts",
    Operation(
        id="read_concept",
        summary="Read the concept of a URI",
        tag="vocabularies",
        query=ConceptAddress,
        scope=None,
        answers={200: Answer("The concept.", ShownConcept)},
        problems=(404,),
    ),
)
async def read_concept(request: AnyRequest) -> Response[bytes]:
    """Read one concept."""
    asked = requests.query(request, ConceptAddress)
    async with requests.engines(request).database.transaction() as session:
        found = await looking_up.concept(session, asked.uri)
    return shapes.json_response(_shown_concept(found))


@operation(
    "POST",
    "/api/vocabularies/{scheme:str}/retire",
    Operation(
        id="retire_concept",
        summary="Deprecate a concept",
        description="It stays readable, with its replacement if there is one. A later import that has it unchanged "
        "leaves it deprecated.",
        tag="vocabularies",
        token=True,
        scope=Scope.CURATE,
        body=Body(Retirement, example={"uri": "urn:example:old", "replaced_by": "urn:example:new"}),
        answers={200: Answer("The concept as it is now.", ShownConcept, headers=ETAG)},
        problems=(403, 404, 413, 415, 422),
    ),
)
async def retire_concept(request: AnyRequest) -> Response[bytes]:
    """Retire one concept."""
    principal_id = (await requests.caller(request)).must_look_after_all()
    asked = await requests.sent(request, Retirement)
    name = request.path_params["scheme"]
    async with requests.engines(request).database.transaction() as session:
        revision = await schemes.retire(session, name, asked.uri, asked.replaced_by, by=principal_id)
        found = await looking_up.concept(session, asked.uri)
    return shapes.json_response(_shown_concept(found), headers={"ETag": f'"{revision}"'})


ROUTES: list[HTTPRouteHandler] = [
    list_vocabularies,
    read_vocabulary,
    import_vocabulary,
    list_concepts,
    read_concept,
    retire_concept,
]
