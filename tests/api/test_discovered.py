"""Files that others put into the bucket: found by the store's own word, accounted for, and forgotten when they go."""

from typing import Any
from uuid import uuid4

import pytest

from catalog.objects.discovered import project_of
from catalog.storage.keys import Stage, stage_of
from tests.api.conftest import Stored, plain
from tests.api.problems import problem_of
from tests.api.uploads import download, key_of, overwrite, put, uploaded
from tests.conftest import eventually

CSV = b"day,moisture\n1,0.31\n"


async def found(stored: Stored, **asked: Any) -> dict[str, dict[str, Any]]:
    """Return what curators see, by key."""
    answer = await stored.clients.curator.get("/api/curation/discovered", params=asked)
    assert answer.status_code == 200, answer.text
    return {one["key"]: one for one in answer.json()["items"]}


@pytest.mark.req("DEWRANGLE-RFC-3")
async def test_what_others_put_into_the_bucket_is_found_and_accounted_for(stored: Stored) -> None:
    project = f"lab/d{uuid4().hex[:10]}"
    prefix = stored.live.settings.store_prefix
    within = f"{prefix}/" if prefix else ""
    key, other = f"{within}{project}/data/soil 2024/plot-7.csv", f"{within}Elsewhere/{uuid4().hex}.bin"
    for name in (key, other):
        await overwrite(stored.live.settings, name, CSV)

    async def both() -> bool:
        seen = await found(stored, limit=200)
        return {key, other} <= seen.keys()

    await eventually(both, seconds=30)
    mine = (await found(stored, project=project))[key]
    assert mine == mine | {"bucket": stored.live.settings.store_bucket, "project": project, "size": len(CSV)}
    assert (await found(stored, limit=200))[other]["project"] is None
    counted = (await stored.clients.curator.get("/api/curation")).json()["items"]
    assert [one["waiting"] >= 2 for one in counted if one["name"] == "discovered-files"] == [True]

    await stored.engines.store.remove(key)

    async def gone() -> bool:
        return await found(stored, project=project) == {}

    await eventually(gone, seconds=30)


@pytest.mark.req("DEWRANGLE-RFC-9", "DEWRANGLE-RFC-18")
async def test_the_place_of_a_file_in_its_project_tells_its_stage(stored: Stored) -> None:
    project = f"lab/d{uuid4().hex[:10]}"
    settings = stored.live.settings
    within = f"{settings.store_prefix}/" if settings.store_prefix else ""
    stages = {
        "source/reads.csv": "source",
        "source/uploads/notes.csv": "uploaded",
        "uploads/gateway/plot.csv": "uploaded",
        "harmonized/calls.csv": "harmonized",
        "sources/other.csv": None,
    }
    for path in stages:
        await overwrite(settings, f"{within}{project}/{path}", CSV)

    async def all_found() -> bool:
        return len(await found(stored, project=project)) == len(stages)

    await eventually(all_found, seconds=30)
    seen = await found(stored, project=project)
    assert {key.removeprefix(f"{within}{project}/"): one["stage"] for key, one in seen.items()} == stages
    some = await found(stored, project=project, stage="uploaded")
    assert sorted(one["stage"] for one in some.values()) == ["uploaded", "uploaded"]
    answer = await stored.clients.curator.get("/api/curation/discovered", params={"project": project, "limit": 1})
    assert answer.json()["stages"] == [
        {"stage": "harmonized", "files": 1, "size": len(CSV)},
        {"stage": "source", "files": 1, "size": len(CSV)},
        {"stage": "uploaded", "files": 2, "size": 2 * len(CSV)},
        {"stage": None, "files": 1, "size": len(CSV)},
    ]
    # What a ticket brings lies in the stage of what was uploaded.
    made = await uploaded_object(stored, project)
    assert stage_of(settings.store_prefix, project, made) is Stage.UPLOADED


async def uploaded_object(stored: Stored, project: str) -> str:
    made = await uploaded(stored.clients.ingest, plain(project), {"soil.csv": CSV})
    (ticket,) = made["uploads"]
    return await key_of(stored.engines, ticket)


@pytest.mark.req("MWM-STORAGE-11")
async def test_what_is_ours_is_never_taken_for_somebody_elses_and_stays_as_it_was(stored: Stored, project: str) -> None:
    made = await uploaded(stored.clients.ingest, plain(project), {"soil.csv": CSV})
    (ticket,) = made["uploads"]
    key = await key_of(stored.engines, ticket)
    second = await put(ticket, CSV)
    await stored.clients.ingest.post(f"/api/uploads/{ticket['id']}/complete")
    again = await stored.clients.ingest.post("/api/uploads", json={"object": made["id"], "path": "soil.csv"})

    assert (second.status_code, again.status_code) == (412, 409)
    assert (await download(stored.clients.ingest, made["id"], "soil.csv")).content == CSV
    assert key not in await found(stored, project=project, limit=200)


@pytest.mark.req("DEWRANGLE-RFC-14")
async def test_what_the_application_keeps_for_itself_is_nobodys_data(stored: Stored, project: str) -> None:
    settings = stored.live.settings
    within = f"{settings.store_prefix}/" if settings.store_prefix else ""
    own, after = f"{within}app/avatars/soil.png", f"{within}{project}/source/after.csv"
    await overwrite(settings, own, CSV)
    await overwrite(settings, after, CSV)
    begun = await stored.clients.admin.post("/api/scans", json={"backend": "default"})

    async def done() -> bool:
        scan = (await stored.clients.admin.get(begun.headers["location"])).json()
        return scan["state"] == "done" and bool(await found(stored, project=project))

    await eventually(done, seconds=30)
    named = await stored.clients.admin.post("/api/organizations", json={"name": "app"})
    brought = await stored.clients.ingest.post("/api/objects", json=plain("app/avatars"))

    assert own not in await found(stored, limit=200)
    reason = "is the folder of what the catalog keeps for itself"
    assert [(one.status_code, reason in one.text or "the folder of what" in one.text) for one in (named, brought)] == [
        (400, True),
        (400, True),
    ]


async def test_the_list_is_for_curators(stored: Stored) -> None:
    clients = stored.clients
    asked = [await one.get("/api/curation/discovered") for one in (clients.anonymous, clients.ingest, clients.admin)]
    assert [answer.status_code for answer in asked] == [401, 403, 200]
    assert problem_of(asked[1])["detail"] == "This needs the role curator or admin."


@pytest.mark.parametrize(
    ("key", "prefix", "project"),
    [
        ("lab/soil/data/a.csv", "", "lab/soil"),
        ("root/lab/soil/a.csv", "root", "lab/soil"),
        ("lab/soil", "", None),
        ("Lab/soil/a.csv", "", None),
        ("rooted/lab/soil/a.csv", "root", None),
        ("a.csv", "", None),
    ],
)
def test_the_layout_of_a_key_names_its_project(key: str, prefix: str, project: str | None) -> None:
    assert project_of(key, prefix=prefix) == project
