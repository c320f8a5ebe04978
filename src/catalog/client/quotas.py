"""How much organizations and projects may hold."""

from collections.abc import Mapping
from typing import TypedDict

from catalog.client.calls import MERGE_PATCH, C, Call, Room, get, quoted, request


class Limits(TypedDict):
    """The most of each; None where there is no limit."""

    objects: int | None
    bytes: int | None
    uploads: int | None


class Use(TypedDict):
    """How much there is."""

    objects: int
    bytes: int
    uploads: int


class Quota(TypedDict):
    """The quota of an organization or a project; `used` for its curators and admins alone."""

    scope: str
    most: Limits
    used: Use | None
    set_by: str | None
    set_at: str | None


class Quotas(Room[C]):
    """Limits looked at and set."""

    @request
    def show(self, scope: str) -> Call[Quota]:
        """Return the quota of an organization, or of a project written organization/project."""
        return get(_address(scope))

    @request
    def change(self, scope: str, wanted: Mapping[str, int | None]) -> Call[Quota]:
        """Limit `objects`, `bytes` or `uploads`; None takes a limit away. For admins of the whole catalog."""
        headers = {"content-type": MERGE_PATCH}
        return Call("PATCH", _address(scope), body=dict(wanted), headers=headers, repeatable=True)


def _address(scope: str) -> str:
    parts = "/".join(quoted(part) for part in scope.split("/", 1))
    return f"/api/{'projects' if '/' in scope else 'organizations'}/{parts}/quota"
