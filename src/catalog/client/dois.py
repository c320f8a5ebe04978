"""DOIs of a catalog's objects, and records of others that become objects."""

from collections.abc import Mapping
from typing import Literal, TypedDict
from urllib.parse import quote

from catalog.client.calls import C, Call, Listing, Room, get, items, object_path, request, said, series
from catalog.client.shapes import Registered

MEDIA_TYPES = {
    ".json": "application/vnd.datacite.datacite+json",
    ".xml": "application/vnd.datacite.datacite+xml",
}
PAGE_LIMIT = 100
State = Literal["reserved", "registering", "findable", "failed", "hidden"]


class Faulty(TypedDict):
    """Something wrong, by its place."""

    pointer: str
    message: str


class Doi(TypedDict):
    """A DOI as it stands."""

    doi: str
    object: str | None
    version: int | None
    snapshot: str | None
    title: str | None
    state: State
    resolves: bool
    page: str
    made_at: str
    changed_at: str
    attempts: int
    reason: str | None
    errors: list[Faulty]


class Preflight(TypedDict):
    """What stands between something and its DOI."""

    doi: str
    ready: bool
    faults: list[Faulty]
    advice: list[Faulty]


class Imported(Registered):
    """A registered object, with what was left out of the record that it came from."""

    left_out: list[Faulty]


class Dois(Room[C]):
    """DOIs made, looked at, and registered anew."""

    @request
    def mint(self, object_id: str, version: int | None = None) -> Call[Doi]:
        """Make the DOI of an object or of one of its versions; asked again, it answers the same."""
        place = object_path(object_id) + ("" if version is None else f"/versions/{version}")
        return Call("POST", f"{place}/doi", repeatable=True)

    @request
    def check(self, object_id: str, version: int | None = None) -> Call[Preflight]:
        """Tell what stands between an object, or a version, and its DOI."""
        return get(f"{object_path(object_id)}/doi/preflight", said(version=version))

    @request
    def show(self, doi: str) -> Call[Doi]:
        """Return where a DOI stands."""
        return get(f"/api/dois/{quote(doi)}")

    @request
    def of_object(self, object_id: str) -> Call[list[Doi]]:
        """Return the DOIs of an object and of its versions."""
        return items(f"{object_path(object_id)}/doi")

    @series
    def every(self, *, state: str | None = None, attention: bool = False) -> Listing[Doi]:
        """Yield the DOIs of what the caller may change; `attention`: only those that failed or were refused."""
        return Listing("/api/dois", said(state=state, attention=attention or None, limit=PAGE_LIMIT))

    @request
    def retry(self, doi: str) -> Call[Doi]:
        """Have the registry told again of a DOI that failed."""
        return Call("POST", f"/api/dois/{quote(doi)}/retry")

    @request
    def import_record(
        self, record: bytes, media_type: str, *, idempotency_key: str, told: Mapping[str, str]
    ) -> Call[Imported]:
        """Register a DataCite record; `told` is what an object must say beside it, as the API names it."""
        return Call(
            "POST",
            "/api/imports/datacite",
            list(told.items()),
            body=record,
            headers={"content-type": media_type, "idempotency-key": idempotency_key},
            repeatable=True,
        )
