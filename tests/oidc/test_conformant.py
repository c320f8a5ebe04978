"""The catalog as a separate process, against a certified OpenID provider that is one too."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx2
import pytest

from catalog.settings import GroupRole
from tests.api.conftest import plain, read, register
from tests.conftest import Live, make_tokens, make_world, prepare, running
from tests.oidc import conformant
from tests.oidc.conformant import Conformant

AUDIENCE = "urn:catalog:api"
# Installing Node.js and the provider, where nothing of it is there.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["RS256", "ES256"])
def certified(request: pytest.FixtureRequest) -> Generator[Conformant]:
    """A certified provider that signs by each algorithm in turn; the station's group may ingest."""
    groups = {"station": ["stations"], "ana": ["stewards"]}
    with conformant.running(
        audience=AUDIENCE, groups=groups, redirect="http://127.0.0.1:9/login/answer", algorithm=request.param
    ) as provider:
        yield provider


@pytest.fixture(scope="module")
async def served(
    certified: Conformant, engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Live]:
    """A running catalog that takes this provider's tokens."""
    world = make_world(
        engines_ready,
        tmp_path_factory.mktemp("oidc"),
        oidc_issuer=certified.issuer,
        oidc_audience=AUDIENCE,
        oidc_roles=(GroupRole("stations", "ingest"), GroupRole("stewards", "curator")),
    )
    await prepare(world, engines_ready)
    with running(world, await make_tokens(world), "api") as live:
        yield live


def client(live: Live, token: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=live.url, headers=headers, timeout=30, trust_env=False)


@pytest.mark.req("MWM-SADD-23", "SAGE-STORAGE-31")
async def test_a_program_registers_with_a_token_of_a_certified_provider(certified: Conformant, served: Live) -> None:
    async with client(served, certified.token()) as station, client(served, served.tokens["reader"]) as reader:
        made = await register(station, plain("oidc/station"))

        assert (await read(station, made["id"]))["project"] == "oidc/station"
        assert (await reader.get(f"/api/objects/{made['id']}")).status_code == 404


@pytest.mark.req("MWM-SADD-23")
async def test_a_genuine_token_for_another_audience_is_refused(certified: Conformant, served: Live) -> None:
    async with client(served, certified.token(audience="urn:other:api")) as stranger:
        refused = await stranger.get("/api/objects")

    assert (refused.status_code, refused.json()["detail"]) == (401, "The token was issued for another audience.")


async def test_no_log_holds_a_token_of_the_provider(certified: Conformant, served: Live) -> None:
    token = certified.token()
    async with client(served, token) as station:
        assert (await station.get("/api/search")).status_code == 200
    async with client(served, token[:-6] + "AAAAAA") as forged:
        assert (await forged.get("/api/search")).status_code == 401

    assert [part for part in token.split(".") if part in served.log("api")] == []
