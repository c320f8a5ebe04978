"""What a peer is given and asked is what we are given and asked."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from bench import peer, stac
from bench.corpus import Corpus, Sample

REGISTERED = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)
ID = UUID("019abcde-0000-7000-8000-000000000001")
BODY = {
    "kind": "sensor-blob",
    "project": "org-1/project-7",
    "title": "A title",
    "description": "Some words.",
    "creators": [{"name": "Horst, Allison"}, {"name": "Hill, Alison"}],
    "contact": {"name": "Desk", "email": "desk@example.org"},
    "keywords": ["wind", "ice"],
    "licence": "CC0-1.0",
    "visibility": "private",
    "dates": [{"type": "Issued", "date": "2020-02-03"}],
    "metadata": {"sensor": {"id": "S-1"}, "measured": [{"name": "wind", "unit": "K"}]},
    "files": [{"path": "data/a.bin", "size": 12, "sha256": "ab" * 32, "media_type": "text/csv"}],
}


def test_an_item_says_all_that_the_registration_of_its_object_says() -> None:
    assert stac.item_of(Sample(ID, 0, BODY), REGISTERED) == {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "019abcde-0000-7000-8000-000000000001",
        "collection": "objects",
        "geometry": None,
        "properties": {
            "datetime": "2025-03-04T05:06:07Z",
            "kind": "sensor-blob",
            "project": "org-1/project-7",
            "organization": "org-1",
            "title": "A title",
            "description": "Some words.",
            "creators": ["Horst, Allison", "Hill, Alison"],
            "contact": {"name": "Desk", "email": "desk@example.org"},
            "keywords": ["wind", "ice"],
            "license": "CC0-1.0",
            "visibility": "private",
            "dates": [{"type": "Issued", "date": "2020-02-03"}],
            "metadata": {"sensor": {"id": "S-1"}, "measured": [{"name": "wind", "unit": "K"}]},
        },
        "links": [],
        "assets": {
            "data/a.bin": {
                "href": f"s3://catalog/org-1/project-7/{ID}/data/a.bin",
                "type": "text/csv",
                "file:size": 12,
                "file:checksum": "1220" + "ab" * 32,
                "roles": ["data"],
            }
        },
    }


def test_a_bulk_registration_has_every_item_under_its_id() -> None:
    items = [stac.item_of(one, REGISTERED) for one in Corpus(5).samples()]
    sent = msgspec.json.decode(stac.bulk_body(items))
    assert sent == {"method": "insert", "items": {one["id"]: one for one in items}}
    assert len(sent["items"]) == 5


@pytest.fixture(scope="module")
def asked() -> dict[str, list[peer.Alike]]:
    return peer.questions(Corpus(200).samples(), 200)


def test_a_period_ends_with_its_last_day_on_both_sides(asked: dict[str, list[peer.Alike]]) -> None:
    for one in asked["period"]:
        first, last = one.ours["created_at"][0].split("..")
        assert one.theirs["datetime"] == f"{first}T00:00:00Z/{last}T23:59:59Z"


def test_equal_properties_and_filters_name_the_same_values(asked: dict[str, list[peer.Alike]]) -> None:
    for one in asked["equal"]:
        wanted = {"kind": {"eq": one.ours["kind"][0]}, "keywords": {"eq": one.ours["keyword"][0]}}
        assert one.theirs["query"] == wanted
    for one in asked["cql2"]:
        said = msgspec.json.encode(one.ours["filter"]).replace(b'"licence"', b'"license"')
        assert msgspec.json.decode(said) == one.theirs["filter"]


def test_both_are_asked_for_the_newest_and_as_many_of_them(asked: dict[str, list[peer.Alike]]) -> None:
    every = [one for of_kind in asked.values() for one in of_kind]
    assert {(one.ours["sort"], one.ours["limit"]) for one in every} == {("newest", 20)}
    # Newest first is what the peer has where no order is asked for.
    assert {("sortby" in one.theirs, one.theirs["limit"]) for one in every} == {(False, 20)}
