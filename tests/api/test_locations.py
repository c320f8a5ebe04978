"""Where files lie is said by their rows alone: two stores at once, and nobody who fetches need know which."""

import json
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import pytest

from catalog.engines import Engines
from tests.api.brought import connected, server
from tests.api.conftest import plain, read, register
from tests.api.lab import Lab, location
from tests.api.people import People
from tests.api.problems import problem_of
from tests.api.test_backends import MERGE_PATCH, backends, storages
from tests.api.truth import rows
from tests.api.uploads import bring, declared, download, until, uploaded
from tests.conftest import eventually

pytestmark = pytest.mark.usefixtures("noise")

CSV = b"day,moisture\n1,0.31\n"
OTHER = b"day,moisture\n2,0.17\n"


def signer_of(link: str) -> str:
    """Return the access key that a link was signed with."""
    return httpx2.URL(link).params["X-Amz-Credential"].partition("/")[0]


@pytest.mark.req(
    "DEWRANGLE-RFC-7",
    "DEWRANGLE-RFC-10",
    "DEWRANGLE-RFC-16",
    "DEWRANGLE-RFC-18",
    "DEWRANGLE-RFC-47",
    "DEWRANGLE-RFC-48",
)
async def test_what_is_brought_goes_to_the_store_of_the_organization_and_comes_from_there(
    lab: Lab, engines: Engines
) -> None:
    body = plain(lab.people.project, files=[declared("soil.csv", CSV)], visibility="public")
    registered = await register(lab.lead, body)
    (ticket,) = registered["uploads"]
    assert (urlsplit(ticket["url"]).netloc, signer_of(ticket["url"])) == (lab.host, lab.access_key)
    await bring([ticket], {"soil.csv": CSV})
    await lab.lead.post(f"/api/uploads/{ticket['id']}/complete")
    await until(lab.lead, registered["id"], "soil.csv", state="available")

    key = f"lab/a/catalog/{lab.people.project}/uploads/{registered['id']}/{ticket['id']}/soil.csv"
    assert await location(engines, registered["id"]) == (lab.backend["id"], lab.store.bucket, key)
    assert await lab.held() == [key]
    # Nothing of it lies in the catalog's own store.
    assert await engines.store.stat(key) is None
    assert (await download(lab.people.clients.anonymous, registered["id"], "soil.csv")).content == CSV
    link = (await lab.lead.get(f"/api/objects/{registered['id']}/files/soil.csv")).headers["location"]
    assert (urlsplit(link).netloc, signer_of(link)) == (lab.host, lab.access_key)


async def test_its_store_need_not_be_told_to_look(lab: Lab) -> None:
    """The server notifies of every bucket: hints about keys of our tickets count, whichever bucket they are in."""
    registered = await register(lab.lead, plain(lab.people.project, files=[declared("soil.csv", CSV)]))
    await bring(registered["uploads"], {"soil.csv": CSV})
    (ticket,) = registered["uploads"]
    key = urlsplit(ticket["url"]).path.removeprefix(f"/{lab.store.bucket}/")
    record = {"s3": {"bucket": {"name": lab.store.bucket}, "object": {"key": key}}, "eventName": "s3:ObjectCreated:Put"}
    secret = lab.people.clients.live.settings.notification_token.get_secret_value()

    answer = await lab.people.clients.anonymous.post(
        "/api/notifications/s3", json={"Records": [record]}, headers={"Authorization": f"Bearer {secret}"}
    )

    assert answer.status_code == 204
    await until(lab.lead, registered["id"], "soil.csv", state="available")


@pytest.mark.req("DEWRANGLE-RFC-5")
async def test_projects_keep_what_is_theirs_in_buckets_of_their_own(
    lab: Lab, engines: Engines, engines_ready: dict[str, Any]
) -> None:
    await lab.people.clients.admin.post(
        f"/api/organizations/{lab.people.organization}/projects", json={"name": "rivers"}
    )
    seaweedfs = server(engines_ready, "seaweedfs")
    async with seaweedfs.bucket() as store:
        other = await connected(lab.lead, lab.people.organization, seaweedfs.wanted(store, name="Rivers"))
        rivers = f"{lab.people.organization}/rivers"
        await lab.use(other["id"], scope=rivers)
        soil = await lab.bring("a.csv", CSV)
        water = await uploaded(lab.lead, plain(rivers), {"a.csv": OTHER})
        held = [item.key async for item in store.list("")]

    assert [await location(engines, one["id"]) for one in (soil, water)] == [
        (lab.backend["id"], lab.store.bucket, (await lab.held())[0]),
        (other["id"], store.bucket, held[0]),
    ]
    assert (len(await lab.held()), len(held)) == (1, 1)
    assert [(await download(lab.lead, one["id"], "a.csv")).content for one in (soil, water)] == [CSV, OTHER]


async def test_no_credentials_write_where_nothing_is_brought_any_more(lab: Lab) -> None:
    wanted = {"project": lab.people.project, "prefix": "uploads/gateway/", "access": ["write"]}
    told = problem_of(await lab.lead.post("/api/credentials", json=wanted))
    assert (told["status"], "goes to a store of its organization" in told["detail"]) == (409, True)


@pytest.mark.req("DEWRANGLE-RFC-35", "DEWRANGLE-RFC-31")
async def test_files_are_found_where_they_lie_after_another_backend_was_chosen(lab: Lab, engines: Engines) -> None:
    before = await lab.bring("soil.csv", CSV)
    await lab.use("default")
    after = await lab.bring("soil.csv", OTHER)

    assert [(await location(engines, one["id"]))[0] for one in (before, after)] == [lab.backend["id"], "default"]
    # Documents went to the catalog's own store; data are where they were.
    used = (await lab.lead.get(storages(lab.people.project))).json()
    assert (used["document"]["id"], [one["id"] for one in used["data"]]) == ("default", [lab.backend["id"]])
    contents = [(await download(lab.lead, one["id"], "soil.csv")).content for one in (before, after)]
    assert contents == [CSV, OTHER]


@pytest.mark.req("DEWRANGLE-RFC-49")
async def test_answers_do_not_tell_in_which_backend_a_file_is(lab: Lab) -> None:
    there = await lab.bring("soil.csv", CSV, visibility="public", title="Moisture there")
    await lab.use("default")
    here = await lab.bring("soil.csv", CSV, visibility="public", title="Moisture here")
    anonymous = lab.people.clients.anonymous

    async def both() -> list[dict[str, Any]]:
        found = await anonymous.get("/api/search", params={"project": lab.people.project})
        hits: list[dict[str, Any]] = found.json()["hits"]
        return hits if len([hit for hit in hits if hit["files"][0]["link"]]) == 2 else []

    hits = {hit["id"]: hit for hit in await eventually(both)}
    links = {one: hits[one]["files"][0].pop("link") for one in (there["id"], here["id"])}
    assert hits[there["id"]]["files"] == hits[here["id"]]["files"]
    assert urlsplit(links[there["id"]]["href"]).netloc == lab.host != urlsplit(links[here["id"]]["href"]).netloc
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        assert {(await client.get(link["href"])).content for link in links.values()} == {CSV}
        asked = {"project": lab.people.project, "as": "manifest"}
        listed = (await anonymous.get("/api/search/export", params=asked)).text.splitlines()
        hrefs = {line["object"]: line["link"]["href"] for line in map(json.loads, listed)}
        assert {one: signer_of(href) == lab.access_key for one, href in hrefs.items()} == {
            there["id"]: True,
            here["id"]: False,
        }
        assert [(await client.get(href)).content for href in hrefs.values()] == [CSV, CSV]
    shown = [await read(anonymous, one["id"]) for one in (there, here)]
    assert len({tuple(sorted(one["files"][0])) for one in shown}) == 1
    assert lab.backend["id"] not in str(shown)


async def test_a_large_file_is_brought_in_parts_to_the_store_of_the_organization(lab: Lab, engines: Engines) -> None:
    content = bytes(64 * 1024 * 1024)
    registered = await register(lab.lead, plain(lab.people.project, files=[declared("large.bin", content)]))
    (ticket,) = registered["uploads"]
    address = f"/api/uploads/{ticket['id']}"
    numbers = list(range(1, ticket["parts"]["count"] + 1))
    signed = (await lab.lead.post(f"{address}/parts", json={"numbers": numbers})).json()["parts"]
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        for part in signed:
            assert urlsplit(part["url"]).netloc == lab.host
            some = content[part["offset"] : part["offset"] + part["size"]]
            assert (await client.put(part["url"], content=some, headers=part["headers"])).status_code == 200
    assert (await lab.lead.get(f"{address}/parts")).json()["sent"] == numbers
    assert (await lab.lead.post(f"{address}/complete")).status_code == 202
    await until(lab.lead, registered["id"], "large.bin", state="available")
    assert (await location(engines, registered["id"]))[0] == lab.backend["id"]


@pytest.mark.req("DEWRANGLE-RFC-44")
async def test_a_backend_that_holds_files_is_removed_on_purpose_alone_and_what_it_held_is_missing(
    lab: Lab, engines: Engines
) -> None:
    held = await lab.bring("soil.csv", CSV)
    await register(lab.lead, plain(lab.people.project, files=[declared("waits.csv", OTHER)]))
    here = backends(lab.people, lab.backend)

    refused = problem_of(await lab.lead.delete(here))
    figures = "1 files of objects, 0 files of versions and 1 open uploads lie in 'Archive'."
    assert (refused["status"], refused["detail"].startswith(figures)) == (409, True)
    assert (await download(lab.lead, held["id"], "soil.csv")).content == CSV

    assert (await lab.lead.delete(here, params={"detach": "true"})).status_code == 204

    assert await rows(engines, "SELECT * FROM backend_secret WHERE backend_id = :id", id=lab.backend["id"]) == []
    assert (await lab.lead.get(backends(lab.people))).json() == {"items": []}
    assert (await lab.lead.get(storages(lab.people.project))).json()["document"]["id"] == "default"
    await until(lab.lead, held["id"], "soil.csv", state="missing")
    told = problem_of(await lab.lead.get(f"/api/objects/{held['id']}/files/soil.csv"))
    assert told["status"] == 409
    # Whoever has the bytes brings them again, to where they go now.
    ticket = (await lab.lead.post("/api/uploads", json={"object": held["id"], "path": "soil.csv"})).json()["upload"]
    await bring([ticket], {"soil.csv": CSV})
    await lab.lead.post(f"/api/uploads/{ticket['id']}/complete")
    await until(lab.lead, held["id"], "soil.csv", state="available")
    assert (await location(engines, held["id"]))[0] == "default"
    # Nothing was taken out of a bucket that is not ours.
    assert len(await lab.held()) == 1


async def test_two_organizations_in_one_bucket_reach_nothing_of_each_other(lab: Lab, engines: Engines) -> None:
    """Prefixes `lab/a` and `lab/ab` begin alike."""
    mine = await lab.bring("soil.csv", CSV)
    other = People(lab.people.clients, f"o{uuid4().hex[:10]}")
    admin = lab.people.clients.admin
    await admin.post("/api/organizations", json={"name": other.organization})
    await admin.post(f"/api/organizations/{other.organization}/projects", json={"name": "soil"})
    theirs = await other.member("theirs", "admin", scope=other.organization)
    wanted = lab.server.wanted(lab.store, prefix="lab/ab")
    backend = await connected(theirs, other.organization, wanted)
    await theirs.put(storages(other.project), json={"document": backend["id"]})
    brought = await uploaded(theirs, plain(other.project), {"soil.csv": OTHER})

    keys = [(await location(engines, one["id"]))[2] for one in (mine, brought)]
    assert [key.split("/catalog/")[0] for key in keys] == ["lab/a", "lab/ab"]
    assert sorted(await lab.held()) == sorted(keys)
    policy = (await theirs.get(f"{backends(other, backend)}/policy")).json()
    reached = [one for statement in policy["Statement"] for one in statement["Resource"]]
    assert [one for one in reached if one.startswith(f"arn:aws:s3:::{lab.store.bucket}/lab/a/")] == []
    assert (await theirs.get(f"/api/objects/{mine['id']}/files/soil.csv")).status_code == 404
    assert (await theirs.delete(backends(other, backend), params={"detach": "true"})).status_code == 204
    await until(theirs, brought["id"], "soil.csv", state="missing")
    assert (await download(lab.lead, mine["id"], "soil.csv")).content == CSV
    await other.close()


async def test_new_keys_count_within_seconds_and_a_store_that_is_out_of_order_takes_no_other_along(
    lab: Lab, engines: Engines
) -> None:
    there = await lab.bring("soil.csv", CSV, visibility="public")
    await lab.use("default")
    here = await lab.bring("soil.csv", OTHER, visibility="public")
    # As if the key file had been lost: what is sealed opens no more.
    spoilt = "UPDATE backend_secret SET data_key = sealed WHERE backend_id = :id"
    await rows(engines, f"{spoilt} RETURNING key_id", id=lab.backend["id"])
    await rows(
        engines, "UPDATE storage_backend SET revision = revision + 1 WHERE id = :id RETURNING id", id=lab.backend["id"]
    )

    async def hits() -> dict[str, Any]:
        found = await lab.people.clients.anonymous.get("/api/search", params={"project": lab.people.project})
        return {hit["id"]: hit["files"][0]["link"] for hit in found.json()["hits"]}

    async def without() -> bool:
        links = await hits()
        return len(links) == 2 and links[there["id"]] is None and links[here["id"]] is not None

    assert await eventually(without)
    away = await lab.lead.get(f"/api/objects/{there['id']}/files/soil.csv")
    told = problem_of(away)
    assert (told["status"], told["detail"]) == (
        503,
        "The store of these bytes cannot be used now; whoever runs the catalog must look at the key service.",
    )

    keys = {"access_key": lab.server.access_key, "secret_key": lab.server.secret_key}
    again = await lab.lead.patch(backends(lab.people, lab.backend), json=keys, headers=MERGE_PATCH)
    assert again.status_code == 200, again.text
    assert (await download(lab.lead, there["id"], "soil.csv")).content == CSV
