"""How much a store takes: above its watermark uploads are refused with the figures, all else goes on; and forecasts."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from catalog.engines import Engines
from catalog.storage import capacity
from catalog.storage.capacity import CAPACITY_BYTES_MAX, GB, RESERVED_PART_MAX, Held, Rule, Told, forecast_of
from tests.api import truth
from tests.api.brought import connected, server
from tests.api.conftest import MERGE_PATCH, in_process, plain, register
from tests.api.leaving import nothing_is_left_by
from tests.api.people import People, found
from tests.api.problems import problem_of
from tests.api.uploads import bring, declared, until
from tests.conftest import Clients, eventually

pytestmark = pytest.mark.usefixtures("noise")


@dataclass
class Store:
    """A store of an organization that all its projects use, and who looks after it."""

    people: People
    lead: httpx2.AsyncClient
    service: httpx2.AsyncClient
    id: str
    name: str

    async def limit(self, **said: int | None) -> None:
        """Tell how much it may take."""
        address = f"/api/organizations/{self.people.organization}/backends/{self.id}"
        answer = await self.lead.patch(address, json=said, headers={"Content-Type": MERGE_PATCH})
        assert answer.status_code == 200, answer.text
        assert {name: answer.json()[name] for name in said} == said

    async def told(self) -> dict[str, Any]:
        answer = await self.lead.get(f"/api/organizations/{self.people.organization}/capacity")
        assert answer.status_code == 200, answer.text
        ((one),) = answer.json()["items"]
        assert (one["id"], one["name"]) == (self.id, self.name)
        shown: dict[str, Any] = one["capacity"]
        return shown

    def holding(self, *sizes: int, **said: Any) -> dict[str, Any]:
        files = [declared(f"{place}.bin", bytes(size)) for place, size in enumerate(sizes)]
        return plain(self.people.project, files=files, **said)


@pytest.fixture
async def store(people: People, engines_ready: dict[str, Any]) -> AsyncGenerator[Store]:
    """A store that can hold a thousand bytes and takes 850."""
    lead = await people.member("lead", "admin", scope=people.organization)
    service = await people.member("service", "ingest")
    place = server(engines_ready, "minio")
    async with place.bucket() as bucket:
        made = await connected(lead, people.organization, place.wanted(bucket, name="Archive"))
        chosen = {"document": made["id"]}
        answer = await lead.put(f"/api/organizations/{people.organization}/storages", json=chosen)
        assert answer.status_code == 200, answer.text
        one = Store(people, lead, service, made["id"], "Archive")
        await one.limit(capacity_bytes=1_000, reserved_gb=0)
        yield one


@pytest.fixture(autouse=True)
async def counted_right(engines: Engines) -> AsyncGenerator[None]:
    """Whatever a test does, what is counted in stores is what lies there."""
    yield

    async def agree() -> bool:
        return await truth.counted_in_stores(engines) == await truth.lying_in_stores(engines)

    assert await eventually(agree)


FIGURES = (
    "the store 'Archive' can hold 1,000 bytes and takes uploads up to 850 (its watermark is 85 %, and 0 stay "
    "reserved); {stored} lie there and {awaited} more are on their way; this asks for {asked}"
)
MEND = (
    "ask an admin of the organization to make room, to raise the store's limits, or to choose another one; tickets "
    "then work at once"
)


@pytest.mark.req("MWM-SADD-71")
async def test_uploads_fill_a_store_up_to_its_watermark_and_go_on_once_there_is_room(store: Store) -> None:
    contents = [bytes([digit]) * 200 for digit in range(5)]
    kept = []
    for digit, content in enumerate(contents[:4]):
        body = plain(store.people.project, title=f"Moss {digit}", files=[declared("a.bin", content)])
        made = await register(store.service, body)
        await bring(made["uploads"], {"a.bin": content})
        await store.service.post(f"/api/uploads/{made['uploads'][0]['id']}/complete")
        await until(store.service, made["id"], "a.bin", state="available")
        kept.append(made["id"])
    told = await store.told()
    assert told == {
        "capacity": 1_000,
        "watermark_percent": 85,
        "reserved": 0,
        "limit": 850,
        "stored": 800,
        "awaited": 0,
        "seen_days": None,
        "growth_per_day": None,
        "full_on": None,
    }

    last = plain(store.people.project, title="Moss 4", files=[declared("a.bin", contents[4])])
    refused = problem_of(await store.service.post("/api/objects", json=last))
    figures = FIGURES.format(stored=800, awaited=0, asked=200)
    assert (refused["status"], refused["errors"]) == (
        507,
        [{"pointer": "/files", "message": figures, "suggestion": MEND}],
    )
    assert refused["detail"] == (
        f"There is no room: {figures}. {MEND[0].upper()}{MEND[1:]}. Objects without files are still registered."
    )
    # What is there is read, and what has no files is registered.
    answer = await store.service.get(f"/api/objects/{kept[0]}/files/a.bin")
    assert answer.status_code == 307
    await register(store.service, plain(store.people.project, title="Moss without files"))

    async def all_found() -> bool:
        return len(await found(store.service, q="moss")) == 5

    assert await eventually(all_found)
    # Nobody starts anything anew.
    await store.limit(watermark_percent=100)
    made = await register(store.service, last)
    await bring(made["uploads"], {"a.bin": contents[4]})


@pytest.mark.req("MWM-SADD-71")
async def test_above_the_watermark_nothing_is_half_written_whichever_way_a_ticket_is_asked_for(
    store: Store, engines: Engines
) -> None:
    first = await register(store.service, store.holding(500, 300))
    empty = await register(store.service, plain(store.people.project))
    rows = [plain(store.people.project, title="In bulk", files=[declared("b.bin", b"x" * 60)])]
    answer = await store.service.post(
        "/api/bulk/objects", json=rows[0], headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 200, answer.text
    in_bulk = answer.json()["id"]

    async def refused() -> list[httpx2.Response]:
        return [
            await store.service.post("/api/objects", json=store.holding(60)),
            await store.service.post("/api/objects", json=store.holding(10, 10, 40)),
            await store.service.post(
                f"/api/objects/{empty['id']}/files",
                json={"files": [declared("c.bin", b"x" * 60)]},
                headers={"if-match": "*"},
            ),
            await store.service.post("/api/uploads", json={"object": in_bulk, "path": "b.bin"}),
            # A second ticket for what is on its way counts too.
            await store.service.post("/api/uploads", json={"object": first["id"], "path": "1.bin"}),
        ]

    tried = await nothing_is_left_by(engines, refused)
    assert [answer.status_code for answer in tried] == [507] * 5, [answer.text for answer in tried]
    assert [problem_of(answer)["errors"][0]["pointer"] for answer in tried[:3]] == ["/files"] * 3
    # What fits still does.
    assert (await store.service.post("/api/objects", json=store.holding(50))).status_code == 201
    assert (await store.told())["awaited"] == 850


@pytest.mark.req("MWM-SADD-71")
async def test_of_many_who_ask_for_the_last_bytes_of_a_store_as_many_get_them_as_fit(store: Store) -> None:
    bodies = [store.holding(100, title=f"Fern {place}") for place in range(20)]
    answers = await asyncio.gather(*(store.service.post("/api/objects", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 8 + [507] * 12
    assert (await store.told())["awaited"] == 800


async def test_a_file_that_is_taken_out_before_it_came_makes_room_at_once(store: Store) -> None:
    made = await register(store.service, store.holding(800))
    assert (await store.service.post("/api/objects", json=store.holding(100))).status_code == 507
    gone = await store.service.delete(f"/api/objects/{made['id']}/files/0.bin", headers={"if-match": "*"})
    assert gone.status_code in {200, 204}, gone.text
    assert (await store.service.post("/api/objects", json=store.holding(100))).status_code == 201


async def test_a_store_of_which_nobody_told_how_much_it_holds_takes_everything(store: Store) -> None:
    await store.limit(capacity_bytes=None, watermark_percent=1, reserved_gb=10**6)
    assert (await store.service.post("/api/objects", json=store.holding(5_000))).status_code == 201
    told = await store.told()
    assert (told["capacity"], told["limit"], told["awaited"], told["full_on"]) == (None, None, 5_000, None)


@pytest.mark.req("MWM-SADD-70", "MWM-SADD-71")
async def test_the_catalogs_own_store_has_its_limits_by_the_settings(people: People, engines: Engines) -> None:
    live = people.clients.live
    async with engines.database.transaction() as session:
        used = await capacity.use_of(session, "default")
    # What is left but for the reserve, which of so small a store is a quarter.
    size = used.total + 2 * GB
    tight = live.settings.model_copy(
        update={"store_capacity_bytes": size, "backend_reserved_gb": 100, "backend_watermark_percent": 100}
    )
    reserved = size // RESERVED_PART_MAX
    left = size - reserved - used.total
    huge = {"path": "a.bin", "sha256": "a" * 64}
    async with in_process(tight, live.tokens["admin"]) as admin:
        over = await admin.post("/api/objects", json=plain(people.project, files=[huge | {"size": left + 1}]))
        assert (over.status_code, f"{reserved:,} stay reserved" in over.json()["detail"]) == (507, True), over.text
        # Large enough to come in parts, and the last byte fits.
        made = await admin.post("/api/objects", json=plain(people.project, files=[huge | {"size": left}]))
        assert made.status_code == 201, made.text
        full = await admin.post("/api/objects", json=plain(people.project, files=[huge | {"size": 1}]))
        none = await admin.post(
            "/api/credentials", json={"project": people.project, "prefix": "uploads/gate/", "access": ["write"]}
        )
        shown = (await admin.get("/api/operations/backends")).json()["items"][0]
        object_id = made.json()["id"]
        await admin.delete(f"/api/objects/{object_id}/files/a.bin", headers={"if-match": "*"})
    assert full.status_code == 507
    # Nobody knows how much would come by them.
    assert none.status_code == 507, none.text
    assert (shown["id"], shown["capacity"]["capacity"], shown["capacity"]["reserved"]) == ("default", size, reserved)
    assert shown["capacity"]["stored"] + shown["capacity"]["awaited"] == shown["capacity"]["limit"]


def test_a_disk_of_this_machine_can_hold_what_lies_there_and_what_is_free(tmp_path: Path) -> None:
    told = Told(own_disk=tmp_path / "not" / "made" / "yet")
    free = shutil.disk_usage(tmp_path).free
    rule = told.own(5 * GB)
    assert rule.capacity is not None
    assert abs(rule.capacity - 5 * GB - free) < GB
    # What was told wins.
    assert Told(own_capacity=7, own_disk=tmp_path).own(5).capacity == 7
    assert Told().own(5).limit is None


@pytest.mark.req("MWM-SADD-70", "MWM-SADD-71")
@pytest.mark.parametrize(
    ("gigabytes", "reserved", "limit"),
    [(10_000, 100, 8_500), (1_000, 100, 850), (500, 100, 400), (400, 100, 300), (50, 12.5, 37.5), (8, 2, 6)],
)
def test_the_defaults_leave_fifteen_percent_and_a_hundred_gigabytes_and_of_a_small_disk_a_quarter(
    gigabytes: int, reserved: float, limit: float
) -> None:
    rule = Rule(gigabytes * GB)
    assert (rule.reserved, rule.limit) == (reserved * GB, limit * GB)


_SIZE = st.integers(1, CAPACITY_BYTES_MAX)


@given(_SIZE, st.integers(1, 100), st.integers(0, 10**9))
def test_the_limit_of_a_watermark_leaves_both_and_never_everything_or_nothing(
    size: int, percent: int, reserved_gb: int
) -> None:
    rule = Rule(size, percent, reserved_gb)
    assert rule.limit is not None
    assert 0 <= rule.limit <= size
    assert rule.limit * 100 <= size * percent
    assert size - rule.limit >= rule.reserved
    assert rule.reserved == min(reserved_gb * GB, size // RESERVED_PART_MAX)
    # It is the most of which all that is true.
    more = rule.limit + 1
    assert more * 100 > size * percent or size - more < rule.reserved
    # More of either never lets more in.
    assert rule.limit >= (Rule(size, percent, reserved_gb + 1).limit or 0)
    assert rule.limit >= (Rule(size, max(percent - 1, 1), reserved_gb).limit or 0)


@given(
    st.integers(0, 10**15),
    st.integers(-(10**12), 10**12),
    st.integers(1, 30),
    st.integers(0, 10**15),
    st.integers(1, 10**16),
)
def test_watermark_forecast_names_the_first_day_on_which_it_is_reached(
    first: int, growth: int, days: int, awaited: int, limit: int
) -> None:
    start = date(2026, 1, 1)
    seen = [(start + timedelta(days=day), max(first + growth * day, 0)) for day in range(days + 1)]
    use = Held(seen[-1][1], awaited)
    told = forecast_of(seen, use, limit)
    assert told is not None
    measured = (seen[-1][1] - first) / days
    assert (told.days, told.growth_per_day) == (days, round(measured))
    today = seen[-1][0]
    if use.total >= limit:
        assert told.full_on == today
    elif told.full_on is None:
        assert measured <= 0 or (limit - use.total) / measured > capacity.FORECAST_DAYS_MAX
    else:
        ahead = (told.full_on - today).days
        assert use.total + measured * ahead >= limit - 1
        assert use.total + measured * (ahead - 1) < limit + 1
    assert forecast_of(seen[:1], use, limit) is None
    assert forecast_of([], use, limit) is None


async def test_watermark_forecast_is_told_by_what_was_seen_day_by_day(store: Store, engines: Engines) -> None:
    today = datetime.now(UTC).date()
    async with engines.database.transaction() as session:
        for ago, stored in ((40, 700), (10, 100), (5, 200)):
            await session.execute(
                sa.text("INSERT INTO backend_day (backend, day, stored) VALUES (:id, :day, :stored)"),
                {"id": store.id, "day": today - timedelta(days=ago), "stored": stored},
            )
    content = b"x" * 300
    made = await register(store.service, plain(store.people.project, files=[declared("a.bin", content)]))
    await bring(made["uploads"], {"a.bin": content})
    await store.service.post(f"/api/uploads/{made['uploads'][0]['id']}/complete")
    await until(store.service, made["id"], "a.bin", state="available")
    async with engines.database.transaction() as session:
        await capacity.note_day(session)
        await capacity.fold(session)

    told = await store.told()
    assert (told["stored"], told["seen_days"], told["growth_per_day"]) == (300, 10, 20)
    assert told["full_on"] == (today + timedelta(days=28)).isoformat()
    curator = await store.people.member("curator", "curator", scope=store.people.organization)
    answer = await curator.get(f"/api/organizations/{store.people.organization}/capacity")
    assert answer.status_code == 200
    refused = await store.service.get(f"/api/organizations/{store.people.organization}/capacity")
    assert refused.status_code == 403
    every = (await store.people.clients.admin.get("/api/operations/backends")).json()["items"]
    assert [one["capacity"]["full_on"] for one in every if one["id"] == store.id] == [told["full_on"]]


async def test_a_quota_and_a_watermark_are_told_apart(store: Store, clients: Clients) -> None:
    address = f"/api/organizations/{store.people.organization}/quota"
    await clients.admin.patch(address, json={"bytes": 100}, headers={"Content-Type": MERGE_PATCH})
    quota = problem_of(await store.service.post("/api/objects", json=store.holding(200)))
    assert (quota["status"], "may have 100 bytes" in quota["detail"]) == (507, True)
    await clients.admin.patch(address, json={"bytes": None}, headers={"Content-Type": MERGE_PATCH})
    full = problem_of(await store.service.post("/api/objects", json=store.holding(900)))
    assert (full["status"], "its watermark is 85 %" in full["detail"]) == (507, True)
