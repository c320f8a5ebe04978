"""DataCite's JSON attributes as a registration: the way back of `datacite.py`.

What is mandatory there and missing or malformed is refused with its place. What else has no place in our description,
or fails its check, is left out and named: somebody else's record is worth having without one mistyped identifier.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from catalog.errors import Fault
from catalog.exchange.datacite_record import Affiliation, GeoLocation, Party, Record, Subject
from catalog.objects import validation
from catalog.objects.attribution import (
    CONTRIBUTORS_MAX,
    FUNDING_MAX,
    IDENTIFIERS_MAX,
    TITLES_MAX,
    Contributor,
    Funding,
    Language,
    OtherIdentifier,
    OtherTitle,
)
from catalog.objects.metadata import (
    DATES_MAX,
    DESCRIPTION_CHARS_MAX,
    Dated,
    DateType,
    Licence,
    Orcid,
    Ror,
    Spatial,
)
from catalog.provenance.statements import RelationDraft

_CREATIVE_COMMONS = re.compile(
    r"creativecommons[.]org/(?:licenses/(?P<name>by(?:-nc)?(?:-nd|-sa)?)|publicdomain/zero)/(?P<version>[0-9][.][0-9])"
)
_LICENCE_PAGE = re.compile(r"(?:spdx|opensource)[.]org/licenses/(?P<name>[A-Za-z0-9.+-]+?)(?:[.]html|[.]json)?/?$")
_PROPERTIES_LEFT = ("container", "relatedItems", "sizes", "formats", "version")
RELATIONS_TAKEN_MAX = 100


@dataclass(slots=True)
class Imported:
    """A record as a registration: `said` is its part of the draft, `relations` what it says of others."""

    said: dict[str, Any] = field(default_factory=dict)
    relations: list[RelationDraft] = field(default_factory=list)
    left_out: list[Fault] = field(default_factory=list)
    # What it is about, by where that stood; `subjects.take` puts it into the draft, as concepts and as keywords.
    subjects: dict[str, Subject] = field(default_factory=dict)
    # Where in the record each part of the draft stood, by JSON pointers.
    places: dict[str, str] = field(default_factory=dict)

    def place_of(self, pointer: str) -> str:
        """Return where in the record that stands which is at this place of the draft."""
        at = pointer
        while at and at not in self.places:
            at = at.rpartition("/")[0]
        return self.places[at] if at else pointer

    def leave(self, pointer: str, why: str) -> None:
        """Note something that is not taken over."""
        self.left_out.append(Fault(pointer, why))

    def append(self, name: str, value: Any, *, pointer: str, most: int) -> None:
        """Add one thing to a list of the draft, or leave it out where the list is full."""
        held = self.said.setdefault(name, [])
        if len(held) >= most:
            self.leave(pointer, f"an object has at most {most} {name}")
            return
        self.places[f"/{name}/{len(held)}"] = pointer
        held.append(value)


def description_from(body: bytes) -> Imported:
    """Return what a record in DataCite's JSON says, bare or as the REST API wraps it; raises Invalid."""
    raw = validation.json_from(body)
    wrapped = isinstance(raw, dict) and isinstance(raw.get("data"), dict) and "attributes" in raw["data"]
    return description_of(raw["data"]["attributes"] if wrapped else raw)


def description_of(raw: Any) -> Imported:
    """Return what DataCite attributes say; raises Invalid with every fault."""
    try:
        record = Record.model_validate(raw)
    except ValidationError as wrong:
        faults = validation.Faults()
        faults.add_from(wrong, raw, Record)
        raise faults.refusal("DataCite record") from None
    taken = Imported()
    for name in _PROPERTIES_LEFT:
        if raw.get(name):
            taken.leave(f"/{name}", "has no place in an object's description")
    _take_titles(taken, record)
    taken.said["creators"] = [
        _party(taken, party, f"/creators/{number}") for number, party in enumerate(record.creators)
    ]
    taken.places["/creators"] = "/creators"
    taken.said["publisher"] = _publisher(taken, record)
    taken.places["/publisher"] = "/publisher"
    _take_dates(taken, record)
    _take_contributors(taken, record)
    taken.subjects = {f"/subjects/{place}": one for place, one in enumerate(record.subjects)}
    _take_rights(taken, record)
    _take_descriptions(taken, record)
    _take_places(taken, record)
    _take_identifiers(taken, record)
    _take_funding(taken, record)
    _take_relations(taken, record)
    return taken


def why(wrong: ValidationError) -> str:
    """Return what a check found wrong, to stand after a place."""
    error = wrong.errors(include_url=False, include_input=False)[0]
    told = str(error["ctx"]["error"]) if error["type"] == "value_error" else str(error["msg"])
    return told[0].lower() + told[1:]


def _append(
    taken: Imported, name: str, model: type[BaseModel], value: Mapping[str, Any], *, pointer: str, most: int
) -> None:
    """Add one thing to a list of the draft, or leave it out with the reason."""
    told = {key: one for key, one in value.items() if one is not None}
    try:
        model.model_validate_json(msgspec.json.encode(told))
    except ValidationError as wrong:
        taken.leave(pointer, why(wrong))
        return
    taken.append(name, told, pointer=pointer, most=most)


_checks: dict[str, TypeAdapter[Any]] = {
    "orcid": TypeAdapter(Orcid),
    "ror": TypeAdapter(Ror),
    "licence": TypeAdapter(Licence),
    "language": TypeAdapter(Language),
}


def _checked(taken: Imported, check: str, text: str | None, pointer: str) -> str | None:
    """Return an identifier that passes its check; one that does not is left out."""
    if text is None:
        return None
    try:
        value: str = _checks[check].validate_python(text.strip().rstrip("/"))
    except ValidationError as wrong:
        taken.leave(pointer, why(wrong))
        return None
    return value


def _take_titles(taken: Imported, record: Record) -> None:
    first = next((place for place, one in enumerate(record.titles) if one.title_type is None), 0)
    taken.said["title"] = record.titles[first].title
    taken.places["/title"] = f"/titles/{first}/title"
    for place, one in enumerate(record.titles):
        if place != first:
            other = {"title": one.title, "type": one.title_type or "AlternativeTitle", "language": one.lang}
            _append(taken, "titles", OtherTitle, other, pointer=f"/titles/{place}", most=TITLES_MAX)
    language = _checked(taken, "language", record.language, "/language")
    if language is not None:
        taken.said["language"] = language


def _party(taken: Imported, party: Party, pointer: str) -> dict[str, Any]:
    """Return a person or organization with the identifiers that pass their checks."""
    found: dict[str, str] = {}
    for place, one in enumerate(party.name_identifiers):
        at = f"{pointer}/nameIdentifiers/{place}"
        scheme = one.name_identifier_scheme.upper()
        if scheme not in {"ORCID", "ROR"} or scheme.lower() in found:
            taken.leave(at, "of the identifiers of a name, one ORCID iD or one ROR id is kept")
            continue
        value = _checked(taken, scheme.lower(), one.name_identifier, at)
        if value is not None:
            found[scheme.lower()] = value
    organization = party.name_type == "Organizational" or (party.name_type is None and "ror" in found)
    for wrong in ("orcid",) if organization else ("ror",):
        if found.pop(wrong, None) is not None:
            taken.leave(f"{pointer}/nameIdentifiers", "a person has an ORCID iD, an organization a ROR id")
    told: dict[str, Any] = {"type": "organization" if organization else "person", "name": party.whole_name, **found}
    affiliations = party.affiliation
    if affiliations and organization:
        taken.leave(f"{pointer}/affiliation", "an organization has no affiliation")
    elif affiliations:
        told["affiliation"] = _affiliation(taken, affiliations[0], f"{pointer}/affiliation/0")
        for place in range(1, len(affiliations)):
            taken.leave(f"{pointer}/affiliation/{place}", "the first affiliation is kept")
    return told


def _affiliation(taken: Imported, one: Affiliation, pointer: str) -> dict[str, str]:
    told = {"name": one.name}
    if one.affiliation_identifier is None:
        return told
    at = f"{pointer}/affiliationIdentifier"
    if (one.affiliation_identifier_scheme or "").upper() != "ROR" and "ror.org/" not in one.affiliation_identifier:
        taken.leave(at, "of the identifiers of an affiliation, a ROR id is kept")
        return told
    ror = _checked(taken, "ror", one.affiliation_identifier, at)
    return told if ror is None else told | {"ror": ror}


def _publisher(taken: Imported, record: Record) -> dict[str, str]:
    told = {"name": record.publisher.name}
    identifier = record.publisher.publisher_identifier
    if identifier is not None and "ror.org/" in identifier:
        ror = _checked(taken, "ror", identifier, "/publisher/publisherIdentifier")
        told |= {} if ror is None else {"ror": ror}
    elif identifier is not None:
        taken.leave("/publisher/publisherIdentifier", "of the identifiers of a publisher, a ROR id is kept")
    return told


def _take_dates(taken: Imported, record: Record) -> None:
    issued = [one.date[:4] for one in record.dates if one.date_type == DateType.ISSUED]
    if not issued or issued[0] != record.publication_year:
        # The year is mandatory, and with us it is that of the first date of issue.
        year = {"type": DateType.ISSUED.value, "date": record.publication_year}
        _append(taken, "dates", Dated, year, pointer="/publicationYear", most=DATES_MAX)
    for place, one in enumerate(record.dates):
        dated = {"type": one.date_type, "date": one.date, "information": one.date_information}
        _append(taken, "dates", Dated, dated, pointer=f"/dates/{place}", most=DATES_MAX)


def _take_contributors(taken: Imported, record: Record) -> None:
    for place, one in enumerate(record.contributors):
        pointer = f"/contributors/{place}"
        told = _party(taken, one, pointer) | {"contribution": one.contributor_type}
        _append(taken, "contributors", Contributor, told, pointer=pointer, most=CONTRIBUTORS_MAX)


def _take_rights(taken: Imported, record: Record) -> None:
    for place, one in enumerate(record.rights_list):
        pointer = f"/rightsList/{place}"
        licence = _licence_named(one.rights_identifier, one.rights_uri, one.rights)
        if licence is None:
            taken.leave(pointer, "names no licence that SPDX knows")
        elif taken.said.setdefault("licence", licence) != licence:
            taken.leave(pointer, "an object has one licence expression; the first is kept")
        taken.places.setdefault("/licence", pointer)


def _licence_named(identifier: str | None, address: str | None, text: str | None) -> str | None:
    """Return the licence by its SPDX identifier, else by its well-known address, else by its text."""
    candidates = [identifier]
    commons = _CREATIVE_COMMONS.search(address or "")
    if commons is not None:
        candidates.append(f"CC-{commons['name'].upper()}-{commons['version']}" if commons["name"] else "CC0-1.0")
    page = _LICENCE_PAGE.search(address or "")
    candidates += [page["name"] if page else None, text]
    for candidate in candidates:
        if candidate:
            try:
                licence: str = _checks["licence"].validate_python(candidate)
            except ValidationError:
                continue
            return licence
    return None


def _take_descriptions(taken: Imported, record: Record) -> None:
    for place, one in enumerate(record.descriptions):
        pointer = f"/descriptions/{place}"
        if one.description_type != "Abstract" or "description" in taken.said:
            taken.leave(pointer, "of the descriptions, the first abstract is kept")
        elif len(one.description) > DESCRIPTION_CHARS_MAX:
            taken.leave(pointer, f"a description has at most {DESCRIPTION_CHARS_MAX:,} characters")
        else:
            taken.said["description"] = one.description
            taken.places["/description"] = pointer


def _take_places(taken: Imported, record: Record) -> None:
    for place, one in enumerate(record.geo_locations):
        pointer = f"/geoLocations/{place}"
        if one.geo_location_polygon:
            taken.leave(f"{pointer}/geoLocationPolygon", "a place is kept by its name, a point and a box")
        spatial = _spatial(one)
        if not spatial:
            continue
        if "coverage" in taken.said:
            taken.leave(pointer, "an object has one place; the first is kept")
            continue
        try:
            Spatial.model_validate_json(msgspec.json.encode(spatial))
        except ValidationError as wrong:
            taken.leave(pointer, why(wrong))
            continue
        taken.said["coverage"] = {"spatial": spatial}
        taken.places["/coverage"] = pointer


def _spatial(one: GeoLocation) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if one.geo_location_place:
        told["place"] = one.geo_location_place
    if one.geo_location_point is not None:
        point = one.geo_location_point
        told["point"] = {"latitude": point.point_latitude, "longitude": point.point_longitude}
    if one.geo_location_box is not None:
        box = one.geo_location_box
        told["box"] = {
            "west": box.west_bound_longitude,
            "east": box.east_bound_longitude,
            "south": box.south_bound_latitude,
            "north": box.north_bound_latitude,
        }
    return told


def _take_identifiers(taken: Imported, record: Record) -> None:
    if record.doi:
        _append(
            taken,
            "identifiers",
            OtherIdentifier,
            {"type": "DOI", "value": record.doi},
            pointer="/doi",
            most=IDENTIFIERS_MAX,
        )
    for place, one in enumerate(record.identifiers):
        told = {"type": one.identifier_type, "value": one.identifier}
        _append(taken, "identifiers", OtherIdentifier, told, pointer=f"/identifiers/{place}", most=IDENTIFIERS_MAX)
    for place, other in enumerate(record.alternate_identifiers):
        told = {"type": other.alternate_identifier_type, "value": other.alternate_identifier}
        _append(
            taken, "identifiers", OtherIdentifier, told, pointer=f"/alternateIdentifiers/{place}", most=IDENTIFIERS_MAX
        )


def _take_funding(taken: Imported, record: Record) -> None:
    for place, one in enumerate(record.funding_references):
        pointer = f"/fundingReferences/{place}"
        told: dict[str, Any] = {"funder": one.funder_name, "award": one.award_number, "title": one.award_title}
        told["url"] = one.award_uri
        identifier = (one.funder_identifier or "").strip()
        if one.funder_identifier_type == "ROR":
            told["ror"] = _checked(taken, "ror", identifier, f"{pointer}/funderIdentifier")
        elif one.funder_identifier_type == "Crossref Funder ID":
            # Some write the address twice; what follows the last one is the identifier.
            told["doi"] = "10." + identifier.rpartition("10.")[2] if "10." in identifier else None
        elif identifier:
            taken.leave(f"{pointer}/funderIdentifier", "of the identifiers of a funder, a ROR id or DOI is kept")
        _append(taken, "funding", Funding, told, pointer=pointer, most=FUNDING_MAX)


def _take_relations(taken: Imported, record: Record) -> None:
    seen = set()
    for place, one in enumerate(record.related_identifiers):
        pointer = f"/relatedIdentifiers/{place}"
        identifier = {"type": one.related_identifier_type, "value": one.related_identifier.strip()}
        try:
            draft = RelationDraft.model_validate_json(
                msgspec.json.encode({"type": one.relation_type, "identifier": identifier})
            )
        except ValidationError as wrong:
            taken.leave(pointer, why(wrong))
            continue
        if len(taken.relations) >= RELATIONS_TAKEN_MAX:
            taken.leave(pointer, f"of the related identifiers, the first {RELATIONS_TAKEN_MAX} are kept")
        elif draft.identifier is not None and (draft.type, draft.identifier.type, draft.identifier.value) not in seen:
            seen.add((draft.type, draft.identifier.type, draft.identifier.value))
            taken.relations.append(draft)
