"""Filters of CQL2, read. Pure: no engine."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Fault, Invalid
from catalog.search import cql2
from catalog.search.conditions import Alike, Between, Condition, Every, Meets, No, OneOf, Said, Some, Words
from catalog.search.fields import FIELDS

KIND, YEAR, TITLE = FIELDS["kind"], FIELDS["year"], FIELDS["title"]


def day(year: int, month: int = 1, at: int = 1) -> datetime:
    return datetime(year, month, at, tzinfo=UTC)


def fault_of(asked: Any) -> Fault:
    with pytest.raises(Invalid) as refused:
        cql2.read(asked)
    (fault,) = refused.value.faults
    return fault


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("kind = 'model'", OneOf(KIND, ("model",))),
        ("kind <> 'model'", No(OneOf(KIND, ("model",)))),
        ("kind IN ('model', 'weights')", OneOf(KIND, ("model", "weights"))),
        ("kind NOT IN ('model')", No(OneOf(KIND, ("model",)))),
        ("CASEI(keyword) = casei('Weather')", OneOf(FIELDS["keyword"], ("Weather",), folded=True)),
        ("year >= 2020 AND kind = 'model'", Every((Between(YEAR, low=2020), OneOf(KIND, ("model",))))),
        (
            "year < 2020 OR NOT kind = 'model'",
            Some((Between(YEAR, high=2020), No(OneOf(KIND, ("model",))))),
        ),
        ("year BETWEEN 2020 AND 2022", Between(YEAR, 2020, 2023)),
        ("licence IS NULL", No(Said(FIELDS["licence"]))),
        ("licence IS NOT NULL", No(No(Said(FIELDS["licence"])))),
        ("licence LIKE 'CC-BY%'", Alike(FIELDS["licence"], "CC-BY%", folded=True)),
        ("title = 'Silero VAD'", OneOf(TITLE, ("Silero VAD",))),
        ("description = 'wind speed'", Some([Words(FIELDS["description"], "wind speed", "phrase")])),
        (
            "A_CONTAINS(keyword, ('a', 'b'))",
            Every([OneOf(FIELDS["keyword"], ("a",)), OneOf(FIELDS["keyword"], ("b",))]),
        ),
        ("A_OVERLAPS(keyword, ('a', 'b'))", OneOf(FIELDS["keyword"], ("a", "b"))),
        ("created_at >= DATE('2024-02-29')", Between(FIELDS["created_at"], low=day(2024, 2, 29))),
        (
            "created_at < TIMESTAMP('2024-02-29T12:00:00Z')",
            Between(FIELDS["created_at"], high=datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ),
        (
            "T_INTERSECTS(time, INTERVAL('2009-01-01', '..'))",
            Between(FIELDS["time"], day(2009), None),
        ),
        (
            "S_INTERSECTS(place, BBOX(5.9, 45.8, 10.5, 47.8))",
            Meets(FIELDS["place"], {"type": "envelope", "coordinates": [[5.9, 47.8], [10.5, 45.8]]}),
        ),
        ("S_INTERSECTS(place, POINT(8.5 47.4))", Meets(FIELDS["place"], {"type": "Point", "coordinates": [8.5, 47.4]})),
    ],
)
def test_a_filter_is_read_as_the_standard_says(text: str, condition: Condition) -> None:
    assert cql2.read(text) == condition


def test_text_and_json_ask_the_same() -> None:
    tree = {
        "op": "and",
        "args": [
            {"op": "=", "args": [{"property": "kind"}, "model"]},
            {"op": ">=", "args": [{"property": "year"}, 2020]},
        ],
    }
    text = "kind = 'model' AND year >= 2020"
    asked = cql2.read(tree)
    assert (
        asked
        == cql2.read(text)
        == cql2.read(
            '{"op":"and","args":[{"op":"=","args":[{"property":"kind"},"model"]},{"op":">=","args":[{"property":"year"},2020]}]}'
        )
    )


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (
            "kind = 'model' AND yaer > 2020",
            Fault("/filter", "At character 20: There is no field 'yaer'.", "Did you mean year?"),
        ),
        (
            "kind = 'model",
            Fault(
                "/filter",
                'At character 8: "\'model" is not expected here; a quote is not closed.',
                "Write it as kind = 'model' AND year >= 2020.",
            ),
        ),
        ("kind LIKE '%del'", Fault("/filter", "A pattern begins with at least 2 characters that are no % or _.")),
        (
            "description LIKE 'wind%'",
            Fault("/filter", "At character 1: 'description', which is of the type text, cannot be asked by LIKE."),
        ),
        ("year = 'soon'", Fault("/filter", "year is compared with whole numbers.")),
        ("year = kind", Fault("/filter", "A value belongs here, not another field.", "Texts stand in single quotes.")),
        ("upper(kind) = 'MODEL'", Fault("/filter", "The name of a field belongs here; values stand on the right.")),
        ("time = '2009'", Fault("/filter", "At character", None)),
        ("year + 1 > 3", Fault("/filter", "The name of a field belongs here; values stand on the right.")),
        ("state = 'gone'", Fault("/filter", "At character 10: state has no value 'gone'.", "One of draft, published.")),
        ("", Fault("/filter", "It is empty; leave it out.")),
        ("(" * 30 + "year = 1" + ")" * 30, Fault("/filter", "At character 21: nested deeper than 20 levels.")),
        ("NOT " * 30 + "year = 1", Fault("/filter", "At character 81: nested deeper than 20 levels.")),
        ("year = 1" + " OR year = 1" * 101, Fault("/filter", "More than 100 conditions are too many.")),
        ("kind = '" + "x" * 4000 + "'", Fault("/filter", "4009 characters are too many: at most 4000.")),
        ("{", Fault("/filter", "This begins as JSON", None)),
        (
            {"op": "=", "args": [{"property": "kid"}, "model"]},
            Fault("/filter/args/0/property", "There is no field 'kid'.", None),
        ),
        ({"op": "and", "args": [1]}, Fault("/filter/args/0", "A condition belongs here.", None)),
        (
            {"op": "regex", "args": [{"property": "kind"}, ".*"]},
            Fault("/filter/op", "'regex' cannot be asked here.", None),
        ),
        ({"property": "kind"}, Fault("/filter", "A condition belongs here.", None)),
    ],
)
def test_what_is_wrong_is_told_with_its_place(asked: Any, fault: Fault) -> None:
    told = fault_of(asked)
    assert told.pointer == fault.pointer
    assert told.message.startswith(fault.message)
    if fault.suggestion is not None:
        assert told.suggestion == fault.suggestion


@given(
    text=st.text(max_size=200)
    | st.text(alphabet="()[]{}'\"=<>,. andotNT1abykinyear-+*/%^", max_size=400)
    | st.lists(
        st.sampled_from(
            ["(", ")", "NOT", "kind", "=", "'x'", "AND", "OR", "year", ">", "1", "IN", ",", "CASEI(", "-", "BBOX("]
        ),
        max_size=60,
    ).map(" ".join)
)
def test_every_text_is_read_or_refused_in_time(text: str) -> None:
    """The parser is somebody else's, and is handed what strangers write."""
    with suppress(Invalid):
        cql2.read(text)
