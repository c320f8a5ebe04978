"""Objects in the formats of others, and records of others as objects."""

import json
from typing import Any

import pytest

from catalog.exchange import datacite_xml
from catalog.exchange.formats import DATACITE_JSON, DATACITE_XML, FORMATS
from tests.api.conftest import Draft, plain, read, register
from tests.conftest import Clients

pytestmark = pytest.mark.usefixtures("noise")

RECORD: dict[str, Any] = {
    "doi": "10.5281/ZENODO.1234",
    "creators": [{"name": "Rivera, Ana", "nameType": "Personal"}, {"name": "Soil Group", "nameType": "Organizational"}],
    "titles": [{"title": "Soil moisture, plot 7"}],
    "publisher": {"name": "Elsewhere"},
    "publicationYear": 2019,
    "types": {"resourceTypeGeneral": "Dataset"},
    "relatedIdentifiers": [
        {
            "relatedIdentifier": "10.1038/nature24277",
            "relatedIdentifierType": "DOI",
            "relationType": "IsSupplementTo",
        }
    ],
    "contributors": [{"name": "Doe, Jane", "contributorType": "ContactPerson"}],
    "version": "1.2",
}


def asked(project: str, **said: str) -> dict[str, str]:
    """Return what the address of an import says."""
    given = {"project": project, "kind": "training-dataset", "contact_email": "jane@example.org"}
    return given | {"metadata": '{"labelled": false}'} | said


async def test_a_record_is_registered_with_its_relations_and_comes_out_again(clients: Clients, project: str) -> None:
    sent = {"params": asked(project), "headers": {"Content-Type": DATACITE_JSON, "Idempotency-Key": project}}

    first = await clients.ingest.post("/api/imports/datacite", content=json.dumps(RECORD), **sent)
    again = await clients.ingest.post("/api/imports/datacite", content=json.dumps(RECORD), **sent)

    assert (first.status_code, again.status_code) == (201, 201), first.text
    made = first.json()
    assert again.json()["id"] == made["id"]
    assert made["left_out"] == [{"pointer": "/version", "message": "has no place in an object's description"}]
    assert made["contact"] == {"name": "Doe, Jane", "email": "jane@example.org"}
    assert made["identifiers"] == [{"type": "DOI", "value": "10.5281/zenodo.1234"}]
    assert made["visibility"] == "private"

    out = await clients.ingest.get(f"/api/objects/{made['id']}", headers={"Accept": DATACITE_JSON})
    assert out.headers["content-type"] == DATACITE_JSON
    told = out.json()
    assert {name: told[name] for name in ("doi", "publisher", "relatedIdentifiers", "publicationYear")} == {
        "doi": "10.5281/zenodo.1234",
        "publisher": {"name": "Elsewhere"},
        "relatedIdentifiers": RECORD["relatedIdentifiers"],
        "publicationYear": 2019,
    }
    assert [one["name"] for one in told["creators"]] == ["Rivera, Ana", "Soil Group"]


FIELDS = "urn:x-catalog:scientific-fields"


@pytest.mark.req("SAGE-STORAGE-28")
@pytest.mark.parametrize("media_type", [DATACITE_JSON, DATACITE_XML])
async def test_a_subject_of_a_scheme_that_we_hold_becomes_its_term_and_comes_out_with_it(
    clients: Clients, project: str, media_type: str
) -> None:
    told = RECORD | {
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Data set"},
        "subjects": [
            {"subject": "Wetter", "valueUri": f"{FIELDS}:meteorology"},
            {"subject": "Bodenkunde", "subjectScheme": "scientific fields"},
            {"subject": "Ökologie", "schemeUri": FIELDS},
            {"subject": "hydrology"},
            {"subject": "geosciences"},
            # The word is ours, the scheme is not.
            {"subject": "Astronomy", "subjectScheme": "LCSH", "valueUri": "https://id.example.org/sh1"},
            {"subject": "plot 7"},
        ],
    }
    body = datacite_xml.xml_from(told) if media_type == DATACITE_XML else json.dumps(told)

    answer = await clients.ingest.post(
        "/api/imports/datacite", content=body, params=asked(project), headers={"Content-Type": media_type}
    )

    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["subjects"] == [
        f"{FIELDS}:{one}" for one in ("meteorology", "soil-science", "ecology", "hydrology", "earth-sciences")
    ]
    # What no scheme was said of stays a word as well, where it is not the very label.
    assert made["keywords"] == ["geosciences", "Astronomy", "plot 7"]
    out = (await clients.ingest.get(f"/api/objects/{made['id']}", params={"format": "datacite"})).json()
    assert out["subjects"][:4] == [
        *({"subject": word} for word in made["keywords"]),
        {
            "subject": "Meteorology",
            "subjectScheme": "Scientific fields",
            "schemeUri": FIELDS,
            "valueUri": f"{FIELDS}:meteorology",
            "lang": "en",
        },
    ]
    again = await clients.ingest.post(
        "/api/imports/datacite",
        content=json.dumps(out | {"subjects": out["subjects"][3:]}),
        params=asked(project),
        headers={"Content-Type": DATACITE_JSON},
    )
    assert (again.json()["subjects"], again.json()["keywords"]) == (made["subjects"], [])


async def test_all_relations_of_a_record_are_one_change(clients: Clients, project: str) -> None:
    related = [
        {"relatedIdentifier": f"10.1038/nature2427{number}", "relatedIdentifierType": "DOI", "relationType": "Cites"}
        for number in range(5)
    ]

    answer = await clients.ingest.post(
        "/api/imports/datacite",
        content=json.dumps(RECORD | {"relatedIdentifiers": related}),
        params=asked(project),
        headers={"Content-Type": DATACITE_JSON},
    )

    made = answer.json()
    assert (answer.status_code, made["revision"], answer.headers["etag"]) == (201, 2, '"2"')
    kept = (await clients.ingest.get(f"/api/objects/{made['id']}/relations")).json()["items"]
    assert [one["identifier"]["value"] for one in kept] == [one["relatedIdentifier"] for one in related]
    history = (await clients.ingest.get(f"/api/objects/{made['id']}/history")).json()["items"]
    assert [(one["action"], one["to_revision"], one["changes"]) for one in history] == [
        ("relate", 2, {"relations": [one["id"] for one in kept]}),
        ("register", 1, None),
    ]


async def test_a_record_in_xml_says_the_same(clients: Clients, project: str) -> None:
    xml = datacite_xml.xml_from(RECORD | {"types": {"resourceTypeGeneral": "Dataset", "resourceType": "Data set"}})

    answer = await clients.ingest.post(
        "/api/imports/datacite", content=xml, params=asked(project), headers={"Content-Type": DATACITE_XML}
    )

    assert answer.status_code == 201, answer.text
    assert answer.json()["creators"] == [
        {"type": "person", "name": "Rivera, Ana"},
        {"type": "organization", "name": "Soil Group"},
    ]


async def test_what_is_missing_is_told_in_the_places_of_the_record_and_of_the_address(
    clients: Clients, project: str
) -> None:
    broken = RECORD | {"titles": [{"title": "T" * 400}]}

    answer = await clients.ingest.post(
        "/api/imports/datacite",
        content=json.dumps(broken),
        params=asked(project, contact_email="nobody", metadata="{}"),
        headers={"Content-Type": DATACITE_JSON},
    )

    assert answer.status_code == 400
    assert {one["pointer"] for one in answer.json()["errors"]} == {
        "/titles/0/title",
        "/contact_email",
        "/metadata/labelled",
    }
    page = (await clients.ingest.get("/api/objects", params={"project": project})).json()
    assert page["items"] == []


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_can_be_asked_for_by_name_and_by_media_type(
    clients: Clients, draft: Draft, name: str
) -> None:
    made = await register(clients.ingest, draft)
    address, media_type = f"/api/objects/{made['id']}", FORMATS[name].media_type

    named = await clients.ingest.get(address, params={"format": name})
    accepted = await clients.ingest.get(address, headers={"Accept": f"text/html, {media_type};q=0.9, */*;q=0.1"})

    assert (named.status_code, accepted.status_code) == (200, 200)
    assert (
        named.headers["content-type"].partition(";")[0]
        == media_type
        == accepted.headers["content-type"].partition(";")[0]
    )
    assert "Soil moisture" in named.text
    assert "Authorization, Accept" in named.headers["vary"]


async def test_hidden_objects_have_no_format_and_no_name_in_what_others_say_of_them(
    clients: Clients, project: str
) -> None:
    hidden = await register(clients.ingest, plain(project, title="Kept to ourselves"))
    shown = await register(clients.ingest, plain(project, visibility="public"))
    await clients.ingest.post(
        f"/api/objects/{shown['id']}/relations",
        json={"type": "IsDerivedFrom", "target": hidden["id"]},
        headers={"If-Match": "*"},
    )

    absent = await clients.anonymous.get(f"/api/objects/{hidden['id']}", params={"format": "datacite"})
    told = await clients.anonymous.get(f"/api/objects/{shown['id']}", params={"format": "datacite"})
    own = await clients.ingest.get(f"/api/objects/{shown['id']}", params={"format": "datacite"})

    assert absent.status_code == 404
    assert "relatedIdentifiers" not in told.json()
    assert [one["relatedIdentifierType"] for one in own.json()["relatedIdentifiers"]] == ["URL"]
    assert hidden["id"] in own.text
    assert (await read(clients.ingest, hidden["id"]))["title"] == "Kept to ourselves"
