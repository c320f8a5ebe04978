"""One question, four ways: the page, the API, the command and the Python client find the same, in the same order."""

import json
import re
import time
from typing import Any, cast
from uuid import uuid4

import httpx2
import pytest

from catalog.client import Catalog as Client
from catalog.client.shapes import Question
from tests.cli.conftest import Catalog
from tests.conftest import Live

SUBJECTS = [
    ("Palmer Archipelago penguins", "training-dataset", ["penguins", "ice"], "CC0-1.0", "2020", "Horst, Allison"),
    ("Weather of Seattle, by day", "training-dataset", ["weather"], "CC-BY-4.0", "2015", "Rivera, Ana"),
    ("Weather station network", "training-dataset", ["weather", "network"], "MIT", "2021", "Müller, Ana"),
    ("ERA5-Land hourly temperature", "training-dataset", ["reanalysis"], "CC-BY-4.0", "2021", "Rivera, Ana"),
    ("silero_vad speech gate", "training-dataset", ["speech"], "MIT", "2023", "Silero Team"),
    ("Ice sheets of Antarctica", "training-dataset", ["ice"], None, None, "Horst, Allison"),
]

# Words of the box, and parameters as the API names them.
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    *((text, {}) for text in ("penguins", "penguin", "weather", "weather station", '"weather station"', "ice", "vad")),
    *((text, {}) for text in ("silero_vad", "era5", "hourly -temperature", "weather -seattle", "antarc*", "muller")),
    *((text, {}) for text in ("keyword:ice", "-keyword:ice", "year:2021", "year:>=2021", "year:2015..2020", "-year:*")),
    *((text, {}) for text in ("licence:MIT", "licence:CC*", "-licence:*", "creator:horst", 'creator:"Rivera, Ana"')),
    *((text, {}) for text in ("title:weather", "kind:model", "weather licence:mit", "wether", "penguni", "reanal")),
    ("", {"licence": ["MIT", "CC0-1.0"]}),
    ("", {"sort": "title"}),
    ("weather", {"sort": "oldest"}),
    ("", {"filter": "year >= 2021 AND licence = 'MIT'"}),
    ("", {"filter": "NOT (keyword IN ('ice', 'weather'))"}),
    ("ice", {"filter": "licence IS NULL"}),
    ("", {"creator": ["Rivera, Ana"], "year": ["2021"]}),
    ("weather", {"keyword": ["network"], "sort": "newest"}),
    ("", {"filter": "CASEI(creator) LIKE 'HORST%'", "sort": "title"}),
    ("wether", {"similar": "false"}),
    # Where it is off, whichever way says so, and finds by words.
    ("weather station", {"hybrid": "true"}),
    ("", {"created_at": ["2020..2100"], "sort": "oldest"}),
]


@pytest.fixture(scope="module")
def project(live: Live) -> str:
    """A project with the subjects, found already."""
    name = f"fourways/p{uuid4().hex[:12]}"
    with Client(live.url, token=live.tokens["ingest"]) as client:
        for title, kind, keywords, licence, year, creator in SUBJECTS:
            client.register(
                {
                    "kind": kind,
                    "project": name,
                    "title": title,
                    "creators": [{"name": creator}],
                    "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
                    "licence": licence,
                    "visibility": "public",
                    "keywords": keywords,
                    "dates": [{"type": "Issued", "date": year}] if year else [],
                    "metadata": {"labelled": False},
                }
            )
        ends = time.monotonic() + 30
        while client.search(project=[name])["total"] < len(SUBJECTS):
            assert time.monotonic() < ends, "the index did not follow"
            time.sleep(0.05)
    return name


def by_page(live: Live, text: str, question: dict[str, Any]) -> list[str]:
    """The ids that a page shows, in its order; a page that refuses shows none."""
    shown = httpx2.get(f"{live.url}/", params={"q": text, **question}, timeout=30, trust_env=False)
    assert shown.status_code == 200, shown.text
    return re.findall(r'<h3[^>]*><a href="/objects/([0-9a-f-]{36})"', shown.text)


def by_command(catalog: Catalog, text: str, question: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, values in question.items():
        if name == "similar":
            words.append("--no-similar")
            continue
        if name == "hybrid":
            words.append("--hybrid")
            continue
        for value in [values] if isinstance(values, str) else values:
            words += [f"--{name.replace('_', '-')}", value]
    found = catalog("search", *words, "--json", "--", *([text] if text else []), by=None)
    assert found.code == 0, found.err
    return [hit["id"] for hit in json.loads(found.out)["hits"]]


def test_forty_questions_tell_the_subjects_apart(live: Live, project: str) -> None:
    assert len(QUESTIONS) >= 40
    answers = []
    for text, asked in QUESTIONS:
        parameters = {"q": text, **asked, "project": project} if text else {**asked, "project": project}
        found = httpx2.get(f"{live.url}/api/search", params=parameters, timeout=30, trust_env=False).json()
        answers.append(tuple(hit["id"] for hit in found["hits"]))
    assert sum(bool(answer) for answer in answers) >= 35
    assert len(set(answers)) >= 20


@pytest.mark.parametrize(("text", "asked"), QUESTIONS)
def test_four_ways_find_the_same_in_the_same_order(
    live: Live, catalog: Catalog, project: str, text: str, asked: dict[str, Any]
) -> None:
    question = {**asked, "project": [project]}
    parameters = {"q": text, **question} if text else question
    answer = httpx2.get(f"{live.url}/api/search", params=parameters, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    ids = [hit["id"] for hit in answer.json()["hits"]]

    with Client(live.url) as client:
        typed = {name: value == "true" if name in {"similar", "hybrid"} else value for name, value in question.items()}
        assert [hit["id"] for hit in client.search(text or None, **cast("Question", typed))["hits"]] == ids
    assert by_command(catalog, text, question) == ids
    if "similar" not in question:
        assert by_page(live, text, question) == ids
