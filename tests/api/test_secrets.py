"""Secrets leave only by use: whatever is done, no answer and no log shows one."""

import httpx2
import pytest
import sqlalchemy as sa

from catalog.engines import Engines
from tests.api.conftest import Draft, patch, register
from tests.api.truth import as_text
from tests.api.uploads import bring, declared, download, file_of, fresh_ticket, send, until
from tests.canary import spelled
from tests.conftest import Clients, Live, eventually, secrets_of_settings

pytestmark = pytest.mark.usefixtures("noise")

CSV = b"day,moisture\n1,0.31\n"


def secrets_of(live: Live) -> dict[str, str]:
    """Return everything that must be seen nowhere, by what it is."""
    told = secrets_of_settings(live.settings)
    told |= {f"the token of {name}": token for name, token in live.tokens.items()}
    assert min(map(len, told.values())) >= 16
    return told


@pytest.mark.req("MWM-STORAGE-8")
async def test_secrets_never_leave(clients: Clients, engines: Engines, live: Live, draft: Draft) -> None:
    answers: list[httpx2.Response] = []

    async def note(answer: httpx2.Response) -> None:
        await answer.aread()
        answers.append(answer)

    heard = [getattr(clients, name) for name in ("anonymous", "ingest", "other", "reader", "curator", "admin")]
    for client in heard:
        client.event_hooks["response"].append(note)
    try:
        link = await everything_that_can_be_done(clients, live, draft)
    finally:
        for client in heard:
            client.event_hooks["response"].remove(note)

    logs = {name: live.log(name) for name in ("api", "indexer")}
    told = {
        "answers": "\n".join(f"{answer.headers} {answer.text}" for answer in answers),
        "engines": repr(engines),
        **logs,
    }
    seen = [
        (where, what)
        for where, text in told.items()
        for what, secret in secrets_of(live).items()
        if any(spelling in text for spelling in spelled(secret))
    ]
    assert len(answers) >= 20
    assert seen == []
    # A link may leave in an answer, and nowhere else: whoever reads the log could use it.
    signature = link.rpartition("X-Amz-Signature=")[2]
    assert signature in told["answers"]
    kept = await as_text(engines)
    assert [name for name, text in {**logs, "database": kept}.items() if "X-Amz-Signature" in text] == []
    assert [name for name, text in {**logs, "database": kept}.items() if signature in text] == []


async def everything_that_can_be_done(clients: Clients, live: Live, draft: Draft) -> str:
    """Go through every kind of request, good and bad; return a signed link that was answered."""
    body = draft | {"visibility": "public", "files": [declared("soil.csv", CSV), declared("never.csv", CSV)]}
    registered = await register(clients.ingest, body, **{"Idempotency-Key": draft["project"]})
    object_id = registered["id"]
    (ticket,) = [one for one in registered["uploads"] if one["path"] == "soil.csv"]
    await bring([ticket], {"soil.csv": CSV})
    await until(clients.ingest, object_id, "soil.csv", state="available")
    await fresh_ticket(clients.ingest, object_id, "never.csv")
    assert (await download(clients.anonymous, object_id, "soil.csv")).content == CSV

    async def searchable() -> str:
        found = await clients.anonymous.get("/api/search", params={"project": draft["project"]})
        links = [file["link"] for hit in found.json()["hits"] for file in hit["files"] if file["link"]]
        return links[0]["href"] if links else ""

    link = await eventually(searchable)
    assert (await send("GET", link)).content == CSV
    unknown = {"Authorization": f"Bearer {live.tokens['ingest']}x"}
    for client in (clients.anonymous, clients.other, clients.reader, clients.curator, clients.admin):
        await client.get(f"/api/objects/{object_id}")
        await client.get("/api/objects", params={"limit": 1})
        await client.get("/api/operations/queue")
        await client.get("/api/objects", headers=unknown)
        await client.get("/api/search", params={"q": live.tokens["ingest"][:8], "limt": 1})
        await client.post("/api/notifications/s3", content=b"rubbish")
        await patch(client, object_id, {"title": "By " + str(len(live.tokens))}, '"0"')
        await client.post("/api/objects", content=b"{", headers={"Content-Type": "application/json"})
    for address in ("/api/objects?cursor=x", "/schema/openapi.json", "/readyz", "/api/kinds", "/api/uploads/none"):
        await clients.ingest.get(address)
    assert (await file_of(clients.ingest, object_id, "soil.csv"))["state"] == "available"
    return link


async def test_a_fault_of_the_database_does_not_repeat_what_the_statement_carried(engines: Engines) -> None:
    statement = sa.text("SELECT 1 / 0 WHERE CAST(:said AS text) <> ''")
    with pytest.raises(sa.exc.DBAPIError) as fault:
        async with engines.database.transaction() as session:
            await session.execute(statement, {"said": "what somebody registered"})

    assert "what somebody registered" not in str(fault.value)
