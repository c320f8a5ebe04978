"""Files that others put into the bucket: found by the store's own word, accounted for, and forgotten when they go."""

from typing import Any
from uuid import uuid4

import pytest

from catalog.objects.discovered import project_of
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
