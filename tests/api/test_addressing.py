"""A path names an object by its name as well as by its id, for those who may see it."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from catalog.api import addressing
from tests.api.conftest import MERGE_PATCH, plain, read, register
from tests.api.problems import problem_of
from tests.conftest import Clients

ID = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
ANY = {"If-Match": "*"}


async def named(clients: Clients, project: str, **said: Any) -> str:
    """Register an object called sky; return its id."""
    registered = await register(clients.ingest, plain(project, kind="model", metadata={}, name="sky", **said))
    return str(UUID(registered["id"]))


async def test_a_name_stands_for_the_id_in_every_path_of_an_object(clients: Clients, project: str) -> None:
    object_id = await named(clients, project, visibility="public")
    name = f"{project}/model/sky"
    addresses = (f"/api/objects/{name}", f"/api/objects/{name.replace('/', '%2F')}")

    told = [(await clients.anonymous.get(address)).json() for address in addresses]
    changed = await clients.ingest.patch(
        addresses[0], content=b'{"title": "Sky"}', headers={"Content-Type": MERGE_PATCH} | ANY
    )
    published = await clients.ingest.post(f"{addresses[0]}/versions", json={"label": "v1.0"}, headers=ANY)
    version = await clients.anonymous.get(f"{addresses[0]}@v1.0")
    differing = await clients.ingest.get(f"{addresses[1]}/versions/1/diff/draft")
    page = await clients.anonymous.get(f"/objects/{name}")
    of_version = await clients.anonymous.get(f"/objects/{name}@1")
    one_fault = await clients.anonymous.get(f"{addresses[0]}?limit=3")

    assert [one["id"] for one in told] == [object_id, object_id]
    assert (changed.status_code, changed.json()["id"], changed.json()["revision"]) == (200, object_id, 2)
    assert (published.status_code, published.json()["object"]) == (201, object_id)
    assert (version.json()["object"], version.json()["version"]["number"]) == (object_id, 1)
    assert differing.json()["items"] == []
    assert [(one.status_code, ">Sky</h1>" in one.text) for one in (page, of_version)] == [(200, True)] * 2
    assert problem_of(one_fault)["status"] == 400


async def test_a_name_of_what_is_hidden_or_withdrawn_is_answered_like_one_of_nothing(
    clients: Clients, project: str
) -> None:
    object_id = await named(clients, project)
    address = f"/api/objects/{project}/model/sky"

    def detail(answer: httpx2.Response) -> tuple[int, str]:
        return answer.status_code, problem_of(answer)["detail"]

    nothing = (404, f"There is no object {project}/model/sky that you may see.")
    assert (await clients.ingest.get(address)).json()["id"] == object_id
    assert [detail(await one.get(address)) for one in (clients.anonymous, clients.other)] == [nothing] * 2
    refused = await clients.other.patch(address, content=b"{}", headers={"Content-Type": MERGE_PATCH} | ANY)
    assert detail(refused) == nothing
    page = await clients.ingest.get(f"/objects/{project}/model/sky")
    assert (page.status_code, nothing[1] in page.text) == (404, True)
    await clients.ingest.delete(address, params={"reason": "Wrong."}, headers=ANY)
    assert detail(await clients.ingest.get(address)) == nothing
    other = f"/api/objects/{project}/labels/sky"
    assert detail(await clients.ingest.get(other)) == (
        404,
        f"There is no object {project}/labels/sky that you may see.",
    )


async def test_a_name_without_its_project_is_told_what_it_lacks(clients: Clients) -> None:
    answer = await clients.ingest.get("/api/objects/model/sky")

    problem = problem_of(answer)
    assert (problem["status"], problem["detail"]) == (404, "A name needs its project: write org/project/model/sky.")


async def test_a_remembered_request_to_one_name_is_not_another_ones(clients: Clients, project: str) -> None:
    first = await register(clients.ingest, plain(project, kind="model", metadata={}, name="one"))
    second = await register(clients.ingest, plain(project, kind="model", metadata={}, name="two"))

    for name, registered in (("one", first), ("two", second)):
        answer = await clients.ingest.post(
            f"/api/objects/{project}/model/{name}/versions", json={"label": "a"}, headers=ANY
        )
        assert (answer.status_code, answer.json()["object"]) == (201, registered["id"])
    assert (await read(clients.ingest, second["id"]))["version"] == 1


@pytest.mark.parametrize(
    ("path", "with_one_part"),
    [
        (f"/api/objects/{ID}", None),
        (f"/api/objects/{ID}/versions/latest/diff/draft", None),
        # Whoever calls a version or a folder like a kind.
        (f"/api/objects/{ID}/versions/model/diff/draft", None),
        (f"/api/objects/{ID}/files/model/sky", None),
        ("/api/objects", None),
        ("/api/objects/lab/sky/model", None),
        ("/api/objects/lab/sky/no-kind/name", None),
        ("/api/other/lab/sky/model/name", None),
        ("/api/objects/lab/sky/model/name", "/api/objects/lab:sky:model:name"),
        ("/objects/lab/sky/model/name@2", "/objects/lab:sky:model:name/versions/2"),
        (
            "/api/objects/lab/sky/model/name@v1/files/a/b@c",
            "/api/objects/lab:sky:model:name/versions/v1/files/a/b@c",
        ),
    ],
)
def test_only_names_are_taken_for_names(path: str, with_one_part: str | None) -> None:
    assert addressing.with_one_part(path, "10.5072") == (with_one_part or path)
