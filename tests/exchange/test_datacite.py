"""Records of others come in, are registrations, and go out again as they were in what is mapped."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import Fault, Invalid
from catalog.exchange import citation, datacite, datacite_import, datacite_xml, schema_org, subjects
from catalog.exchange.datacite_import import Imported
from catalog.exchange.work import Part, Related, Work
from catalog.objects import kinds, validation
from catalog.vocabulary.looking_up import Named
from tests import corpora

JSON = corpora.files("datacite-json", "*.json")
XML = corpora.files("datacite-xml", "*.xml")
# What is wrong with those that are no DataCite records, as their publisher or validators say.
BROKEN = {
    "datacite-example-relateditems.xml": Fault("", "not XML: mismatched tag, line 46"),
    "datacite_blank_publisher.xml": Fault("/publisher/name", "string should have at least 1 character"),
    "datacite_malformed_creator.xml": Fault(
        "/creators/0/name", "one creator has one name; write a creator for each person"
    ),
    "datacite_missing_creator.xml": Fault("/creators", "creators is required"),
}
GIVEN = {
    "kind": "model",
    "project": "demo/elsewhere",
    "contact": {"name": "Data desk", "email": "data@example.org"},
    "metadata": {},
}


def imported(path: Path) -> tuple[dict[str, Any], Imported]:
    """Return a record's attributes, and what was taken from it."""
    body = path.read_bytes()
    if path.suffix == ".xml":
        return datacite_xml.attributes_from(body)[0], without_terms(datacite_xml.description_from(body))
    return json.loads(body), without_terms(datacite_import.description_from(body))


def without_terms(taken: Imported) -> Imported:
    """Return a record whose subjects are all taken for keywords, as where no vocabulary is."""
    subjects.take(taken, {})
    return taken


def work(record: dict[str, Any], **said: Any) -> Work:
    """Return a description as a work."""
    return Work(
        id="0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f",
        kind="model",
        record=record,
        address="https://catalog.example.org/objects/1",
        publisher="Science Catalog",
        registered_at=datetime(2026, 11, 21, tzinfo=UTC),
        **said,
    )


def registered(taken: Imported) -> dict[str, Any]:
    """Return what would be kept of a record; raises Invalid where it would not be accepted."""
    body = json.dumps(GIVEN | taken.said).encode()
    return validation.record_of(validation.draft_from(body, prefix="").description)


def written(taken: Imported) -> dict[str, Any]:
    """Return the attributes that a record goes out with again."""
    related = [
        Related(one.type, one.identifier.type, one.identifier.value)
        for one in taken.relations
        if one.identifier is not None
    ]
    return datacite.datacite_from(work(registered(taken), related=related))


def bare(text: str) -> str:
    """Return an identifier without what is written before it, which one may write in several ways."""
    at = text.strip().rstrip("/")
    for mark in ("https://", "http://", "doi.org/", "orcid.org/", "ror.org/", "doi:"):
        at = at.removeprefix(mark)
    return at.lower()


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


# ruff: ignore[C901, PLR0912] - a list of properties, one after the other.
def mapped(attributes: dict[str, Any], left: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield all that a record says in a property that is mapped, except where it was named as left out."""

    def kept(pointer: str) -> bool:
        return not any(pointer == one or pointer.startswith(f"{one}/") for one in left)

    for place, one in enumerate(listed(attributes["titles"])):
        if kept(f"/titles/{place}"):
            yield "title", one["title"].strip()
    for group in ("creators", "contributors"):
        for place, one in enumerate(listed(attributes.get(group))):
            yield f"{group} name", one["name"].strip() if "," in one["name"] else one.get("familyName", one["name"])
            yield f"{group} role", one.get("contributorType")
            for number, named in enumerate(listed(one.get("nameIdentifiers"))):
                if kept(f"/{group}/{place}/nameIdentifiers/{number}"):
                    yield f"{group} identifier", bare(named["nameIdentifier"])
            for number, told in enumerate(listed(one.get("affiliation"))):
                if kept(f"/{group}/{place}/affiliation/{number}"):
                    yield f"{group} affiliation", told["name"] if isinstance(told, dict) else told
    publisher = attributes["publisher"]
    yield "publisher", publisher if isinstance(publisher, str) else publisher["name"]
    yield "year", str(attributes["publicationYear"])
    yield "language", attributes.get("language")
    for place, one in enumerate(listed(attributes.get("subjects"))):
        if kept(f"/subjects/{place}"):
            yield "subject", one["subject"].strip()
    for place, one in enumerate(listed(attributes.get("dates"))):
        if kept(f"/dates/{place}"):
            yield "date", (one["dateType"], one["date"], one.get("dateInformation"))
    for place, one in enumerate(listed(attributes.get("descriptions"))):
        if kept(f"/descriptions/{place}"):
            yield "abstract", one["description"].strip()
    names = [(one, "identifierType", "identifier", "identifiers") for one in listed(attributes.get("identifiers"))]
    names += [
        (one, "alternateIdentifierType", "alternateIdentifier", "alternateIdentifiers")
        for one in listed(attributes.get("alternateIdentifiers"))
    ]
    for one, kind, value, _ in names:
        yield "identifier", (one[kind], bare(one[value]))
    if attributes.get("doi"):
        yield "identifier", ("DOI", bare(attributes["doi"]))
    for place, one in enumerate(listed(attributes.get("relatedIdentifiers"))):
        if kept(f"/relatedIdentifiers/{place}"):
            yield "related", (one["relationType"], one["relatedIdentifierType"], bare(one["relatedIdentifier"]))
    for place, one in enumerate(listed(attributes.get("fundingReferences"))):
        yield "funder", one["funderName"]
        yield "award", (one.get("awardNumber"), one.get("awardTitle"), one.get("awardUri"))
        if one.get("funderIdentifier") and kept(f"/fundingReferences/{place}/funderIdentifier"):
            yield "funder identifier", bare(one["funderIdentifier"]).rpartition("doi.org/")[2]
    for one in listed(attributes.get("geoLocations")):
        yield "place", one.get("geoLocationPlace")
        for name in ("geoLocationPoint", "geoLocationBox"):
            yield name, {key: float(number) for key, number in (one.get(name) or {}).items()}


def outcome(path: Path) -> Any:
    """Return what a mapped property lost on its way in and out, or the fault for which the record was refused."""
    try:
        before, taken = imported(path)
    except Invalid as refused:
        return refused.faults[0]
    left = {fault.pointer for fault in taken.left_out}
    after = list(mapped(written(taken), set()))
    said = [(name, value) for name, value in mapped(before, left) if value not in (None, {}, ())]
    assert len(said) > 4
    return [one for one in said if one not in after]


@pytest.mark.req("SAGE-STORAGE-27")
def test_every_sound_record_comes_out_as_it_came_in_and_every_broken_one_is_refused_with_its_place() -> None:
    expected = {path.name: BROKEN.get(path.name, []) for path in corpora.there([*JSON, *XML])}

    assert {path.name: outcome(path) for path in [*JSON, *XML]} == expected
    assert len(expected) == 32


SMALL: dict[str, Any] = {
    "doi": "10.5281/zenodo.1234",
    "creators": [{"name": "Rivera, Ana", "nameType": "Personal"}],
    "titles": [{"title": "Sky"}],
    "publisher": {"name": "Elsewhere"},
    "publicationYear": 2024,
    "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Data set"},
}


def test_what_xml_has_no_place_for_is_replaced_in_records_of_before() -> None:
    xml = datacite_xml.xml_from(SMALL | {"titles": [{"title": "a\ufffeb\x0bc\uffff"}]})

    assert datacite_xml.description_from(xml).said["title"] == "a\ufffdb\ufffdc\ufffd"


def test_line_breaks_of_windows_in_a_description_are_taken() -> None:
    record = SMALL | {"descriptions": [{"description": "One.\r\nTwo.", "descriptionType": "Abstract"}]}

    taken = datacite_import.description_from(json.dumps(record).encode())

    assert [fault.pointer for fault in taken.left_out if fault.pointer.startswith("/descriptions")] == []
    assert taken.said["description"].replace("\r\n", "\n") == "One.\nTwo."


def test_what_the_xml_says_is_what_is_read_from_it_again() -> None:
    for path in corpora.there([*JSON, *XML]):
        if path.name in BROKEN:
            continue
        attributes = written(imported(path)[1])

        again = written(without_terms(datacite_xml.description_from(datacite_xml.xml_from(attributes))))

        # XML that was broken for the width of a page is read without those breaks' spaces.
        for told in (again, attributes):
            for one in told.get("descriptions", ()):
                one["description"] = " ".join(one["description"].split())
        assert again == attributes, path.name


def test_the_attributes_of_a_work_with_everything() -> None:
    example = dict(kinds.known()["training-dataset"].example)
    said = example | {
        "creators": [
            {
                "name": "Rivera, Ana",
                "orcid": "0000-0002-1825-0097",
                "affiliation": {"name": "Brown University", "ror": "05gq02987"},
            },
            {"type": "organization", "name": "Palmer Station LTER"},
        ],
        "contributors": [{"name": "Doe, Jane", "contribution": "DataCurator"}],
        "publisher": {"name": "Argonne", "ror": "05gvnxz63"},
        "titles": [{"title": "Manchots", "type": "TranslatedTitle", "language": "fr"}],
        "language": "en",
        "funding": [{"funder": "NSF", "ror": "021nxhr62", "award": "OAC 1935984"}],
        "identifiers": [{"type": "accession", "value": "A-1"}],
        "coverage": {
            "spatial": {"place": "Palmer Archipelago", "point": {"latitude": -64.77, "longitude": -64.07}},
            "temporal": {"start": "2007-11-01T00:00:00Z", "end": "2009-12-01T00:00:00Z"},
        },
    }
    record = validation.record_of(validation.draft_from(json.dumps(said).encode(), prefix="").description)
    parts = [Part("a.csv", 15_241, "0" * 64, "text/csv", "https://catalog.example.org/a")]

    attributes = datacite.datacite_from(
        work(
            record,
            doi="10.5072/06be5q2zb7srxwhb9kpth5aq5m-h",
            version="2",
            files=parts,
            related=[Related("IsVersionOf", "DOI", "10.5072/x")],
        )
    )

    orcid, ror = "https://orcid.org", "https://ror.org"
    assert attributes == {
        "doi": "10.5072/06be5q2zb7srxwhb9kpth5aq5m-h",
        "types": {"resourceTypeGeneral": "Model", "resourceType": "Model"},
        "creators": [
            {
                "name": "Rivera, Ana",
                "nameType": "Personal",
                "familyName": "Rivera",
                "givenName": "Ana",
                "nameIdentifiers": [
                    {
                        "nameIdentifier": f"{orcid}/0000-0002-1825-0097",
                        "nameIdentifierScheme": "ORCID",
                        "schemeUri": orcid,
                    }
                ],
                "affiliation": [
                    {
                        "name": "Brown University",
                        "affiliationIdentifier": f"{ror}/05gq02987",
                        "affiliationIdentifierScheme": "ROR",
                        "schemeUri": ror,
                    }
                ],
            },
            {"name": "Palmer Station LTER", "nameType": "Organizational"},
        ],
        "titles": [
            {"title": "Penguins of the Palmer Archipelago"},
            {"title": "Manchots", "titleType": "TranslatedTitle", "lang": "fr"},
        ],
        "publisher": {
            "name": "Argonne",
            "publisherIdentifier": f"{ror}/05gvnxz63",
            "publisherIdentifierScheme": "ROR",
            "schemeUri": ror,
        },
        "publicationYear": 2007,
        "subjects": [{"subject": "penguins"}, {"subject": "Antarctica"}],
        "contributors": [
            {
                "name": "Doe, Jane",
                "nameType": "Personal",
                "familyName": "Doe",
                "givenName": "Jane",
                "contributorType": "DataCurator",
            }
        ],
        "dates": [
            {"date": "2007/2009", "dateType": "Collected"},
            {"date": "2007-11-01T00:00:00Z/2009-12-01T00:00:00Z", "dateType": "Coverage"},
        ],
        "language": "en",
        "alternateIdentifiers": [{"alternateIdentifierType": "accession", "alternateIdentifier": "A-1"}],
        "relatedIdentifiers": [
            {"relatedIdentifierType": "DOI", "relatedIdentifier": "10.5072/x", "relationType": "IsVersionOf"}
        ],
        "sizes": ["15241 bytes"],
        "formats": ["text/csv"],
        "version": "2",
        "rightsList": [
            {
                "rights": "CC0-1.0",
                "rightsUri": "https://spdx.org/licenses/CC0-1.0.html",
                "rightsIdentifier": "CC0-1.0",
                "rightsIdentifierScheme": "SPDX",
                "schemeUri": "https://spdx.org/licenses/",
            }
        ],
        "descriptions": [
            {"description": "Body measurements of three species of penguins.", "descriptionType": "Abstract"}
        ],
        "geoLocations": [
            {
                "geoLocationPlace": "Palmer Archipelago",
                "geoLocationPoint": {"pointLatitude": -64.77, "pointLongitude": -64.07},
            }
        ],
        "fundingReferences": [
            {
                "funderName": "NSF",
                "funderIdentifier": f"{ror}/021nxhr62",
                "funderIdentifierType": "ROR",
                "awardNumber": "OAC 1935984",
            }
        ],
        "url": "https://catalog.example.org/objects/1",
        "schemaVersion": "http://datacite.org/schema/kernel-4",
    }


ECOLOGY = Named("urn:x:fields:ecology", "Ecology", "en", "1.6", "Fields", "urn:x:fields")
BARE = Named("urn:x:fields:sol", "Sol & terre", "", None, "Fields", "urn:x:fields")
SAID = {
    "title": "Plots",
    "creators": [{"name": "Rivera, Ana"}],
    "keywords": ["plot 7", "ECOLOGY"],
    "subjects": [ECOLOGY.uri, BARE.uri],
}


def test_terms_are_told_with_label_scheme_and_notation_and_a_keyword_that_says_the_same_is_not_told_twice() -> None:
    attributes = datacite.datacite_from(work(SAID, concepts=[ECOLOGY, BARE]))

    assert attributes["subjects"] == [
        {"subject": "plot 7"},
        {
            "subject": "Ecology",
            "subjectScheme": "Fields",
            "schemeUri": "urn:x:fields",
            "valueUri": "urn:x:fields:ecology",
            "classificationCode": "1.6",
            "lang": "en",
        },
        {
            "subject": "Sol & terre",
            "subjectScheme": "Fields",
            "schemeUri": "urn:x:fields",
            "valueUri": "urn:x:fields:sol",
        },
    ]
    xml = datacite_xml.xml_from(attributes)
    assert (
        '<subject subjectScheme="Fields" schemeURI="urn:x:fields" valueURI="urn:x:fields:ecology" '
        'classificationCode="1.6" xml:lang="en">Ecology</subject>'
    ) in xml.decode()
    read = [{name: told for name, told in one.items() if name != "lang"} for one in attributes["subjects"]]
    assert datacite_xml.attributes_from(xml)[0]["subjects"] == read


def test_terms_are_keywords_in_formats_that_know_no_schemes_and_defined_terms_where_they_do() -> None:
    about = work(SAID, concepts=[ECOLOGY, BARE])

    assert "  keywords  = {plot 7, Ecology, Sol \\& terre}," in citation.bibtex(about).splitlines()
    assert [line for line in citation.ris(about).splitlines() if line.startswith("KW")] == [
        "KW  - plot 7",
        "KW  - Ecology",
        "KW  - Sol & terre",
    ]
    assert citation.csl(about)["keyword"] == "plot 7, Ecology, Sol & terre"
    scheme = {"@type": "DefinedTermSet", "@id": "urn:x:fields", "name": "Fields"}
    assert schema_org.schema_org_from(about)["keywords"] == [
        "plot 7",
        {
            "@type": "DefinedTerm",
            "@id": "urn:x:fields:ecology",
            "name": "Ecology",
            "termCode": "1.6",
            "inDefinedTermSet": scheme,
        },
        {"@type": "DefinedTerm", "@id": "urn:x:fields:sol", "name": "Sol & terre", "inDefinedTermSet": scheme},
    ]


def test_all_that_is_mandatory_and_missing_is_told_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        datacite_import.description_from(
            b'{"creators": [], "titles": [{"title": " "}], "publicationYear": "soon", "types": {}}'
        )

    assert [fault.pointer for fault in refused.value.faults] == [
        "/creators",
        "/titles/0/title",
        "/publisher",
        "/publicationYear",
        "/types/resourceTypeGeneral",
    ]


RECORD = (
    '<resource xmlns="http://datacite.org/schema/kernel-4"><identifier identifierType="DOI">10.5072/a</identifier>'
    "<creators><creator><creatorName>{name}</creatorName></creator></creators><titles><title>T</title></titles>"
    "<publisher>P</publisher><publicationYear>2024</publicationYear>"
    '<resourceType resourceTypeGeneral="Dataset">D</resourceType></resource>'
)
BOMB = (
    '<!DOCTYPE resource [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (BOMB + RECORD.format(name="&c;"), "a document type declaration is not read; remove it"),
        (
            '<!DOCTYPE resource SYSTEM "http://127.0.0.1:1/x.dtd">' + RECORD.format(name="A"),
            "a document type declaration is not read; remove it",
        ),
        (RECORD.format(name="&who;"), "not XML: undefined entity, line 1"),
        (RECORD.format(name="<a>" * 20 + "</a>" * 20), "a record has at most 20,000 elements, 16 deep"),
        (RECORD.format(name="<a/>" * 20_001), "a record has at most 20,000 elements, 16 deep"),
        ("<html/>", "not a DataCite record"),
        ("", "not XML: no element found, line 1"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "not XML"),
        ("\x00\x01", "not XML"),
    ],
    ids=["entities", "outside", "undefined", "deep", "many", "html", "empty", "encoding", "bytes"],
)
def test_xml_that_is_meant_to_harm_is_refused_at_once(body: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        datacite_xml.description_from(body.encode())

    assert [fault.pointer for fault in refused.value.faults] == [""]
    assert refused.value.faults[0].message.startswith(why)


def test_a_record_as_the_rest_api_wraps_it_is_read_too() -> None:
    attributes = {
        "creators": [{"name": "A"}],
        "titles": [{"title": "T"}],
        "publisher": "P",
        "publicationYear": 2024,
        "types": {"resourceTypeGeneral": "Dataset"},
    }

    bare_record = datacite_import.description_from(json.dumps(attributes).encode())
    wrapped = datacite_import.description_from(
        json.dumps({"data": {"type": "dois", "attributes": attributes}}).encode()
    )

    assert wrapped.said == bare_record.said
    assert wrapped.said["dates"] == [{"type": "Issued", "date": "2024"}]
