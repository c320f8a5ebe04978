"""Citations name people as they wrote themselves."""

import pytest

from catalog.web import citation
from tests.web import samples

ADDRESS = "https://catalog.example.org/objects/1"


def person(name: str) -> dict[str, str]:
    """Return a creator."""
    return {"type": "person", "name": name}


def test_the_reference_line() -> None:
    assert citation.apa(samples.entry(), "Model", "Science Catalog", ADDRESS) == (
        "Carberry, J., & Silero Team. (2024). Silero voice activity detector [Model]. Science Catalog. " + ADDRESS
    )


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["Ada Lovelace"], "Ada Lovelace."),
        (["Müller, Jean-Luc Émile"], "Müller, J.-L. É."),
        (["Nguyen Van A", "Rivera, Ana", "Gorman, Kristen B."], "Nguyen Van A, Rivera, A., & Gorman, K. B."),
        (["Sukarno,"], "Sukarno,."),
        ([f"N{number}" for number in range(1, 22)], ", ".join(f"N{n}" for n in range(1, 20)) + ", … N21."),
    ],
)
def test_names_in_the_reference_line(names: list[str], line: str) -> None:
    cited = citation.apa(samples.entry(creators=[person(name) for name in names]), "Model", "Here", ADDRESS)
    assert cited.startswith(f"{line} (2024).")


def test_the_bibtex_entry() -> None:
    assert citation.bibtex(samples.entry(title="50 % of R&D_{x}"), "Science Catalog", ADDRESS) == (
        "@misc{carberry2024silero,\n"
        "  author    = {Carberry, Josiah and {Silero Team}},\n"
        "  title     = {{50 \\% of R\\&D\\_\\{x\\}}},\n"
        "  year      = {2024},\n"
        "  publisher = {Science Catalog},\n"
        f"  url       = {{{ADDRESS}}},\n"
        "  note      = {Revision 12}\n"
        "}"
    ).replace("carberry2024silero", "carberry2024")


def test_an_organization_with_and_in_its_name_stays_one_author() -> None:
    entry = samples.entry(creators=[person("Department of Soil and Water"), person("Ada Lovelace")])
    assert "author    = {{Department of Soil and Water} and Ada Lovelace}" in citation.bibtex(entry, "Here", ADDRESS)


@pytest.mark.parametrize(
    ("name", "title", "key"),
    [
        ("Carberry, Josiah", "Silero voice", "carberry2024silero"),
        ("Jean-Luc Müller", "On the ice of seas", "muller2024"),
        ("山田 太郎", "Soil", "catalog20240a1b2c3d4e5f"),
        ("O'Neil, A", "Über Äcker", "oneil2024acker"),
    ],
)
def test_a_key_is_made_of_plain_letters(name: str, title: str, key: str) -> None:
    assert citation.key_of(samples.entry(creators=[person(name)], title=title)) == key


@pytest.mark.parametrize(
    ("dates", "year"),
    [
        ([], "2026"),
        ([{"type": "Collected", "date": "2019/2020"}], "2019"),
        ([{"type": "Collected", "date": "2019"}, {"type": "Created", "date": "2020-02"}], "2020"),
        ([{"type": "Created", "date": "2020"}, {"type": "Issued", "date": "2021-02-03"}], "2021"),
    ],
)
def test_the_year_is_that_of_issue_creation_collection_or_registration(dates: list[dict[str, str]], year: str) -> None:
    assert citation.year_of(samples.entry(dates=dates)) == year
