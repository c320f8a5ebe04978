"""Vocabularies over HTTP: import as a difference, reading, finding, retiring, and who may."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.database import Database
from catalog.engines import Engines
from catalog.vocabulary import guarding, looking_up, skos
from catalog.vocabulary.looking_up import Meaning, Near
from catalog.vocabulary.terms import Vocabulary
from tests import corpora
from tests.conftest import Clients
from tests.vocabulary.files import soil, turtle

TURTLE = "text/turtle"


@pytest.fixture
def name() -> str:
    """A scheme that no other test knows."""
    return f"s{uuid4().hex[:12]}"


@pytest.fixture
def base(name: str) -> str:
    """The URI of the scheme; those of its concepts begin with it."""
    return f"urn:example:{name}"


async def put(
    client: httpx2.AsyncClient, name: str, text: str | bytes, query: str = "", **headers: str
) -> httpx2.Response:
    """Import a file."""
    return await client.put(
        f"/api/vocabularies/{name}{query}", content=text, headers={"Content-Type": TURTLE} | headers
    )


async def imported(clients: Clients, name: str, text: str, query: str = "") -> dict[str, Any]:
    answer = await put(clients.curator, name, text, query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def concept(clients: Clients, uri: str) -> dict[str, Any]:
    answer = await clients.anonymous.get("/api/concepts", params={"uri": uri})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_imported_scheme_says_what_its_file_says(clients: Clients, name: str, base: str) -> None:
    told = await imported(clients, name, soil(base))

    scheme = (await clients.anonymous.get(f"/api/vocabularies/{name}")).json()
    uris = [f"{base}:{one}" for one in ("moisture", "rain", "soil", "wet")]
    assert told == {
        "scheme": name,
        "revision": 1,
        "dry_run": False,
        "added": 4,
        "changed": 0,
        "retired": 0,
        "unchanged": 0,
        "uris": {"added": uris, "changed": [], "retired": []},
        "warnings": [],
    }
    assert scheme == {
        "name": name,
        "uri": base,
        "title": "Soil",
        "description": "",
        "licence": None,
        "source": None,
        "version": "1",
        "revision": 1,
        "concepts": 4,
        "deprecated": 1,
    }
    assert scheme in (await clients.anonymous.get("/api/vocabularies")).json()["items"]
    assert await concept(clients, f"{base}:moisture") == {
        "uri": f"{base}:moisture",
        "scheme": name,
        "label": "Soil moisture",
        "notations": ["SM"],
        "preferred": {"de": "Bodenfeuchte", "en": "Soil moisture"},
        "alternative": {"en": ["water content"], "fr": ["humidité du sol"]},
        "hidden": {"en": ["moistrue"]},
        "definitions": {"en": "How much water the soil holds."},
        "broader": [f"{base}:soil"],
        "narrower": [],
        "related": [f"{base}:rain"],
        "exact_matches": ["https://example.org/moisture"],
        "deprecated": False,
        "replaced_by": None,
    }
    assert (await concept(clients, f"{base}:soil"))["narrower"] == [f"{base}:moisture"]


async def test_a_second_import_changes_the_difference_and_removes_nothing(
    clients: Clients, name: str, base: str
) -> None:
    await imported(clients, name, soil(base))
    later = turtle(
        base,
        'c:soil skos:prefLabel "Soil"@en, "Boden"@de',
        'c:rain skos:prefLabel "Rainfall"@en',
        'c:snow skos:prefLabel "Snow"@en',
        'c:moisture skos:prefLabel "Soil moisture"@en',
    )

    planned = await imported(clients, name, later, "?dry_run=true")
    untouched = (await concept(clients, f"{base}:rain"))["label"]
    done = await imported(clients, name, later)
    again = await imported(clients, name, later)

    fates = {
        "added": [f"{base}:snow"],
        "changed": [f"{base}:moisture", f"{base}:rain"],
        # It was deprecated before.
        "retired": [],
    }
    counts = {"scheme": name, "added": 1, "changed": 2, "retired": 0, "unchanged": 1, "uris": fates, "warnings": []}
    assert (planned, untouched) == (counts | {"dry_run": True, "revision": 1}, "Precipitation")
    assert done == counts | {"dry_run": False, "revision": 2}
    assert (again["unchanged"], again["revision"]) == (4, 2)
    assert [(await concept(clients, f"{base}:{one}"))["label"] for one in ("rain", "snow", "wet")] == [
        "Rainfall",
        "Snow",
        "Wetness",
    ]


async def test_a_concept_that_vanishes_is_deprecated_and_lives_again_when_it_comes_back(
    clients: Clients, name: str, base: str
) -> None:
    both = turtle(base, 'c:a skos:prefLabel "A"', 'c:b skos:prefLabel "B"')
    await imported(clients, name, both)

    without = await imported(clients, name, turtle(base, 'c:a skos:prefLabel "A"'))
    gone = await concept(clients, f"{base}:b")
    back = await imported(clients, name, both)

    assert (without["uris"]["retired"], gone["deprecated"], gone["label"]) == ([f"{base}:b"], True, "B")
    assert (back["uris"]["changed"], (await concept(clients, f"{base}:b"))["deprecated"]) == ([f"{base}:b"], False)


async def test_a_faulty_file_changes_nothing_and_names_each_concept(clients: Clients, name: str, base: str) -> None:
    await imported(clients, name, soil(base))

    answer = await put(clients.curator, name, turtle(base, 'c:a skos:prefLabel "A"@en, "B"@en', "c:b skos:notation 1"))

    assert answer.status_code == 400
    assert [(fault["pointer"], fault["message"].partition(" ")[2]) for fault in answer.json()["errors"]] == [
        (f"{base}:a", "has several preferred labels in en: 'A', 'B'"),
        (f"{base}:b", "has no preferred label"),
    ]
    assert (await clients.anonymous.get(f"/api/vocabularies/{name}")).json()["concepts"] == 4


async def test_a_concept_belongs_to_one_scheme_and_a_scheme_to_one_name(clients: Clients, name: str, base: str) -> None:
    await imported(clients, name, soil(base))
    other = turtle(f"{base}2", f'<{base}:rain> skos:prefLabel "Rain"')

    stolen = await put(clients.curator, f"{name}2", other)
    renamed = await put(clients.curator, f"{name}3", soil(base))

    assert (stolen.status_code, stolen.json()["errors"]) == (
        400,
        [{"pointer": f"{base}:rain", "message": f"{base}:rain belongs to the vocabulary {name} already"}],
    )
    assert (renamed.status_code, renamed.json()["detail"]) == (
        409,
        f"The vocabulary {name} has the URI {base} already; import the file under that name.",
    )
    taken = await put(clients.curator, name, turtle(f"{base}3", f'<{base}3:rain> skos:prefLabel "Rain"'))
    assert (taken.status_code, taken.json()["detail"]) == (
        409,
        f"The name {name} belongs to the vocabulary {base}; take another for {base}3.",
    )


async def test_a_replacement_that_is_nowhere_is_kept_and_warned_of(clients: Clients, name: str, base: str) -> None:
    text = turtle(base, 'c:a skos:prefLabel "A" ; owl:deprecated true ; dcterms:isReplacedBy <urn:example:none>')

    answer = await put(clients.curator, name, text)

    warning = {
        "uri": f"{base}:a",
        "message": "is replaced by urn:example:none, which is in no vocabulary here; the link is kept",
    }
    assert (answer.status_code, answer.json()["warnings"]) == (200, [warning])
    assert (await concept(clients, f"{base}:a"))["replaced_by"] == "urn:example:none"


async def test_a_replacement_that_is_deprecated_itself_is_refused(clients: Clients, name: str, base: str) -> None:
    await imported(clients, f"{name}-other", turtle(f"{base}-o", 'c:b skos:prefLabel "B" ; owl:deprecated true'))
    text = turtle(base, f'c:a skos:prefLabel "A" ; owl:deprecated true ; dcterms:isReplacedBy <{base}-o:b>')

    answer = await put(clients.curator, name, text)

    message = f"{base}:a is replaced by {base}-o:b, which is deprecated itself"
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"pointer": f"{base}:a", "message": message}])
    assert (await clients.anonymous.get(f"/api/vocabularies/{name}")).status_code == 404


async def test_only_curators_and_admins_change_vocabularies(clients: Clients, name: str, base: str) -> None:
    answers = [
        [(await put(client, name, soil(base))).status_code, (await retire(client, name, base)).status_code]
        for client in (clients.anonymous, clients.reader, clients.ingest, clients.admin)
    ]
    assert answers == [[401, 401], [403, 403], [403, 403], [200, 200]]


async def retire(client: httpx2.AsyncClient, name: str, base: str, replacement: str | None = None) -> httpx2.Response:
    body = {"uri": f"{base}:rain"} | ({} if replacement is None else {"replaced_by": f"{base}:{replacement}"})
    return await client.post(f"/api/vocabularies/{name}/retire", json=body)


async def test_a_retired_concept_names_its_replacement_and_stays_retired(
    clients: Clients, name: str, base: str
) -> None:
    await imported(clients, name, soil(base))

    answer = await retire(clients.curator, name, base, "moisture")
    again = await imported(clients, name, soil(base))

    retired = await concept(clients, f"{base}:rain")
    assert (answer.status_code, answer.json(), answer.headers["etag"]) == (200, retired, '"2"')
    assert (retired["deprecated"], retired["replaced_by"]) == (True, f"{base}:moisture")
    assert (again["unchanged"], again["revision"]) == (4, 2)


@pytest.mark.parametrize("replacement", ["rain", "wet", "nowhere"])
async def test_a_replacement_is_another_living_concept(
    clients: Clients, name: str, base: str, replacement: str
) -> None:
    await imported(clients, name, soil(base))

    answer = await retire(clients.curator, name, base, replacement)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/replaced_by")
    assert (await concept(clients, f"{base}:rain"))["deprecated"] is False


async def test_the_revision_is_the_etag_and_a_stale_one_is_refused(clients: Clients, name: str, base: str) -> None:
    await imported(clients, name, soil(base))
    read = await clients.anonymous.get(f"/api/vocabularies/{name}")

    same = await clients.anonymous.get(f"/api/vocabularies/{name}", headers={"If-None-Match": read.headers["etag"]})
    stale = await put(clients.curator, name, soil(base), **{"If-Match": '"7"'})
    fresh = await put(clients.curator, name, soil(base), **{"If-Match": read.headers["etag"]})

    assert (read.headers["etag"], same.status_code, stale.status_code, fresh.status_code) == ('"1"', 304, 412, 200)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("moist", ["Soil moisture"]),
        ("HUMIDITE", ["Soil moisture"]),
        ("boden", ["Soil", "Soil moisture"]),
        ("sm", ["Soil moisture"]),
        ("100%", []),
        ("_", []),
    ],
)
async def test_concepts_are_found_by_part_of_a_label_in_any_language(
    clients: Clients, name: str, base: str, text: str, found: list[str]
) -> None:
    await imported(clients, name, soil(base))

    answer = await clients.anonymous.get(f"/api/vocabularies/{name}/concepts", params={"q": text})

    assert [one["label"] for one in answer.json()["items"]] == found


async def test_all_concepts_come_page_by_page(clients: Clients, name: str, base: str) -> None:
    await imported(
        clients, name, turtle(base, *(f'c:n{place:02} skos:prefLabel "N{place % 7}"' for place in range(25)))
    )
    found: list[str] = []
    link: str | None = f"/api/vocabularies/{name}/concepts?limit=10"
    while link:
        answer = await clients.anonymous.get(link)
        found += [one["uri"] for one in answer.json()["items"]]
        link = answer.headers["link"].partition(">")[0].strip("<") if "link" in answer.headers else None

    assert found == [f"{base}:n{place:02}" for place in sorted(range(25), key=lambda place: (place % 7, place))]


async def test_what_is_not_there_is_told(clients: Clients) -> None:
    answers = [
        await clients.anonymous.get(address)
        for address in (
            "/api/vocabularies/nowhere",
            "/api/vocabularies/nowhere%00",
            "/api/vocabularies/nowhere/concepts",
            "/api/concepts?uri=urn:example:nothing",
            "/api/concepts?uri=%00",
        )
    ]
    # What no URI can be is refused before it is looked for.
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 400]


async def test_a_file_that_means_harm_is_refused_at_the_door(clients: Clients, name: str) -> None:
    xml = "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"

    answers = [
        await put(clients.curator, name, xml, **{"Content-Type": "application/rdf+xml"}),
        await put(clients.curator, name, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"}),
        await put(clients.curator, name, "a,b", **{"Content-Type": "text/csv"}),
    ]

    assert [answer.status_code for answer in answers] == [400, 415, 415]
    assert "DOCTYPE" in answers[0].json()["detail"]


async def meaning(engines: Engines, name: str, text: str) -> Meaning:
    database: Database = engines.database
    async with database.transaction() as session:
        return (await looking_up.meanings(session, [(name, text)]))[name, text]


@pytest.mark.parametrize(
    "text", ["Soil moisture", "bodenfeuchte", " HUMIDITE  du sol", "moistrue", "sm", "{}:moisture"]
)
async def test_a_term_is_found_by_uri_notation_label_and_synonym(
    clients: Clients, engines: Engines, name: str, base: str, text: str
) -> None:
    await imported(clients, name, soil(base))

    assert await meaning(engines, name, text.format(base)) == Meaning(f"{base}:moisture")


async def test_a_wrong_term_is_told_with_the_nearest_ones(
    clients: Clients, engines: Engines, name: str, base: str
) -> None:
    await imported(clients, name, soil(base))

    told = await meaning(engines, name, "soil moistuer")

    assert (told.uri, told.problem) == (None, f"there is no term 'soil moistuer' in {name}")
    assert list(told.nearest) == [Near(f"{base}:moisture", "Soil moisture"), Near(f"{base}:soil", "Soil")]


async def test_a_retired_term_is_told_with_what_replaces_it_in_the_end(
    clients: Clients, engines: Engines, name: str, base: str
) -> None:
    await imported(clients, name, soil(base))
    body = {"uri": f"{base}:moisture", "replaced_by": f"{base}:soil"}
    await clients.curator.post(f"/api/vocabularies/{name}/retire", json=body)

    told = await meaning(engines, name, "wetness")

    assert told == Meaning(None, "the term 'wetness' is deprecated", [Near(f"{base}:soil", "Soil")])


async def test_a_preferred_label_goes_before_a_synonym_and_equal_ones_are_refused(
    clients: Clients, engines: Engines, name: str, base: str
) -> None:
    await imported(
        clients,
        name,
        turtle(
            base,
            'c:a skos:prefLabel "Cell" ; skos:altLabel "unit"',
            'c:b skos:prefLabel "Battery" ; skos:altLabel "cell", "unit"',
        ),
    )

    assert await meaning(engines, name, "cell") == Meaning(f"{base}:a")
    assert (await meaning(engines, name, "unit")).problem == (
        f"several concepts are called 'unit': name one by its URI, {base}:a, {base}:b"
    )


def exported(text: str) -> Vocabulary:
    return guarding.judged(skos.read(text.encode(), skos.TURTLE))


@pytest.mark.req("SAGE-STORAGE-28")
async def test_what_is_exported_as_turtle_reads_the_same_again(clients: Clients, name: str, base: str) -> None:
    text = soil(base) + 'c:rain skos:altLabel "a \\"quoted\\"\\n\\\\ text"@en .\n'
    await imported(clients, name, text)

    by_query = await clients.anonymous.get(f"/api/vocabularies/{name}", params={"format": "turtle"})
    by_header = await clients.anonymous.get(f"/api/vocabularies/{name}", headers={"Accept": "text/turtle"})
    again = await put(clients.curator, name, by_query.text)

    assert (by_query.headers["content-type"].partition(";")[0], by_query.text) == ("text/turtle", by_header.text)
    assert exported(by_query.text) == exported(text)
    assert {fate: again.json()[fate] for fate in ("added", "changed", "retired")} == {
        "added": 0,
        "changed": 0,
        "retired": 0,
    }


@pytest.mark.req("SAGE-STORAGE-28")
async def test_a_public_ontology_comes_out_as_it_went_in(clients: Clients, name: str) -> None:
    (file,) = corpora.there(corpora.files("skos", "envo-basic.ttl"))
    text = file.read_text(encoding="utf-8")

    answer = await put(clients.curator, name, text)
    came = await clients.anonymous.get(f"/api/vocabularies/{name}", params={"format": "turtle"})

    vocabulary = exported(text)
    nowhere = {term.replaced_by for term in vocabulary.terms} - {term.uri for term in vocabulary.terms} - {None}
    assert (answer.status_code, answer.json()["added"]) == (200, len(vocabulary.terms))
    assert (len(nowhere) > 100, len(answer.json()["warnings"])) == (True, 100)
    assert exported(came.text) == vocabulary
