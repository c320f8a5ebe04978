"""Which folders of a project a caller may be given keys to. Roles per project will be asked here, and nowhere else.

A place is written from the project's own folder: `uploads/gateway-7/`, or nothing for all of the project.
"""

from uuid import UUID

from catalog.access.principals import LOOKS_AFTER_ALL, Caller
from catalog.errors import Forbidden

UPLOADS = "uploads"


def must_reach(caller: Caller, place: str, *, writing: bool, reading: bool) -> UUID:
    """Return the principal's id; raises Unauthenticated, or Forbidden where it may not do this in all of the place.

    Reading everything in a place is for those who look after the whole catalog: private objects lie there too. Writing
    is for those who register, into a folder of theirs below `uploads/`, which curators and admins may choose. No
    ticket's key lies in such a folder, so nothing that a ticket brought can be replaced by way of these keys.
    """
    principal_id = caller.must_register()
    looks_after_all = caller.role in LOOKS_AFTER_ALL
    if reading and not looks_after_all:
        raise Forbidden("Reading everything below a prefix needs the role curator or admin; ask for links instead.")
    if writing:
        folder = folder_of(place)
        if folder is None:
            raise Forbidden(
                f"Writing is for a folder of one's own, such as {UPLOADS}/{caller.name}/: elsewhere lies what others "
                "have registered."
            )
        if not looks_after_all and folder != caller.name:
            raise Forbidden(f"{caller.name} may write below {UPLOADS}/{caller.name}/; others need curator or admin.")
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
