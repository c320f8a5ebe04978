"""`/api/objects/{id}/members`: what belongs to a bundle, as far as the caller may see it."""

from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.errors import NotFound
from catalog.objects import reading
from catalog.objects.kinds.ecr_bundle import EcrBundle


class ShownMember(msgspec.Struct, frozen=True):
    """A member in its place.

    `there`: an object, shown with kind, title and address. `away`: an object that was withdrawn or that the caller may
    not see, told apart by nobody. `outside`: not an object of this catalog.
    """

    position: int
    state: Literal["there", "away", "outside"]
    member: dict[str, Any]
    kind: str | None
    title: str | None
    href: str | None


class MemberList(msgspec.Struct, frozen=True):
    """All members of a bundle, in their order."""

    items: list[ShownMember]


@operation(
    "GET",
    "/api/objects/{object_id:str}/members",
    Operation(
        id="list_members",
        summary="List the members of a bundle",
        description="Objects among them are resolved as far as the caller may see them.",
        tag="objects",
        answers={200: Answer("The members, in their order.", MemberList)},
        problems=(404, 410),
    ),
)
async def list_members(request: AnyRequest) -> Response[bytes]:
    """List the members of one bundle."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await reading.find(session, object_id, caller.audience)
        metadata = reading.metadata_of(entry)
        if not isinstance(metadata, EcrBundle):
            raise NotFound(f"A {entry.kind} has no members; only an ecr-bundle has.")
        named = [reference.id for reference in metadata.references() if reference.id is not None]
        there = await reading.titles_of(session, named, caller.audience)
    members = entry.record["metadata"]["members"]
    return shapes.json_response(
        MemberList([_shown(position, member, there) for position, member in enumerate(members)]),
        headers={"Vary": "Authorization"},
    )


def _shown(position: int, member: dict[str, Any], there: dict[UUID, tuple[str, str]]) -> ShownMember:
    if member["type"] != "object":
        return ShownMember(position, "outside", member, None, None, None)
    found = there.get(UUID(member["id"]))
    if found is None:
        return ShownMember(position, "away", member, None, None, None)
    kind, title = found
    return ShownMember(position, "there", member, kind, title, f"/api/objects/{member['id']}")


ROUTES: list[HTTPRouteHandler] = [list_members]
