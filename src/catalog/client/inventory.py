"""What backends really hold: scans, files that no object claims, and sums."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from catalog.client.calls import C, Call, Room, get, items, member, quoted, request, said

StageName = Literal["source", "uploaded", "harmonized"]
PAGE_MOST = 200


class Scan(TypedDict):
    """One walk over all that lies in a backend."""

    id: str
    backend: str
    state: Literal["running", "done", "failed"]
    cause: Literal["asked", "interval", "events-lost"]
    files: int
    bytes: int
    added: int
    changed: int
    looks: int
    reason: str | None
    started_at: str
    ended_at: str | None
    href: str


class FoundFile(TypedDict):
    """Bytes in a backend that no object claims; `sha256` is None until somebody asks for it."""

    id: str
    backend: str
    bucket: str
    key: str
    project: str | None
    stage: StageName | None
    size: int
    etag: str
    sha256: str | None
    media_type: str
    modified_at: str
    found_at: str


class FoundPage(TypedDict):
    """Some of these files, newest first; `cursor` asks for the next."""

    items: list[FoundFile]
    cursor: str | None


class Holding(TypedDict):
    """How much there is in one place: claimed by objects and their versions, or not."""

    project: str | None
    backend: str
    backend_name: str
    stage: StageName | None
    claimed: bool
    files: int
    bytes: int


class Accounting(TypedDict):
    """All that lies in the backends of an organization, and of its projects in the catalog's own store."""

    organization: str
    files: int
    bytes: int
    items: list[Holding]


class Inventory(Room[C]):
    """Backends scanned; what was found listed, read for its hash, and added up."""

    @request
    def scan(self, backend: str) -> Call[Scan]:
        """Have a backend scanned, by its id or as `default`; the scan goes on in the background."""
        return Call("POST", "/api/scans", body={"backend": backend}, repeatable=True)

    @request
    def scans(self, backend: str) -> Call[list[Scan]]:
        """Return the last scans of a backend, the newest first."""
        return items("/api/scans", said(backend=backend))

    @request
    def read_scan(self, scan_id: str) -> Call[Scan]:
        """Return how far a scan has come."""
        return get(f"/api/scans/{quoted(scan_id)}")

    @request
    def found(
        self,
        organization: str,
        *,
        backend: str | None = None,
        project: str | None = None,
        stage: StageName | None = None,
        cursor: str | None = None,
    ) -> Call[FoundPage]:
        """Return a page of an organization's files that no object claims."""
        asked = said(backend=backend, project=project, stage=stage, cursor=cursor, limit=PAGE_MOST)
        return get(f"/api/organizations/{quoted(organization)}/discovered", asked)

    @request
    def hash(self, organization: str, files: Sequence[str]) -> Call[int]:
        """Have files that no object claims read for their SHA-256; return how many will be."""
        address = f"/api/organizations/{quoted(organization)}/discovered/hashes"
        return Call("POST", address, body={"files": list(files)}, repeatable=True, read=member("queued"))

    @request
    def adopt(self, object_id: str, files: Mapping[str, str | None], *, etag: str = "*") -> Call[dict[str, Any]]:
        """Make found files an object's, each with its path there or None; raises Problem while one is unread."""
        wanted = [
            {"discovered": one} if path is None else {"discovered": one, "path": path} for one, path in files.items()
        ]
        address = f"/api/objects/{quoted(object_id)}/adoptions"
        return Call("POST", address, body={"files": wanted}, headers={"If-Match": etag})

    @request
    def accounting(self, organization: str) -> Call[Accounting]:
        """Return how much of an organization lies where."""
        return get(f"/api/organizations/{quoted(organization)}/accounting")
