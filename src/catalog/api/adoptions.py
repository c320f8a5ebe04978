"""`/api/objects/{id}/adoptions`: files that lie in a bucket already become an object's, where they are."""

from typing import Annotated
from uuid import UUID

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.api import contract, objects, requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import adopting, discovered
from catalog.objects.adopting import NotReadYet, Wanted
from catalog.objects.metadata import FILES_MAX
from catalog.objects.verbs import Registered


class AdoptedFile(BaseModel):
    """One file that was found."""

    model_config = ConfigDict(extra="forbid", strict=True)

    discovered: Annotated[UUID, Field(strict=False)] = Field(description="Its id in the list of discovered files.")
    path: str | None = Field(
        default=None, min_length=1, max_length=1024, description="Left out, the last part of its key."
    )


class AdoptionWanted(BaseModel):
    """Files that shall become an object's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: Annotated[list[AdoptedFile], Field(min_length=1, max_length=FILES_MAX)]


@operation(
    "POST",
    "/api/objects/{object_id:str}/adoptions",
    Operation(
        id="adopt_files",
        summary="Make files that lie in a bucket already an object's, where they are",
        description=(
            "For whoever may change the object and administers the organization that brought the bucket, or curates "
            "the project beside whose uploads they lie. Nothing is copied. A file that nobody has read yet is refused "
            "with 409 and read in the background: then try again. What is adopted is never removed by the catalog."
        ),
        tag="files",
        token=True,
        headers=(contract.IF_MATCH,),
        body=Body(AdoptionWanted),
        answers={201: Answer("They are the object's.", shapes.RegisteredObject, headers=objects.CHANGED)},
        problems=(403, 404, 409, 410, 412, 413, 415, 428, 507),
    ),
)
async def adopt_files(request: AnyRequest) -> Response[bytes]:
    """Adopt files."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, AdoptionWanted)
    revisions = requests.revisions(request)
    files = [Wanted(one.discovered, one.path) for one in wanted.files]
    database = requests.engines(request).database
    try:
        async with database.transaction() as session:
            entry = await adopting.adopt(session, object_id, files, caller=caller, revisions=revisions)
    except NotReadYet as unread:
        async with database.transaction() as session:
            await discovered.want_hashes(session, unread.files)
        raise
    return await objects.registered(request, caller, Registered(entry, []))


ROUTES: list[HTTPRouteHandler] = [adopt_files]
