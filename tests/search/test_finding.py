"""What people type, and what is found, on the real engine."""

import pytest

from catalog.search import cql2, language, meant
from catalog.search.fields import FIELDS
from catalog.search.index import Index
from catalog.search.query import Question
from tests.search.conftest import AS_OWNER, Library, ask, entry, put


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # Words of one question may stand in different fields of one object, and all must stand somewhere.
        ("weather penguins", ["penguins"]),
        ("weather speech", []),
        ("silero muller speech onnx", ["silero"]),
        # Singular and plural, accents and case.
        ("penguin", ["penguins", "resnet"]),
        ("PENGUINS", ["penguins", "resnet"]),
        ("müller", ["silero"]),
        ("Muller", ["silero"]),
        ("elan", ["bundle"]),
        # Plurals that follow no rule.
        ("leaf", ["bundle"]),
        ("leaves spectrum", ["bundle"]),
        ("leave", []),
        # Little words are not asked for where there are others.
        ("the weather of penguins", ["penguins"]),
        ("from", ["silero"]),
        # Phrases, exclusions and beginnings.
        ('"weather station"', ["penguins"]),
        ('"station weather"', []),
        ('"near a weather station"', ["penguins"]),
        ('"voice activity"', ["silero"]),
        ('"activity speech"', []),
        ("weather -penguins", ["reanalysis"]),
        ('weather -"weather station"', ["reanalysis"]),
        ("penguins -res*", ["penguins"]),
        ("-penguins", ["bundle", "reanalysis", "silero"]),
        ("pengu*", ["penguins", "resnet"]),
        ("penguins*", ["penguins", "resnet"]),
        ("antarc* weath*", ["penguins"]),
        # Identifiers and file names, split at _ - . / and case, whole or in part.
        ("silero_vad.onnx", ["silero"]),
        ("silero-vad", ["silero"]),
        ("onnx", ["silero"]),
        ("vad.onnx", ["silero"]),
        ("models/silero_vad.onnx", ["silero"]),
        ("silero_va*", ["silero"]),
        ("readme", []),
        ("read-me", ["silero"]),
        ("era5", ["reanalysis"]),
        ("era", ["reanalysis"]),
        ("ERA5-Land", ["reanalysis"]),
        ("wind-speed", ["reanalysis"]),
        ("t2m", ["reanalysis"]),
        ("2024-05-01", ["reanalysis"]),
        ("resnet50", ["resnet"]),
        ("ResNet", ["resnet"]),
        ("resnet-50", ["resnet"]),
        ("net", ["resnet"]),
        ('"resnet50 weights"', ["resnet"]),
        ('"era5 land weather"', ["reanalysis"]),
        ("html parser", ["resnet"]),
        ("0123abcd", ["bundle"]),
        ("0000-0002-1825-0097", ["silero"]),
        ("https://orcid.org/0000-0002-1825-0097", ["silero"]),
        ("05gq02987", ["resnet"]),
        ("https://ror.org/05gq02987", ["resnet"]),
        # A hash in either case, and its beginning where it is asked for.
        ("1A153A22F4509E29" + "0" * 48, ["silero"]),
        ("1A153A22F4509E29*", ["silero"]),
        ("sha256:1a153a*", ["silero"]),
        # A name is not stemmed.
        ("hastings", ["resnet"]),
        ("hasting", []),
        # In one field, or anywhere.
        ("title:silero", ["silero"]),
        ("title:muller", []),
        ("creator:muller", ["silero"]),
        ("-title:weather kind:training-dataset", ["penguins"]),
        ("kind:model", ["resnet", "silero"]),
        ("KIND:model", []),
        ("kind:MODEL", ["resnet", "silero"]),
        ("licence:cc*", ["penguins", "reanalysis"]),
        ("-licence:*", ["bundle"]),
        ("year:2021", ["reanalysis", "silero"]),
        ("year:<2021 weather", ["penguins"]),
        ("year:2020..2021 -year:2021", ["penguins"]),
        ("created_at:2024-05-02", ["penguins"]),
        ("created_at:>=2024-05-04", ["bundle", "resnet"]),
        ("format:text/csv", ["penguins"]),
        ("file:readme", []),
        ("file:read-me.txt", ["silero"]),
        ("keyword:penguin", ["penguins"]),
        ("orcid:0000-0002-1825-0097", ["silero"]),
        ("organization:lter", ["penguins", "reanalysis"]),
        ("state:published", []),
        # No engine syntax: these are words, or nothing.
        ("silerx~1", []),
        ("silero~", ["silero"]),
        ("/sil.*/", []),
        ("sil?ro", []),
        ("s*o", []),
        ("*lero", []),
        ('"weather near"~5', []),
        ("weather | silero", []),
        ("+weather +penguins", ["penguins"]),
        ("(weather penguins)", ["penguins"]),
        ("weather^9", []),
        ("_exists_:title", []),
        ("[a TO z]", []),
        ("{}", ["bundle", "penguins", "reanalysis", "resnet", "silero"]),
        ("*", ["bundle", "penguins", "reanalysis", "resnet", "silero"]),
        ("\\", ["bundle", "penguins", "reanalysis", "resnet", "silero"]),
        # Symbols alone find what has them, where the index keeps them, and never everything; beside words they are left
        # out.
        ("\N{SNAIL}", ["bundle"]),
        ("\N{SNAIL}*", ["bundle"]),
        ('"\N{SNAIL}"', ["bundle"]),
        ("\N{GRINNING FACE}", []),
        ("\N{SNOWMAN}", []),
        ("$ +", []),
        ("penguins \N{GRINNING FACE}", ["penguins", "resnet"]),
    ],
)
async def test_words_find_what_they_mean(library: Library, text: str, names: list[str]) -> None:
    assert await library.names_of(text) == names


async def test_an_object_is_found_by_its_id(library: Library) -> None:
    wanted = library.named["resnet"]
    assert await library.names_of(str(wanted.id)) == ["resnet"]
    assert await library.names_of(str(wanted.id).upper()) == ["resnet"]


async def test_a_title_counts_more_than_a_description(library: Library) -> None:
    assert library.names(await library.ask("weather")) == ["reanalysis", "penguins"]


async def test_words_side_by_side_count_more_than_words_apart(index: Index) -> None:
    together = entry(title="Of high wind speed", description="Waves", file_paths=["a/north_sea.csv"])
    apart = entry(
        title="The speed of wind", description="Waves", file_paths=["a/sea_north_west.csv", "north_up_sea.csv"]
    )
    await put(index, apart, together)

    for text in ("wind speed", "north_sea.csv", "file:north_sea.csv"):
        found = await ask(index, text)
        assert [hit.id for hit in found.hits] == [together.id, apart.id], text


async def test_an_object_with_a_point_and_a_region_is_found_by_either(index: Index) -> None:
    point = {"type": "point", "coordinates": [8.5, 47.4]}
    region = {"type": "envelope", "coordinates": [[20.0, 50.0], [30.0, 40.0]]}
    both = entry(place=[point, region])
    await put(index, both)

    for bbox, ids in (("8,47,9,48", [both.id]), ("21,41,22,42", [both.id]), ("10,41,11,42", [])):
        found = await ask(index, condition=language.asked_of(FIELDS["place"], bbox))
        assert [hit.id for hit in found.hits] == ids, bbox


async def test_what_the_owner_alone_may_see_is_found_by_the_owner(library: Library) -> None:
    assert await library.names_of("classified", AS_OWNER) == ["secret"]


@pytest.mark.parametrize(
    ("text", "highlights"),
    [
        (
            "alert more",
            {
                "description": [
                    "&lt;script&gt;<mark>alert</mark>(&#x27;x&#x27;)&lt;&#x2F;script&gt; &amp; <mark>more</mark>"
                ]
            },
        ),
        (
            "silero vad",
            {
                "title": ["<mark>Silero</mark> <mark>VAD</mark>"],
                "creators": ["<mark>Silero</mark> Team"],
                "paths": ["models&#x2F;<mark>silero</mark>_<mark>vad</mark>.onnx"],
            },
        ),
        ("activity", {"keywords": ["voice <mark>activity</mark>"]}),
        ("0000-0002-1825-0097", {}),
    ],
)
async def test_found_words_are_marked_and_everything_else_is_escaped(
    library: Library, text: str, highlights: dict[str, list[str]]
) -> None:
    (hit,) = (await library.ask(text)).hits
    assert hit.highlights == highlights


async def test_nothing_is_marked_where_no_word_was_asked_for(library: Library) -> None:
    found = await library.ask("-penguins")
    assert [hit.highlights for hit in found.hits] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("kind = 'model' AND licence = 'MIT'", ["resnet", "silero"]),
        ("year < 2021 OR licence IS NULL", ["bundle", "penguins"]),
        ("NOT (kind IN ('model', 'ecr-bundle'))", ["penguins", "reanalysis"]),
        ("format LIKE 'text/%' AND NOT keyword = 'penguins'", ["silero"]),
        ("format LIKE 'text/_sv'", ["penguins"]),
        ("CASEI(creator) LIKE casei('noether%')", ["bundle", "penguins", "reanalysis"]),
        ("title = 'silero vad'", ["silero"]),
        ("title = 'silero'", []),
        ("description = 'weather station'", ["penguins"]),
        ("A_CONTAINS(format, ('text/plain', 'application/onnx'))", ["silero"]),
        ("A_OVERLAPS(format, ('text/plain', 'text/csv'))", ["penguins", "silero"]),
        ("created_at BETWEEN DATE('2024-05-02') AND DATE('2024-05-03')", ["penguins", "reanalysis"]),
        ("visibility = 'private'", []),
    ],
)
async def test_filters_of_cql2_find_what_they_say(library: Library, asked: str, names: list[str]) -> None:
    assert await library.names_of(condition=cql2.read(asked)) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pengiuns", ["penguins", "resnet"]),
        ("silreo", ["silero"]),
        ("wether penguins", ["penguins"]),
        ("archipel", ["penguins"]),
        ("temperatre", ["reanalysis"]),
        ("classifed", []),
        # A hash from its beginning.
        ("1a153A22f4", ["silero"]),
        # One of three words may be absent, mistyped others or not, and none of two; a phrase and a field never.
        ("weather station glacier", ["penguins"]),
        ("wether glacier penguins", ["penguins"]),
        ("weather glacier", []),
        ('weather station "glacier"', []),
        ("weather glacier title:silero", []),
        # What is in quotes is meant as it is, and the first letter is right.
        ('"weather statoin"', []),
        ("xenguins", []),
    ],
)
async def test_similar_words_are_found_where_they_are_asked_for(library: Library, text: str, names: list[str]) -> None:
    assert await library.names_of(text) == []
    assert await library.names_of(text, similar=True) == names


@pytest.mark.parametrize(
    ("text", "meant_text"),
    [
        ("pengiuns", "penguins"),
        ("wether penguins", "weather penguins"),
        ("archipel", None),
        ("Temperatre 2m", "temperature 2m"),
    ],
)
async def test_the_word_that_was_meant_is_told_from_what_was_found(
    library: Library, text: str, meant_text: str | None
) -> None:
    question = Question(text, similar=True)
    found = await library.ask(text, similar=True)
    assert meant.instead(question, found.hits) == meant_text
