"""Which folders of a project a caller may be given keys to.

A place is written from the project's own folder: `uploads/gateway-7/`, or nothing for all of the project.
"""

from uuid import UUID

from catalog.access.audience import organization_of, reading_all, writing_all
from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.errors import Forbidden

UPLOADS = "uploads"


def must_reach(caller: Caller, project: str, place: str, *, writing: bool, reading: bool) -> UUID:
    """Return the principal's id; raises Unauthenticated, or Forbidden where it may not do this in all of the place.

    Reading everything in a place is for those who see everything in the project: private objects lie there too.
    Writing is for those who register there, into a folder of theirs below `uploads/`, which those who may change
    everything there may choose. No ticket's key lies in such a folder, so nothing that a ticket brought can be replaced
    by way of these keys.
    """
    principal_id = caller.must_be_known()
    if reading:
        caller.must_have(Scope.READ)
    if writing:
        caller.must_have(Scope.REGISTER)
    scopes = (organization_of(project), project)
    if reading and not caller.audience.includes([reading_all(scope) for scope in scopes]):
        raise Forbidden(
            f"Reading everything below a prefix needs the role curator or admin in {project}; ask for links instead."
        )
    if writing:
        caller.must_register(project)
        folder = folder_of(place)
        if folder is None:
            raise Forbidden(
                f"Writing is for a folder of one's own, such as {UPLOADS}/{caller.name}/: elsewhere lies what others "
                "have registered."
            )
        if folder != caller.name and not caller.changes.includes([writing_all(scope) for scope in scopes]):
            raise Forbidden(
                f"{caller.name} may write below {UPLOADS}/{caller.name}/; another folder needs the role curator or "
                f"admin in {project}."
            )
    return principal_id


def folder_of(place: str) -> str | None:
    """Return the folder below `uploads/` that a place is in; None where it is in none, or in that of an object."""
    uploads, _, below = place.partition("/")
    folder = below.partition("/")[0]
    if uploads != UPLOADS or not folder:
        return None
    try:
        UUID(folder)
    except ValueError:
        return folder
    return None
