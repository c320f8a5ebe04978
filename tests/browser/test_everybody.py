"""What holds for every page: everybody can read it, in every light and width, with no script, by keyboard alone."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request

from catalog.local import java
from catalog.web import pages
from tests.browser.conftest import MODES, Shown, light_and_width, opened
from tests.browser.places import PLACES, Place

pytestmark = pytest.mark.timeout(300)

WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
VALIDATION_SECONDS_MAX = 120
TABS_MAX = 400

FOCUSABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary, iframe, audio, [tabindex='0']"
# The element that has the focus: where it stands among those that can have it, and whether one sees that it has it.
FOCUSED = """focusable => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  const box = at.getBoundingClientRect();
  return {
    place: [...document.querySelectorAll(focusable)].indexOf(at),
    seen: (outlined || style.boxShadow !== 'none') && box.width > 0 && box.height > 0,
    told: at.outerHTML.slice(0, 120),
  };
}"""
REACHABLE = """focusable => [...document.querySelectorAll(focusable)]
  .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.disabled).length"""
WIDER = """() => {
  const edge = document.documentElement.clientWidth + 1;
  return [...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > edge && !one.closest('.scroll, pre'))
    .map(one => one.outerHTML.slice(0, 100)).slice(0, 5);
}"""


class Watched:
    """What a page says and asks for while it is shown."""

    def __init__(self, page: Page, *origins: str) -> None:
        self.trouble: list[str] = []
        self._origins = (*origins, "data:")
        page.on("console", self._told)
        page.on("pageerror", lambda fault: self.trouble.append(str(fault)))
        page.on("request", self._asked)
        page.on("requestfailed", lambda request: self.trouble.append(f"failed: {_plain(request.url)}"))

    def _told(self, message: ConsoleMessage) -> None:
        # A browser tells there that a page itself has the status 4xx; which status it has is asked elsewhere.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.trouble.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self._origins):
            self.trouble.append(f"asked elsewhere: {_plain(request.url)}")


def _plain(address: str) -> str:
    """Return an address without what signs it."""
    return address.partition("?")[0]


@pytest.fixture
def pictures(pytestconfig: pytest.Config) -> Path | None:
    """Where to keep pictures, if anywhere."""
    folder = pytestconfig.getoption("--pictures")
    return Path(folder) if folder else None


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_everybody_can_read_every_page(
    browser: Browser, shown: Shown, axe: str, place: Place, pictures: Path | None
) -> None:
    context = await opened(browser, shown, who=place.who)
    page = await context.new_page()
    watched = Watched(page, shown.url, *([str(shown.live.settings.store_url)] if place.shows_bytes else []))
    answer = await page.goto(shown.url + place.address(shown.content))
    assert answer is not None
    assert answer.status == place.status
    await page.evaluate(axe)
    faults = {}
    for mode in MODES:
        await light_and_width(page, mode)
        told = await page.evaluate(
            "tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", list(WCAG)
        )
        violations = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in told["violations"]]
        faults[mode] = (violations, await page.evaluate(WIDER))
        if pictures is not None:
            name = f"{re.sub(r'[^a-z]+', '-', place.name)}-{mode}.png"
            await page.screenshot(path=pictures / name, full_page=True)
    await context.close()

    assert (faults, watched.trouble) == (dict.fromkeys(MODES, ([], [])), [])


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_the_keyboard_reaches_everything_in_its_order_and_one_sees_where_it_is(
    browser: Browser, shown: Shown, place: Place
) -> None:
    context = await opened(browser, shown, who=place.who)
    page = await context.new_page()
    await page.goto(shown.url + place.address(shown.content))
    reachable = await page.evaluate(REACHABLE, FOCUSABLE)
    visited: list[dict[str, Any]] = []
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        at = await page.evaluate(FOCUSED, FOCUSABLE)
        if at is not None and visited and at["place"] == visited[0]["place"]:
            break
        # Between the last and the first, the focus is nowhere on the page.
        if at is not None:
            visited.append(at)
    await context.close()

    places = [at["place"] for at in visited]
    # A page that asks for a mended question begins at its field.
    first = places.index(min(places))
    assert places[first:] + places[:first] == sorted(places)
    assert len(visited) >= min(reachable, TABS_MAX)
    assert [at["told"] for at in visited if not at["seen"]] == []


async def test_pages_say_the_same_without_scripts(browser: Browser, shown: Shown) -> None:
    differing = []
    for scripts in (True, False):
        context = await opened(browser, shown, scripts=scripts)
        page = await context.new_page()
        texts = []
        for place in PLACES:
            if place.who is None:
                await page.goto(shown.url + place.address(shown.content))
                text = await page.locator("body").inner_text()
                texts.append(re.sub(r"[0-9a-f-]{36}|\d\d:\d\d", "", " ".join(text.split())))
        differing.append(texts)
        await context.close()
    assert differing[0] == differing[1]


async def test_every_page_is_valid_html(shown: Shown, checkers: Path, tmp_path: Path) -> None:
    for number, place in enumerate(PLACES):
        async with httpx2.AsyncClient(timeout=30, trust_env=False, cookies=shown.cookies(place.who)) as client:
            answer = await client.get(shown.url + place.address(shown.content))
        (tmp_path / f"{number}.html").write_text(answer.text, encoding="utf-8")
    assert _faults(checkers, tmp_path) == []


def _faults(checkers: Path, folder: Path) -> list[tuple[str, str, str | None]]:
    """Return what the checker of HTML says of pages that are named by the number of their place."""
    checker = checkers / "vnu-jar" / "build" / "dist" / "vnu.jar"
    command = [str(java.find().program), "-Xmx512m", "-jar", str(checker), "--format", "json", "--stdout"]
    done = subprocess.run(
        [*command, "--exit-zero-always", *map(str, sorted(folder.glob("*.html")))],
        capture_output=True,
        text=True,
        timeout=VALIDATION_SECONDS_MAX,
        check=True,
    )
    return [
        (PLACES[int(Path(one["url"]).stem)].name, one["message"], one.get("extract"))
        for one in json.loads(done.stdout)["messages"]
        if one["type"] != "info" or one.get("subType") == "warning"
    ]


def test_every_route_of_the_pages_is_looked_at() -> None:
    routes = {path for route in pages.PAGES for path in route.paths}
    assert routes == {place.route for place in PLACES} - {"/{address:path}"}
