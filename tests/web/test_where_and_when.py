"""Where and when: what the fields of the form say, what is drawn on the map, and how time is cut into bars."""

import pytest

from catalog.web import search, where_and_when
from catalog.web.state import State
from catalog.web.where_and_when import Bar, Shape
from tests.web import samples
from tests.web.reading import Page, asked


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (None, {"west": "", "south": "", "east": "", "north": ""}),
        ("5.9,-45.8,10.5,47", {"west": "5.9", "south": "-45.8", "east": "10.5", "north": "47"}),
        ("5,,,", {"west": "5", "south": "", "east": "", "north": ""}),
        ("1,2,3", None),
        ("a,b,c,d", None),
        ("1_0,2,3,4", None),
        ("nan,2,3,4", None),
    ],
)
def test_a_region_stands_in_four_fields_or_in_none(text: str | None, fields: dict[str, str] | None) -> None:
    assert where_and_when.edges(text) == fields
    if fields is not None:
        assert where_and_when.region(fields) == text


def test_a_region_reads_as_people_write_one() -> None:
    assert where_and_when.region_text("5.9,-45.80,10.5,0") == "5.9° E to 10.5° E, 45.8° S to 0°"
    assert where_and_when.region_text("5,,,") == "5,,,"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (None, {"from": "", "until": ""}),
        ("2009", {"from": "2009", "until": "2009"}),
        ("2009-08..2010-01-17", {"from": "2009-08", "until": "2010-01-17"}),
        ("2009..", {"from": "2009", "until": ""}),
        ("..2010", {"from": "", "until": "2010"}),
        (">=2009", None),
    ],
)
def test_a_time_stands_in_two_fields_or_in_none(text: str | None, fields: dict[str, str] | None) -> None:
    assert where_and_when.ends(text) == fields
    if fields is not None:
        assert where_and_when.period(fields) == text


def test_fields_that_are_sent_are_a_region_and_a_time() -> None:
    sent = [
        ("q", ""),
        ("west", " 5.9"),
        ("south", "45.8"),
        ("east", "10.5"),
        ("north", "47.8"),
        ("from", ""),
        ("until", "2010"),
    ]
    assert State.of([*sent, ("bbox", "1,2,3,4")]) == State(bbox="5.9,45.8,10.5,47.8", time="..2010")
    assert State.of([(name, "") for name, _ in sent]) == State()


def test_boxes_points_and_what_crosses_the_antimeridian_are_drawn() -> None:
    assert where_and_when.shapes_of([-64.05, -64.77, -64.05, -64.77], "Palmer") == [Shape(-640, 648, 0, 0, "Palmer")]
    assert where_and_when.shapes_of([5, 45, 10, 47.5], "Alps") == [Shape(50, -475, 50, 25, "Alps")]
    assert where_and_when.shapes_of([170, -20, -175, 0], "Fiji") == [
        Shape(1700, 0, 100, 200, "Fiji"),
        Shape(-1800, 0, 50, 200, "Fiji"),
    ]
    for nothing in (None, "5,,,", "5,50,6,40", "500,0,600,1", "here"):
        assert where_and_when.chosen_shapes(nothing) == []


def told(*counts: tuple[str | int, int], rest: int = 0) -> dict[str, object]:
    return {"buckets": [{"value": value, "count": count} for value, count in counts], "rest": rest}


def addressed(name: str, values: object) -> str:
    return f"{name}={values}"


def test_years_are_bars_in_their_order_with_gaps_where_nothing_is() -> None:
    chart = where_and_when.by_year(told((2024, 4), (2021, 1), (2022, 64), rest=2), ["2022"], addressed)

    assert chart is not None
    assert (chart.first, chart.last, chart.width) == ("2021", "2024", 96)
    assert chart.beside == "2 objects are of other years, which are not drawn."
    assert chart.bars == [
        Bar(0, 3, "2021: 1 object", "year=['2021']", chosen=False),
        Bar(24, 64, "2022: 64 objects", "year=['2022']", chosen=True),
        Bar(48, 0, "2023: 0 objects", None, chosen=False),
        Bar(72, 4, "2024: 4 objects", "year=['2024']", chosen=False),
    ]


@pytest.mark.parametrize("last", [1990, 1996, 2024, 2300, 9999])
def test_there_are_never_more_bars_than_fit_and_each_asks_for_what_it_counts(last: int) -> None:
    years = sorted({1, 1985, last, last - 1})
    chart = where_and_when.by_year(told(*((year, 1) for year in years)), [], lambda _, values: ",".join(values))

    assert chart is not None
    assert len(chart.bars) <= where_and_when.BARS_MAX
    assert [year for bar in chart.bars if bar.address for year in bar.address.split(",")] == [str(one) for one in years]


@pytest.mark.parametrize(
    ("months", "first", "addresses"),
    [
        (["2026-10", "2026-11"], "October 2026", ["2026-10", "2026-11"]),
        (["2024-02", "2026-11"], "January 2024", ["2024-01..2024-03", "2026-10..2026-12"]),
        (["2016-02", "2026-11"], "2016", ["2016", "2026"]),
        (["1970-01", "2026-11"], "1970", ["1970..1974", "2025..2029"]),
    ],
)
def test_months_become_quarters_and_years_where_they_are_many(
    months: list[str], first: str, addresses: list[str]
) -> None:
    chart = where_and_when.by_month(told(*((month, 2) for month in months)), [], lambda _, values: ",".join(values))

    assert chart is not None
    assert len(chart.bars) <= where_and_when.BARS_MAX
    assert (chart.first, [bar.address for bar in chart.bars if bar.address]) == (first, addresses)


def test_one_month_alone_is_no_chart() -> None:
    assert where_and_when.by_month(told(("2026-11", 5)), [], addressed) is None
    assert where_and_when.by_year(told(), [], addressed) is None


def test_the_page_draws_the_hits_that_have_a_place_and_the_region_that_is_asked_for() -> None:
    hits = [
        samples.hit(title="Alps", bbox=[5, 45, 10, 47.5]),
        samples.hit(title="<Palmer>", bbox=[-64, -64.7, -64, -64.7]),
        samples.hit(title="Nowhere", bbox=None),
    ]
    shown = Page(search.render_search(samples.answer(*hits), State(bbox="0,40,20,50")))

    assert shown.texts("title", class_="tip")[:2] == ["Alps", "<Palmer>"]
    assert [one.attributes["x"] for one in shown.all("rect", class_="asked")] == ["0"]
    assert "2 results of this page with a place." in shown.texts("figcaption")
    assert "open" in shown.one("details", class_="more where").attributes
    assert shown.one("input", id="north").attributes["value"] == "50"
    # Every bar is a link that narrows.
    bars = [one for one in shown.all("a") if one.attributes.get("aria-label", "").endswith(("object", "objects"))]
    assert [one.attributes["aria-label"] for one in bars] == [
        "2008 \N{EN DASH} 2009: 1 object",
        "2014 \N{EN DASH} 2015: 1 object",
        "2024 \N{EN DASH} 2025: 5 objects",
    ]
    assert asked(bars[0].attributes["href"]) == ("/", [("year", "2009"), ("bbox", "0,40,20,50")])
