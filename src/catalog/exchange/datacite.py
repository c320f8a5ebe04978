"""A work as DataCite's JSON attributes (Metadata Schema 4.6). `docs/formats.md` lists which properties are mapped."""

import re
from collections.abc import Mapping
from typing import Any

from catalog.exchange.work import GENRES, Work, family_and_given
from catalog.objects.metadata import DateType
from catalog.vocabulary.looking_up import Named

SCHEMA = "http://datacite.org/schema/kernel-4"
SPDX = "https://spdx.org/licenses/"
_PLAIN_LICENCE = re.compile(r"[A-Za-z0-9.+-]+")


def datacite_from(work: Work) -> dict[str, Any]:
    """Return the attributes that DataCite's REST API takes for a DOI (4.6; property names as its JSON has them)."""
    record = work.record
    publisher = record.get("publisher") or {"name": work.publisher}
    attributes: dict[str, Any] = {
        "doi": work.doi or _own_doi(record),
        "types": {"resourceTypeGeneral": work.genre.datacite, "resourceType": work.kind_title},
        "creators": [_party_from(creator) for creator in work.creators],
        "titles": [{"title": work.title}, *(_title_from(title) for title in record.get("titles") or ())],
        "publisher": {"name": publisher["name"]} | _identified(publisher.get("ror"), "publisherIdentifier"),
        "publicationYear": int(work.year),
        "subjects": [
            *({"subject": keyword} for keyword in work.keywords),
            *(_subject_from(one) for one in work.concepts),
        ],
        "contributors": [
            _party_from(one) | {"contributorType": one["contribution"]} for one in record.get("contributors") or ()
        ],
        "dates": _dates_from(record),
        "language": record.get("language"),
        "alternateIdentifiers": [
            {"alternateIdentifierType": one["type"], "alternateIdentifier": one["value"]}
            for one in record.get("identifiers") or ()
            if work.doi or one != {"type": "DOI", "value": _own_doi(record)}
        ],
        "relatedIdentifiers": [
            {
                "relatedIdentifierType": one.identifier_type,
                "relatedIdentifier": one.identifier,
                "relationType": one.relation,
            }
            for one in work.related
        ],
        "sizes": [f"{sum(part.size for part in work.files)} bytes"] if work.files else [],
        "formats": sorted({part.media_type for part in work.files}),
        "version": work.version,
        "rightsList": _rights_from(record.get("licence")),
        "descriptions": [{"description": record["description"], "descriptionType": "Abstract"}]
        if record.get("description")
        else [],
        "geoLocations": _places_from((record.get("coverage") or {}).get("spatial") or {}),
        "fundingReferences": [_funding_from(one) for one in record.get("funding") or ()],
        "url": work.address,
        "schemaVersion": SCHEMA,
    }
    return {name: value for name, value in attributes.items() if value not in (None, [])}


def resource_type_of(work: Work) -> str | None:
    """Return DataCite's general type for the work's kind; none where nobody has said which."""
    return GENRES[work.kind].datacite if work.kind in GENRES else None


def _own_doi(record: Mapping[str, Any]) -> str | None:
    """Return the DOI that the work has elsewhere."""
    return next((one["value"] for one in record.get("identifiers") or () if one["type"] == "DOI"), None)


def _party_from(party: Mapping[str, Any]) -> dict[str, Any]:
    organization = party.get("type") == "organization"
    told: dict[str, Any] = {
        "name": party["name"],
        "nameType": "Organizational" if organization else "Personal",
    }
    parts = family_and_given(party)
    if parts is not None:
        told |= {"familyName": parts[0], "givenName": parts[1]}
    if party.get("orcid"):
        told["nameIdentifiers"] = [_name_identifier("ORCID", f"https://orcid.org/{party['orcid']}")]
    if party.get("ror"):
        told["nameIdentifiers"] = [_name_identifier("ROR", f"https://ror.org/{party['ror']}")]
    affiliation = party.get("affiliation")
    if affiliation:
        told["affiliation"] = [
            {"name": affiliation["name"]} | _identified(affiliation.get("ror"), "affiliationIdentifier")
        ]
    return told


def _name_identifier(scheme: str, address: str) -> dict[str, str]:
    return {
        "nameIdentifier": address,
        "nameIdentifierScheme": scheme,
        "schemeUri": f"https://{scheme.lower()}.org",
    }


def _identified(ror: str | None, name: str) -> dict[str, str]:
    if ror is None:
        return {}
    return {name: f"https://ror.org/{ror}", f"{name}Scheme": "ROR", "schemeUri": "https://ror.org"}


def _title_from(title: Mapping[str, Any]) -> dict[str, Any]:
    told = {"title": title["title"], "titleType": title["type"]}
    return told | ({"lang": title["language"]} if title.get("language") else {})


def _subject_from(concept: Named) -> dict[str, str]:
    """Return a concept as a subject (4.6, property 6): `valueUri` is the term, `schemeUri` its scheme."""
    told = {
        "subject": concept.label,
        "subjectScheme": concept.scheme,
        "schemeUri": concept.scheme_uri,
        "valueUri": concept.uri,
    }
    perhaps = {"classificationCode": concept.notation, "lang": concept.language}
    return told | {name: value for name, value in perhaps.items() if value}


def _dates_from(record: Mapping[str, Any]) -> list[dict[str, str]]:
    dates = [
        {"date": one["date"], "dateType": one["type"]}
        | ({"dateInformation": one["information"]} if one.get("information") else {})
        for one in record.get("dates") or ()
    ]
    temporal = (record.get("coverage") or {}).get("temporal")
    if temporal and not any(one["dateType"] == DateType.COVERAGE for one in dates):
        span = f"{temporal['start']}/{temporal['end']}" if temporal.get("end") else str(temporal["start"])
        dates.append({"date": span, "dateType": DateType.COVERAGE.value})
    return dates


def _rights_from(licence: str | None) -> list[dict[str, str]]:
    if licence is None:
        return []
    if not _PLAIN_LICENCE.fullmatch(licence):
        # An expression such as `MIT OR Apache-2.0` names several, and DataCite has a place for one.
        return [{"rights": licence}]
    return [
        {
            "rights": licence,
            "rightsUri": f"{SPDX}{licence}.html",
            "rightsIdentifier": licence,
            "rightsIdentifierScheme": "SPDX",
            "schemeUri": SPDX,
        }
    ]


def _places_from(spatial: Mapping[str, Any]) -> list[dict[str, Any]]:
    told: dict[str, Any] = {}
    if spatial.get("place"):
        told["geoLocationPlace"] = spatial["place"]
    if spatial.get("point"):
        point = spatial["point"]
        told["geoLocationPoint"] = {"pointLatitude": point["latitude"], "pointLongitude": point["longitude"]}
    if spatial.get("box"):
        box = spatial["box"]
        told["geoLocationBox"] = {
            "westBoundLongitude": box["west"],
            "eastBoundLongitude": box["east"],
            "southBoundLatitude": box["south"],
            "northBoundLatitude": box["north"],
        }
    return [told] if told else []


def _funding_from(one: Mapping[str, Any]) -> dict[str, Any]:
    identifier: dict[str, str] = {}
    if one.get("ror"):
        identifier = {"funderIdentifier": f"https://ror.org/{one['ror']}", "funderIdentifierType": "ROR"}
    elif one.get("doi"):
        identifier = {
            "funderIdentifier": f"https://doi.org/{one['doi']}",
            "funderIdentifierType": "Crossref Funder ID",
        }
    told = {"funderName": one["funder"], **identifier}
    named = (("awardNumber", "award"), ("awardTitle", "title"), ("awardUri", "url"))
    return told | {theirs: one[ours] for theirs, ours in named if one.get(ours)}
