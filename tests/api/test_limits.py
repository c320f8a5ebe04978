"""How fast a caller may ask: each counts for itself, whoever asks too fast is told when to come back."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.access import principals
from catalog.api import limits
from catalog.api.app import Outermost, litestar
from catalog.api.limits import Limits, address_of
from catalog.engines import Engines
from catalog.errors import TooManyRequests
from catalog.settings import Settings
from catalog.web import pages
from tests.api.people import People
from tests.api.problems import problem_of, simple
from tests.conftest import Live


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass while somebody asks: what a bucket gets meanwhile would depend on the machine."""
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: 0.0))


RATE = {"requests_per_second": 2.0, "requests_per_second_anonymous": 1.0}
PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@asynccontextmanager
async def catalog(live: Live, **settings: Any) -> AsyncGenerator[Any]:
    """Run the application here with its own limits; yields what makes a client that comes from an address."""
    changed: Settings = live.settings.model_copy(update=RATE | settings)
    inner = litestar(changed, pages.ROUTES)
    outer: Any = Outermost(inner)

    def client(address: str = "192.0.2.1", token: str | None = None, **headers: str) -> httpx2.AsyncClient:
        sent = headers | ({} if token is None else {"Authorization": f"Bearer {token}"})
        transport = httpx2.ASGITransport(outer, client=(address, 40_000))
        return httpx2.AsyncClient(transport=transport, base_url="http://catalog", headers=sent)

    async with inner.lifespan():
        yield client


async def until_refused(client: httpx2.AsyncClient, path: str = "/api/kinds", most: int = 60) -> tuple[int, Any]:
    """Ask until it is refused; return how often it was answered, and the refusal."""
    for count in range(most):
        answer = await client.get(path)
        if answer.status_code == 429:
            return count, answer
    return most, None


async def test_an_address_that_asks_too_fast_is_told_the_figure_and_when_to_come_back(live: Live) -> None:
    async with catalog(live) as client:
        count, refused = await until_refused(client())
        elsewhere = await client("192.0.2.2").get("/api/kinds")

    # Ten seconds' worth at once.
    assert count == 10
    assert problem_of(refused) == simple(
        "too-many-requests",
        "Too many requests",
        429,
        "An address without a token may ask 1 times a second here, and up to 10 times at once; come back in 1 s.",
    )
    assert refused.headers["retry-after"] == "1"
    assert elsewhere.status_code == 200


async def test_a_principal_counts_for_itself_wherever_it_asks_from(live: Live) -> None:
    async with catalog(live) as client:
        ingest = [client(f"192.0.2.{place}", live.tokens["ingest"]) for place in (1, 2)]
        # Only a token that has worked says who asks.
        first = await ingest[0].get("/api/objects")
        count, _ = await until_refused(ingest[0], "/api/objects")
        same = await ingest[1].get("/api/objects")
        other = await client("192.0.2.1", live.tokens["reader"]).get("/api/objects")

    assert (first.status_code, same.status_code, other.status_code) == (200, 429, 200)
    assert count == 20


async def test_tokens_that_are_no_good_count_for_the_address_however_they_change(live: Live) -> None:
    async with catalog(live) as client:
        told = [(await client(token=f"cat_guess-{number}").get("/api/objects")).status_code for number in range(20)]

    assert sorted(set(told)) == [401, 429]
    assert told.index(429) == 10


async def test_a_token_that_ended_counts_for_nobody_but_its_holder(live: Live, engines: Engines) -> None:
    async with engines.database.transaction() as session:
        _, token = await principals.create_token(session, name="reader", role=principals.Role.READER, label="ending")
    async with catalog(live) as client:
        worked = await client(token=token).get("/api/objects")
        async with engines.database.transaction() as session:
            found = [one for one in await principals.list_tokens(session) if one["label"] == "ending"]
            await principals.revoke_token(session, UUID(str(found[0]["id"])))
        told = [(await client(token=token).get("/api/objects")).status_code for _ in range(20)]
        unharmed = await client("192.0.2.9", live.tokens["reader"]).get("/api/objects")

    assert (worked.status_code, told[0], told[-1], unharmed.status_code) == (200, 401, 429, 200)


@pytest.mark.parametrize("forwarded", ["203.0.113.{}", "203.0.113.{}, 198.51.100.7", "unknown-{}", "[2001:db8::{}]"])
async def test_what_a_client_says_of_its_address_is_not_believed(live: Live, forwarded: str) -> None:
    async with catalog(live) as client:
        told = [
            (await client(**{"X-Forwarded-For": forwarded.format(number)}).get("/api/kinds")).status_code
            for number in range(15)
        ]

    assert (told[0], told[-1]) == (200, 429)


async def test_behind_a_proxy_of_ours_each_client_counts_for_itself(live: Live) -> None:
    async with catalog(live, trusted_proxies=PROXIES) as client:

        async def told(forwarded: str, times: int) -> list[int]:
            through = client("10.0.0.1", **{"X-Forwarded-For": forwarded})
            return [(await through.get("/api/kinds")).status_code for _ in range(times)]

        fast = await told("203.0.113.5", 15)
        # The same one, who writes others before what the proxy adds.
        pretending = await told("192.0.2.77, 203.0.113.5", 1)
        other = await told("203.0.113.6", 1)

    assert (fast[0], fast[-1], pretending, other) == (200, 429, [429], [200])


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.5"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.5", "10.2.0.1"], "203.0.113.5"),
        ("10.0.0.1", ["10.3.0.1", "10.2.0.1"], "10.3.0.1"),
        ("10.0.0.1", ["203.0.113.5", "rubbish"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("fd00::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("", ["203.0.113.5"], ""),
    ],
)
def test_the_address_that_counts_is_the_last_one_that_came_to_us(peer: str, forwarded: list[str], counted: str) -> None:
    assert address_of(peer, forwarded, PROXIES) == counted


@given(st.lists(st.text(st.sampled_from("0123456789abcdef:., []unkow%") | st.characters(), max_size=20), max_size=6))
def test_no_list_of_addresses_makes_a_peer_that_is_no_proxy_anybody_else(forwarded: list[str]) -> None:
    assert address_of("192.0.2.1", forwarded, PROXIES) == "192.0.2.1"


async def test_stores_that_notify_and_whoever_watches_are_never_refused(live: Live) -> None:
    token = live.settings.notification_token.get_secret_value()
    async with catalog(live) as client:
        store = client(token=token)
        notified = {
            (await store.post("/api/notifications/s3", content=b'{"Records": []}')).status_code for _ in range(30)
        }
        watched = {(await store.get("/livez")).status_code for _ in range(30)}
        # The token opens this one door only.
        elsewhere = [(await store.get("/api/kinds")).status_code for _ in range(15)]
        wrong = [
            (await client(token="x" * 40).post("/api/notifications/s3", content=b"{}")).status_code for _ in range(3)
        ]

    assert (notified, watched, elsewhere[-1], wrong) == ({204}, {200}, 429, [429] * 3)


async def test_a_page_says_it_too(live: Live) -> None:
    async with catalog(live) as client:
        _, refused = await until_refused(client(), "/objects/none")

    assert refused.headers["content-type"].startswith("text/html")
    assert (refused.headers["retry-after"], "Too many requests" in refused.text) == ("1", True)


def test_a_bucket_fills_as_time_goes_by_and_never_over_its_brim() -> None:
    buckets = Limits(2, anonymous_per_second=1, organization_per_second=3)

    def taken(now: float) -> int:
        count = 0
        while True:
            try:
                buckets.take("ana", anonymous=False, now=now)
            except TooManyRequests:
                return count
            count += 1

    assert [taken(now) for now in (0, 0, 1, 1.5, 3600, 3600.4)] == [20, 0, 2, 1, 20, 0]


def test_no_number_of_callers_takes_more_than_the_stated_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLERS_MAX", 100)
    buckets = Limits(2, anonymous_per_second=1, organization_per_second=3)
    for number in range(1_000):
        buckets.take(f"192.0.2.{number}", anonymous=True, now=0)
        buckets.take("steady", anonymous=False, now=number)

    assert len(buckets) == 100
    # Whoever asks all the time is not forgotten: nothing but what came back since is left.
    for _ in range(19):
        buckets.take("steady", anonymous=False, now=999)
    with pytest.raises(TooManyRequests):
        buckets.take("steady", anonymous=False, now=999)


async def test_all_of_an_organization_have_one_more_limit_together(live: Live, people: People) -> None:
    first, second = [await people.member(name, "reader") for name in ("first", "second")]
    stranger = await people.person("stranger")
    tokens = [one.headers["authorization"].removeprefix("Bearer ") for one in (first, second, stranger)]
    together = {"requests_per_second": 100.0, "requests_per_second_organization": 2.0}
    async with catalog(live, **together) as client:
        one, other, outside = [client(token=token) for token in tokens]
        # Only a token that has worked says who asks.
        told = [(await each.get("/api/objects")).status_code for each in (one, other, outside)]
        count, _ = await until_refused(one, "/api/objects")
        refused = await other.get("/api/objects")
        unharmed = await outside.get("/api/objects")

    assert (told, unharmed.status_code) == ([200, 200, 200], 200)
    assert count == 20
    assert problem_of(refused) == simple(
        "too-many-requests",
        "Too many requests",
        429,
        f"All who belong to {people.organization} together may ask 2 times a second here, and up to 20 times at once; "
        "come back in 1 s.",
    )
    assert refused.headers["retry-after"] == "1"


async def test_whoever_is_in_an_organization_has_its_own_limit_all_the_same(live: Live, people: People) -> None:
    token = (await people.member("first", "reader")).headers["authorization"].removeprefix("Bearer ")
    async with catalog(live) as client:
        one = client(token=token)
        await one.get("/api/objects")
        count, refused = await until_refused(one, "/api/objects")

    assert count == 20
    assert problem_of(refused)["detail"].startswith("You may ask 2 times a second here")


def test_who_belongs_to_several_organizations_takes_from_the_fullest() -> None:
    buckets = Limits(1_000, anonymous_per_second=1, organization_per_second=1)

    def taken(who: str, *organizations: str, most: int = 100) -> int:
        for count in range(most):
            try:
                buckets.take(who, anonymous=False, now=0, organizations=organizations)
            except TooManyRequests:
                return count
        return most

    assert taken("ana", "lab", most=8) == 8
    # Eight of the other, then one of each in turn.
    assert taken("ben", "lab", "sea", most=10) == 10
    assert (taken("ana", "lab"), taken("cyd", "sea"), taken("ben", "lab", "sea")) == (1, 1, 0)


def test_who_is_refused_has_taken_nothing_from_those_of_the_same_organization() -> None:
    buckets = Limits(1, anonymous_per_second=1, organization_per_second=2)

    def taken(who: str) -> int:
        for count in range(100):
            try:
                buckets.take(who, anonymous=False, now=0, organizations=["lab"])
            except TooManyRequests:
                return count
        return 100

    # Ten each of their own, twenty together; whoever has none left goes on asking.
    assert [taken(who) for who in ("ana", "ana", "ana", "ben", "cyd")] == [10, 0, 0, 10, 0]
