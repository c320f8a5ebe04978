"""A catalog on which nothing works but what a test starts, with a clock of its own that a test may set."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import psycopg
import pytest

from catalog.engines import opened
from tests.conftest import World, make_world, prepare
from tests.indexer.scene import Scene, scene_on
from tests.retention.hourglass import Hourglass

# `now()` is looked up along the path of schemas: ours comes before the server's own.
CLOCK = """
    CREATE SCHEMA hourglass;
    CREATE TABLE hourglass.ahead (by interval NOT NULL);
    INSERT INTO hourglass.ahead VALUES ('0');
    CREATE FUNCTION hourglass.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.now() + by FROM hourglass.ahead';
    """


@pytest.fixture(scope="session")
def own_world(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A catalog whose database tells the time that a test wants."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("retention"), store="given")
    with psycopg.connect(str(world.settings.database_url), autocommit=True) as connection:
        connection.execute(CLOCK)
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET search_path = hourglass, pg_catalog, public".encode())
    return world


@pytest.fixture(scope="session")
async def own_scene(own_world: World, engines_ready: dict[str, Any]) -> AsyncGenerator[Scene]:
    """Its engines."""
    await prepare(own_world, engines_ready)
    async with opened(own_world.settings) as engines, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        yield await scene_on(engines, http)


@pytest.fixture
async def hourglass(own_scene: Scene) -> AsyncGenerator[Hourglass]:
    """The catalog with its clock, an empty queue, and neither rules nor holds."""
    own = Hourglass(own_scene)
    yield own
    await own.clear()
