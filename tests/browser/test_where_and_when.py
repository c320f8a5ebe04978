"""Where, when and what: the map, the bars and the trees of the search page, used as people use them."""

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import Shown, opened

pytestmark = pytest.mark.timeout(120)

EDGES = ("west", "south", "east", "north")
PENGUINS = "Penguins of the Palmer Archipelago"
CALLS = "Colony calls, cut and cleaned"


async def hits(page: Page) -> list[str]:
    """Return the titles of what was found."""
    return await page.locator(".cards h3").all_inner_texts()


async def edges(page: Page) -> list[float]:
    """Return what stands in the fields of the region."""
    return [float(await page.locator(f"#{edge}").input_value()) for edge in EDGES]


async def test_a_rectangle_that_is_dragged_on_the_map_is_the_region_that_is_searched(
    browser: Browser, shown: Shown
) -> None:
    context = await opened(browser, shown)
    page = await context.new_page()
    await page.goto(f"{shown.url}/?sort=title")
    assert len(await hits(page)) == 3
    await page.get_by_text("Where and when").click()
    box = await page.locator("#map").bounding_box()
    assert box is not None

    def at(longitude: float, latitude: float) -> tuple[float, float]:
        return box["x"] + (longitude + 180) / 360 * box["width"], box["y"] + (90 - latitude) / 180 * box["height"]

    await page.mouse.move(*at(-72, -50))
    await page.mouse.down()
    await page.mouse.move(*at(-70, -60))
    await page.mouse.move(*at(-40, -75))
    await page.mouse.up()
    dragged = await edges(page)
    drawn = await page.locator("#region rect").count()
    await page.get_by_role("button", name="Search there").click()
    await page.wait_for_url("**/?*bbox=*")
    found, kept = await hits(page), await edges(page)
    # Without a button pressed, nothing is drawn.
    await page.mouse.move(*at(0, 0))
    still = await edges(page)
    await context.close()

    assert all(abs(one - other) < 1 for one, other in zip(dragged, (-72, -75, -40, -50), strict=True)), dragged
    assert (drawn, found, kept, still) == (1, [CALLS, PENGUINS], dragged, dragged)


async def test_what_is_written_into_the_fields_is_drawn_and_may_cross_the_antimeridian(
    browser: Browser, shown: Shown
) -> None:
    context = await opened(browser, shown)
    page = await context.new_page()
    await page.goto(shown.url)
    await page.get_by_text("Where and when").click()
    drawn = []
    for edge, text in (("west", "170"), ("south", "-20"), ("east", "-170"), ("north", "0"), ("south", "5")):
        await page.locator(f"#{edge}").fill(text)
        drawn.append(await page.locator("#region rect").count())
    await context.close()

    # Nothing while a side is missing, or where south lies above north.
    assert drawn == [0, 0, 0, 2, 0]


async def test_without_a_script_the_fields_alone_say_where_and_when(browser: Browser, shown: Shown) -> None:
    context = await opened(browser, shown, scripts=False)
    page = await context.new_page()
    await page.goto(f"{shown.url}/?sort=title")
    await page.get_by_text("Where and when").click()
    for name, text in {"west": "-66", "south": "-65", "east": "-64.06", "north": "-64", "from": "2009-06"}.items():
        await page.locator(f"#{name}").fill(text)
    await page.locator("#until").fill("2009-07")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/?*time=2009-06..2009-07*")
    nearby = await hits(page)
    await page.locator("#east").fill("-64")
    await page.get_by_role("button", name="Search there").click()
    await page.wait_for_url("**/?*bbox=-66%2C-65%2C-64%2C-64*")
    there = await hits(page)
    await page.get_by_role("link", name="Anywhere, any time").click()
    await page.wait_for_url("**/?sort=title")
    anywhere = await hits(page)
    await context.close()

    # In that summer the calls were over, and the station lies further east.
    assert (nearby, there, len(anywhere)) == ([], [PENGUINS], 3)


async def test_a_bar_narrows_to_its_time_and_a_tree_unfolds_to_what_is_chosen(browser: Browser, shown: Shown) -> None:
    context = await opened(browser, shown, scripts=False)
    page = await context.new_page()
    await page.goto(shown.url)
    await page.get_by_text("Where and when").click()
    await page.get_by_role("link", name="2019: 1 object").click()
    await page.wait_for_url("**/?year=2019")
    of_the_year = await hits(page)
    await page.goto(shown.url)
    ways = []
    for name in ("Life sciences", "Biology"):
        await page.get_by_role("link", name=f"Narrower than {name}").click()
        await page.wait_for_url("**#filter-subject")
        ways.append(await page.locator("#filter-subject .way").inner_text())
    await page.get_by_label("Ecology").check()
    await page.get_by_role("button", name="Apply filters").click()
    await page.wait_for_url("**/?*subject=*")
    chips = await page.locator(".chips").inner_text()
    await context.close()

    assert of_the_year == [CALLS]
    assert ways == ["All", "All › Life sciences"]
    assert "Life sciences › Biology › Ecology" in chips
