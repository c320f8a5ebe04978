"""`/api/objects/{id}/versions`: publish an object, read what was published, compare, withdraw."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.principals import Caller
from catalog.api import contract, files, requests, shapes
from catalog.api import written as wrote
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.objects import CHANGED, ETAG, MEDIA_TYPES, OTHERS, ObjectFormat, Reason, written
from catalog.api.requests import AnyRequest
from catalog.doi import describing
from catalog.errors import Conflict, NotFound
from catalog.objects import describing as terms_of
from catalog.objects import reading, versions
from catalog.objects.metadata import VERSION_LABEL_PATTERN, Prose, Strict
from catalog.objects.reading import Entry
from catalog.objects.tables import FrozenState
from catalog.objects.versions import FrozenFile, Published, VersionView

VERSION = "/api/objects/{object_id:str}/versions/{version:str}"
PUBLISHING_BYTES_MAX = 64 * 1024
# Words that stand for a version already: the newest one, and the object as it is.
TAKEN = frozenset({"latest", "draft"})


def _label(text: str) -> str:
    if text.isdecimal() or text in TAKEN:
        raise ValueError("take a label that is neither a bare number nor latest nor draft, such as 2.1.0 or v2")
    return text


class Publishing(Strict):
    """What to say of a version beside what it holds."""

    label: (
        Annotated[
            str,
            StringConstraints(pattern=VERSION_LABEL_PATTERN),
            AfterValidator(_label),
            Field(description="A name of your own, such as 2.1.0; versions are numbered in any case."),
        ]
        | None
    ) = None
    note: Annotated[Prose, Field(description="What is new in it.")] | None = None


class WhichVersion(BaseModel):
    """Which version is meant."""

    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime | None = Field(
        default=None, description="As it was published at that moment; versions of later are left out of sight."
    )
    format: ObjectFormat | None = Field(
        default=None, description="The catalog's own JSON, or a format of others; left out, the Accept header decides."
    )


class ShownVersion(msgspec.Struct, frozen=True):
    """One version as a list shows it; `reason` says why it was withdrawn."""

    number: int
    label: str | None
    state: Literal["published", "withdrawn"]
    note: str | None
    revision: int
    published_at: datetime
    published_by: str
    withdrawn_at: datetime | None
    reason: str | None
    href: str


class VersionList(msgspec.Struct, frozen=True):
    """All versions, oldest first. `latest`: the newest not withdrawn; `changed`: whether the object differs from it."""

    items: list[ShownVersion]
    latest: int | None
    changed: bool


class ShownFrozenFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file as it was published, and how its bytes stand now.

    `overwritten`: other bytes, or none, lie under its key; the published ones are kept by the store and are what is
    served. `lost`: the store has no longer what was published.
    """

    path: str
    size: int
    sha256: str
    media_type: str
    state: Literal["available", "overwritten", "lost"]
    href: str
    found: shapes.FoundBytes | None = None


class ShownPublished(msgspec.Struct, frozen=True):
    """A version whole: the description as it was published, what its terms are called now, and its files."""

    object: UUID
    kind: str
    schema_version: int
    version: ShownVersion
    description: dict[str, Any]
    terms: dict[str, str]
    files: list[ShownFrozenFile]


class FieldDifference(msgspec.Struct, frozen=True):
    """One field that differs; files stand under `/files` by their paths."""

    pointer: str
    change: Literal["added", "removed", "changed"]
    before: Any
    after: Any


class DifferenceList(msgspec.Struct, frozen=True):
    """What differs between two states of an object."""

    before: str
    after: str
    items: list[FieldDifference]


@operation(
    "GET",
    "/api/objects/{object_id:str}/versions",
    Operation(
        id="list_versions",
        summary="List the versions of an object, oldest first",
        tag="versions",
        answers={200: Answer("The versions.", VersionList, headers=ETAG)},
        problems=(404, 410),
    ),
)
async def list_versions(request: AnyRequest) -> Response[bytes]:
    """List the versions of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        entry, kept = await versions.listed(session, object_id, caller.audience)
        latest = next((one for one in kept if one.number == entry.version), None)
        changed = latest is None or bool(list(versions.between(await versions.read(session, latest), entry)))
    return shapes.json_response(
        VersionList([shown(one) for one in kept], entry.version, changed),
        headers={"ETag": f'"{entry.revision}"', "Cache-Control": "no-cache", "Vary": "Authorization"},
    )


@operation(
    "POST",
    "/api/objects/{object_id:str}/versions",
    Operation(
        id="publish_version",
        summary="Publish an object: freeze what it says and has as its next version",
        description=(
            "All of its bytes must have arrived. A version never changes; each of its files is tied to the store's "
            "version of the bytes and to their hash."
        ),
        tag="versions",
        token=True,
        headers=(contract.IF_MATCH,),
        body=Body(Publishing, example={"label": "2.1.0", "note": "Trained on a second year of images."}),
        answers={201: Answer("Published.", ShownPublished, headers={"Location": "The version's address.", **CHANGED})},
        problems=(403, 404, 409, 410, 412, 413, 415, 422, 428),
    ),
)
async def publish_version(request: AnyRequest) -> Response[bytes]:
    """Publish one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, Publishing, most_bytes=PUBLISHING_BYTES_MAX)
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        published = await versions.publish(
            session, object_id, label=wanted.label, note=wanted.note or None, caller=caller, revisions=revisions
        )
        entry = await reading.find(session, object_id, caller.audience)
        terms = await labels_of(session, entry, published)
    return shapes.json_response(
        shown_whole(published, entry.kind, terms),
        status=201,
        headers={
            "Location": _href(published.version),
            "ETag": f'"{published.version.revision}"',
            **wrote.token_of(request, caller, object_id, published.version.revision),
        },
    )


@operation(
    "GET",
    VERSION,
    Operation(
        id="read_version",
        summary="Read a version: by number, by label, or the latest",
        description="With `at`, `latest` is the one that was the newest at that moment: the object as of a date.",
        tag="versions",
        query=WhichVersion,
        answers={200: Answer("The version.", ShownPublished, also=OTHERS)},
        problems=(404, 410),
    ),
)
async def read_version(request: AnyRequest) -> Response[bytes]:
    """Read one version."""
    asked = requests.query(request, WhichVersion)
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    wanted = asked.format or requests.accepted(request, MEDIA_TYPES) or ObjectFormat.JSON
    if wanted != ObjectFormat.JSON:
        engines = requests.engines(request)
        async with engines.database.transaction() as session:
            entry, kept = await versions.listed(session, object_id, caller.audience)
            published = await versions.read(session, versions.named(object_id, kept, _name(request), at=asked.at))
            work = await describing.work_of(session, entry, engines.house, caller.audience, published=published)
        return written(work, wanted)
    async with requests.engines(request).database.transaction() as session:
        entry, kept = await versions.listed(session, object_id, caller.audience)
        published = await versions.read(session, versions.named(object_id, kept, _name(request), at=asked.at))
        terms = await labels_of(session, entry, published)
    shown = shown_whole(published, entry.kind, terms)
    return shapes.json_response(shown, headers={"Cache-Control": "no-cache", "Vary": "Authorization, Accept"})


async def labels_of(session: AsyncSession, entry: Entry, published: Published) -> dict[str, str]:
    """Return what the terms of a published description are called now."""
    return await terms_of.labels_of(session, reading.kind_of(entry), published.record)


@operation(
    "DELETE",
    VERSION,
    Operation(
        id="withdraw_version",
        summary="Withdraw a version and say why",
        description="It stays in the list with the reason; reading it answers 410. The newest left becomes the latest.",
        tag="versions",
        token=True,
        headers=(contract.IF_MATCH,),
        query=Reason,
        answers={204: Answer("Withdrawn.", headers=wrote.TOLD)},
        problems=(403, 404, 410, 412, 428),
    ),
)
async def withdraw_version(request: AnyRequest) -> Response[bytes]:
    """Withdraw one version."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, Reason)
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        version = await versions.find(session, object_id, _name(request), caller.audience)
        revision = await versions.withdraw(
            session, object_id, version.number, asked.reason, caller=caller, revisions=revisions
        )
    return Response(b"", status_code=204, headers=wrote.token_of(request, caller, object_id, revision))


@operation(
    "GET",
    VERSION + "/diff/{other:str}",
    Operation(
        id="compare_versions",
        summary="Compare a version with another one, field by field",
        description="`draft` stands for the object as it is now, on either side.",
        tag="versions",
        answers={200: Answer("What differs.", DifferenceList)},
        problems=(404, 410),
    ),
)
async def compare_versions(request: AnyRequest) -> Response[bytes]:
    """Compare two states of one object."""
    object_id = requests.object_id(request)
    told = await compared(request, object_id, await requests.caller(request))
    return shapes.json_response(told, headers={"Vary": "Authorization"})


async def compared(request: AnyRequest, object_id: UUID, caller: Caller) -> DifferenceList:
    """Return what differs between the two states that the path names; the pages compare here too.

    Raises NotFound, Gone.
    """
    names = (_name(request), str(request.path_params["other"]))
    async with requests.engines(request).database.transaction() as session:
        entry, kept = await versions.listed(session, object_id, caller.audience)
        before, after = [
            entry if name == "draft" else await versions.read(session, versions.named(object_id, kept, name))
            for name in names
        ]
    items = [FieldDifference(one.pointer, one.change, one.before, one.after) for one in versions.between(before, after)]
    return DifferenceList(_told(before), _told(after), items)


@operation(
    "GET",
    VERSION + "/files/{path:path}",
    Operation(
        id="download_version_file",
        summary="Download a file as it was published",
        description="Redirects to a signed link to exactly the published bytes; 409 when the store has them no longer.",
        tag="versions",
        answers={307: Answer("Go there.", headers={"Location": "A signed link."})},
        problems=(404, 409, 410),
    ),
)
async def download_version_file(request: AnyRequest) -> Response[bytes]:
    """Redirect to a signed link."""
    return await download(request, await requests.caller(request))


async def download(request: AnyRequest, caller: Caller, *, base: str = "/api/objects") -> Response[bytes]:
    """Send this caller to a file as it was published, which the path below `base` names; the pages come here too.

    Raises NotFound, Gone, Conflict where the store has the bytes no longer.
    """
    object_id = requests.object_id(request)
    name = _name(request)
    # Litestar's own path parameter would normalise it; the path is kept byte for byte.
    path = request.scope["path"].removeprefix(f"{base}/{request.path_params['object_id']}/versions/{name}/files/")
    async with requests.engines(request).database.transaction() as session:
        version = await versions.find(session, object_id, name, caller.audience)
        published = await versions.read(session, version)
    file = next((one for one in published.files if one.path == path), None)
    if file is None:
        raise NotFound(f"Version {version.number} has no file at {path!r}; GET {_href(version)} lists them.")
    if file.state == FrozenState.LOST:
        raise Conflict(
            f"The store has no longer the bytes of {path!r} that were published as version {version.number}."
        )
    return await files.redirected(request, caller, object_id, file, version.number)


def _name(request: AnyRequest) -> str:
    return str(request.path_params["version"])


def _href(version: VersionView) -> str:
    return f"/api/objects/{version.object_id}/versions/{version.number}"


def _told(state: Published | reading.Entry) -> str:
    return str(state.version.number) if isinstance(state, Published) else "draft"


def shown(version: VersionView) -> ShownVersion:
    """Return a version as a list shows it."""
    return ShownVersion(
        number=version.number,
        label=version.label,
        state="published" if version.withdrawn_at is None else "withdrawn",
        note=version.note,
        revision=version.revision,
        published_at=version.published_at,
        published_by=version.published_by,
        withdrawn_at=version.withdrawn_at,
        reason=version.reason,
        href=_href(version),
    )


def shown_whole(published: Published, kind: str, terms: Mapping[str, str]) -> ShownPublished:
    """Return a version whole as the wire shows it."""
    version = published.version
    return ShownPublished(
        object=version.object_id,
        kind=kind,
        schema_version=version.schema_version,
        version=shown(version),
        description=published.record,
        terms=dict(terms),
        files=[_shown_file(version, file) for file in published.files],
    )


def _shown_file(version: VersionView, file: FrozenFile) -> ShownFrozenFile:
    return ShownFrozenFile(
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        state=FrozenState(file.state).value,
        href=f"{_href(version)}/files/{shapes.quoted_path(file.path)}",
        found=None if file.found_size is None else shapes.FoundBytes(file.found_size, file.found_sha256),
    )


ROUTES: list[HTTPRouteHandler] = [
    list_versions,
    publish_version,
    read_version,
    withdraw_version,
    compare_versions,
    download_version_file,
]
