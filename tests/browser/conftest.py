"""One running catalog with something of everything, people who are logged in, and a Chromium to look at it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from pydantic import SecretStr

from catalog import queue
from catalog.access import sessions
from catalog.database import Database
from catalog.storage import unreadable
from tests import npm, programs
from tests.browser import chromium, content
from tests.browser.content import Content
from tests.conftest import (
    Clients,
    Live,
    World,
    _environment_of,
    make_tokens,
    make_world,
    notified,
    prepare,
    running,
)

Mode = Literal["light", "dark", "narrow"]
MODES: tuple[Mode, ...] = ("light", "dark", "narrow")
WIDTHS: dict[Mode, int] = {"light": 1280, "dark": 1280, "narrow": 360}
HEIGHT = 900
CHECKERS = Path(__file__).parent / "checkers"
# What a page shows when an engine has answered, on a busy machine.
expect.set_options(timeout=30_000)


@dataclass
class Shown:
    """The catalog, what is in it, and what browsers of people who are logged in send."""

    live: Live
    clients: Clients
    content: Content
    secrets: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.live.url

    def cookies(self, who: str | None) -> dict[str, str]:
        """Return the cookies of somebody; of nobody there are none."""
        return {} if who is None else {"catalog_session": self.secrets[who]}


@pytest.fixture(scope="session")
async def shown(
    engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncGenerator[Shown]:
    """A catalog that can be logged in to; its provider is asked by no page that is tested here."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("browser"))
    settings = world.settings.model_copy(update=with_login())
    world = World(settings, world.folder, _environment_of(settings))
    await prepare(world, engines_ready)
    tokens = await make_tokens(world)
    secrets = await logged_in(world, "reader", "ingest", "curator", "admin")
    with notified(pytestconfig, world), running(world, tokens, "api", "indexer") as live:
        clients = Clients(live)
        await set_aside(world)
        yield Shown(live, clients, await content.make(clients), secrets)
        await clients.close()


async def set_aside(world: World) -> None:
    """Have something parked in the queue, and a notification that nobody can read, for the desk to show."""
    database = Database(str(world.settings.database_url), connections=1)
    async with database.transaction() as session:
        await queue.put(session, "index", ["no object's id"])
        await unreadable.keep(session, dialect="s3", reason="No JSON: <script>", body=b"<script>")
    await database.close()


def with_login() -> dict[str, Any]:
    """Return the settings with which somebody can be logged in."""
    return {
        "oidc_issuer": "http://127.0.0.1:9",
        "oidc_audience": "urn:catalog:api",
        "oidc_client_id": "catalog-pages",
        "oidc_client_secret": SecretStr("the-secret-of-the-pages"),
    }


async def logged_in(world: World, *names: str) -> dict[str, str]:
    """Begin a session for each of these principals, and return its secret by their name."""
    database = Database(str(world.settings.database_url), connections=1)
    principals = sa.table("principal", sa.column("id"), sa.column("name"))
    secrets = {}
    async with database.transaction() as session:
        for name in names:
            found = sa.select(principals.c.id).where(principals.c.name == name)
            principal_id = (await session.execute(found)).scalar_one()
            secrets[name] = await sessions.begin(session, principal_id, timedelta(hours=8), instead_of=None)
    await database.close()
    return secrets


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """Chromium with a fresh profile; skipped, with the reason, where there is none and none can be had."""
    try:
        program = chromium.find()
    except programs.NotInstalled as reason:
        pytest.skip(f"no Chromium: {reason}")
    async with async_playwright() as playwright:
        running_browser = await playwright.chromium.launch(executable_path=str(program), args=list(chromium.ARGUMENTS))
        yield running_browser
        await running_browser.close()


@pytest.fixture(scope="session")
def checkers() -> Path:
    """The folder of axe-core and of the checker of HTML."""
    return npm.installed(CHECKERS, "page-checkers")[1] / "node_modules"


@pytest.fixture(scope="session")
def axe(checkers: Path) -> str:
    """The checker's script."""
    return (checkers / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def opened(browser: Browser, shown: Shown, *, who: str | None = None, scripts: bool = True) -> BrowserContext:
    """Open a browser window of its own, of somebody who is logged in or of nobody, wide and in the light."""
    context = await browser.new_context(
        viewport={"width": WIDTHS["light"], "height": HEIGHT},
        color_scheme="light",
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    await context.add_cookies(
        [{"name": name, "value": value, "url": shown.url} for name, value in shown.cookies(who).items()]
    )
    return context


async def light_and_width(page: Page, mode: Mode) -> None:
    """Show a page that is open in another light or width, as somebody does who turns a telephone or dims a screen."""
    await page.set_viewport_size({"width": WIDTHS[mode], "height": HEIGHT})
    await page.emulate_media(color_scheme="dark" if mode == "dark" else "light")
