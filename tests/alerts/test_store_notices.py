"""Stores that fail: tried from time to time, and told once, when they begin to fail and when they work again."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.access import sessions
from catalog.access.audience import Role
from catalog.alerts.telling import RETRIES
from catalog.api.app import Outermost, litestar
from catalog.storage import health
from catalog.storage.backends import Health
from catalog.storage.health import COUNTS_AFTER, TRIED_AGAIN_AFTER, Standing
from catalog.storage.keys import OWN
from catalog.storage.own import OwnStore
from catalog.web import pages
from indexer import notices, probes
from tests.alerts.conftest import Desk, Person, Postbox, Receiver
from tests.alerts.test_mail import agreed, fresh, link_of, text_of
from tests.api.brought import Server, connected, server
from tests.web.reading import Page

DAY = timedelta(days=1)


@pytest.fixture
def box(postbox: Postbox) -> Generator[Postbox]:
    """The mail server, with nothing in it."""
    postbox.mails.clear()
    yield postbox
    postbox.answer = "250 OK"


@dataclass
class Lab:
    """An organization with a store of its own, an admin of it, and a way to take the store away."""

    desk: Desk
    name: str
    admin: httpx2.AsyncClient
    lead: Person
    server: Server
    store: OwnStore
    backend: dict[str, Any]

    @property
    def backends(self) -> str:
        return f"/api/organizations/{self.name}/backends"

    async def probed(self, *, later: timedelta = timedelta(0)) -> None:
        """Let time pass until the store is tried again, and an indexer work."""
        await self.desk.run(
            "UPDATE backend_health SET since = since - CAST(:passed AS interval),"
            " suspected_at = suspected_at - CAST(:passed AS interval)",
            passed=later,
        )
        await self.desk.run("UPDATE queue SET ready_at = now() WHERE subject = :id", id=self.backend["id"])
        assert await probes.step(self.desk.engines) == 1
        while await notices.step(self.desk.engines):
            pass

    async def fail(self) -> None:
        """Have the store fail until that counts."""
        await self.probed()
        await self.probed(later=TRIED_AGAIN_AFTER)
        await self.probed(later=TRIED_AGAIN_AFTER)

    @asynccontextmanager
    async def without_bucket(self) -> AsyncGenerator[None]:
        """Let the bucket be called otherwise for a while."""
        await self.desk.run("UPDATE storage_backend SET bucket = bucket || '-gone', revision = revision + 1")
        yield
        back = "UPDATE storage_backend SET bucket = replace(bucket, '-gone', ''), revision = revision + 1"
        await self.desk.run(back)

    async def told(self) -> dict[str, Any]:
        answer = await self.lead.client.get(f"{self.backends}/{self.backend['id']}/health")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def hook(self, address: str | None) -> dict[str, Any]:
        answer = await self.lead.client.put(f"/api/organizations/{self.name}/notices", json={"webhook": address})
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown


@pytest.fixture
async def lab_with_store(desk: Desk, engines_ready: dict[str, Any]) -> AsyncGenerator[Lab]:
    """The organization."""
    admin, lead, name = await desk.person(Role.ADMIN), await desk.person(), f"o{uuid4().hex[:10]}"
    for address, body in (
        ("/api/organizations", {"name": name}),
        (f"/api/organizations/{name}/projects", {"name": "soil"}),
    ):
        assert (await admin.client.post(address, json=body)).status_code == 201
    given = {"member": f"user:{lead.name}", "role": "admin"}
    assert (await admin.client.put(f"/api/organizations/{name}/members", json=given)).status_code == 204
    place = server(engines_ready, "minio")
    async with place.bucket() as store:
        backend = await connected(lead.client, name, place.wanted(store))
        yield Lab(desk, name, admin.client, lead, place, store, backend)
        await desk.run("DELETE FROM notice")
        await desk.run("DELETE FROM notice_webhook")
        await desk.run("DELETE FROM backend_health")
        await desk.run("DELETE FROM backend_probe")
        # Another test's failing store would be counted with theirs.
        await desk.run("UPDATE storage_backend SET detached_at = now() WHERE detached_at IS NULL")


async def mailed(lab: Lab, box: Postbox) -> str:
    """Have the admin agree to mail."""
    address = fresh()
    assert (await lab.lead.client.post("/api/mail-addresses", json={"address": address})).status_code == 202
    await agreed(lab.desk, box)
    return address


@pytest.mark.req("DEWRANGLE-RFC-52")
async def test_backend_alert_once(lab_with_store: Lab, receiver: Receiver, box: Postbox) -> None:
    lab = lab_with_store
    address = await mailed(lab, box)
    shown = await lab.hook(receiver.url)
    assert (shown["webhook"], shown["mailed"]) == (receiver.url, [lab.lead.name])
    made = await lab.lead.client.post(f"/api/organizations/{lab.name}/notices/secret")
    await lab.probed()
    assert (box.mails, receiver.requests) == ([], [])

    async with lab.without_bucket():
        await lab.fail()
        for _ in range(3):
            await lab.probed(later=timedelta(hours=1))
    ((to, mail),) = box.mails
    ((_, headers, body),) = receiver.requests
    told = json.loads(body)
    assert (to, mail["Subject"]) == ([address], f"{lab.backend['name']}: this store fails")
    assert f"catalog backend check {lab.name} {lab.backend['id']}" in text_of(mail)
    assert "document: put: The store has no bucket" in text_of(mail)
    assert (told["type"], told["data"]["state"]) == ("backend.failing", "failing")
    assert told["data"]["backend"] == {
        "id": lab.backend["id"],
        "name": lab.backend["name"],
        "organization": lab.name,
    }
    assert "document: put" in [one["action"] for one in told["data"]["faults"]]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(made.json()["secret"].removeprefix("whsec_"))
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"

    await lab.probed(later=timedelta(hours=1))
    await lab.probed(later=DAY)
    assert [mail["Subject"] for _, mail in box.mails[1:]] == [f"{lab.backend['name']}: this store works again"]
    assert [json.loads(body)["type"] for _, _, body in receiver.requests[1:]] == ["backend.recovered"]
    assert await lab.desk.queued("notice") == []


async def test_a_failure_counts_only_if_it_goes_on_for_minutes_however_often_somebody_looks(
    lab_with_store: Lab, receiver: Receiver
) -> None:
    lab = lab_with_store
    await lab.hook(receiver.url)
    async with lab.without_bucket():
        for _ in range(4):
            answer = await lab.lead.client.post(f"{lab.backends}/{lab.backend['id']}/check")
            assert (answer.status_code, answer.json()["health"]) == (200, "failing")
        shown = await lab.told()
        assert (shown["state"], shown["suspected_since"] is None) == ("healthy", False)
        await lab.probed(later=TRIED_AGAIN_AFTER)
        assert (await lab.told())["state"] == "healthy"
        # An indexer looks again within minutes, not the next day.
        ((soon,),) = await lab.desk.engines.database.rows(
            "SELECT ready_at < now() + interval '6 minutes' FROM queue WHERE topic = 'probe' AND subject = %(id)s",
            {"id": lab.backend["id"]},
        )
        assert soon
    await lab.probed(later=TRIED_AGAIN_AFTER)
    shown = await lab.told()
    assert (shown["state"], shown["suspected_since"], receiver.requests) == ("healthy", None, [])


@pytest.mark.req("DEWRANGLE-RFC-51", "DEWRANGLE-RFC-39")
async def test_what_was_found_is_kept_newest_first_and_only_for_so_long(lab_with_store: Lab) -> None:
    lab = lab_with_store
    await lab.probed()
    async with lab.without_bucket():
        await lab.fail()
    shown = await lab.told()

    assert (shown["backend"], shown["state"], shown["suspected_since"]) == (lab.backend["id"], "failing", None)
    # The first was found when it was connected.
    assert [one["ok"] for one in shown["history"]] == [False, False, False, True, True]
    failed = [one["action"] for one in shown["faults"]]
    assert failed == [one["action"] for one in shown["history"][0]["faults"]]
    assert {"data: list", "document: put"} <= set(failed)
    listed = (await lab.lead.client.get(lab.backends)).json()["items"]
    assert [one["health"] for one in listed] == ["failing"]
    passed = timedelta(days=91)
    await lab.desk.run("UPDATE backend_probe SET at = at - CAST(:passed AS interval) WHERE id % 2 = 0", passed=passed)
    async with lab.desk.engines.database.transaction() as session:
        await health.forget_old(session)
    kept = (await lab.told())["history"]
    assert len(kept) in {2, 3}
    assert all(datetime.fromisoformat(one["at"]) > datetime.now(UTC) - DAY for one in kept)


async def test_a_store_that_fails_is_still_used_and_one_that_was_detached_is_not(lab_with_store: Lab) -> None:
    lab = lab_with_store
    await lab.admin.put(f"/api/organizations/{lab.name}/storages", json={"document": lab.backend["id"]})
    async with lab.without_bucket():
        await lab.fail()
    assert (await lab.told())["state"] == "failing"
    body = {
        "kind": "training-dataset",
        "project": f"{lab.name}/soil",
        "title": "Soil",
        "creators": [{"name": "Rivera, Ana"}],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "metadata": {"labelled": False},
        "files": [{"path": "a.csv", "size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}],
    }
    made = await lab.admin.post("/api/objects", json=body)
    assert made.status_code == 201, made.text
    (ticket,) = made.json()["uploads"]
    assert lab.store.bucket in ticket["url"]
    gone = await lab.lead.client.delete(f"{lab.backends}/{lab.backend['id']}", params={"detach": "true"})
    assert gone.status_code == 204, gone.text
    again = await lab.admin.post("/api/uploads", json={"object_id": made.json()["id"], "path": "a.csv"})
    assert lab.store.bucket not in again.text
    # Nobody tries it any more.
    await lab.desk.run("UPDATE queue SET ready_at = now() WHERE subject = :id", id=lab.backend["id"])
    assert await probes.step(lab.desk.engines) == 1
    rows = await lab.desk.engines.database.rows(
        "SELECT backend FROM backend_health WHERE backend = %(id)s "
        "UNION ALL SELECT subject FROM queue WHERE topic = 'probe' AND subject = %(id)s",
        {"id": lab.backend["id"]},
    )
    assert rows == []


async def test_a_webhook_that_does_not_answer_is_told_later_and_repeats_nobodys_mail(
    lab_with_store: Lab, receiver: Receiver, box: Postbox
) -> None:
    lab = lab_with_store
    await mailed(lab, box)
    await lab.hook(receiver.url)
    receiver.status = 500
    async with lab.without_bucket():
        await lab.fail()
        for _ in range(len(RETRIES) + 2):
            await lab.desk.run("UPDATE queue SET ready_at = now() WHERE topic = 'notice'")
            await notices.step(lab.desk.engines)
    assert (len(box.mails), len(receiver.requests)) == (1, len(RETRIES) + 1)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1
    ((_, _, _, parked, reason),) = await lab.desk.queued("notice")
    shown = (await lab.lead.client.get(f"/api/organizations/{lab.name}/notices")).json()
    assert (parked, reason, shown["fault"], shown["stopped_at"]) == (
        True,
        "The receiver answered 500, where 200 to 299 is wanted.",
        reason,
        None,
    )


async def test_who_is_no_admin_any_more_or_refused_mail_gets_none_and_a_receiver_that_is_gone_is_asked_no_more(
    lab_with_store: Lab, receiver: Receiver, box: Postbox
) -> None:
    lab = lab_with_store
    await mailed(lab, box)
    await lab.hook(receiver.url)
    receiver.status = 410
    async with lab.without_bucket():
        await lab.fail()
    (_, mail) = box.mails.pop()
    shown = (await lab.lead.client.get(f"/api/organizations/{lab.name}/notices")).json()
    assert (len(receiver.requests), shown["stopped_at"] is None) == (1, False)
    # The link at the end of the mail refuses all mail.
    nobody = await lab.desk.holding(None)
    assert (await nobody.post(link_of(mail, "mail-addresses"), data={"wanted": "no"})).status_code == 200
    await lab.probed()
    assert (box.mails, len(receiver.requests)) == ([], 1)
    assert (await lab.hook(receiver.url))["stopped_at"] is None


async def test_who_leaves_between_a_failure_and_its_mail_is_not_told(lab_with_store: Lab, box: Postbox) -> None:
    lab = lab_with_store
    await mailed(lab, box)
    async with lab.without_bucket():
        for _ in range(3):
            await lab.desk.run(
                "UPDATE backend_health SET suspected_at = suspected_at - CAST(:passed AS interval)",
                passed=TRIED_AGAIN_AFTER,
            )
            await lab.desk.run("UPDATE queue SET ready_at = now() WHERE subject = :id", id=lab.backend["id"])
            await probes.step(lab.desk.engines)
    assert len(await lab.desk.queued("notice")) == 1
    member = {"member": f"user:{lab.lead.name}"}
    gone = await lab.admin.request("DELETE", f"/api/organizations/{lab.name}/members", params=member)
    assert gone.status_code == 204, gone.text
    await notices.step(lab.desk.engines)
    assert (box.mails, await lab.desk.queued("notice")) == ([], [])


async def test_notices_are_posted_into_no_network_of_ours(lab_with_store: Lab) -> None:
    lab = lab_with_store
    inside = [("https", "10.0.0.1"), ("http", "169.254.169.254")]
    for scheme, host in [*inside, ("ftp", "example.org"), ("https", f"{lab.name}:secret@example.org")]:
        body = {"webhook": f"{scheme}://{host}/hook"}
        answer = await lab.lead.client.put(f"/api/organizations/{lab.name}/notices", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/webhook")
    stranger = await lab.desk.person()
    assert (await stranger.client.get(f"/api/organizations/{lab.name}/notices")).status_code == 404


async def test_the_catalogs_own_store_is_tried_too_and_leaves_nothing_that_anybody_would_find(desk: Desk) -> None:
    # An indexer that began in an earlier test has tried it already.
    await desk.run("DELETE FROM backend_health")
    await desk.run("DELETE FROM backend_probe")
    async with desk.engines.database.transaction() as session:
        await health.schedule(session, DAY)
    await desk.run("UPDATE queue SET ready_at = now() WHERE topic = 'probe' AND subject = 'default'")
    await desk.run("DELETE FROM queue WHERE topic = 'probe' AND subject <> 'default'")
    assert await probes.step(desk.engines) == 1
    admin = await desk.person(Role.ADMIN)
    shown = (await admin.client.get("/api/operations/store/health")).json()
    assert (shown["backend"], shown["state"], [one["ok"] for one in shown["history"]]) == (OWN, "healthy", [True])
    checked = await admin.client.post("/api/operations/store/check")
    assert (checked.status_code, checked.json()["state"], checked.json()["faults"]) == (200, "healthy", [])
    left = [one.key async for one in desk.engines.store.list("") if ".probe" in one.key]
    assert left == []
    ready = await admin.client.get("/readyz")
    assert (ready.status_code, ready.json()["backends"]["default"]) == (200, "healthy")
    await desk.run("DELETE FROM backend_health")
    await desk.run("DELETE FROM backend_probe")


async def test_a_failing_store_of_an_organization_is_told_and_does_not_make_the_service_unready(
    lab_with_store: Lab,
) -> None:
    lab = lab_with_store
    async with lab.without_bucket():
        await lab.fail()
        ready = await lab.admin.get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["backends"]["failing"]) == (200, "pass", 1)
    every = (await lab.admin.get("/api/operations/backends")).json()["items"]
    states = {one["id"]: (one["organization"], one["state"]) for one in every}
    assert states[OWN] == (None, "healthy")
    assert states[lab.backend["id"]] == (lab.name, "failing")


async def test_the_page_of_an_organization_shows_its_admins_how_its_stores_are(lab_with_store: Lab) -> None:
    lab = lab_with_store
    async with lab.without_bucket():
        await lab.fail()
    login = {"oidc_issuer": "http://127.0.0.1:1", "oidc_audience": "urn:catalog", "oidc_client_id": "pages"}
    inner = litestar(lab.desk.world.settings.model_copy(update=login), pages.ROUTES)
    app: Any = Outermost(inner)
    stranger = await lab.desk.person(Role.CURATOR)
    shown = {}
    async with (
        inner.lifespan(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://catalog") as browser,
    ):
        for who in (lab.lead, stranger):
            async with lab.desk.engines.database.transaction() as session:
                secret = await sessions.begin(session, who.id, DAY, instead_of=None)
            answer = await browser.get(f"/organizations/{lab.name}", headers={"cookie": f"catalog_session={secret}"})
            assert answer.status_code == 200
            shown[who.name] = Page(answer.text)
    told = shown[lab.lead.name].one("section", **{"aria-labelledby": "stores"}).text
    assert (lab.backend["name"] in told, "data, document" in told, "fails" in told) == (True, True, True)
    # How stores are is their admins' business.
    assert not shown[stranger.name].all("section", **{"aria-labelledby": "stores"})


_FOUND = st.lists(st.tuples(st.sampled_from(Health), st.integers(0, 3_600)), max_size=40)


@given(_FOUND)
def test_a_state_turns_only_when_it_was_found_again_and_again(found: list[tuple[Health, int]]) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    standing = Standing(Health.HEALTHY, at)
    failing_since: datetime | None = None
    for outcome, seconds in found:
        at += timedelta(seconds=seconds)
        before, standing = standing, standing.after(outcome, at)
        failing_since = None if outcome is Health.HEALTHY else failing_since or at
        if outcome is Health.HEALTHY:
            assert (standing.state, standing.suspected_at) == (Health.HEALTHY, None)
        elif before.state is Health.HEALTHY:
            assert failing_since is not None
            counts = at - failing_since >= COUNTS_AFTER - timedelta(seconds=10)
            assert (standing.state is Health.FAILING) == counts
            assert standing.suspected_at == (None if counts else failing_since)
        else:
            assert standing == before


@given(st.lists(st.uuids(), min_size=300, max_size=300, unique=True), st.integers(0, 10**9))
def test_many_stores_are_tried_spread_over_the_day(names: list[Any], seconds: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    waits = [health.wait_until_next(str(one), Standing(Health.HEALTHY, moment), DAY, moment) for one in names]
    assert all(timedelta(0) < wait <= DAY * 1.011 for wait in waits)
    hours = [sum(hour <= wait / timedelta(hours=1) % 24 < hour + 6 for wait in waits) for hour in (0, 6, 12, 18)]
    assert min(hours) > 30
    # Each keeps its time of the day.
    for one, wait in zip(names[:20], waits, strict=False):
        after = health.wait_until_next(str(one), Standing(Health.HEALTHY, moment), DAY, moment + wait)
        assert abs(after - DAY) < timedelta(seconds=1)
