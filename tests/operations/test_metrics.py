"""What Prometheus reads: counted by routes and topics, told to whoever may know, and of nobody by name."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from pydantic import SecretStr

from catalog import queue
from catalog.database import Database
from catalog.errors import Forbidden, Unauthenticated
from catalog.operations import figures as figures_room
from catalog.operations import scraping
from catalog.operations.figures import Figures, Gauges, families
from catalog.storage.backends import Health
from catalog.storage.capacity import Told
from catalog.sync.rounds import Phase, Round, Tally
from tests.api.conftest import plain, register
from tests.conftest import Clients, Live, eventually
from tests.operations.conftest import TOKEN, indexer_of, scraped
from tests.operations.reading import Series, series, value

TOLD = Told(85, 100)


def count(found: Series, route: str, method: str, status: str) -> float:
    return value(found, "catalog_request_seconds_count", route=route, method=method, status=status) or 0


async def test_requests_are_counted_by_the_template_of_their_route_and_never_by_what_was_asked(
    watched: Live, clients_of_watched: Clients
) -> None:
    project = f"secret-lab/p{uuid4().hex[:8]}"
    before = series((await scraped(watched.url)).text)
    made = await register(clients_of_watched.ingest, plain(project))
    for _ in range(3):
        await clients_of_watched.ingest.get(f"/api/objects/{made['id']}")
    await clients_of_watched.ingest.head(f"/api/objects/{made['id']}")
    await clients_of_watched.ingest.get(f"/api/objects/{uuid4()}")
    await clients_of_watched.ingest.get(f"/{uuid4().hex}")
    answer = await scraped(watched.url)
    after = series(answer.text)

    def more(route: str, method: str, status: str) -> float:
        return count(after, route, method, status) - count(before, route, method, status)

    assert more("/api/objects", "POST", "2xx") == 1
    assert more("/api/objects/{object_id}", "GET", "2xx") == 3
    assert more("/api/objects/{object_id}", "HEAD", "2xx") == 1
    assert more("/api/objects/{object_id}", "GET", "4xx") == 1
    assert more("/{address}", "GET", "4xx") == 1
    # The scrape itself is being answered.
    assert value(after, "catalog_requests_in_flight") == 1
    for told in (made["id"], project, "secret-lab", "ingest"):
        assert told not in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"


COUNTED: list[tuple[str, dict[str, str]]] = [
    ("catalog_documents_total", {"outcome": "written"}),
    ("catalog_queue_handled_total", {"topic": "index"}),
    ("catalog_engine_call_seconds_count", {"engine": "database"}),
    ("catalog_engine_call_seconds_count", {"engine": "search"}),
]


async def test_calls_of_engines_and_written_documents_are_counted_where_they_are_made(
    watched: Live, clients_of_watched: Clients
) -> None:
    def counts(answer: httpx2.Response) -> list[float]:
        found = series(answer.text)
        return [value(found, name, **labels) or 0 for name, labels in COUNTED]

    before = counts(await scraped(indexer_of(watched)))
    await register(clients_of_watched.ingest, plain(f"metrics/p{uuid4().hex[:8]}"))

    async def written() -> bool:
        after = counts(await scraped(indexer_of(watched)))
        return all(now > then for now, then in zip(after, before, strict=True))

    await eventually(written)
    await clients_of_watched.ingest.get("/api/search", params={"q": "soil"})
    of_api = counts(await scraped(watched.url))

    # The API writes no document and handles no entry.
    assert [number > 0 for number in of_api] == [False, False, True, True]


async def test_metrics_are_told_to_whoever_has_the_token_and_to_nobody_else(watched: Live) -> None:
    told: dict[str, list[int]] = {}
    for address in (watched.url, indexer_of(watched)):
        answers = [
            await scraped(address),
            await scraped(address, token=None),
            await scraped(address, token="another-token-of-16"),
            await scraped(address, token=None, Authorization=f"Basic {TOKEN}"),
            # A token of a person opens other doors.
            await scraped(address, token=watched.tokens["admin"]),
        ]
        told[address] = [answer.status_code for answer in answers]
        assert answers[1].headers["www-authenticate"] == 'Bearer realm="catalog"'
        assert "catalog_" not in answers[1].text
    assert told == {watched.url: [200, 401, 401, 401, 401], indexer_of(watched): [200, 401, 401, 401, 401]}


async def test_without_a_token_this_machine_is_told_and_nobody_through_a_proxy(live: Live) -> None:
    direct = await scraped(live.url, token=None)
    proxied = [
        await scraped(live.url, token=None, **{name: "127.0.0.1"})
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto", "X-Forwarded-Host")
    ]
    assert (direct.status_code, [answer.status_code for answer in proxied]) == (200, [403] * 6)


@pytest.mark.parametrize("peer", ["10.0.0.7", "", "::ffff:10.0.0.7", "127.0.0.1.example.org"])
def test_another_machine_is_told_nothing_without_a_token(peer: str) -> None:
    with pytest.raises(Forbidden):
        scraping.must_be_allowed(None, {}, peer)


def test_an_empty_header_is_no_token() -> None:
    with pytest.raises(Unauthenticated):
        scraping.must_be_allowed(SecretStr(TOKEN), {"authorization": "Bearer "}, "127.0.0.1")


async def test_a_scraper_that_wants_open_metrics_gets_them(watched: Live) -> None:
    answer = await scraped(watched.url, Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def aged(database: Database, topic: str, subject: str, **values: Any) -> None:
    """Change an entry: what is a duration is a moment so long ago."""
    told = ", ".join(
        f"{name} = now() - %({name})s" if isinstance(one, timedelta) else f"{name} = %({name})s"
        for name, one in values.items()
    )
    statement = f"UPDATE queue SET {told} WHERE topic = %(topic)s AND subject = %(subject)s RETURNING id"  # ruff: ignore[S608]
    await database.rows(statement, {"topic": topic, "subject": subject, **values})


async def test_the_queue_is_told_by_topic_with_how_long_the_oldest_has_waited(database: Database) -> None:
    topic = f"t{uuid4().hex[:10]}"
    hour = timedelta(hours=1)
    async with database.transaction() as session:
        await queue.put(session, topic, ["due", "leased", "failing", "parked", "touched"])
        await queue.put(session, topic, ["tomorrow"], after=timedelta(days=1))
    await aged(database, topic, "due", ready_at=timedelta(seconds=100), created_at=2 * hour)
    await aged(database, topic, "leased", ready_at=timedelta(seconds=-20), created_at=24 * hour, attempts=1)
    await aged(
        database, topic, "failing", ready_at=timedelta(seconds=-300), created_at=timedelta(seconds=900), attempts=4
    )
    await aged(database, topic, "parked", ready_at=9 * hour, created_at=9 * hour, attempts=12, parked_at=8 * hour)
    await aged(database, topic, "touched", ready_at=timedelta(seconds=5), created_at=5 * hour)
    async with database.transaction() as session:
        found = await figures_room.read(session, TOLD)
    await database.rows("DELETE FROM queue WHERE topic = %(topic)s RETURNING id", {"topic": topic})

    one = found.topics[topic]
    assert (one.waiting, one.failing, one.scheduled, one.parked) == (3, 1, 1, 1)
    # What failed has waited since it came; what was scheduled for today and came yesterday has not.
    assert one.oldest == pytest.approx(900, abs=30)
    assert one.oldest_parked == pytest.approx(8 * 3600, abs=30)


async def test_lag_is_what_the_index_does_not_know_yet_and_no_other_work(database: Database) -> None:
    async with database.transaction() as session:
        await queue.put(session, "scan", ["x"])
    await aged(database, "scan", "x", ready_at=timedelta(hours=5), created_at=timedelta(hours=5))
    async with database.transaction() as session:
        found = await figures_room.read(session, TOLD)
    await database.rows("DELETE FROM queue WHERE topic = 'scan' AND subject = 'x' RETURNING id", {})
    assert found.lag_seconds < 3600


async def test_whoever_keeps_the_database_from_cleaning_up_is_told_of_until_they_let_go(database: Database) -> None:
    async def long_held() -> bool:
        async with database.transaction() as session:
            return (await figures_room.read(session, TOLD)).snapshot_seconds > 2

    async def given_back() -> bool:
        return not await long_held()

    with psycopg.connect(database.url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1 FROM queue")
        await eventually(long_held)
    await eventually(given_back)


def written(found: Figures) -> Series:
    class Told:
        def collect(self) -> list[Metric]:
            return list(families(found))

    registry = CollectorRegistry()
    registry.register(Told())
    return series(generate_latest(registry).decode())


def test_what_the_last_comparison_met_is_told_with_its_moment() -> None:
    ended = datetime(2027, 1, 31, 12, tzinfo=UTC)
    tally = Tally(
        began_at=ended - timedelta(hours=1), ended_at=ended, objects=20, documents=21, extra=2, stale=1, held_back=True
    )
    round_ = Round(phase=Phase.RESTING, tally=tally)
    found = written(Figures(ended, {}, 3, round_.ended, {Health.HEALTHY: 2, Health.FAILING: 1}, frozenset(), {}))

    kinds = {
        kind: value(found, "catalog_index_differences", kind=kind) for kind in ("missing", "stale", "altered", "extra")
    }
    assert kinds == {"missing": 0, "stale": 1, "altered": 0, "extra": 2}
    assert value(found, "catalog_index_compared_timestamp_seconds") == ended.timestamp()
    assert value(found, "catalog_index_compared_objects") == 20
    assert value(found, "catalog_index_removals_held_back") == 1
    assert value(found, "catalog_notifications_unreadable") == 3
    assert [value(found, "catalog_backends", state=state) for state in ("healthy", "failing")] == [2, 1]


async def test_the_catalogs_own_store_is_told_of_by_its_name_for_us(watched: Live) -> None:
    found = series((await scraped(watched.url)).text)
    assert value(found, "catalog_figures_read") == 1
    assert value(found, "catalog_backend_healthy", backend="default") == 1
    assert value(found, "catalog_backend_stored_bytes", backend="default") is not None


async def test_many_scrapers_together_cost_the_database_one_look(database: Database) -> None:
    gauges = Gauges(database, TOLD)
    first = await gauges.figures()
    assert first is not None
    assert await gauges.figures() is first


async def test_without_the_database_what_the_process_counts_is_told_all_the_same() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:9/none", connections=1)
    body, _ = await Gauges(nowhere, TOLD).exposition("")
    await nowhere.close()

    found = series(body.decode())
    assert value(found, "catalog_figures_read") == 0
    assert value(found, "catalog_requests_in_flight") is not None
    assert not [name for name, _ in found if name.startswith("catalog_queue_entries")]


def test_a_round_that_never_ended_is_told_as_none() -> None:
    round_ = msgspec.structs.replace(Round(phase=Phase.COMPARING), tally=Tally(began_at=datetime.now(UTC)))
    found = written(Figures(datetime.now(UTC), {}, 0, round_.ended, {}, frozenset(), {}))
    assert not [name for name, _ in found if name.startswith("catalog_index_differences")]
