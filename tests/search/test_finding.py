"""What people type, and what is found, on the real engine."""

import pytest

from tests.search.conftest import AS_OWNER, Library


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
        # A name is not stemmed.
        ("hastings", ["resnet"]),
        ("hasting", []),
        # No engine syntax: these are words, or nothing.
        ("title:silero", []),
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
        ("kind:model", []),
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
