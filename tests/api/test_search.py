"""Searching over HTTP: what is found, what stays hidden, and links that work."""

import copy
import hashlib
import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from catalog.access import principals
from catalog.access.audience import Role
from catalog.engines import Engines
from catalog.objects import kinds
from tests.conftest import Clients, eventually

CONTENT = b"species,mass\nAdelie,3750\n"


def draft(word: str, **changes: Any) -> dict[str, Any]:
    example = copy.deepcopy(dict(kinds.known()["training-dataset"].example))
    return {**example, "title": word, "files": [], "keywords": [], **changes}


async def register(client: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/api/objects", json=body)
    assert answer.status_code == 201, answer.text
    registered: dict[str, Any] = answer.json()
    return registered


async def ask(client: httpx2.AsyncClient, **question: Any) -> dict[str, Any]:
    answer = await client.get("/api/search", params=question)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def found(client: httpx2.AsyncClient, count: int, **question: Any) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        answer = await ask(client, **question)
        return answer if answer["total"] == count else None

    there = await eventually(look)
    assert there is not None
    return there


@pytest.fixture
def word() -> str:
    """A word that stands in no other test's objects."""
    return f"quagga{uuid4().hex[:10]}"


@pytest.mark.req("SAGE-STORAGE-3", "SAGE-STORAGE-34")
async def test_a_hit_carries_links_that_download_the_verified_bytes(clients: Clients, word: str) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    file = {"path": "data/penguins.csv", "size": len(CONTENT), "sha256": sha256, "media_type": "text/csv"}
    registered = await register(clients.ingest, draft(word, files=[file]))
    (ticket,) = registered["uploads"]
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as outside:
        put = await outside.put(ticket["url"], content=CONTENT, headers=ticket["headers"])
        assert put.status_code == 200, put.text

        async def linked() -> dict[str, Any] | None:
            answer = await ask(clients.anonymous, q=word)
            (hit,) = answer["hits"] or [None]
            return hit if hit and hit["files"][0]["link"] else None

        hit = await eventually(linked)
        assert hit is not None
        (shown,) = hit["files"]
        got = await outside.get(shown["link"]["href"], headers={"Range": "bytes=8-11"})

    assert {name: shown[name] for name in file} == file
    assert (got.status_code, got.content) == (206, CONTENT[8:12])
    assert got.headers["content-disposition"] == 'attachment; filename="penguins.csv"'
    assert got.headers["content-type"] == "text/csv"


async def test_an_answer_with_links_is_kept_by_no_cache(clients: Clients, word: str) -> None:
    for answer in (
        await clients.anonymous.get("/api/search", params={"q": word}),
        await clients.anonymous.post("/api/search", json={"q": word}),
    ):
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


async def test_a_private_object_is_in_no_hit_total_or_facet_of_others(clients: Clients, word: str) -> None:
    await register(clients.ingest, draft(f"{word} open", licence="MIT"))
    await register(clients.ingest, draft(f"{word} closed", visibility="private", licence="GPL-3.0-only"))
    await found(clients.ingest, 2, q=word)

    seen = {
        name: await ask(getattr(clients, name), q=word, facet=["licence"])
        for name in ("anonymous", "reader", "other", "ingest", "curator", "admin")
    }

    titles = {name: {hit["title"] for hit in answer["hits"]} for name, answer in seen.items()}
    licences = {
        name: {bucket["value"] for bucket in answer["facets"]["licence"]["buckets"]} for name, answer in seen.items()
    }
    few, all_ = ("anonymous", "reader", "other"), ("ingest", "curator", "admin")
    assert titles == {
        **{name: {f"{word} open"} for name in few},
        **{name: {f"{word} open", f"{word} closed"} for name in all_},
    }
    assert licences == {**{name: {"MIT"} for name in few}, **{name: {"MIT", "GPL-3.0-only"} for name in all_}}
    assert {name: answer["total"] for name, answer in seen.items()} == {
        name: len(shown) for name, shown in titles.items()
    }


async def test_a_token_that_has_searched_before_searches_with_the_rights_it_has_now(
    clients: Clients, engines: Engines, word: str
) -> None:
    await register(clients.ingest, draft(word, visibility="private"))
    await found(clients.curator, 1, q=word)
    async with engines.database.transaction() as session:
        caller, token = await principals.create_token(session, name=f"p{word}", role=Role.CURATOR)
    headers = {"Authorization": f"Bearer {token}"}

    async def asked() -> tuple[int, int | None]:
        answer = await clients.anonymous.get("/api/search", params={"q": word, "facet": "kind"}, headers=headers)
        return answer.status_code, answer.json().get("total")

    before = [await asked(), await asked()]
    async with engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE principal SET role = 'reader' WHERE id = :id"), {"id": caller.id})
    lowered = [await asked(), await asked()]
    async with engines.database.transaction() as session:
        await session.execute(
            sa.text("UPDATE token SET revoked_at = now() WHERE principal_id = :id"), {"id": caller.id}
        )

    assert (before, lowered, await asked()) == ([(200, 1)] * 2, [(200, 0)] * 2, (401, None))


async def test_an_object_hidden_after_it_was_indexed_is_not_shown(
    clients: Clients, engines: Engines, word: str
) -> None:
    registered = await register(clients.ingest, draft(word))
    await found(clients.anonymous, 1, q=word)

    async with engines.database.transaction() as session:
        # Behind the queue's back: the index still says that everybody may see it.
        await session.execute(sa.text("UPDATE object SET readers = '{}' WHERE id = :id"), {"id": registered["id"]})

    assert (await ask(clients.anonymous, q=word))["hits"] == []


async def test_a_withdrawn_object_is_found_no_more(clients: Clients, word: str) -> None:
    registered = await register(clients.ingest, draft(word))
    await found(clients.anonymous, 1, q=word)

    gone = await clients.ingest.delete(
        f"/api/objects/{registered['id']}", params={"reason": "It was a test."}, headers={"If-Match": "*"}
    )

    assert gone.status_code == 204
    await found(clients.anonymous, 0, q=word)


@pytest.mark.req("SAGE-STORAGE-33")
async def test_words_filters_facets_sort_and_cursor_work_together(clients: Clients, word: str) -> None:
    years = [2001, 2002, 2003, 2004, 2005]
    for year in years:
        body = draft(
            f"{word} of {year}",
            project="zoo/quaggas" if year % 2 else "zoo/zebras",
            dates=[{"type": "Issued", "date": str(year)}],
        )
        await register(clients.ingest, body)
    await found(clients.anonymous, 5, q=word)

    odd = await ask(clients.anonymous, q=word, project="zoo/quaggas", facet=["project", "year"], sort="title")
    walked: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await ask(clients.anonymous, q=word, sort="title", limit=2, **cursor)
        walked += [hit["title"] for hit in page["hits"]]
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}

    assert [hit["title"] for hit in odd["hits"]] == [f"{word} of {year}" for year in (2001, 2003, 2005)]
    assert odd["total"] == 3
    # A facet is not narrowed by its own choice, but by every other.
    assert odd["facets"]["project"] == {
        "buckets": [{"value": "zoo/quaggas", "count": 3}, {"value": "zoo/zebras", "count": 2}],
        "rest": 0,
        "missing": 0,
    }
    assert {bucket["value"]: bucket["count"] for bucket in odd["facets"]["year"]["buckets"]} == {
        2001: 1,
        2003: 1,
        2005: 1,
    }
    assert walked == [f"{word} of {year}" for year in years]


async def test_a_cursor_fits_only_its_own_question_and_caller(clients: Clients, word: str) -> None:
    for number in range(3):
        await register(clients.ingest, draft(f"{word} {number}"))
    page = await found(clients.anonymous, 3, q=word, limit=1)
    cursor = page["cursor"]
    altered = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]

    refused = [
        await clients.anonymous.get("/api/search", params={"q": f"{word} 1", "cursor": cursor}),
        await clients.ingest.get("/api/search", params={"q": word, "cursor": cursor}),
        await clients.anonymous.get("/api/search", params={"q": word, "cursor": altered}),
    ]

    assert [(answer.status_code, answer.json()["errors"][0]["pointer"]) for answer in refused] == [
        (400, "/cursor"),
        (400, "/cursor"),
        (400, "/cursor"),
    ]


async def test_markup_in_a_title_comes_out_as_text_with_only_the_marks_ours(clients: Clients, word: str) -> None:
    await register(clients.ingest, draft(f"<img src=x onerror=alert(1)> {word}"))

    answer = await found(clients.anonymous, 1, q=word)

    (title,) = answer["hits"][0]["highlights"]["title"]
    assert title.replace("&#x2F;", "/") == f"&lt;img src=x onerror=alert(1)&gt; <mark>{word}</mark>"


async def test_asking_by_body_and_by_query_finds_the_same(clients: Clients, word: str) -> None:
    await register(clients.ingest, draft(word))
    await found(clients.anonymous, 1, q=word)

    by_query = await ask(clients.anonymous, q=word, facet=["kind", "licence"], kind=["training-dataset"])
    by_body = await clients.anonymous.post(
        "/api/search", json={"q": word, "facet": ["kind", "licence"], "kind": ["training-dataset"]}
    )

    assert by_body.json() == by_query


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"kindd": "model"}, {"pointer": "/kindd", "message": "there is no field 'kindd' here", "suggestion": "kind"}),
        (
            {"q": 'a "b'},
            {
                "pointer": "/q",
                "message": "The quote at character 3 is not closed.",
                "suggestion": "Close it, or leave it out to ask for the words.",
            },
        ),
        ({"limit": "0"}, {"pointer": "/limit", "message": "must be at least 1"}),
    ],
)
async def test_a_wrong_question_is_answered_with_the_place_and_the_mend(
    clients: Clients, params: dict[str, str], error: dict[str, str]
) -> None:
    answer = await clients.anonymous.get("/api/search", params=params)

    assert (answer.status_code, answer.json()["errors"]) == (400, [error])


def labels(word: str, dataset: str, **changes: Any) -> dict[str, Any]:
    """Return a registration of labels."""
    return draft(word, kind="labels", title=f"Labels {word}", metadata={"dataset": dataset}, **changes)


async def labelling(client: httpx2.AsyncClient, word: str) -> dict[str, list[str]]:
    """Return which data sets a caller finds with and without labels."""
    found = {answer: await ask(client, q=word, has_labels=answer) for answer in ("yes", "no")}
    return {answer: sorted(hit["title"] for hit in page["hits"]) for answer, page in found.items()}


async def settles(client: httpx2.AsyncClient, word: str, **expected: list[str]) -> None:
    """Wait until a caller finds these data sets with labels, and these without; then the facet counts the same."""

    async def look() -> bool | None:
        return (await labelling(client, word)) == expected or None

    await eventually(look)
    counted = (await ask(client, q=word, facet="has_labels"))["facets"]["has_labels"]
    buckets = [{"value": answer, "count": len(titles)} for answer, titles in expected.items() if titles]
    assert counted == {"buckets": buckets, "rest": 0, "missing": 0}


@pytest.mark.req("SAGE-STORAGE-10")
async def test_data_sets_are_told_apart_by_labels_that_the_caller_may_see(clients: Clients, word: str) -> None:
    a_set = {"kind": "training-dataset", "metadata": {"labelled": False}}
    first = await register(clients.ingest, draft(word, **a_set) | {"title": f"First {word}"})
    second = await register(clients.ingest, draft(word, **a_set) | {"title": f"Second {word}"})
    within = {"kind": "training-dataset", "metadata": {"labelled": True}, "title": f"Within {word}"}
    await register(clients.ingest, draft(word, **a_set) | within)
    one, two, inner = f"First {word}", f"Second {word}", f"Within {word}"
    revision = first["revision"]
    await settles(clients.anonymous, word, yes=[inner], no=[one, two])

    # Another's labels, which only they may see, are labels for them alone: nobody else learns of them.
    secret = await register(clients.other, labels(word, first["id"], visibility="private"))
    await settles(clients.other, word, yes=[one, inner], no=[two])
    assert await labelling(clients.anonymous, word) == {"yes": [inner], "no": [one, two]}
    assert await labelling(clients.ingest, word) == {"yes": [inner], "no": [one, two]}
    await settles(clients.curator, word, yes=[one, inner], no=[two])
    assert (await clients.ingest.get(f"/api/objects/{first['id']}")).json()["revision"] == revision

    async def change(change: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
        answer = await clients.other.patch(f"/api/objects/{secret['id']}", json=change, headers=headers)
        assert answer.status_code == 200, answer.text

    await change({"visibility": "public"})
    await settles(clients.anonymous, word, yes=[one, inner], no=[two])
    await change({"metadata": {"dataset": second["id"]}})
    await settles(clients.anonymous, word, yes=[two, inner], no=[one])
    await change({"visibility": "private"})
    await settles(clients.anonymous, word, yes=[inner], no=[one, two])
    await change({"visibility": "public"})
    await settles(clients.anonymous, word, yes=[two, inner], no=[one])
    await clients.other.delete(
        f"/api/objects/{secret['id']}", params={"reason": "It was a test."}, headers={"If-Match": "*"}
    )
    await settles(clients.anonymous, word, yes=[inner], no=[one, two])


async def test_labels_registered_in_bulk_label_their_data_set(clients: Clients, word: str) -> None:
    a_set = draft(word, kind="training-dataset", metadata={"labelled": False}, title=f"First {word}")
    first = await register(clients.ingest, a_set)
    await settles(clients.anonymous, word, yes=[], no=[f"First {word}"])
    body = json.dumps(labels(word, first["id"]))

    answer = await clients.ingest.post(
        "/api/bulk/objects", content=body, headers={"Content-Type": "application/x-ndjson"}
    )

    assert '"created"' in answer.text
    await settles(clients.anonymous, word, yes=[f"First {word}"], no=[])


async def titles(client: httpx2.AsyncClient, project: str, **asked: Any) -> list[str]:
    """Return the titles of what is found in a project."""
    answer = await client.get("/api/search", params={"project": project, "sort": "title", **asked})
    assert answer.status_code == 200, answer.text
    return [hit["title"] for hit in answer.json()["hits"]]


@pytest.mark.req("SAGE-STORAGE-12")
async def test_models_are_found_by_what_they_run_on(clients: Clients) -> None:
    project = f"search/r{uuid4().hex[:10]}"
    needs: dict[str, list[dict[str, str]]] = {
        "Any": [{"name": "PyTorch"}],
        "Newer": [{"name": "torch", "version": ">=2.1,<3"}],
        "Older": [{"name": "PyTorch", "version": "<2"}],
        "Other": [{"name": "TensorFlow", "version": ">=2.1"}, {"name": "PyTorch", "version": "==1.8.*"}],
        "Own": [{"name": "our-runtime", "version": ">=7"}],
    }
    for title, runtime in needs.items():
        body = draft(title, kind="model", project=project, visibility="public", metadata={"runtime": runtime})
        await register(clients.ingest, body)

    async def all_found() -> bool:
        return len(await titles(clients.anonymous, project)) == len(needs)

    await eventually(all_found)
    assert await titles(clients.anonymous, project, runtime="pytorch") == ["Any", "Newer", "Older", "Other"]
    assert await titles(clients.anonymous, project, runtime="pytorch>=2.1") == ["Any", "Newer"]
    assert await titles(clients.anonymous, project, runtime="PyTorch==1.8.1") == ["Any", "Older", "Other"]
    assert await titles(clients.anonymous, project, runtime="Our-Runtime >= 6") == ["Own"]
    assert await titles(clients.anonymous, project, runtime=["our-runtime<7", "tensorflow"]) == ["Other"]
    wrong = await clients.anonymous.get("/api/search", params={"runtime": "pytorch>=2.1,what"})
    assert wrong.json()["errors"] == [
        {"pointer": "/runtime/0", "message": "'>=2.1,what' is no version range; write it as >=2.1,<3 (PEP 440)"}
    ]


@pytest.mark.req("SAGE-STORAGE-21")
async def test_calibrations_are_found_by_their_sensor_and_by_when_they_hold(clients: Clients) -> None:
    project = f"search/c{uuid4().hex[:10]}"
    parameters = [{"name": "gain", "value": 2.0, "unit": "1"}]
    spans = {"First": ("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), "Second": ("2024-01-01T00:00:01Z", None)}
    for title, (start, end) in spans.items():
        for sensor in ("S1", "S2"):
            valid = {"start": start} | ({} if end is None else {"end": end})
            said = {"sensor": {"id": sensor}, "parameters": parameters, "valid": valid}
            body = draft(
                f"{title} of {sensor}", kind="calibration", project=project, visibility="public", metadata=said
            )
            await register(clients.ingest, body)

    async def all_found() -> bool:
        return len(await titles(clients.anonymous, project)) == 4

    await eventually(all_found)
    asked = {"kind": "calibration", "sensor": "S1"}
    assert await titles(clients.anonymous, project, **asked) == ["First of S1", "Second of S1"]
    assert await titles(clients.anonymous, project, **asked, valid_at="2024-05-01T00:00:00Z") == ["Second of S1"]
    assert await titles(clients.anonymous, project, **asked, valid_at="2023-05-01T00:00:00+02:00") == ["First of S1"]
    assert await titles(clients.anonymous, project, valid_at="2022-12-31T23:59:59Z") == []
    page = await clients.anonymous.get("/api/search", params={"project": project, "facet": "sensor"})
    assert page.json()["facets"]["sensor"]["buckets"] == [{"value": "S1", "count": 2}, {"value": "S2", "count": 2}]


@pytest.mark.req("SAGE-STORAGE-9")
async def test_training_data_sets_are_found_as_a_kind_wherever_their_bytes_are(clients: Clients) -> None:
    project = f"search/t{uuid4().hex[:10]}"
    there = [{"type": "url", "url": "https://example.org/penguins.csv"}]
    await register(clients.ingest, draft("Elsewhere", project=project, visibility="public", external=there))
    await register(clients.ingest, draft("Here", project=project, visibility="public"))
    other = {"kind": "model", "metadata": {}}
    await register(clients.ingest, draft("A model", project=project, visibility="public", **other))

    async def all_found() -> bool:
        return len(await titles(clients.anonymous, project)) == 3

    await eventually(all_found)
    assert await titles(clients.anonymous, project, kind="training-dataset") == ["Elsewhere", "Here"]


async def test_what_nothing_has_as_written_is_found_by_similar_words_and_told(clients: Clients, word: str) -> None:
    await register(clients.ingest, draft(f"{word} of the plains"))
    await found(clients.anonymous, 1, q=word)
    mistyped = word[:4] + word[5:]

    near = await ask(clients.anonymous, q=f"{mistyped} plains")
    assert [hit["title"] for hit in near["hits"]] == [f"{word} of the plains"]
    assert (near["similar"], near["did_you_mean"]) == (True, f"{word} plains")
    exact = await ask(clients.anonymous, q=f"{mistyped} plains", similar="false")
    assert (exact["total"], exact["similar"], exact["did_you_mean"]) == (0, False, None)
    as_written = await ask(clients.anonymous, q=f"{word} plains")
    assert (as_written["total"], as_written["similar"], as_written["did_you_mean"]) == (1, False, None)


async def test_pages_of_similar_words_go_on_with_similar_words(clients: Clients, word: str) -> None:
    for number in range(3):
        await register(clients.ingest, draft(f"{word} {number}"))
    await found(clients.anonymous, 3, q=word)

    first = await ask(clients.anonymous, q=word[:-2], limit=2)
    second = await ask(clients.anonymous, q=word[:-2], limit=2, cursor=first["cursor"])

    titles = [hit["title"] for page in (first, second) for hit in page["hits"]]
    assert (sorted(titles), second["similar"], second["cursor"]) == ([f"{word} {n}" for n in range(3)], True, None)


async def test_a_hidden_object_brings_no_similar_words(clients: Clients, word: str) -> None:
    await register(clients.ingest, draft(f"{word}s", visibility="private"))
    await found(clients.ingest, 1, q=f"{word}s")

    for typed in (word, f"{word[:5]}x{word[6:]}"):
        answer = await ask(clients.anonymous, q=typed)
        assert (answer["total"], answer["similar"], answer["did_you_mean"]) == (0, False, None)


async def test_fields_are_asked_in_the_box_in_cql2_and_as_parameters_alike(clients: Clients, word: str) -> None:
    place = {"spatial": {"point": {"latitude": 47.4, "longitude": 8.5}}}
    swiss = await register(clients.ingest, draft(f"{word} a", keywords=[word], coverage=place))
    await register(clients.ingest, draft(f"{word} b", licence="MIT"))
    await found(clients.anonymous, 2, q=word)
    here = swiss["id"]

    for question in (
        {"q": f"keyword:{word}"},
        {"q": word, "filter": f"keyword = '{word}'"},
        {"q": word, "filter": '{"op": "=", "args": [{"property": "keyword"}, "' + word + '"]}'},
        {"keyword": word},
        {"q": f"{word} place:5.9,45.8,10.5,47.8"},
        {"q": word, "bbox": "5.9,45.8,10.5,47.8"},
        {"q": word, "filter": "S_INTERSECTS(place, BBOX(5.9, 45.8, 10.5, 47.8))"},
        {"q": f"{word} -licence:mit"},
    ):
        answer = await ask(clients.anonymous, **question)
        assert [hit["id"] for hit in answer["hits"]] == [here], question
    body = {"q": word, "filter": {"op": "=", "args": [{"property": "keyword"}, word]}}
    answer = await clients.anonymous.post("/api/search", json=body)
    assert [hit["id"] for hit in answer.json()["hits"]] == [here]


async def test_an_object_is_found_by_the_doi_that_it_has_elsewhere(clients: Clients, word: str) -> None:
    doi = f"10.5281/{word}.1"
    elsewhere = [{"type": "DOI", "value": doi}, {"type": "Local accession number", "value": f"{word}-2"}]
    known = await register(clients.ingest, draft(word, identifiers=elsewhere))
    await found(clients.anonymous, 1, q=word)

    for text in (doi, f"doi:{doi}", f"https://doi.org/{doi}", f"{word}-2", f"{word} doi:*"):
        answer = await ask(clients.anonymous, q=text, similar="false")
        assert [hit["id"] for hit in answer["hits"]] == [known["id"]], text
    answer = await ask(clients.anonymous, q=f"doi:{word}-2", similar="false")
    assert answer["hits"] == []


async def test_a_concept_is_asked_by_what_it_is_called_and_stands_for_narrower_ones(
    clients: Clients, word: str
) -> None:
    await register(clients.ingest, draft(word, subjects=["Seismology"]))
    await found(clients.anonymous, 1, q=word)

    for text, narrower, total in (
        ("subject:seismology", True, 1),
        ("subject:Seismologie", True, 1),
        ('subject:"earth sciences"', True, 1),
        ('subject:"earth sciences"', False, 0),
        ("subject:seismology", False, 1),
    ):
        answer = await ask(clients.anonymous, q=f"{word} {text}", narrower=str(narrower).lower(), similar="false")
        assert answer["total"] == total, (text, narrower)
    refused = await clients.anonymous.get("/api/search", params={"q": "subject:seismolgy"})
    assert refused.status_code == 400
    (fault,) = refused.json()["errors"]
    assert fault["pointer"] == "/q"
    assert "seismolgy" in fault["message"]
    assert "eismology" in fault["suggestion"]


async def test_parameters_take_concepts_and_licences_as_the_box_does_or_refuse_with_what_is_near(
    clients: Clients, word: str
) -> None:
    metadata = {"task": "Voice activity detection"}
    described = draft(word, kind="model", licence="MIT", subjects=["Seismology"], metadata=metadata)
    await register(clients.ingest, described | {"dates": [{"type": "Created", "date": "2021"}]})
    await found(clients.anonymous, 1, q=word)

    async def total(**asked: Any) -> int:
        return int((await ask(clients.anonymous, q=word, **asked))["total"])

    async def refused(**asked: str) -> tuple[str, str]:
        answer = await clients.anonymous.get("/api/search", params={"q": word, **asked})
        (fault,) = answer.json()["errors"]
        assert answer.status_code == 400
        assert "Input" not in answer.text
        # Of several near ones the likeliest.
        return fault["pointer"], fault.get("suggestion", fault["message"]).split("; ")[0]

    assert [
        await total(**{name: value})
        for name, value in (
            ("subject", "seismology"),
            ("subject", "Geowissenschaften"),
            ("task", "Audio processing"),
            ("licence", "mit"),
            ("licence", "MIT License"),
            ("licence", "apache-2.0"),
            ("filter", "licence = 'mit'"),
            ("filter", "licence LIKE 'mi%'"),
            ("year", "2021"),
            ("year", "2020..2022"),
            ("year", "2022.."),
        )
    ] == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0]
    assert await total(subject=["Seismology", "ecology"]) == 1
    assert [
        await refused(**{name: value})
        for name, value in (
            ("subject", "seismolgy"),
            ("task", "audio process"),
            ("licence", "mit-licence"),
            ("year", "twenty"),
            ("time", "2009-13"),
            ("filter", "bytes LIKE '10%'"),
        )
    ] == [
        ("/subject/0", "Seismology"),
        ("/task/0", "Audio processing"),
        ("/licence/0", "MIT"),
        ("/year/0", "write a year in digits, such as 2024, or several as 2020..2024"),
        ("/time", "For example 2009-08, or 2007..2009"),
        ("/filter", "Ask it by =, <>, <, <=, >, >=, BETWEEN, IN, IS NULL."),
    ]


async def test_a_time_is_a_range_of_ours_or_an_interval_of_iso_8601(clients: Clients, word: str) -> None:
    temporal = {"start": "2009-03-01T00:00:00Z", "end": "2009-04-01T00:00:00Z"}
    await register(clients.ingest, draft(word, coverage={"temporal": temporal}))
    await found(clients.anonymous, 1, q=word)
    asked = ("2007..2009", "2007/2009", "2009-02/..", "../2009", "2010/2011", "../2008")
    assert [(await ask(clients.anonymous, q=word, time=one))["total"] for one in asked] == [1, 1, 1, 1, 0, 0]


async def test_a_level_of_a_tree_is_named_by_its_concept_or_refused_with_what_to_ask_for(
    clients: Clients, word: str
) -> None:
    await register(clients.ingest, draft(word, subjects=["Seismology"]))
    await found(clients.anonymous, 1, q=word)

    async def below(text: str, **asked: str) -> Any:
        answer = await clients.anonymous.get("/api/search", params={"q": word, "below": text, **asked})
        if answer.status_code == 200:
            return [bucket["label"] for bucket in answer.json()["facets"]["subject"]["buckets"]]
        return [(fault["message"], fault["suggestion"]) for fault in answer.json()["errors"]]

    assert await below("earth sciences", tree="subject") == ["Geophysics"]
    assert await below("urn:x-catalog:scientific-fields:geophysics", tree="subject") == ["Seismology"]
    assert await below("earth sciences") == [
        (
            "'Earth sciences' is a concept of subject, and that tree is not asked for.",
            "Ask for it too: tree=subject (--tree subject).",
        )
    ]
    ((message, suggestion),) = await below("erth sciences", tree="subject")
    assert (message, suggestion.split("; ")[0]) == (
        "'erth sciences' is no concept of scientific-fields.",
        "Earth sciences",
    )


async def test_faults_of_a_question_are_told_together_with_their_places(clients: Clients) -> None:
    answer = await clients.anonymous.get(
        "/api/search", params={"q": "yaer:2020", "filter": "kin = 'model'", "bbox": "1,2,3", "kind": "modle"}
    )

    assert answer.status_code == 400
    assert [(fault["pointer"], fault.get("suggestion")) for fault in answer.json()["errors"]] == [
        ("/kind/0", "model"),
        ("/q", 'Did you mean year? To look for the text itself, write "yaer:2020".'),
        ("/bbox", "For example 5.9,45.8,10.5,47.8"),
        ("/filter", "Did you mean kind?"),
    ]


async def test_the_list_of_fields_is_what_the_box_and_filters_take(clients: Clients) -> None:
    answer = await clients.anonymous.get("/api/fields")

    listed = answer.json()
    by_name = {one["name"]: one for one in listed["items"]}
    assert by_name["licence"] == {
        "name": "licence",
        "type": "name",
        "description": "The licence, an SPDX expression.",
        "examples": ["licence:CC0-1.0", "licence:CC*"],
        "operators": ["=", "<>", "in", "like", "isNull", "a_overlaps", "a_contains"],
        "also": ["license"],
        "values": [],
        "vocabulary": None,
        "facet": True,
    }
    assert listed["sorts"] == ["relevance", "newest", "oldest", "title"]
    for one in listed["items"]:
        for example in one["examples"]:
            asked = await clients.anonymous.get("/api/search", params={"q": example, "similar": "false"})
            assert asked.status_code == 200, (example, asked.text)
