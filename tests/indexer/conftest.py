"""A catalog of these tests' own, on which nothing works but what a test starts."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.engines import opened
from tests.conftest import World, make_world, prepare
from tests.indexer.scene import Scene, scene_on
from tests.search.conftest import between, search_url

__all__ = ["between", "search_url"]


@pytest.fixture(scope="session")
def quiet(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A catalog on which no API and no indexer works."""
    return make_world(engines_ready, tmp_path_factory.mktemp("indexer"), store="given", search_refresh="0.05")


@pytest.fixture(scope="session")
async def quiet_scene(quiet: World, engines_ready: dict[str, Any]) -> AsyncGenerator[Scene]:
    """The quiet catalog's engines."""
    await prepare(quiet, engines_ready)
    async with opened(quiet.settings) as engines, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        scene = await scene_on(engines, http)
        # Noise: no test may find it or change it.
        noise = await scene.registered("Bystander", project="noise/noise")
        await scene.work()
        yield scene
        assert await engines.index.versions(list(noise.values())) == dict.fromkeys(noise.values(), 1)


@pytest.fixture
async def scene(quiet_scene: Scene) -> AsyncGenerator[Scene]:
    """The quiet catalog, with an empty queue."""
    yield quiet_scene
    async with quiet_scene.engines.database.transaction() as session:
        await session.execute(sa.text("DELETE FROM queue"))
