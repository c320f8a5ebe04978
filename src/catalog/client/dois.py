"""DOIs of a catalog's objects, and records of others that become objects."""

from collections.abc import Iterator
from typing import Literal, TypedDict
from urllib.parse import quote

from catalog.client.catalog import Catalog
from catalog.client.shapes import Registered

MEDIA_TYPES = {
    ".json": "application/vnd.datacite.datacite+json",
    ".xml": "application/vnd.datacite.datacite+xml",
}
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


def mint(catalog: Catalog, object_id: str, version: int | None = None) -> Doi:
    """Make the DOI of an object or of one of its versions; asked again, it answers the same."""
    place = f"/api/objects/{quote(object_id, safe='')}" + ("" if version is None else f"/versions/{version}")
    answer: Doi = catalog.connection.json("POST", f"{place}/doi", repeatable=True)
    return answer


def check(catalog: Catalog, object_id: str, version: int | None = None) -> Preflight:
    """Tell what stands between an object, or a version, and its DOI."""
    parameters = [] if version is None else [("version", str(version))]
    answer: Preflight = catalog.connection.json(
        "GET", f"/api/objects/{quote(object_id, safe='')}/doi/preflight", parameters=parameters, repeatable=True
    )
    return answer


def show(catalog: Catalog, doi: str) -> Doi:
    """Return where a DOI stands."""
    answer: Doi = catalog.connection.json("GET", f"/api/dois/{quote(doi)}", repeatable=True)
    return answer


def of_object(catalog: Catalog, object_id: str) -> list[Doi]:
    """Return the DOIs of an object and of its versions."""
    answer: dict[str, list[Doi]] = catalog.connection.json(
        "GET", f"/api/objects/{quote(object_id, safe='')}/doi", repeatable=True
    )
    return answer["items"]


def every(catalog: Catalog, *, state: str | None = None, attention: bool = False) -> Iterator[Doi]:
    """Yield the DOIs of what the caller may change; `attention`: only those that failed or were refused."""
    asked = {"state": state, "attention": "true" if attention else None, "limit": "100"}
    parameters = [(name, value) for name, value in asked.items() if value is not None]
    return catalog.connection.pages("/api/dois", parameters)


def retry(catalog: Catalog, doi: str) -> Doi:
    """Have the registry told again of a DOI that failed."""
    answer: Doi = catalog.connection.json("POST", f"/api/dois/{quote(doi)}/retry")
    return answer


def import_record(catalog: Catalog, record: bytes, media_type: str, *, idempotency_key: str, **asked: str) -> Imported:
    """Register a DataCite record; `asked` is what an object must say beside it, as the API names it."""
    answer: Imported = catalog.connection.json(
        "POST",
        "/api/imports/datacite",
        body=record,
        parameters=list(asked.items()),
        headers={"content-type": media_type, "idempotency-key": idempotency_key},
        repeatable=True,
    )
    return answer
