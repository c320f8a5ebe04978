"""A work as schema.org's JSON-LD: what search engines for data sets read on its page.

The context names the vocabulary itself and no file, so that nobody has to fetch one to read it.
"""

from collections.abc import Mapping
from typing import Any

from catalog.exchange.work import Work, family_and_given
from catalog.vocabulary.looking_up import Named

VOCABULARY = "https://schema.org/"
# Beyond these a page would be more machine text than page; the API has them all.
FILES_MAX = 100


def schema_org_from(work: Work) -> dict[str, Any]:
    """Return the work as a JSON-LD object (schema.org 28, `Dataset` and its kin)."""
    record = work.record
    spatial = (record.get("coverage") or {}).get("spatial") or {}
    temporal = (record.get("coverage") or {}).get("temporal") or {}
    told: dict[str, Any] = {
        "@context": {"@vocab": VOCABULARY},
        "@type": work.genre.schema_org,
        "@id": work.link,
        "url": work.address,
        "identifier": _identifiers(work),
        "name": work.title,
        "alternateName": [one["title"] for one in record.get("titles") or ()],
        # A data set is found by readers of schema.org only with some text about it.
        "description": record.get("description") or work.title,
        "creator": [_party(creator) for creator in work.creators],
        "contributor": [_party(one) for one in record.get("contributors") or ()],
        "publisher": {"@type": "Organization", "name": work.published_by},
        "datePublished": next((one["date"] for one in record.get("dates") or () if one["type"] == "Issued"), work.year),
        "inLanguage": record.get("language"),
        "keywords": [*work.keywords, *(_term(one) for one in work.concepts)],
        "license": _licence(record.get("licence")),
        "version": work.version,
        "funding": [_grant(one) for one in record.get("funding") or ()],
        "temporalCoverage": f"{temporal['start']}/{temporal.get('end') or '..'}" if temporal else None,
        "spatialCoverage": _place(spatial),
        "isAccessibleForFree": True if record.get("visibility") == "public" else None,
    }
    if work.genre.schema_org == "Dataset":
        told["distribution"] = [
            {
                "@type": "DataDownload",
                "name": part.path,
                "contentUrl": part.address,
                "encodingFormat": part.media_type,
                "contentSize": f"{part.size} B",
                "sha256": part.sha256,
            }
            for part in work.files[:FILES_MAX]
        ]
    return {name: value for name, value in told.items() if value not in (None, [], "")}


def _identifiers(work: Work) -> list[str] | str:
    found = [f"https://doi.org/{work.doi}"] if work.doi and work.resolves else []
    found += [f"doi:{work.doi}"] if work.doi and not work.resolves else []
    found += [f"{one['type']}:{one['value']}" for one in work.record.get("identifiers") or ()]
    return [*found, work.id] if found else work.id


def _party(party: Mapping[str, Any]) -> dict[str, Any]:
    organization = party.get("type") == "organization"
    told: dict[str, Any] = {"@type": "Organization" if organization else "Person", "name": party["name"]}
    parts = family_and_given(party)
    if parts is not None:
        told |= {"familyName": parts[0], "givenName": parts[1]}
    if party.get("orcid"):
        told["@id"] = f"https://orcid.org/{party['orcid']}"
    if party.get("ror"):
        told["@id"] = f"https://ror.org/{party['ror']}"
    affiliation = party.get("affiliation")
    if affiliation:
        told["affiliation"] = {"@type": "Organization", "name": affiliation["name"]}
        if affiliation.get("ror"):
            told["affiliation"]["@id"] = f"https://ror.org/{affiliation['ror']}"
    return told


def _term(concept: Named) -> dict[str, Any]:
    told = {
        "@type": "DefinedTerm",
        "@id": concept.uri,
        "name": concept.label,
        "termCode": concept.notation,
        "inDefinedTermSet": {"@type": "DefinedTermSet", "@id": concept.scheme_uri, "name": concept.scheme},
    }
    return {name: value for name, value in told.items() if value}


def _licence(licence: str | None) -> str | None:
    # An expression of several has no address of its own.
    return licence if licence is None or " " in licence else f"https://spdx.org/licenses/{licence}"


def _grant(one: Mapping[str, Any]) -> dict[str, Any]:
    funder: dict[str, Any] = {"@type": "Organization", "name": one["funder"]}
    if one.get("ror"):
        funder["@id"] = f"https://ror.org/{one['ror']}"
    told = {
        "@type": "Grant",
        "funder": funder,
        "identifier": one.get("award"),
        "name": one.get("title"),
        "url": one.get("url"),
    }
    return {name: value for name, value in told.items() if value}


def _place(spatial: Mapping[str, Any]) -> dict[str, Any] | None:
    geo: list[dict[str, Any]] = []
    if spatial.get("point"):
        point = spatial["point"]
        geo.append({"@type": "GeoCoordinates", "latitude": point["latitude"], "longitude": point["longitude"]})
    if spatial.get("box"):
        box = spatial["box"]
        # schema.org, GeoShape: the lower left corner, then the upper right, latitude first.
        corners = f"{box['south']} {box['west']} {box['north']} {box['east']}"
        geo.append({"@type": "GeoShape", "box": corners})
    told = {"@type": "Place", "name": spatial.get("place"), "geo": geo[0] if len(geo) == 1 else geo}
    found = {name: value for name, value in told.items() if value}
    return found if len(found) > 1 else None
