"""What needs attention, who finds it, and changes of many objects that are looked at first and can be undone."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from catalog.engines import Engines
from catalog.objects import changing
from tests.api.conftest import patch, plain, read, register
from tests.api.problems import problem_of
from tests.conftest import Clients, eventually

WELL = {"licence": "MIT", "external": [{"type": "url", "url": "https://example.org/a"}]}


async def queued(client: httpx2.AsyncClient, queue: str, project: str) -> list[str]:
    """Return the titles that wait in a queue."""
    answer = await client.get(f"/api/curation/queues/{queue}", params={"project": project})
    assert answer.status_code == 200, answer.text
    return [one["title"] for one in answer.json()["items"]]


async def edit(client: httpx2.AsyncClient, select: dict[str, Any], change: dict[str, Any]) -> httpx2.Response:
    """Look at a change, then make it."""
    body = {"select": select, "patch": change}
    looked = await client.post("/api/curation/edits/preview", json=body)
    assert looked.status_code == 200, looked.text
    return await client.post("/api/curation/edits", json=body | {"preview": looked.json()["digest"]})


async def test_the_quality_of_a_record_tells_how_to_mend_it(clients: Clients, project: str) -> None:
    made = await register(clients.ingest, plain(project, visibility="public", **WELL))

    answer = await clients.anonymous.get(f"/api/objects/{made['id']}/quality")

    report = answer.json()
    checks = {check.pop("name"): check for check in report.pop("checks")}
    assert checks["licence"] == {
        "group": "reuse",
        "level": "required",
        "fair": "R1.1",
        "promise": "A licence is stated.",
        "passed": True,
        "faults": [],
    }
    assert checks["keywords"]["faults"] == [
        {
            "pointer": "/keywords",
            "message": "there is none",
            "suggestion": "add words by which others would look for it",
        }
    ]
    assert report == {
        "object": made["id"],
        "revision": 1,
        "score": report["score"],
        "band": report["band"],
        "passes": True,
        "fields": report["fields"],
        "empty": report["empty"],
    }
    await patch(clients.ingest, made["id"], {"licence": None})
    assert (await clients.anonymous.get(f"/api/objects/{made['id']}/quality")).json()["passes"] is False
    hidden = (await register(clients.ingest, plain(project)))["id"]
    assert (await clients.anonymous.get(f"/api/objects/{hidden}/quality")).status_code == 404


async def test_queues_hold_what_needs_attention_and_search_counts_quality(clients: Clients, project: str) -> None:
    there = plain(project, title="Well", visibility="public", **WELL)
    await register(clients.ingest, there)
    without = await register(clients.ingest, plain(project, title="No licence", external=WELL["external"]))
    await register(clients.curator, plain(project, title="Another's", external=WELL["external"]))

    async def seen() -> bool:
        return await queued(clients.curator, "without-licence", project) == ["Another's", "No licence"]

    await eventually(seen)
    assert await queued(clients.ingest, "without-licence", project) == ["No licence"]
    assert await queued(clients.ingest, "without-bytes", project) == []
    (found,) = (await clients.ingest.get("/api/curation/queues/not-passing", params={"project": project})).json()[
        "items"
    ]
    assert (found["id"], found["owner"], found["href"]) == (
        without["id"],
        "ingest",
        f"/api/objects/{without['id']}/quality",
    )
    assert "licence" in found["failed"]
    counted = {one["name"]: one["waiting"] for one in (await clients.ingest.get("/api/curation")).json()["items"]}
    assert counted["without-licence"] >= 1

    async def facet() -> dict[str, Any]:
        answer = await clients.ingest.get("/api/search", params={"project": project, "facet": ["quality", "state"]})
        facets: dict[str, Any] = answer.json()["facets"]
        return facets if sum(bucket["count"] for bucket in facets["state"]["buckets"]) == 2 else {}

    facets = await eventually(facet)
    assert facets["state"]["buckets"] == [{"value": "draft", "count": 2}]
    assert sum(bucket["count"] for bucket in facets["quality"]["buckets"]) == 2

    await patch(clients.ingest, without["id"], {"licence": "MIT"})

    async def mended() -> bool:
        return await queued(clients.ingest, "without-licence", project) == []

    await eventually(mended)


async def test_a_queue_is_read_page_by_page(clients: Clients, project: str) -> None:
    for number in range(5):
        await register(clients.ingest, plain(project, title=str(number)))

    async def all_there() -> bool:
        return len(await queued(clients.ingest, "without-licence", project)) == 5

    await eventually(all_there)
    address = f"/api/curation/queues/without-licence?project={project}&limit=2"
    titles = []
    while address:
        page = await clients.ingest.get(address)
        titles += [one["title"] for one in page.json()["items"]]
        address = page.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert titles == ["4", "3", "2", "1", "0"]


async def test_an_edit_is_looked_at_made_and_undone_except_where_somebody_changed_it_since(
    clients: Clients, project: str
) -> None:
    first, second, other = [
        (await register(clients.ingest, plain(project, title=title, keywords=["old"])))["id"] for title in "abc"
    ]
    change = {"licence": "cc-by-4.0", "keywords": ["new"], "custom": {"checked": True}}
    select = {"objects": [first, second]}

    looked = await clients.curator.post("/api/curation/edits/preview", json={"select": select, "patch": change})

    changes = {
        "custom": {"from": {}, "to": {"checked": True}},
        "keywords": {"from": ["old"], "to": ["new"]},
        "licence": {"from": None, "to": "CC-BY-4.0"},
    }
    plan = looked.json()
    assert plan == {
        "digest": plan["digest"],
        "objects": [
            {"id": one, "title": title, "revision": 1, "changes": changes, "faults": []}
            for one, title in ((first, "a"), (second, "b"))
        ],
        "changing": 2,
        "refusing": 0,
        "fitting": 2,
        "next_after": None,
    }
    assert [(await read(clients.ingest, one))["revision"] for one in (first, second)] == [1, 1]

    made = await clients.curator.post(
        "/api/curation/edits", json={"select": select, "patch": change, "preview": plan["digest"]}
    )

    assert made.status_code == 201, made.text
    told = made.json()
    assert made.headers["location"] == told["href"] == f"/api/curation/edits/{told['id']}"
    assert (told["by"], told["objects"], told["undone_at"]) == ("curator", plan["objects"], None)
    assert (await clients.curator.get(told["href"])).json() == told
    assert (await clients.ingest.get(told["href"])).status_code == 404
    after = await read(clients.ingest, first)
    assert (after["licence"], after["keywords"], after["custom"], after["revision"]) == (
        "CC-BY-4.0",
        ["new"],
        {"checked": True},
        2,
    )
    await patch(clients.ingest, second, {"keywords": ["newer"]})
    await patch(clients.ingest, first, {"title": "still mine"})

    undone = (await clients.curator.post(f"{told['href']}/undo")).json()

    assert undone == {"undone": [first], "left": [{"id": second, "reason": "changed since: /keywords"}]}
    back, kept, untouched = [await read(clients.ingest, one) for one in (first, second, other)]
    assert (back["licence"], back["keywords"], back["custom"], back["title"]) == (None, ["old"], {}, "still mine")
    assert (kept["licence"], kept["keywords"]) == ("CC-BY-4.0", ["newer"])
    assert (untouched["revision"], untouched["keywords"]) == (1, ["old"])
    await patch(clients.ingest, second, {"keywords": ["new"]})
    assert (await clients.curator.post(f"{told['href']}/undo")).json() == {"undone": [second], "left": []}
    again = await clients.curator.post(f"{told['href']}/undo")
    assert (again.status_code, problem_of(again)["detail"][:31]) == (409, "This edit was taken back on 202")


async def test_undoing_an_edit_of_one_metadata_field_leaves_later_changes_to_others(
    clients: Clients, project: str
) -> None:
    one = (await register(clients.ingest, plain(project, custom={"checked": False, "by": "nobody"})))["id"]
    change = {"custom": {"checked": True, "by": None}, "metadata": {"instances": 5}}
    edited = await edit(clients.curator, {"objects": [one]}, change)
    await patch(clients.ingest, one, {"custom": {"batch": 7}, "metadata": {"labelled": True}})

    undone = (await clients.curator.post(f"{edited.json()['href']}/undo")).json()

    assert undone == {"undone": [one], "left": []}
    back = await read(clients.ingest, one)
    assert back["custom"] == {"checked": False, "by": "nobody", "batch": 7}
    assert (back["metadata"].get("instances"), back["metadata"]["labelled"]) == (None, True)
    again = await edit(clients.curator, {"objects": [one]}, change)
    await patch(clients.ingest, one, {"custom": {"checked": "perhaps"}})
    left = (await clients.curator.post(f"{again.json()['href']}/undo")).json()
    assert left == {"undone": [], "left": [{"id": one, "reason": "changed since: /custom/checked"}]}


async def test_an_edit_of_more_objects_than_one_takes_goes_by_the_first_ones_and_on_after_them(
    clients: Clients, project: str
) -> None:
    rows = [plain(project, title=str(number)) for number in range(501)]
    body = "\n".join(map(json.dumps, rows)).encode()
    told = await clients.ingest.post(
        "/api/bulk/objects", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    ids = sorted(json.loads(line)["id"] for line in told.text.splitlines())
    select = {"project": project, "kind": "training-dataset"}

    async def looked(select: dict[str, Any]) -> httpx2.Response:
        body = {"select": select, "patch": {"licence": "MIT"}}
        return await clients.ingest.post("/api/curation/edits/preview", json=body)

    whole = await looked(select)
    first = await looked(select | {"limit": 2})
    made = await edit(clients.ingest, select | {"limit": 2}, {"licence": "MIT"})
    last = await looked(select | {"limit": 2, "after": ids[498]})

    assert (whole.status_code, whole.json()["detail"].partition(";")[0]) == (
        413,
        "An edit changes at most 500 objects, and 501 fit",
    )
    assert [one["id"] for one in first.json()["objects"]] == ids[:2]
    assert (first.json()["fitting"], first.json()["next_after"]) == (501, ids[1])
    assert [one["id"] for one in made.json()["objects"]] == ids[:2]
    assert [one["id"] for one in last.json()["objects"]] == ids[499:]
    assert (last.json()["fitting"], last.json()["next_after"]) == (2, None)
    both = await looked({"objects": ids[:1], "limit": 1})
    assert [one["pointer"] for one in both.json()["errors"]] == ["/select/limit"]


async def test_an_edit_that_one_object_refuses_or_that_was_not_looked_at_changes_nothing(
    clients: Clients, project: str
) -> None:
    ids = [(await register(clients.ingest, plain(project, title=title)))["id"] for title in "ab"]
    select = {"project": project}

    async def untouched() -> bool:
        return [(await read(clients.ingest, one))["revision"] for one in ids] == [1, 1]

    # The same name twice in one project: the second object refuses.
    refused = await edit(clients.ingest, select, {"name": "one-name"})
    assert refused.status_code == 422
    (fault,) = problem_of(refused)["errors"]
    assert fault["pointer"] == f"/objects/{ids[1]}"
    assert "already" in fault["message"]
    wrong = await edit(clients.ingest, select, {"licence": "what"})
    assert [one["pointer"] for one in problem_of(wrong)["errors"]] == [f"/objects/{one}/licence" for one in ids]
    assert await untouched()

    body = {"select": select, "patch": {"licence": "MIT"}}
    looked = (await clients.ingest.post("/api/curation/edits/preview", json=body)).json()
    await register(clients.ingest, plain(project, title="c"))
    stale = await clients.ingest.post("/api/curation/edits", json=body | {"preview": looked["digest"]})
    assert stale.status_code == 412
    nothing = await edit(clients.ingest, {"objects": ids}, {"title": "a"})
    assert nothing.status_code == 201
    assert len(nothing.json()["objects"]) == 1
    for selection, pointer in (({}, "/select"), ({"objects": ids, "kind": "model"}, "/select/kind")):
        told = await clients.ingest.post(
            "/api/curation/edits/preview", json={"select": selection, "patch": {"name": "x"}}
        )
        assert problem_of(told)["errors"][0]["pointer"] == pointer
    foreign = await clients.other.post(
        "/api/curation/edits/preview", json={"select": {"objects": ids}, "patch": {"title": "x"}}
    )
    assert foreign.status_code == 404


@pytest.mark.req("SAGE-STORAGE-28")
async def test_texts_that_became_terms_are_found_and_read_as_terms_in_bulk(
    clients: Clients, engines: Engines, project: str
) -> None:
    ids = [
        (await register(clients.ingest, plain(project, kind="model", title=title, metadata=metadata)))["id"]
        for title, metadata in (
            ("now a term", {"framework": "torch", "task": "segmentation"}),
            ("none yet", {"framework": "torch"}),
            ("all well", {"framework": "torch"}),
        )
    ]
    # As they were kept before there was a vocabulary.
    async with engines.database.transaction() as session:
        for object_id, text in zip(ids, ("pytorch", "PyTorhc"), strict=False):
            await session.execute(
                sa.text(
                    "UPDATE object SET record = jsonb_set(record, '{metadata,framework}', :text) WHERE id = :id"
                ).bindparams(sa.bindparam("text", type_=JSONB)),
                {"text": text, "id": object_id},
            )
        await changing.write_documents_anew(session, [UUID(one) for one in ids])

    async def waiting(*titles: str) -> bool:
        return sorted(await queued(clients.curator, "wrong-terms", project)) == sorted(titles)

    await eventually(lambda: waiting("now a term", "none yet"))
    quality = [(await clients.ingest.get(f"/api/objects/{one}/quality")).json()["checks"] for one in ids]
    pointer, scheme = "/metadata/framework", "urn:x-catalog:software"
    assert [next(one["faults"] for one in checks if one["name"] == "terms") for checks in quality] == [
        [
            {
                "pointer": pointer,
                "message": "'pytorch' is a text, and a term of software by now; any change of the record reads it",
                "suggestion": f"{scheme}:pytorch",
            }
        ],
        [
            {
                "pointer": pointer,
                "message": "there is no term 'PyTorhc' in software",
                "suggestion": "PyTorch; PyTorch Lightning; llama.cpp",
            }
        ],
        [],
    ]
    select = {"project": project, "queue": "wrong-terms"}
    looked = (await clients.curator.post("/api/curation/edits/preview", json={"select": select, "patch": {}})).json()
    assert (looked["changing"], looked["refusing"]) == (1, 0)

    made = await edit(clients.curator, select, {})

    metadata = [(await read(clients.ingest, one))["metadata"]["framework"] for one in ids]
    assert (made.status_code, metadata) == (201, [f"{scheme}:pytorch", "PyTorhc", f"{scheme}:pytorch"])
    await eventually(lambda: waiting("none yet"))
    undone = (await clients.curator.post(f"/api/curation/edits/{made.json()['id']}/undo")).json()
    reason = "what was a text in /metadata/framework is a term now, and is kept as one"
    assert undone == {"undone": [], "left": [{"id": ids[0], "reason": reason}]}
    assert (await read(clients.ingest, ids[0]))["revision"] == 2

    # What is no term yet is mended by saying which it is.
    await edit(clients.curator, select, {"metadata": {"framework": "PyTorch"}})
    await eventually(waiting)


@pytest.mark.parametrize("address", ["/api/curation", "/api/curation/queues/without-licence", "/api/curation/edits"])
async def test_the_desk_is_for_those_who_may_change_something(clients: Clients, address: str) -> None:
    asked = [
        await client.get(address) for client in (clients.anonymous, clients.reader, clients.ingest, clients.curator)
    ]
    assert [answer.status_code for answer in asked] == [401, 403, 200, 200]


@pytest.mark.req("SAGE-STORAGE-29")
async def test_searches_that_found_nothing_are_counted_for_curators_alone(clients: Clients) -> None:
    word = f"phlogiston{uuid4().hex[:8]}"
    for client, text in (
        (clients.anonymous, word),
        (clients.ingest, f" {word.upper()} "),
        (clients.reader, f"{word} é"),
        (clients.reader, f"{word} é"),
    ):
        assert (await client.get("/api/search", params={"q": text})).json()["total"] == 0
    # Narrowed by more than its text, a search says nothing of the words.
    await clients.ingest.get("/api/search", params={"q": f"{word} narrowed", "kind": "model"})

    answer = await clients.curator.get("/api/curation/unfound", params={"limit": 200})

    told = {one["text"]: one["times"] for one in answer.json()["items"] if word in one["text"]}
    assert told == {word: 2, f"{word} e": 2}
    asked = [await one.get("/api/curation/unfound") for one in (clients.anonymous, clients.ingest)]
    assert [one.status_code for one in asked] == [401, 403]
    counted = {one["name"]: one["waiting"] for one in (await clients.curator.get("/api/curation")).json()["items"]}
    assert counted["unfound-searches"] >= 2
