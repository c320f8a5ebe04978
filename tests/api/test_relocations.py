"""Files move from one store to another: seen before, copied, read back, switched, removed, and readable throughout."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from catalog.engines import Engines
from catalog.queue import LEASE
from catalog.storage.own import OwnStore
from tests.api.brought import connected, server
from tests.api.conftest import patch, plain, read, register
from tests.api.lab import Lab, location
from tests.api.problems import problem_of
from tests.api.test_backends import backends, storages
from tests.api.truth import held, history, noted, rows
from tests.api.uploads import bring, declared, download, send, sha256, until, uploaded
from tests.conftest import eventually

pytestmark = pytest.mark.usefixtures("noise")

CSV = b"day,moisture\n1,0.31\n"
OTHER = b"day,moisture\n2,0.17\n"
LARGE = b"0123456789abcdef" * (65 * 1024 * 1024 // 16)
ROOM = (
    "the target needs room for 40 bytes; a store does not tell how much it has, and the source keeps its copies for a "
    "while"
)


async def asked(lab: Lab, source: str, target: str, *, scope: str | None = None, **said: Any) -> httpx2.Response:
    wanted = {"scope": scope or lab.people.project, "source": source, "target": target}
    return await lab.lead.post("/api/relocations", json=wanted | said)


async def begun(lab: Lab, source: str, target: str, *, scope: str | None = None) -> str:
    answer = await asked(lab, source, target, scope=scope, start=True)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert answer.headers["location"] == f"/api/relocations/{shown['id']}"
    relocation_id: str = shown["id"]
    return relocation_id


async def told(lab: Lab, relocation_id: str) -> dict[str, Any]:
    answer = await lab.lead.get(f"/api/relocations/{relocation_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    # Read while files move, it is of one moment.
    assert (shown["removal_from"] is None) == (shown["amounts"]["switched"]["files"] == 0), shown
    return shown


def standing(shown: dict[str, Any]) -> dict[str, int]:
    """Return how many files stand where, of those states that any is in."""
    return {state: amount["files"] for state, amount in shown["amounts"].items() if amount["files"]}


async def until_standing(lab: Lab, relocation_id: str, **wanted: int) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        shown = await told(lab, relocation_id)
        return shown if standing(shown) == wanted else {}

    return await eventually(look)


async def after_the_grace(lab: Lab, engines: Engines, relocation_id: str, **wanted: int) -> dict[str, Any]:
    """Let the time pass for which bytes stay at the source."""

    async def look() -> dict[str, Any]:
        past = "switched_at - interval '9 days'"
        statement = f"UPDATE relocated_file SET switched_at = {past} WHERE relocation_id = :id"  # noqa: S608 - ours.
        await rows(engines, f"{statement} AND switched_at > now() - interval '1 day' RETURNING id", id=relocation_id)
        due = "UPDATE queue SET ready_at = now() WHERE topic = 'relocate' AND subject = :id RETURNING id"
        await rows(engines, due, id=relocation_id)
        shown = await told(lab, relocation_id)
        return shown if standing(shown) == wanted else {}

    return await eventually(look)


async def link_to(lab: Lab, object_id: str, path: str) -> str:
    answer = await lab.lead.get(f"/api/objects/{object_id}/files/{path}")
    assert answer.status_code == 307, answer.text
    href: str = answer.headers["location"]
    return href


@pytest.fixture
async def rivers(lab: Lab, engines_ready: dict[str, Any]) -> AsyncGenerator[tuple[dict[str, Any], OwnStore]]:
    """Another backend of the organization, on another server, with keys of another user."""
    seaweedfs = server(engines_ready, "seaweedfs")
    async with seaweedfs.bucket() as store:
        wanted = seaweedfs.wanted(store, name="Rivers", prefix="rivers", uses=["document"])
        yield await connected(lab.lead, lab.people.organization, wanted), store


@pytest.mark.req("DEWRANGLE-RFC-31", "DEWRANGLE-RFC-54")
async def test_documents_move_to_the_default_while_data_stay(lab: Lab, engines: Engines) -> None:
    archive = lab.backend["id"]
    before = await lab.bring("soil.csv", CSV, visibility="public")
    at_the_source = await lab.held()
    # What others delivered there is data, and none of the catalog's business.
    delivered = "lab/a/source/delivered.csv"
    await lab.store.write(delivered, OTHER, now=datetime.now().astimezone())

    await lab.use("default")
    early = await link_to(lab, before["id"], "soil.csv")
    relocation = await begun(lab, archive, "default")
    shown = await until_standing(lab, relocation, switched=1)

    assert (await location(engines, before["id"]))[0] == "default"
    used = (await lab.lead.get(storages(lab.people.project))).json()
    assert (used["document"]["id"], [one["id"] for one in used["data"]]) == ("default", [archive])
    assert (await download(lab.people.clients.anonymous, before["id"], "soil.csv")).content == CSV
    # A link of before works while it lives, as nothing has been removed yet.
    assert sorted(await lab.held()) == sorted([*at_the_source, delivered])
    assert (await send("GET", early)).content == CSV
    assert (shown["state"], shown["moved"]) == ("running", {"files": 1, "bytes": len(CSV)})
    assert shown["removal_from"] > shown["created_at"]

    done = await after_the_grace(lab, engines, relocation, removed=1)
    assert await lab.held() == [delivered]
    assert (await download(lab.people.clients.anonymous, before["id"], "soil.csv")).content == CSV

    async def finished() -> bool:
        return bool((await told(lab, relocation))["state"] == "finished")

    assert await eventually(finished)
    assert (done["total"], done["troubles"], done["removal_from"]) == ({"files": 1, "bytes": len(CSV)}, [], None)
    # Nothing lies there for which the backend would have to stay.
    assert (await lab.lead.delete(backends(lab.people, lab.backend))).status_code == 204


@pytest.mark.timeout(240)
@pytest.mark.req("DEWRANGLE-RFC-54", "DEWRANGLE-RFC-56", "DEWRANGLE-RFC-7")
async def test_migrate_two_servers_with_keys_of_two_users_there_and_back(
    lab: Lab, rivers: tuple[dict[str, Any], OwnStore], engines: Engines
) -> None:
    other, store = rivers
    contents = {"soil.csv": CSV, "empty.bin": b"", "deep/däten %41.csv": OTHER, "large.bin": LARGE}
    small = {path: content for path, content in contents.items() if path != "large.bin"}
    brought = await uploaded(lab.lead, plain(lab.people.project), small)
    # One that is brought in parts, and so goes in parts.
    large = await in_parts(lab, LARGE)
    keys = set(await lab.held())
    counted = await noted(engines)

    there = await begun(lab, lab.backend["id"], other["id"])
    await until_standing(lab, there, switched=4)
    moved = {item.key async for item in store.list("")}
    assert {key.split("/uploads/")[0] for key in moved} == {f"rivers/catalog/{lab.people.project}"}
    assert len(moved) == 4
    assert (await location(engines, large))[0] == other["id"]
    for path, content in small.items():
        assert (await download(lab.lead, brought["id"], path)).content == content
    assert sha256((await download(lab.lead, large, "large.bin")).content) == sha256(LARGE)
    # Bytes count once, though they lie in both places for a while.
    assert (await noted(engines)).get(lab.people.project) == counted.get(lab.people.project)
    assert (await held(engines)).get(lab.people.project) == counted.get(lab.people.project)
    await after_the_grace(lab, engines, there, removed=4)
    assert await lab.held() == []

    back = await begun(lab, other["id"], lab.backend["id"])
    await until_standing(lab, back, switched=4)
    # No key is given twice.
    assert set(await lab.held()) & keys == set()
    await after_the_grace(lab, engines, back, removed=4)
    assert [item.key async for item in store.list("")] == []
    assert (await download(lab.lead, brought["id"], "soil.csv")).content == CSV
    # Each change of an object is one revision, told without saying where.
    assert [(who, action, changes["files"]) for who, action, _, _, changes in (await history(engines, large))[-2:]] == [
        (None, "file moved", ["large.bin"])
    ] * 2


async def in_parts(lab: Lab, content: bytes) -> str:
    """Bring a large file, and return its object's id."""
    registered = await register(lab.lead, plain(lab.people.project, files=[declared("large.bin", content)]))
    (ticket,) = registered["uploads"]
    address = f"/api/uploads/{ticket['id']}"
    numbers = list(range(1, ticket["parts"]["count"] + 1))
    signed = (await lab.lead.post(f"{address}/parts", json={"numbers": numbers})).json()["parts"]
    for part in signed:
        some = content[part["offset"] : part["offset"] + part["size"]]
        assert (await send("PUT", part["url"], some, **part["headers"])).status_code == 200
    await lab.lead.post(f"{address}/complete")
    await until(lab.lead, registered["id"], "large.bin", state="available")
    object_id: str = registered["id"]
    return object_id


@pytest.mark.req("DEWRANGLE-RFC-35", "DEWRANGLE-RFC-42")
async def test_backend_change_keeps_old_readable_and_moves_them_when_asked(lab: Lab, engines: Engines) -> None:
    before = await lab.bring("soil.csv", CSV)
    # Where a backend is cannot change; what can be done instead is said.
    elsewhere = {"bucket": "elsewhere"}
    headers = {"content-type": "application/merge-patch+json"}
    fixed = problem_of(await lab.lead.patch(backends(lab.people, lab.backend), json=elsewhere, headers=headers))
    assert (fixed["status"], "`catalog relocate`" in fixed["detail"]) == (409, True)

    await lab.use("default")
    after = await lab.bring("soil.csv", OTHER)
    assert [(await location(engines, one["id"]))[0] for one in (before, after)] == [lab.backend["id"], "default"]
    assert [(await download(lab.lead, one["id"], "soil.csv")).content for one in (before, after)] == [CSV, OTHER]

    # What arrived elsewhere meanwhile is none of it.
    relocation = await begun(lab, lab.backend["id"], "default")
    await until_standing(lab, relocation, switched=1)
    assert [(await location(engines, one["id"]))[0] for one in (before, after)] == ["default", "default"]
    assert [(await download(lab.lead, one["id"], "soil.csv")).content for one in (before, after)] == [CSV, OTHER]


@pytest.mark.req("DEWRANGLE-RFC-55")
async def test_a_plan_counts_warns_and_does_nothing(lab: Lab, engines: Engines) -> None:
    there = await lab.bring("soil.csv", CSV)
    gone = await lab.bring("gone.csv", OTHER)
    unnoticed = await lab.bring("unnoticed.csv", OTHER)
    for one, noticed in ((gone, True), (unnoticed, False)):
        (row,) = await rows(engines, "SELECT key, store_version FROM file WHERE object_id = :id", id=one["id"])
        await lab.store.remove(row["key"], row["store_version"])
        if noticed:
            await lab.lead.post(f"/api/uploads/{one['uploads'][0]['id']}/complete")
            await until(lab.lead, one["id"], "gone.csv", state="missing")
    # Of another project, in the same backend.
    admin, organization = lab.people.clients.admin, lab.people.organization
    await admin.post(f"/api/organizations/{organization}/projects", json={"name": "rivers"})
    await lab.use(lab.backend["id"], scope=f"{organization}/rivers")
    await uploaded(lab.lead, plain(f"{organization}/rivers"), {"water.csv": CSV})

    plan = await asked(lab, lab.backend["id"], "default")

    assert (plan.status_code, plan.json()) == (
        200,
        {
            "scope": lab.people.project,
            "source": {"id": lab.backend["id"], "name": "Archive"},
            "target": {"id": "default", "name": "default"},
            "moved": {"files": 2, "bytes": len(CSV) + len(OTHER)},
            "unreadable": {"files": 1, "bytes": len(OTHER)},
            "looked_at": 2,
            "unreadable_files": [
                {"object": gone["id"], "path": "gone.csv", "reason": "its bytes are missing"},
                {"object": unnoticed["id"], "path": "unnoticed.csv", "reason": "nothing lies there"},
            ],
            "warnings": [
                "1 files cannot be read where they should lie: they stay as they are",
                ROOM,
                f"new files of {lab.people.project} still go to the source; `catalog storages set` chooses otherwise",
            ],
        },
    )
    assert (await location(engines, there["id"]))[0] == lab.backend["id"]
    assert (await lab.lead.get("/api/relocations", params={"scope": lab.people.project})).json() == {"items": []}
    whole = (await asked(lab, lab.backend["id"], "default", scope=organization)).json()
    assert whole["moved"] == {"files": 3, "bytes": len(CSV) * 2 + len(OTHER)}

    # Begun all the same, what cannot be read is told and left where it is.
    relocation = await begun(lab, lab.backend["id"], "default")
    shown = await until_standing(lab, relocation, switched=1, failed=2)
    troubles = {one["path"]: (one["state"], one["reason"]) for one in shown["troubles"]}
    assert troubles == {
        "gone.csv": ("failed", "Its bytes were missing before it was to move."),
        "unnoticed.csv": ("failed", "The source has no bytes under this key any more."),
    }
    listed = (await lab.lead.get("/api/relocations", params={"scope": organization})).json()["items"]
    assert [one["id"] for one in listed] == [relocation]


async def test_what_cannot_be_is_refused_before_anything_moves(
    lab: Lab, rivers: tuple[dict[str, Any], OwnStore], engines_ready: dict[str, Any]
) -> None:
    archive = lab.backend["id"]
    minio = server(engines_ready, "minio")
    data = await connected(
        lab.lead, lab.people.organization, minio.wanted(lab.store, name="Data", prefix="data", uses=["data"])
    )

    def pointer(answer: httpx2.Response) -> tuple[int, str]:
        problem = problem_of(answer)
        return problem["status"], problem["errors"][0]["pointer"]

    assert pointer(await asked(lab, archive, archive)) == (422, "/target")
    assert pointer(await asked(lab, archive, data["id"])) == (422, "/target")
    assert problem_of(await asked(lab, archive, str(uuid4())))["status"] == 404
    empty = problem_of(await asked(lab, archive, "default", start=True))
    assert (empty["status"], empty["detail"]) == (409, f"No file of {lab.people.project} lies there.")

    await lab.bring("soil.csv", CSV)
    first = await begun(lab, archive, "default")
    for scope in (lab.people.project, lab.people.organization):
        again = problem_of(await asked(lab, archive, rivers[0]["id"], scope=scope, start=True))
        assert (again["status"], again["detail"].startswith(f"The relocation {first} moves files of")) == (409, True)


async def test_only_admins_of_a_scope_move_its_files_and_others_learn_nothing_of_it(lab: Lab) -> None:
    await lab.bring("soil.csv", CSV)
    relocation = await begun(lab, lab.backend["id"], "default", scope=lab.people.organization)
    address = f"/api/relocations/{relocation}"
    wanted = {"scope": lab.people.project, "source": "default", "target": lab.backend["id"]}
    reader = await lab.people.member("reader", "reader", scope=lab.people.organization)
    of_project = await lab.people.member("of-project", "admin")
    stranger = await lab.people.person("stranger")

    for client, there in ((reader, 403), (of_project, 403), (stranger, 404)):
        assert problem_of(await client.get(address))["status"] == there
        for verb in ("pause", "resume", "cancel"):
            assert problem_of(await client.post(f"{address}/{verb}"))["status"] == there
    nowhere = f"/api/relocations/{uuid4()}"
    unknown, foreign = [problem_of(await stranger.get(one)) for one in (nowhere, address)]
    assert unknown["detail"].replace(nowhere[-36:], relocation) == foreign["detail"]
    assert (await of_project.post("/api/relocations", json=wanted)).status_code == 200
    assert problem_of(await reader.post("/api/relocations", json=wanted))["status"] == 403
    assert problem_of(await stranger.post("/api/relocations", json=wanted))["status"] == 404


async def test_a_backend_stays_while_a_relocation_uses_it_and_cancelling_lets_it_go(lab: Lab) -> None:
    brought = [await lab.bring(f"{number}.csv", CSV) for number in range(3)]
    await lab.use("default")
    relocation = await begun(lab, lab.backend["id"], "default")
    await until_standing(lab, relocation, switched=3)
    here = backends(lab.people, lab.backend)

    for detach in ("false", "true"):
        refused = problem_of(await lab.lead.delete(here, params={"detach": detach}))
        assert (refused["status"], refused["detail"]) == (
            409,
            (
                f"The relocation {relocation} moves files out of it: 0 have not moved yet, and of 3 that have the old "
                "bytes are not removed yet. Wait for it, or cancel it first."
            ),
        )

    cancelled = (await lab.lead.post(f"/api/relocations/{relocation}/cancel")).json()
    assert (cancelled["state"], standing(cancelled)) == ("cancelled", {"kept": 3})
    assert problem_of(await lab.lead.post(f"/api/relocations/{relocation}/resume"))["status"] == 409
    assert (await lab.lead.delete(here)).status_code == 204
    # Its bytes are where they were, and the files where they are now.
    assert len(await lab.held()) == 3
    assert {(await download(lab.lead, one["id"], f"{number}.csv")).content for number, one in enumerate(brought)} == {
        CSV
    }
    assert (await told(lab, relocation))["source"] == {"id": lab.backend["id"], "name": None}


async def test_a_file_whose_copy_has_other_bytes_is_told_with_both_hashes_and_left_where_it_is(
    lab: Lab, engines: Engines
) -> None:
    sound, spoilt, short = [await lab.bring("soil.csv", CSV) for _ in range(3)]
    wrong = CSV.replace(b"0.31", b"0.13")
    for one, content in ((spoilt, wrong), (short, b"short")):
        (row,) = await rows(engines, "SELECT key FROM file WHERE object_id = :id", id=one["id"])
        await lab.store.remove(row["key"])
        await lab.store.write(row["key"], content, now=datetime.now().astimezone())
        lying = await lab.store.stat(row["key"])
        assert lying is not None
        # As if the store had kept them otherwise than they came.
        named = "UPDATE file SET store_version = :version WHERE object_id = :id RETURNING id"
        await rows(engines, named, version=lying.version_id, id=one["id"])

    relocation = await begun(lab, lab.backend["id"], "default")
    shown = await until_standing(lab, relocation, switched=1, mismatched=2)

    found = {one["object"]: (one["expected_sha256"], one["found_sha256"], one["reason"]) for one in shown["troubles"]}
    assert found == {
        spoilt["id"]: (sha256(CSV), sha256(wrong), "The source has other bytes there."),
        short["id"]: (sha256(CSV), sha256(b"short"), f"The source has 5 bytes there, not {len(CSV)}."),
    }
    assert [(await location(engines, one["id"]))[0] for one in (sound, spoilt, short)] == [
        "default",
        lab.backend["id"],
        lab.backend["id"],
    ]
    # No copy of them is left at the target.
    held_there = [item.key async for item in engines.store.list(f"{lab.people.project}/")]
    assert [key.split("/")[3] for key in held_there] == [sound["id"]]


async def test_versions_move_with_their_files_and_a_replacement_on_its_way_stays_newer(
    lab: Lab, engines: Engines
) -> None:
    brought = await lab.bring("soil.csv", CSV, visibility="public")
    published = await lab.lead.post(f"/api/objects/{brought['id']}/versions", json={}, headers={"If-Match": "*"})
    assert published.status_code == 201, published.text
    await lab.use("default")
    replacing = await lab.lead.post(
        f"/api/objects/{brought['id']}/files", json={"files": [declared("soil.csv", OTHER)]}, headers={"If-Match": "*"}
    )
    assert replacing.status_code in {200, 201}, replacing.text
    (ticket,) = replacing.json()["uploads"]

    relocation = await begun(lab, lab.backend["id"], "default")
    await until_standing(lab, relocation, switched=1)
    places = (
        "SELECT backend, key, state FROM version_file JOIN version ON version.id = version_id WHERE object_id = :id"
    )
    (frozen,) = await rows(engines, places, id=brought["id"])
    assert (frozen["backend"], frozen["state"]) == ("default", "available")
    await bring([ticket], {"soil.csv": OTHER})
    await lab.lead.post(f"/api/uploads/{ticket['id']}/complete")
    await until(lab.lead, brought["id"], "soil.csv", sha256=sha256(OTHER), state="available")

    await after_the_grace(lab, engines, relocation, removed=1)
    # Whoever tells of the new keys makes the catalog look, and nothing changes.
    places = await rows(engines, "SELECT backend, bucket, key FROM upload WHERE object_id = :id", id=brought["id"])
    subjects = [f"{place['backend']}/{place['bucket']}/{place['key']}" for place in places]
    for subject in subjects:
        put = "INSERT INTO queue (topic, subject) VALUES ('key', :subject) ON CONFLICT DO NOTHING RETURNING id"
        await rows(engines, put, subject=subject)
    due = "SELECT id FROM queue WHERE topic = 'key' AND subject = ANY(:subjects) AND ready_at < now() + :lease"

    async def looked() -> bool:
        return not await rows(engines, due, subjects=subjects, lease=LEASE)

    await eventually(looked)
    assert (await download(lab.lead, brought["id"], "soil.csv")).content == OTHER
    old = await lab.lead.get(f"/api/objects/{brought['id']}/versions/1/files/soil.csv")
    assert (await send("GET", old.headers["location"])).content == CSV
    assert (await patch(lab.lead, brought["id"], {"title": "Moisture"})).status_code == 200
    assert (await read(lab.lead, brought["id"]))["title"] == "Moisture"


async def test_bytes_at_the_source_stay_while_anything_else_names_them(lab: Lab, engines: Engines) -> None:
    brought = await lab.bring("soil.csv", CSV)
    (before,) = await rows(engines, "SELECT * FROM file WHERE object_id = :id", id=brought["id"])
    relocation = await begun(lab, lab.backend["id"], "default")
    await until_standing(lab, relocation, switched=1)
    # No verb does that: the last guard before bytes are removed for good is what is tried.
    another = await lab.bring("other.csv", OTHER)
    names = {name: before[name] for name in ("backend", "bucket", "key", "store_version")}
    assigned = ", ".join(f"{name} = :{name}" for name in names)
    await rows(engines, f"UPDATE file SET {assigned} WHERE object_id = :id RETURNING id", id=another["id"], **names)  # noqa: S608

    shown = await after_the_grace(lab, engines, relocation, kept=1)

    assert [one["reason"] for one in shown["troubles"]] == ["Another file or version names them."]
    assert before["key"] in await lab.held()


async def test_nothing_moves_while_a_relocation_is_paused(lab: Lab, engines: Engines) -> None:
    brought = await lab.bring("soil.csv", CSV)
    relocation = await begun(lab, lab.backend["id"], "default")
    address = f"/api/relocations/{relocation}"
    await until_standing(lab, relocation, switched=1)
    assert (await lab.lead.post(f"{address}/pause")).json()["state"] == "paused"
    assert problem_of(await lab.lead.post(f"{address}/pause"))["status"] == 409

    past = "UPDATE relocated_file SET switched_at = now() - interval '9 days' WHERE relocation_id = :id RETURNING id"
    await rows(engines, past, id=relocation)

    async def looked_at() -> bool:
        left = "SELECT id FROM queue WHERE topic = 'relocate' AND subject = :id"
        return not await rows(engines, left, id=relocation)

    # Nobody looks at it any more, though what it left behind is overdue.
    assert await eventually(looked_at)
    assert len(await lab.held()) == 1

    assert (await lab.lead.post(f"{address}/resume")).json()["state"] == "running"
    await after_the_grace(lab, engines, relocation, removed=1)
    assert (await download(lab.lead, brought["id"], "soil.csv")).content == CSV
    told_of = "SELECT action FROM access_change WHERE subject = :subject ORDER BY id"
    told_actions = [row["action"] for row in await rows(engines, told_of, subject=f"relocation:{relocation}")]
    assert told_actions == ["start relocation", "pause relocation", "resume relocation"]
