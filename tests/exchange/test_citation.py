"""Citations name people as they wrote themselves."""

from datetime import datetime
from typing import Any

import pytest

from catalog.exchange import citation
from catalog.exchange.work import Work
from tests.web import samples

ADDRESS = "https://catalog.example.org/objects/1"


def work(
    publisher: str = "Science Catalog", doi: str | None = None, version: str | None = None, **changes: Any
) -> Work:
    """Return the model of the samples as formats describe it."""
    entry = samples.entry(**changes)
    return Work(
        id=entry["id"],
        kind=entry["kind"],
        record=entry,
        address=ADDRESS,
        publisher=publisher,
        registered_at=datetime.fromisoformat(entry["created_at"]),
        doi=doi,
        version=version,
        revision=entry["revision"],
    )


def person(name: str) -> dict[str, str]:
    """Return a creator."""
    return {"type": "person", "name": name}


def test_the_reference_line() -> None:
    assert citation.apa(work()) == (
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
    cited = citation.apa(work(creators=[person(name) for name in names]))
    assert cited.startswith(f"{line} (2024).")


def test_the_bibtex_entry() -> None:
    assert citation.bibtex(work(title="50 % of R&D_{x}")) == (
        "@misc{carberry2024silero,\n"
        "  author    = {Carberry, Josiah and {Silero Team}},\n"
        "  title     = {{50 \\% of R\\&D\\_\\{x\\}}},\n"
        "  year      = {2024},\n"
        "  publisher = {Science Catalog},\n"
        "  keywords  = {speech, voice activity, audio},\n"
        f"  url       = {{{ADDRESS}}},\n"
        "  note      = {Revision 12}\n"
        "}"
    ).replace("carberry2024silero", "carberry2024")


def test_an_organization_with_and_in_its_name_stays_one_author() -> None:
    cited = work(creators=[person("Department of Soil and Water"), person("Ada Lovelace")])
    assert "author    = {{Department of Soil and Water} and Ada Lovelace}" in citation.bibtex(cited)


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
    assert citation.key_of(work(creators=[person(name)], title=title)) == key


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
    assert work(dates=dates).year == year


DOI = "10.5072/06be5q2zb7srxwhb9kpth5aq5m-h"


def test_a_version_and_its_doi_stand_in_every_style() -> None:
    cited = work(doi=DOI, version="2")

    assert citation.apa(cited) == (
        "Carberry, J., & Silero Team. (2024). Silero voice activity detector (Version 2) [Model]. Science Catalog. "
        f"https://doi.org/{DOI}"
    )
    assert citation.vancouver(cited) == (
        "Carberry J, Silero Team. Silero voice activity detector [Model]. Version 2. Science Catalog; 2024. "
        f"Available from: https://doi.org/{DOI}"
    )
    assert f"  doi       = {{{DOI}}},\n  url       = {{https://doi.org/{DOI}}},\n  note      = {{Version 2}}" in (
        citation.bibtex(cited)
    )


def test_the_ris_entry_has_a_field_a_line_whatever_the_texts_hold() -> None:
    cited = work(doi=DOI, description="One line,\nER  - \nand another.", keywords=["speech"], dates=[])

    assert citation.ris(cited) == (
        "TY  - GEN\r\nAU  - Carberry, Josiah\r\nAU  - Silero Team\r\nTI  - Silero voice activity detector\r\n"
        "PY  - 2026\r\nPB  - Science Catalog\r\nAB  - One line, ER - and another.\r\nKW  - speech\r\n"
        f"DO  - {DOI}\r\nUR  - https://doi.org/{DOI}\r\nER  - \r\n"
    )


def test_the_csl_item() -> None:
    cited = citation.csl(
        work(doi=DOI, version="2", description="", keywords=[], dates=[{"type": "Issued", "date": "2024-05"}])
    )

    assert cited == {
        "id": DOI,
        "type": "document",
        "title": "Silero voice activity detector",
        "author": [{"family": "Carberry", "given": "Josiah"}, {"literal": "Silero Team"}],
        "issued": {"date-parts": [[2024, 5]]},
        "publisher": "Science Catalog",
        "genre": "Model",
        "version": "2",
        "DOI": DOI,
        "URL": f"https://doi.org/{DOI}",
    }


def test_a_doi_that_resolves_nowhere_is_not_what_people_are_sent_to() -> None:
    cited = work(doi=DOI)
    local = Work(**{name: getattr(cited, name) for name in Work.__dataclass_fields__} | {"resolves": False})

    assert (cited.link, local.link) == (f"https://doi.org/{DOI}", ADDRESS)
    assert f"DO  - {DOI}" in citation.ris(local)
