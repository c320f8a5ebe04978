"""`/api/objects/{id}/files`: declared bytes, and links to fetch them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access.principals import Caller
from catalog.api import contract, links, objects, requests, shapes, written
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.database import now
from catalog.errors import Conflict, Fault, Invalid, NotFound
from catalog.objects import reading, validation, verbs
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import FileState
from catalog.objects.versions import FrozenFile

# A folder of many small files is had in few requests; each file is some 700 bytes with its link.
PAGE_FILES_MAX = 1_000
FILE_PATH = "/api/objects/{object_id:str}/files/{path:path}"
DECLARATION: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "additionalProperties": False,
    "properties": {
        "files": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["path", "size", "sha256"],
                "additionalProperties": False,
                "properties": {
                    "path": {"type": "string", "minLength": 1},
                    "size": {"type": "integer", "minimum": 0},
                    "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                    "media_type": {"type": "string"},
                },
            },
        }
    },
}


class FilesQuery(BaseModel):
    """How the files of an object are listed."""

    model_config = ConfigDict(extra="forbid")

    links: bool = Field(default=False, description="With a signed link to each that is there.")
    limit: int | None = Field(
        default=None, ge=1, le=PAGE_FILES_MAX, description="How many files a page has at most; left out: all."
    )
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=4_000)


@dataclass(slots=True)
class FilePage:
    """A page of files that is asked for."""

    limit: int
    cursor: str | None


@operation(
    "GET",
    "/api/objects/{object_id:str}/files",
    Operation(
        id="list_files",
        summary="List the files of an object, with links if they are wanted",
        description="All of them at once, unless a limit is said; with `limit` a page tells where the next one begins.",
        tag="files",
        query=FilesQuery,
        answers={200: Answer("The files.", shapes.FileList, headers={"Link": "The next page."})},
        problems=(404, 410),
    ),
)
async def list_files(request: AnyRequest) -> Response[bytes]:
    """List the files of one object."""
    asked = requests.query(request, FilesQuery)
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    cursor = None
    if asked.limit is None:
        if asked.cursor is not None:
            raise Invalid("The query has faults.", faults=[Fault("/limit", "say with a cursor how many files follow")])
        files: Sequence[FileView] = (await objects.read(request, object_id, caller)).files
    else:
        # Bound to what it is for; the limit may be another for every page.
        paged = FilePage(asked.limit, asked.cursor)
        paging = requests.paging(request, paged, str, "files", caller.id, str(object_id), asked.links)
        async with requests.engines(request).database.transaction() as session:
            await reading.find(session, object_id, caller.audience, path="")
            found = await reading.file_page(session, object_id, after=paging.after, limit=paging.one_more)
        files, cursor = paging.cut(found, lambda one: one.path)
    shown = [shapes.shown_file(object_id, file) for file in files]
    if asked.links:
        there = [file for file in files if file.state == FileState.AVAILABLE]
        sign = await links.downloads(request, caller, now(), {file.backend for file in there})
        signed = {file.path: link for file, link in zip(there, sign(object_id, there, None), strict=True)}
        shown = [msgspec.structs.replace(file, link=signed.get(file.path)) for file in shown]
    return shapes.json_response(
        shapes.FileList(shown, cursor if asked.limit is not None else msgspec.UNSET),
        headers={**requests.next_link(request, cursor), **({"Cache-Control": "no-store"} if asked.links else {})},
    )


@operation(
    "POST",
    "/api/objects/{object_id:str}/files",
    Operation(
        id="declare_files",
        summary="Declare more files, or replace some",
        description="A replaced file is served until the new bytes have arrived.",
        tag="files",
        token=True,
        headers=(contract.IF_MATCH,),
        body=Body(DECLARATION),
        answers={201: Answer("Declared.", shapes.RegisteredObject, headers=objects.CHANGED)},
        problems=(403, 404, 409, 410, 412, 413, 415, 428, 507),
    ),
)
async def declare_files(request: AnyRequest) -> Response[bytes]:
    """Declare files of one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    engines = requests.engines(request)
    sent = await requests.body(request, media_types=(JSON,))
    revisions = requests.revisions(request)
    async with engines.database.transaction() as session:
        entry = await reading.find(session, object_id, caller.audience)
        files = validation.files_from(
            sent, kind=reading.kind_of(entry), prefix=engines.placement.prefix, project=entry.project
        )
        outcome = await verbs.declare_files(
            session, object_id, files, caller=caller, revisions=revisions, placement=engines.placement
        )
    return await objects.registered(request, caller, outcome)


@operation(
    "GET",
    FILE_PATH,
    Operation(
        id="download_file",
        summary="Download a file",
        description="Redirects to a signed link of the store that works for a short time; Range is honoured there.",
        tag="files",
        answers={307: Answer("Go there.", headers={"Location": "A signed link."})},
        problems=(404, 409, 410),
    ),
)
async def download_file(request: AnyRequest) -> Response[bytes]:
    """Redirect to a signed link."""
    return await download(request, await requests.caller(request))


async def download(request: AnyRequest, caller: Caller, *, base: str = "/api/objects") -> Response[bytes]:
    """Send this caller to the bytes of the file that the path below `base` names; the pages download through here too.

    Raises NotFound, Gone, Conflict where the bytes are not there.
    """
    entry, file = await found(request, caller, base)
    if file.state != FileState.AVAILABLE:
        raise Conflict(f"The bytes of {file.path!r} are {file.state}; only an available file can be downloaded.")
    return await redirected(request, caller, entry.id, file)


async def redirected(
    request: AnyRequest, caller: Caller, object_id: UUID, file: FileView | FrozenFile, version: int | None = None
) -> Response[bytes]:
    """Send whoever may have the file to its bytes in the store."""
    link = await links.download(request, caller, file, object_id=object_id, version=version, at=now())
    return Response(
        b"",
        status_code=307,
        headers={
            "Location": link.href,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        },
    )


@operation(
    "DELETE",
    FILE_PATH,
    Operation(
        id="remove_file",
        summary="Take a file out of an object",
        tag="files",
        token=True,
        headers=(contract.IF_MATCH,),
        answers={204: Answer("Removed.", headers=written.TOLD)},
        problems=(403, 404, 409, 410, 412, 428),
    ),
)
async def remove_file(request: AnyRequest) -> Response[bytes]:
    """Remove one file of an object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        revision = await verbs.remove_file(session, object_id, _path(request), caller=caller, revisions=revisions)
    return Response(b"", status_code=204, headers=written.token_of(request, caller, object_id, revision))


def _path(request: AnyRequest, base: str = "/api/objects", folder: str = "files") -> str:
    # Litestar's own path parameter would normalise it; the path is kept byte for byte.
    prefix = f"{base}/{request.path_params['object_id']}/{folder}/"
    path: str = request.scope["path"].removeprefix(prefix)
    return path


async def found(request: AnyRequest, caller: Caller, base: str, folder: str = "files") -> tuple[Entry, FileView]:
    """Return the file of an object that the path below `base` names, for who may see it; raises NotFound, Gone."""
    path = _path(request, base, folder)
    # Of thousands of files that one alone; what Postgres cannot hold is nobody's path.
    entry = await objects.read(request, requests.object_id(request), caller, path=path.replace("\0", ""))
    for file in entry.files:
        if file.path == path:
            return entry, file
    raise NotFound(f"The object has no file at {path!r}; GET /api/objects/{entry.id}/files lists them.")


ROUTES: list[HTTPRouteHandler] = [
    list_files,
    declare_files,
    download_file,
    remove_file,
]
