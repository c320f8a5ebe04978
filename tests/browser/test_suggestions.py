"""What the search box offers while somebody types, by keyboard and by pointer, and that nobody needs it."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Shown, opened

pytestmark = pytest.mark.timeout(120)

OPTIONS = "[role=option]"


@pytest.fixture
async def page(browser: Browser, shown: Shown) -> AsyncGenerator[Page]:
    """The search page, open to somebody who is not logged in."""
    context = await opened(browser, shown)
    page = await context.new_page()
    await page.goto(shown.url)
    yield page
    await context.close()


async def offered(page: Page) -> list[str]:
    """Return what is offered, as soon as something is."""
    await expect(page.locator(OPTIONS).first).to_be_visible()
    return [" ".join(text.split()) for text in await page.locator(OPTIONS).all_inner_texts()]


async def test_what_is_typed_is_completed_and_the_arrows_lead_to_it(page: Page, shown: Shown) -> None:
    box = page.get_by_role("combobox", name="Words")
    # At once: what is offered for four of the letters could be replaced amid the arrows.
    await box.fill("pengu")
    texts = await offered(page)
    assert "Keyword penguins" in texts
    assert "Object Penguins of the Palmer Archipelago" in texts
    await expect(box).to_have_attribute("aria-expanded", "true")

    for _ in range(texts.index("Keyword penguins") + 1):
        await box.press("ArrowDown")
    active = await box.get_attribute("aria-activedescendant")
    assert (await page.locator(f"#{active}").inner_text()).split() == ["Keyword", "penguins"]
    await box.press("Enter")

    await page.wait_for_url(f"{shown.url}/?q=keyword%3A%22penguins%22*")
    await expect(page.get_by_role("heading", level=3).first).to_be_visible()


async def test_an_object_that_is_offered_leads_to_its_page(page: Page, shown: Shown) -> None:
    box = page.get_by_role("combobox", name="Words")
    await box.press_sequentially("palmer pengu")
    await offered(page)
    await page.locator(OPTIONS, has_text="Penguins of the Palmer Archipelago").first.click()

    await page.wait_for_url(shown.url + shown.content.dataset)


async def test_escape_leaves_what_was_typed_and_enter_asks_for_it(page: Page, shown: Shown) -> None:
    box = page.get_by_role("combobox", name="Words")
    await box.press_sequentially("pengu")
    await offered(page)
    await box.press("ArrowDown")
    await box.press("Escape")
    await expect(page.locator(OPTIONS)).to_have_count(0)
    await expect(box).to_have_value("pengu")
    await box.press("Enter")

    await page.wait_for_url(f"{shown.url}/?q=pengu")


async def test_a_field_that_is_chosen_is_asked_for_its_values(page: Page) -> None:
    box = page.get_by_role("combobox", name="Words")
    await box.press_sequentially("kin")
    await offered(page)
    await page.locator(OPTIONS, has_text="kind: What the object is.").click()

    await expect(box).to_have_value("kind:")
    await expect(page.locator(OPTIONS, has_text="training-dataset")).to_be_visible()


async def test_the_list_breaks_no_rule_of_accessibility_and_hangs_over_nothing(
    page: Page, axe: str, shown: Shown
) -> None:
    faults: dict[str, Any] = {}
    for mode in ("light", "dark", "narrow"):
        await page.set_viewport_size({"width": 360 if mode == "narrow" else 1280, "height": 900})
        await page.emulate_media(color_scheme="dark" if mode == "dark" else "light")
        await page.goto(shown.url)
        box = page.get_by_role("combobox", name="Words")
        await box.press_sequentially("pengu")
        await offered(page)
        await box.press("ArrowDown")
        await page.evaluate(axe)
        told = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        list_box = await page.get_by_role("listbox").bounding_box()
        assert list_box is not None
        inside = list_box["x"] >= 0 and list_box["x"] + list_box["width"] <= (360 if mode == "narrow" else 1280)
        faults[mode] = ([(one["id"], one["nodes"][0]["html"][:200]) for one in told["violations"]], inside)
    assert faults == dict.fromkeys(("light", "dark", "narrow"), ([], True))


async def test_everybody_is_offered_what_they_may_see(shown: Shown) -> None:
    offers = {}
    for who in (None, "curator"):
        async with httpx2.AsyncClient(timeout=30, trust_env=False, cookies=shown.cookies(who)) as client:
            answer = await client.get(f"{shown.url}/suggestions", params={"q": "coloni"})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        offers[who] = [(one["text"], one["href"]) for one in answer.json()["items"] if one["type"] == "object"]
    hidden = ("Colonies not yet told", shown.content.hidden)
    assert hidden in offers["curator"]
    assert hidden not in offers[None]
