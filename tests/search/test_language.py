"""What a person types into the search box, read. Pure: no engine."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Fault
from catalog.search import language
from catalog.search.conditions import Alike, Between, Condition, Meets, No, OneOf, Said, Words
from catalog.search.fields import FIELDS
from catalog.search.language import ALSO, Term, Typed


def day(year: int, month: int = 1, at: int = 1) -> datetime:
    return datetime(year, month, at, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (None, []),
        ("", []),
        ("  *  ", []),
        ("weather penguins", [Term("weather"), Term("penguins")]),
        ("the data of penguins", [Term("data"), Term("penguins")]),
        ("The", [Term("The")]),
        ("not -draft", [Term("not"), Term("draft", excluded=True)]),
        ('"state of the art" the', [Term("state of the art", "phrase")]),
        ("“state of the art”", [Term("state of the art", "phrase")]),
        ('-"state of the art"', [Term("state of the art", "phrase", excluded=True)]),
        ("sil* -mod*", [Term("sil", "prefix"), Term("mod", "prefix", excluded=True)]),
        ("weather - penguins", [Term("weather"), Term("penguins")]),
        ("state-of-the-art", [Term("state-of-the-art")]),
        ("soil AND (a|b)~2 /re.*/", [Term(word) for word in ("soil", "(a|b)~2", "/re.*/")]),
        ("https://doi.org/10.5072/a urn:x:y", [Term("https://doi.org/10.5072/a"), Term("urn:x:y")]),
        ("12:30 ENVO:0001 c: Land:Use", [Term(word) for word in ("12:30", "ENVO:0001", "c:", "Land:Use")]),
        ('"" ... &', []),
    ],
)
def test_text_is_read_as_people_mean_it(text: str | None, terms: list[Term]) -> None:
    assert language.read(text or "") == (Typed(tuple(terms)), [])


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("kind:model", OneOf(FIELDS["kind"], ("model",), folded=True)),
        ("type:model", OneOf(FIELDS["kind"], ("model",), folded=True)),
        ("-kind:model", No(OneOf(FIELDS["kind"], ("model",), folded=True))),
        ('project:"demo/weather"', OneOf(FIELDS["project"], ("demo/weather",), folded=True)),
        ("licence:CC*", Alike(FIELDS["licence"], "CC%", folded=True)),
        ("sensor:100%_*", Alike(FIELDS["sensor"], "100\\%\\_%", folded=True)),
        ("doi:*", Said(FIELDS["doi"])),
        ("-doi:*", No(Said(FIELDS["doi"]))),
        ("doi:10.5072/abcd", OneOf(FIELDS["doi"], ("10.5072/abcd",), folded=True)),
        ("state:Published", OneOf(FIELDS["state"], ("published",))),
        ("has_labels:yes", OneOf(FIELDS["has_labels"], ("yes",))),
        ("year:2024", Between(FIELDS["year"], 2024, 2025)),
        ("year:>=2024", Between(FIELDS["year"], low=2024)),
        ("year:>2024", Between(FIELDS["year"], low=2025)),
        ("year:<=2024", Between(FIELDS["year"], high=2025)),
        ("year:<2024", Between(FIELDS["year"], high=2024)),
        ("year:2020..2024", Between(FIELDS["year"], 2020, 2025)),
        ("year:2020..", Between(FIELDS["year"], 2020)),
        ("bytes:..999", Between(FIELDS["bytes"], None, 1000)),
        ("created_at:2026", Between(FIELDS["created_at"], day(2026), day(2027))),
        ("created_at:2024-02", Between(FIELDS["created_at"], day(2024, 2), day(2024, 3))),
        ("created:>2024-02-28", Between(FIELDS["created_at"], low=day(2024, 2, 29))),
        ("time:2009-08..2009-09", Between(FIELDS["time"], day(2009, 8), day(2009, 10))),
        (
            "place:5.9,45.8,10.5,47.8",
            Meets(FIELDS["place"], {"type": "envelope", "coordinates": [[5.9, 47.8], [10.5, 45.8]]}),
        ),
    ],
)
def test_fields_are_asked_by_name(text: str, condition: Condition) -> None:
    assert language.read(text) == (Typed(conditions=(condition,)), [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title:penguins", Words(FIELDS["title"], "penguins")),
        ("creator:hor*", Words(FIELDS["creator"], "hor", "prefix")),
        ('author:"Horst, Allison"', Words(FIELDS["creator"], "Horst, Allison", "phrase")),
        ("file:penguins.csv", Words(FIELDS["file"], "penguins.csv")),
    ],
)
def test_words_of_a_field_count_and_are_marked_like_words(text: str, words: Words) -> None:
    assert language.read(f"weather {text}") == (Typed((Term("weather"),), (words,)), [])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "soil yaer:2024",
            Fault(
                "/q",
                "At character 6: there is no field 'yaer'.",
                'Did you mean year? To look for the text itself, write "yaer:2024".',
            ),
        ),
        (
            "year:soon",
            Fault("/q", "At character 1: year: write a whole number in digits, like 2024.", "For example year:2020"),
        ),
        (
            "year:2024..2020",
            Fault(
                "/q",
                "At character 1: year: the range ends before it begins; exchange the two.",
                "For example year:2020",
            ),
        ),
        (
            "created_at:yesterday",
            Fault(
                "/q",
                "At character 1: created_at: write a date as 2024, 2024-05, 2024-05-17 or 2024-05-17T08:00:00Z, "
                "a range as 2007..2009.",
                "For example created_at:2026-11",
            ),
        ),
        (
            "state:publshed",
            Fault(
                "/q",
                "At character 1: state: there is no value 'publshed'; there are draft, published.",
                "Did you mean state:published?",
            ),
        ),
        (
            "sha256:9*",
            Fault(
                "/q",
                "At character 1: sha256: write at least 2 characters before the *.",
                "For example sha256:f204db2c*",
            ),
        ),
        (
            "place:1,2,3",
            Fault(
                "/q",
                "At character 1: place: write west,south,east,north in degrees.",
                "For example place:9.5,47.5,13.8,50.5",
            ),
        ),
        (
            "place:1,50,3,40",
            Fault(
                "/q",
                "At character 1: place: write west,south,east,north in degrees: -180 to 180 and -90 to 90,"
                " south below north.",
                "For example place:9.5,47.5,13.8,50.5",
            ),
        ),
        ('title:""', Fault("/q", "At character 1: title: write a word after the colon.", "For example title:penguins")),
    ],
)
def test_what_cannot_be_asked_is_told_with_its_place_and_its_mending(text: str, fault: Fault) -> None:
    assert language.read(text)[1] == [fault]


def test_every_example_of_a_field_is_read_and_every_other_word_leads_to_a_field() -> None:
    for field in FIELDS.values():
        for example in field.examples:
            typed, faults = language.read(example)
            assert not faults, example
            assert len([*typed.words, *typed.conditions]) == 1
    assert set(ALSO.values()) <= set(FIELDS)
    assert not set(ALSO) & set(FIELDS)


@given(text=st.text(max_size=80) | st.from_regex(r"-?[a-z_]{2,10}:[^ ]{0,12}( [a-z]+:\"[^\"]{0,8}\")?", fullmatch=True))
def test_every_text_is_read_or_refused_with_a_reason(text: str) -> None:
    typed, faults = language.read(text)
    assert all(fault.message for fault in faults)
    assert faults or isinstance(typed, Typed)


@pytest.mark.parametrize("edge", ["1_0", "１０", "inf", "nan", "0x1", "1e999", "", "1 0", "\t10", "+-1", "."])
def test_degrees_are_read_only_as_numbers_are_written(edge: str) -> None:
    with pytest.raises(ValueError, match="west,south,east,north in degrees"):
        language.asked_of(FIELDS["place"], f"{edge},0,20,10")


@pytest.mark.parametrize("edge", ["10", "-10.5", "+1", " 5.9 ", "1e-05", "5.", ".5", "0010"])
def test_degrees_may_have_a_sign_a_fraction_an_exponent_and_spaces_around(edge: str) -> None:
    asked = language.asked_of(FIELDS["place"], f"{edge},0,20,10")
    assert isinstance(asked, Meets)
    assert asked.geometry["coordinates"][0] == [float(edge), 10.0]
