"""Help with asking, over HTTP: completing a text, searching a facet, explaining a question, and what is alike."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.test_search import draft, found, register
from tests.conftest import Clients


@pytest.fixture
def word() -> str:
    """A word that stands in no other test's objects."""
    return f"kudu{uuid4().hex[:10]}"


async def told(client: httpx2.AsyncClient, address: str, **question: Any) -> Any:
    answer = await client.get(address, params=question)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def suggested(client: httpx2.AsyncClient, text: str, **more: Any) -> list[tuple[str, str, str]]:
    items = (await told(client, "/api/suggest", q=text, **more))["items"]
    return [(one["type"], one["text"], one["q"]) for one in items]


async def test_what_is_typed_goes_on_to_titles_creators_keywords_and_identifiers(clients: Clients, word: str) -> None:
    creators = [{"name": f"{word.title()}, Ana"}]
    made = await register(
        clients.ingest, draft(f"Plains of {word}", creators=creators, keywords=[f"{word} herd"], name=word)
    )
    await found(clients.anonymous, 1, q=word)

    answer = await told(clients.anonymous, "/api/suggest", q=f"plains {word[:-2]}")

    assert answer["items"] == [
        {
            "type": "object",
            "text": f"Plains of {word}",
            "q": f"plains {word[:-2]}",
            "href": f"/api/objects/{made['id']}",
        },
        {"type": "creator", "text": f"{word.title()}, Ana", "q": f'plains creator:"{word.title()}, Ana" '},
        {"type": "keyword", "text": f"{word} herd", "q": f'plains keyword:"{word} herd" '},
        {"type": "identifier", "text": word, "q": f"plains {word} ", "href": f"/api/objects/{made['id']}"},
    ]
    # What is suggested finds the object.
    for one in answer["items"][1:]:
        assert (await told(clients.anonymous, "/api/search", q=one["q"]))["total"] == 1, one


async def test_nothing_hidden_is_suggested(clients: Clients, word: str) -> None:
    await register(clients.ingest, draft(f"Plains of {word}", keywords=[word], visibility="private"))
    await found(clients.ingest, 1, q=word)

    assert await suggested(clients.anonymous, word[:-1]) == []
    assert await suggested(clients.anonymous, f"keyword:{word[:-1]}") == []
    assert ("object", f"Plains of {word}", word[:-1]) in await suggested(clients.ingest, word[:-1])


async def test_concepts_fields_and_their_values_are_suggested_as_the_box_takes_them(
    clients: Clients, word: str
) -> None:
    await register(clients.ingest, draft(word, licence="CC-BY-4.0", keywords=["long grass"]))
    await found(clients.anonymous, 1, q=word)

    assert ("concept", "Seismology", 'subject:"Seismology" ') in await suggested(clients.anonymous, "seismol", limit=20)
    assert ("field", "licence: The licence, an SPDX expression.", f"{word} licence:") in await suggested(
        clients.anonymous, f"{word} lic", limit=20
    )
    assert await suggested(clients.anonymous, f"{word} licence:by") == [
        ("value", "CC-BY-4.0", f"{word} licence:CC-BY-4.0 ")
    ]
    assert await suggested(clients.anonymous, f'{word} -keyword:"gr') == [
        ("value", "long grass", f'{word} -keyword:"long grass" ')
    ]
    assert await suggested(clients.anonymous, f"{word} state:dr") == [("value", "draft", f"{word} state:draft ")]


@pytest.mark.parametrize(
    "text", ["", " ", "k", "a b", '"open', "nofield:x", "year:>=", "-", "*", "\N{SNAIL}", "qz" * 100]
)
async def test_what_goes_on_to_nothing_is_answered_with_nothing(clients: Clients, text: str) -> None:
    assert all(kind in {"field", "concept"} for kind, _, _ in await suggested(clients.anonymous, text))


async def test_a_facet_is_searched_by_what_its_values_contain(clients: Clients, word: str) -> None:
    for number in range(25):
        await register(
            clients.ingest,
            draft(word, keywords=[f"Grass.{number:02}", f"{word}"], subjects=["Seismology"] if number else []),
        )
    await register(clients.ingest, draft(word, keywords=["grass hidden"], visibility="private"))
    await found(clients.anonymous, 25, q=word)

    keywords = await told(clients.anonymous, "/api/search/facets/keyword", q=word, contains="gRASS.1", values=3)
    assert keywords == {
        "buckets": [{"value": f"Grass.1{number}", "count": 1} for number in range(3)],
        "rest": 7,
        "missing": 0,
    }
    # As in the search, the facet's own choice does not narrow it.
    chosen = await told(clients.anonymous, "/api/search/facets/keyword", q=word, contains="s.24", keyword="Grass.01")
    assert chosen["buckets"] == [{"value": "Grass.24", "count": 1}]
    fields = await told(clients.anonymous, "/api/search/facets/subject", q=word, contains="seismo")
    assert [(one["label"], one["count"]) for one in fields["buckets"]] == [("Seismology", 24)]
    assert fields["missing"] == 1
    assert (await told(clients.anonymous, "/api/search/facets/keyword", q=word, contains="hidden"))["buckets"] == []


FIELDS = "urn:x-catalog:scientific-fields:"


def level(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a level as it is told, without what its concepts are called."""
    plain = {name: answer[name] for name in ("rest", "missing")}
    for name in ("above", "buckets"):
        plain[name] = [
            (one["value"].removeprefix(FIELDS), one["count"], one["narrower"], one.get("broader"))
            for one in answer[name]
        ]
    return plain


async def test_concepts_are_counted_level_by_level_with_all_that_is_narrower(clients: Clients, word: str) -> None:
    for subjects in (["Seismology"], ["Seismology", "Volcanology"], ["Earth sciences"], ["Ecology"], []):
        await register(clients.ingest, draft(word, subjects=subjects))
    await register(clients.ingest, draft(word, subjects=["Seismology", "Acoustics"], visibility="private"))
    await found(clients.anonymous, 5, q=word)
    await found(clients.ingest, 6, q=word)
    asked = {"q": word, "tree": "subject"}

    top = (await told(clients.anonymous, "/api/search", **asked))["facets"]["subject"]
    earth = await told(clients.anonymous, "/api/search/facets/subject", **asked, below=f"{FIELDS}earth-sciences")
    leaf = await told(clients.anonymous, "/api/search/facets/subject", **asked, below=f"{FIELDS}seismology")
    own = await told(
        clients.ingest, "/api/search/facets/subject", **asked, below=f"{FIELDS}geophysics", subject=f"{FIELDS}ecology"
    )

    here = f"{FIELDS}natural-sciences"
    assert top["buckets"][0]["label"] == "Natural sciences"
    assert [one[:2] for one in level(top)["buckets"]] == [("natural-sciences", 3), ("life-sciences", 1)]
    assert top["buckets"][0]["narrower"] > 1
    assert (top["missing"], top["above"]) == (1, [])
    assert [one[:2] for one in level(earth)["above"]] == [("natural-sciences", 3), ("earth-sciences", 3)]
    assert level(earth)["above"][1][3] == [here]
    assert [(one[0], one[1], one[3]) for one in level(earth)["buckets"]] == [
        ("geophysics", 2, [f"{FIELDS}earth-sciences"])
    ]
    # One names the Earth sciences themselves and nothing narrower.
    assert (earth["rest"], earth["missing"]) == (0, 1)
    assert (leaf["buckets"], leaf["missing"], [one["count"] for one in leaf["above"]]) == ([], 2, [3, 3, 2, 2])
    # Not narrowed by its own choice; one object is in both, and the one that is hidden counts for its owner.
    assert [one[:2] for one in level(own)["buckets"]] == [("seismology", 3), ("volcanology", 1)]


async def test_a_level_that_is_not_there_is_refused_at_its_place(clients: Clients) -> None:
    for asked, pointers in (
        ({"tree": "subject", "below": f"{FIELDS}alchemy"}, ["/below/0"]),
        ({"tree": "subject", "below": "urn:x-catalog:ml-tasks:regression", "year": "x"}, ["/year/0"]),
        ({"tree": "task", "below": [f"{FIELDS}ecology"]}, ["/below/0"]),
        ({"below": f"{FIELDS}ecology"}, ["/below/0"]),
        ({"tree": "subject", "below": [f"{FIELDS}ecology", f"{FIELDS}geology"], "time": "?"}, ["/time", "/below/1"]),
        ({"tree": "subject", "narrower": False}, ["/tree"]),
        ({"tree": "subject", "below": "\x00"}, ["/below/0"]),
    ):
        refused = await clients.anonymous.get("/api/search", params=asked)
        assert (refused.status_code, [fault["pointer"] for fault in refused.json()["errors"]]) == (400, pointers), asked


async def test_a_facet_that_is_not_there_or_has_no_texts_says_so(clients: Clients) -> None:
    absent = await clients.anonymous.get("/api/search/facets/colour")
    assert (absent.status_code, absent.json()["detail"][:33]) == (404, "There is no facet 'colour'; there")
    refused = await clients.anonymous.get("/api/search/facets/year", params={"contains": "20"})
    assert refused.status_code == 400
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/contains"]


async def test_a_question_is_explained_part_by_part(clients: Clients, word: str) -> None:
    made = await register(clients.ingest, draft(f"{word} plains", licence="MIT", keywords=["grass"]))
    await found(clients.anonymous, 1, q=word)

    answer = await told(
        clients.anonymous,
        f"/api/objects/{made['id']}/explain",
        q=f'{word} "plains of" -grass year:2020 -licence:mit title:plains',
        kind="training-dataset",
        filter="keyword = 'grass'",
    )

    assert answer["found"] is False
    assert [(part["asked"], part["excluded"], part["has"]) for part in answer["parts"]] == [
        (word, False, True),
        ('"plains of"', False, False),
        ("grass", True, True),
        ("title: plains", False, True),
        ("year", False, False),
        ("licence", True, True),
        ("kind: training-dataset", False, True),
        ("filter", False, True),
    ]
    assert answer["highlights"]["title"] == [f"<mark>{word}</mark> <mark>plains</mark>"]
    assert answer["weights"]["title"] == 4
    why = await told(clients.anonymous, f"/api/objects/{made['id']}/explain", q=word)
    assert (why["found"], len(why["parts"])) == (True, 1)


async def test_what_is_alike_shares_concepts_keywords_or_words_and_is_told_why(clients: Clients, word: str) -> None:
    one = await register(clients.ingest, draft(f"{word} north", keywords=[word], subjects=["Seismology"]))
    both = await register(clients.ingest, draft("Somewhere else", keywords=[word], subjects=["Seismology"]))
    title = await register(clients.ingest, draft(f"{word} south"))
    await register(clients.ingest, draft(f"{word} west", keywords=[word], visibility="private"))
    await found(clients.ingest, 4, q=word)

    # Examples share their creator: so many are like them that only the first count here.
    answer = await told(clients.anonymous, f"/api/objects/{one['id']}/similar", limit=50)

    alike = {item["id"]: item["shared"] for item in answer["items"]}
    assert next(iter(alike)) == both["id"]
    assert alike[both["id"]][:2] == ["Seismology", word]
    assert all(item["title"] != f"{word} west" for item in answer["items"])
    assert one["id"] not in alike
    assert title["id"] in alike or len(alike) == 50
