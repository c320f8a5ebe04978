"""Objects and what becomes of them: registered, changed, published, withdrawn; their versions, history and quality."""

import uuid
from collections.abc import Mapping
from typing import Any, cast

from catalog.client.calls import (
    MERGE_PATCH,
    C,
    Call,
    Listing,
    Room,
    Steps,
    get,
    if_match,
    items,
    nothing,
    object_path,
    quoted,
    request,
    said,
    series,
)
from catalog.client.shapes import (
    Change,
    DifferenceList,
    Kind,
    KindSummary,
    Object,
    PastRevision,
    PublishedVersion,
    Quality,
    Registered,
    VersionList,
)
from catalog.errors import Invalid

PAGE_LIMIT = 100


class Objects(Room[C]):
    """The catalog's entries."""

    @series
    def objects(
        self, *, kind: str | None = None, project: str | None = None, mine: bool = False, limit: int = PAGE_LIMIT
    ) -> Listing[Object]:
        """Yield every object that may be seen, newest first, straight from the record; each with its first files."""
        return Listing("/api/objects", said(kind=kind, project=project, mine=mine or None, limit=limit))

    @request
    def get(self, object_id: str) -> Steps[Object]:
        """Return an object with all its files, by its id, a DOI of it, or org/project/kind/name."""
        answer = yield get(object_path(object_id))
        if "object" in answer:
            raise Invalid(
                f"{object_id} names version {answer['version']['number']} of the object {answer['object']}, and this "
                "is for objects; leave the version out."
            )
        return cast("Object", answer)

    @request
    def named(self, name: str) -> Call[Object | PublishedVersion]:
        """Return what an id, a DOI, or org/project/kind/name names; with @version after it, that version."""
        return get(object_path(name))

    @request
    def register(self, draft: Mapping[str, Any], *, idempotency_key: str | None = None) -> Call[Registered]:
        """Register an object, once: repeated with the same key, it answers what it made the first time."""
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
        return Call("POST", "/api/objects", body=draft, headers=headers, repeatable=True)

    @request
    def patch(self, object_id: str, changes: Mapping[str, Any], *, revision: int) -> Call[Object]:
        """Change an object by a merge patch (RFC 7396), unless it has moved on from that revision."""
        headers = {"content-type": MERGE_PATCH} | if_match(revision)
        return Call("PATCH", object_path(object_id), body=changes, headers=headers)

    @request
    def withdraw(self, object_id: str, reason: str, *, revision: int) -> Call[None]:
        """Withdraw an object and say why, unless it has moved on from that revision."""
        asked = said(reason=reason)
        return Call("DELETE", object_path(object_id), asked, headers=if_match(revision), read=nothing)

    @request
    def publish(
        self, object_id: str, *, revision: int, label: str | None = None, note: str | None = None
    ) -> Call[PublishedVersion]:
        """Freeze an object as its next version, unless it has moved on from that revision."""
        body = dict(said(label=label, note=note))
        return Call("POST", f"{object_path(object_id)}/versions", body=body, headers=if_match(revision))

    @request
    def versions(self, object_id: str) -> Call[VersionList]:
        """Return all versions of an object, oldest first, withdrawn ones too."""
        return get(f"{object_path(object_id)}/versions")

    @request
    def version(
        self, object_id: str, version: int | str = "latest", *, at: str | None = None
    ) -> Call[PublishedVersion]:
        """Return a version by its number, its label, or the latest; `at` a moment: the latest of then."""
        return get(_version(object_id, version), said(at=at))

    @request
    def compare(self, object_id: str, before: int | str, after: int | str = "draft") -> Call[DifferenceList]:
        """Return what differs between two versions, field by field; `draft` is the object as it stands."""
        return get(f"{_version(object_id, before)}/diff/{quoted(after)}")

    @request
    def withdraw_version(self, object_id: str, version: int | str, reason: str, *, revision: int) -> Call[None]:
        """Withdraw one version and say why, unless the object has moved on from that revision."""
        asked = said(reason=reason)
        return Call("DELETE", _version(object_id, version), asked, headers=if_match(revision), read=nothing)

    @request
    def quality(self, object_id: str) -> Call[Quality]:
        """Return how good an object's record is, check by check, and how to mend it."""
        return get(f"{object_path(object_id)}/quality")

    @series
    def history(self, object_id: str, *, until: str | None = None) -> Listing[Change]:
        """Yield what an object went through, newest first; for those who may change it."""
        return Listing(f"{object_path(object_id)}/history", said(until=until))

    @request
    def revision(self, object_id: str, revision: int) -> Call[PastRevision]:
        """Return the description of an object as it read at a revision; for those who may change it."""
        return get(f"{object_path(object_id)}/history/{revision}")

    @request
    def kinds(self) -> Call[list[KindSummary]]:
        """Return what an object can be."""
        return items("/api/kinds")

    @request
    def kind(self, name: str) -> Call[Kind]:
        """Return a kind with its JSON Schema and an example."""
        return get(f"/api/kinds/{quoted(name)}")

    @request
    def openapi(self) -> Call[dict[str, Any]]:
        """Return the OpenAPI document of the API."""
        return get("/schema/openapi.json")


def _version(object_id: str, version: int | str) -> str:
    return f"{object_path(object_id)}/versions/{quoted(version)}"
