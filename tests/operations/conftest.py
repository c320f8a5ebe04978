"""A catalog whose metrics have a token, and whose indexer tells its own."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from catalog.database import Database
from tests.conftest import Clients, Live, eventually, make_tokens, make_world, own_port, prepare, running

TOKEN = "the-token-of-the-scraper"


@pytest.fixture(scope="session")
async def watched(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Live]:
    world = make_world(
        engines_ready,
        tmp_path_factory.mktemp("watched"),
        metrics_token=SecretStr(TOKEN),
        indexer_metrics_port=own_port(),
    )
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    with running(world, tokens, "api", "indexer") as live:

        async def indexer_answers() -> bool:
            with suppress(httpx2.HTTPError):
                return (await scraped(indexer_of(live))).status_code == 200
            return False

        await eventually(indexer_answers, seconds=60)
        yield live


@pytest.fixture(scope="session")
async def clients_of_watched(watched: Live) -> AsyncGenerator[Clients]:
    clients = Clients(watched)
    yield clients
    await clients.close()


@pytest.fixture
async def database(watched: Live) -> AsyncGenerator[Database]:
    database = Database(str(watched.settings.database_url), connections=2)
    yield database
    await database.close()


async def scraped(address: str, token: str | None = TOKEN, **headers: str) -> httpx2.Response:
    """Read metrics at an address."""
    sent = headers | ({} if token is None else {"Authorization": f"Bearer {token}"})
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.get(f"{address}/metrics", headers=sent)


def indexer_of(live: Live) -> str:
    """Return where an indexer tells its metrics."""
    return f"http://127.0.0.1:{live.settings.indexer_metrics_port}"
