"""The API with an OpenID provider: whom its tokens make of a caller, and what happens when it or somebody goes away."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from catalog.access import identities, principals
from catalog.access.audience import Role
from catalog.access.oidc import Vouched
from catalog.access.principals import NAME_PATTERN
from catalog.api.app import Outermost, litestar
from catalog.engines import Engines
from catalog.settings import GroupRole, Settings
from tests.api.conftest import Draft, plain, read, register
from tests.conftest import World
from tests.oidc.standin import AUDIENCE, StandIn

ROLES = (GroupRole("lab-admins", "admin"), GroupRole("stewards", "curator"), GroupRole("stations", "ingest"))


@dataclass
class Service:
    """The API in this process, with a provider."""

    idp: StandIn
    engines: Engines
    transport: httpx2.ASGITransport

    def client(self, token: str | None = None) -> httpx2.AsyncClient:
        """Return a client that sends this token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx2.AsyncClient(transport=self.transport, base_url="http://catalog", headers=headers)

    def person(self, subject: str, **claims: Any) -> httpx2.AsyncClient:
        """Return a client with a good token of somebody."""
        return self.client(self.idp.token(sub=subject, **claims))


@asynccontextmanager
async def serving(settings: Settings, idp: StandIn, engines: Engines) -> AsyncGenerator[Service]:
    """Run the API here with this provider."""
    told = {"oidc_issuer": idp.url, "oidc_audience": AUDIENCE, "oidc_roles": ROLES}
    inner = litestar(settings.model_copy(update=told))
    app: Any = Outermost(inner)
    async with inner.lifespan():
        yield Service(idp, engines, httpx2.ASGITransport(app))


@pytest.fixture
async def service(world: World, engines: Engines, idp: StandIn) -> AsyncGenerator[Service]:
    """The API in this process, with a provider of this test's own."""
    ready: asyncio.Future[Service] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def run() -> None:
        async with serving(world.settings, idp, engines) as running:
            ready.set_result(running)
            await over.wait()

    # Litestar wants its lifespan to end in the task in which it began, and a fixture's two halves are not in one.
    task = asyncio.create_task(run())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    yield ready.result() if ready.done() else await task
    over.set()
    await task


@pytest.fixture
def draft() -> Draft:
    """The least that can be registered; private."""
    return plain(f"oidc/p{uuid4().hex[:12]}")


async def people(engines: Engines, issuer: str) -> list[tuple[str, str, str]]:
    """Return subject, name and role of everybody of an issuer."""
    async with engines.database.transaction() as session:
        rows = await session.execute(
            sa.text(
                "SELECT identity.subject, principal.name, principal.role FROM identity"
                " JOIN principal ON principal.id = identity.principal_id WHERE issuer = :issuer ORDER BY 1"
            ),
            {"issuer": issuer},
        )
        return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.req("MWM-SADD-23", "MWM-SADD-24", "SAGE-STORAGE-31")
async def test_whoever_the_provider_vouches_for_registers_and_reads_what_is_private(
    service: Service, draft: Draft
) -> None:
    ana = service.person("ana", groups=["stations"], preferred_username="Ana.Ríos@Lab")
    made = await register(ana, draft)
    again = service.person("ana", groups=["stations"], preferred_username="renamed")
    ben = service.person("ben", groups=["stations"])
    public = await register(ana, draft | {"visibility": "public"})

    assert (await read(again, made["id"]))["title"] == draft["title"]
    address = f"/api/objects/{made['id']}"
    seen = {
        "another": (await ben.get(address)).status_code,
        "nobody": (await service.client().get(address)).status_code,
        "a forged token": (
            await service.client(service.idp.token(sub="ana")[:-8] + "AAAAAAAA").get(address)
        ).status_code,
        "nobody, public": (await service.client().get(f"/api/objects/{public['id']}")).status_code,
    }
    assert seen == {"another": 404, "nobody": 404, "a forged token": 401, "nobody, public": 200}
    (first, second) = await people(service.engines, service.idp.url)
    assert (first[0], first[1].rpartition("-")[0], first[2]) == ("ana", "ana.rios-lab", "ingest")
    assert (second[0], second[1].rpartition("-")[0], second[2]) == ("ben", "user", "ingest")


async def test_what_an_organization_gave_somebody_counts_with_a_token_of_the_provider(
    service: Service, draft: Draft
) -> None:
    made = await register(service.person("station", groups=["stations"]), draft | {"visibility": "organization"})
    address, organization = f"/api/objects/{made['id']}", draft["project"].partition("/")[0]
    ana = service.person("ana")
    before = (await ana.get(address)).status_code
    names = {subject: name for subject, name, _ in await people(service.engines, service.idp.url)}
    admin = service.person("boss", groups=["lab-admins"])
    await admin.post("/api/organizations", json={"name": organization})
    member = {"member": f"user:{names['ana']}", "role": "reader"}

    given = await admin.put(f"/api/organizations/{organization}/members", json=member)

    assert given.status_code == 204, given.text
    assert [before, (await ana.get(address)).status_code] == [404, 200]


async def test_a_refusal_says_why_and_never_repeats_the_token(service: Service) -> None:
    token = service.idp.token(aud="https://other.example.org")

    refused = await service.client(token).get("/api/objects")

    assert (refused.status_code, refused.headers["www-authenticate"]) == (
        401,
        'Bearer realm="catalog", error="invalid_token"',
    )
    assert refused.json()["detail"] == "The token was issued for another audience."
    assert not [part for part in token.split(".") if part in refused.text]


async def test_tokens_of_the_catalog_count_as_before(service: Service) -> None:
    async with service.engines.database.transaction() as session:
        _, token = await principals.create_token(session, name="beside-oidc", role=Role.READER)
    service.idp.away = True

    assert (await service.client(token).get("/api/objects")).status_code == 200
    assert (await service.client(f"{token}x").get("/api/objects")).status_code == 401
    assert service.idp.asked == []


async def test_without_a_provider_no_token_of_one_counts(world: World, idp: StandIn) -> None:
    inner = litestar(world.settings)
    app: Any = Outermost(inner)
    async with inner.lifespan():
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://catalog")
        refused = await client.get("/api/objects", headers={"Authorization": f"Bearer {idp.token()}"})

    assert (refused.status_code, idp.asked) == (401, [])


async def test_while_the_provider_is_away_its_known_people_go_on_and_others_wait(service: Service) -> None:
    known = service.person("ana")
    assert (await known.get("/api/search")).status_code == 200
    service.idp.away = True
    unknown_key = service.client(service.idp.token(header={"kid": "newer"}))
    service_provider = _provider_of(service)
    service_provider._asked_at -= 31  # ruff: ignore[SLF001] - half a minute later.

    assert (await known.get("/api/search")).status_code == 200
    assert (await service.person("ben").get("/api/search")).status_code == 200
    waits = await unknown_key.get("/api/search")
    assert (waits.status_code, waits.headers["retry-after"]) == (503, "5")
    assert waits.json()["detail"] == (
        "The OpenID provider does not answer as it should; try again later, or use a token of the catalog."
    )


def _provider_of(service: Service) -> Any:
    wrapped: Any = service.transport.app
    return wrapped._app.state.engines.provider  # ruff: ignore[SLF001] - the one that serves.


async def test_a_role_follows_the_newest_token_and_an_older_one_does_not_bring_it_back(service: Service) -> None:
    at = service.idp.claims()["iat"]
    admin = service.person("ana", groups=["lab-admins"], iat=at - 60)
    demoted = service.person("ana", groups=["football"], iat=at - 30)

    async def may_look_after_all(client: httpx2.AsyncClient) -> int:
        return (await client.get("/api/operations/queue")).status_code

    seen = [await may_look_after_all(client) for client in (admin, demoted, admin, demoted)]
    assert seen == [200, 403, 403, 403]
    assert [role for _, _, role in await people(service.engines, service.idp.url)] == ["reader"]


async def test_whoever_comes_with_many_requests_at_once_is_one_principal(service: Service) -> None:
    clients = [service.person("ana", jti=str(number)) for number in range(8)]

    answers = await asyncio.gather(*(client.get("/api/objects") for client in clients))

    assert {answer.status_code for answer in answers} == {200}
    assert [subject for subject, _, _ in await people(service.engines, service.idp.url)] == ["ana"]


async def test_a_principal_that_was_ended_is_refused_at_once_whatever_it_holds(service: Service) -> None:
    ana, newer = service.person("ana"), service.person("ana", jti="newer")
    assert (await ana.get("/api/search")).status_code == 200
    ((_, name, _),) = await people(service.engines, service.idp.url)
    async with service.engines.database.transaction() as session:
        _, own = await principals.create_token(session, name=name, role=Role.READER)
    holding = [ana, newer, service.client(own)]
    before = [(await client.get("/api/search")).status_code for client in holding]

    async with service.engines.database.transaction() as session:
        await principals.end(session, name)
    after = [await client.get(address) for client in holding for address in ("/api/search", "/api/objects")]
    async with service.engines.database.transaction() as session:
        await principals.restore(session, name)

    assert before == [200, 200, 200]
    assert {answer.status_code for answer in after} == {401}
    assert after[0].json()["detail"] == "This account of the catalog was ended; ask an admin."
    assert [(await client.get("/api/search")).status_code for client in holding] == [200, 200, 200]


async def test_an_expired_token_is_refused_though_it_was_recognised(service: Service) -> None:
    token = service.idp.token(sub="ana")
    assert (await service.client(token).get("/api/search")).status_code == 200
    provider = _provider_of(service)
    real = provider.now
    provider.now = lambda: real() + 3600

    assert (await service.client(token).get("/api/search")).status_code == 401


@pytest.mark.parametrize(
    ("username", "begins"),
    [
        ("ana", "ana-"),
        ("admin", "admin-"),
        ("../../etc/passwd", "etc-passwd-"),
        ("<script>", "script-"),
        ("  ", "user-"),
        (None, "user-"),
        ("安娜", "user-"),
        ("x" * 500, "x" * 32 + "-"),
    ],
)
def test_a_name_is_safe_and_nobody_elses(username: str | None, begins: str) -> None:
    def vouched(subject: str) -> Vouched:
        return Vouched("https://idp.example.org", subject, username, Role.READER, 0, 0, 0)

    one, other = identities.name_of(vouched("1")), identities.name_of(vouched("2"))

    assert one.startswith(begins)
    assert one != other
    assert re.fullmatch(NAME_PATTERN, one)


async def test_a_name_that_somebody_else_took_is_not_taken_over(service: Service) -> None:
    vouched = Vouched(service.idp.url, "ana", "ana", Role.READER, 0, 0, 0)
    taken = identities.name_of(vouched)
    async with service.engines.database.transaction() as session:
        other, _ = await principals.create_token(session, name=taken, role=Role.ADMIN)
        principal_id = await identities.admit(session, vouched)

    assert principal_id != other.id
    assert await people(service.engines, service.idp.url) == [("ana", identities.name_of(vouched, 24), "reader")]
