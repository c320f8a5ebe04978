"""`/api/objects/{id}/files`: declared bytes, and links to fetch them."""

from typing import Any
from uuid import UUID

from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.access.principals import Caller
from catalog.api import contract, links, objects, requests, shapes
from catalog.api.contract import JSON, Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.errors import Conflict, NotFound
from catalog.objects import reading, validation, verbs
from catalog.objects.reading import Entry, FileView
from catalog.objects.tables import FileState
from catalog.objects.versions import FrozenFile

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


@operation(
    "GET",
    "/api/objects/{object_id:str}/files",
    Operation(
        id="list_files",
        summary="List all files of an object",
        tag="files",
        answers={200: Answer("The files.", shapes.FileList)},
        problems=(404, 410),
    ),
)
async def list_files(request: AnyRequest) -> Response[bytes]:
    """List the files of one object."""
    entry = await objects.read(request, requests.object_id(request), await requests.caller(request))
    return shapes.json_response(shapes.FileList([shapes.shown_file(entry.id, file) for file in entry.files]))


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
        answers={201: Answer("Declared.", shapes.RegisteredObject, headers=objects.ETAG)},
        problems=(403, 404, 410, 412, 413, 415, 428),
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
        files = validation.files_from(sent, prefix=engines.placement.prefix, project=entry.project)
        outcome = await verbs.declare_files(
            session, object_id, files, caller=caller, revisions=revisions, placement=engines.placement
        )
    return objects.registered(request, caller, outcome)


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
    entry, file = await _file(request, caller, base)
    if file.state != FileState.AVAILABLE:
        raise Conflict(f"The bytes of {file.path!r} are {file.state}; only an available file can be downloaded.")
    return redirected(request, caller, entry.id, file)


def redirected(
    request: AnyRequest, caller: Caller, object_id: UUID, file: FileView | FrozenFile, version: int | None = None
) -> Response[bytes]:
    """Send whoever may have the file to its bytes in the store."""
    (link,) = links.downloads(request, caller, now())(object_id, [file], version)
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
        answers={204: Answer("Removed.")},
        problems=(403, 404, 410, 412, 428),
    ),
)
async def remove_file(request: AnyRequest) -> Response[bytes]:
    """Remove one file of an object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        await verbs.remove_file(session, object_id, _path(request), caller=caller, revisions=revisions)
    return Response(b"", status_code=204)


def _path(request: AnyRequest, base: str = "/api/objects") -> str:
    # Litestar's own path parameter would normalise it; the path is kept byte for byte.
    prefix = f"{base}/{request.path_params['object_id']}/files/"
    path: str = request.scope["path"].removeprefix(prefix)
    return path


async def _file(request: AnyRequest, caller: Caller, base: str) -> tuple[Entry, FileView]:
    entry = await objects.read(request, requests.object_id(request), caller)
    path = _path(request, base)
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
