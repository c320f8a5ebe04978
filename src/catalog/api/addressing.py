"""How a path names an object: by its id, by a DOI of ours, or by org/project/kind/name; perhaps with @version.

What a DOI says is computed, so it becomes the id before a route is chosen. A name has to be looked up for whoever asks,
which a route does before its handler; until then the name stands in one part of the path, with colons for slashes.
"""

import re
from collections.abc import Awaitable, Callable

from catalog.access.principals import Caller
from catalog.api import requests
from catalog.api.requests import AnyRequest
from catalog.doi import names
from catalog.errors import NotFound
from catalog.objects import kinds, reading
from catalog.objects.metadata import OBJECT_NAME_PATTERN, PROJECT_PATTERN

Who = Callable[[AnyRequest], Awaitable[Caller]]

SPELLINGS = (
    "The object's id. A DOI of it that was made here, or its `org/project/kind/name`, stands for it; the DOI of a "
    "version, or `@version` after the name, for that version."
)

_BEFORE = r"(?P<before>/(?:api/)?objects/)"
# Slashes may be written %2F: this is the path as it was decoded.
_BY_DOI = re.compile(_BEFORE + r"(?P<doi>10[.][0-9.]{4,40}/[0-9A-Za-z.-]{1,60})(?=/|$)")
_ID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PROJECT, _NAME = PROJECT_PATTERN.strip("^$"), OBJECT_NAME_PATTERN.strip("^$")
# What begins with an id is a part of that object, whatever follows.
_BY_NAME = re.compile(
    rf"{_BEFORE}(?!{_ID}/)(?:(?P<project>{_PROJECT})/)?(?P<kind>{'|'.join(kinds.known())})/(?P<name>{_NAME})"
    r"(?:@(?P<version>[A-Za-z0-9][A-Za-z0-9._+-]{0,63}))?(?=/|$)"
)
# How a name stands in one part of a path: with its project, or without one, which is refused.
_PART = re.compile(r"(?:[a-z0-9-]+:[a-z0-9-]+|):[a-z-]+:[a-z0-9._-]+")


def with_one_part(path: str, doi_prefix: str) -> str:
    """Return a path with one part in the place of an object's DOI or name; a version that it says follows as its part.

    What is neither stays as it is, and leads nowhere.
    """
    named = _BY_DOI.match(path) or _BY_NAME.match(path)
    if named is None:
        return path
    told = named.groupdict()
    if "doi" in told:
        subject = names.subject_of(doi_prefix, told["doi"])
        if subject is None:
            return path
        part, version = str(subject.id), None if subject.version is None else str(subject.version)
    else:
        part = ":".join([*(told["project"] or "").split("/"), told["kind"], told["name"]])
        version = told["version"]
    return f"{told['before']}{part}{'' if version is None else f'/versions/{version}'}{path[named.end() :]}"


async def look_up(request: AnyRequest, who: Who = requests.caller) -> None:
    """Put the id in the place of a name in the path; raises NotFound where the caller may see none of it.

    `who` tells who asks, where that is not said by a bearer token.
    """
    part = _named(request)
    if part is None:
        return
    caller = await who(request)
    *project, kind, name = part.split(":")
    if not all(project):
        raise NotFound(f"A name needs its project: write org/project/{kind}/{name}.")
    place = ("/".join(project), kind, name)
    async with requests.engines(request).database.transaction() as session:
        found = await reading.ids_of(session, [place], caller.audience)
    if place not in found:
        raise NotFound(f"There is no object {'/'.join(place)} that you may see.")
    object_id = str(found[place])
    # A new mapping: Litestar hands the one it has read to the next request of the same path.
    request.scope["path_params"] = {**request.path_params, "object_id": object_id}
    # Remembered requests and links to next pages go by the path.
    request.scope["path"] = request.scope["path"].replace(part, object_id, 1)


def _named(request: AnyRequest) -> str | None:
    """Return the name that stands where an id belongs."""
    part = str(request.path_params.get("object_id", ""))
    return part if _PART.fullmatch(part) else None
