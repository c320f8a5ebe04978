"""Many registrations in one request: each row stands for itself, whatever its neighbours are."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import psutil
import pytest
import sqlalchemy as sa

from catalog.api.bulk import LINE_BYTES_MAX, OURS
from catalog.engines import Engines
from catalog.objects import bulk, resolving, validation
from tests.api.conftest import BECAUSE, Draft, in_process, patch, read
from tests.api.problems import problem_of, simple
from tests.conftest import Clients, Live, eventually

pytestmark = pytest.mark.usefixtures("noise")

FILE = {"path": "a.csv", "size": 3, "sha256": "ab" * 32, "media_type": "text/csv"}


async def load(client: httpx2.AsyncClient, *rows: Draft | bytes) -> dict[int, dict[str, Any]]:
    """Send rows, and return what became of each by its line."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return await load_text(client, b"\n".join(lines))


async def load_text(client: httpx2.AsyncClient, body: Any) -> dict[int, dict[str, Any]]:
    answer = await client.post("/api/bulk/objects", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    told = [json.loads(line) for line in answer.text.splitlines()]
    by_line = {one.pop("line"): one for one in told}
    assert len(by_line) == len(told)
    return dict(sorted(by_line.items()))


def fates(told: dict[int, dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(one["status"], one.get("revision")) for one in told.values()]


def bundle(draft: Draft, *targets: str, **changes: Any) -> Draft:
    members = [{"type": "object", "id": target} for target in targets]
    return draft | {"kind": "ecr-bundle", "metadata": {"version": "1.0", "members": members}} | changes


async def test_rows_become_objects_that_are_read_audited_and_found(
    clients: Clients, engines: Engines, draft: Draft, project: str
) -> None:
    word = f"bulk{project[-8:]}"
    rows = [draft | {"title": f"{word} {number}", "files": [FILE]} for number in range(3)]

    told = await load(clients.ingest, *rows)

    assert fates(told) == [("created", 1)] * 3
    read_back = [await read(clients.ingest, one["id"]) for one in told.values()]
    assert [one["title"] for one in read_back] == [row["title"] for row in rows]
    assert {(one["owner"], one["files"][0]["state"], one["files_total"]) for one in read_back} == {
        ("ingest", "expected", 1)
    }
    async with engines.database.transaction() as session:
        audited = await session.execute(
            sa.text("SELECT count(*) FROM audit WHERE action = 'register' AND object_id::text = ANY(:ids)"),
            {"ids": [one["id"] for one in told.values()]},
        )
        assert audited.scalar_one() == 3

    async def found() -> bool:
        return (await clients.ingest.get("/api/search", params={"q": word})).json()["total"] == 3

    await eventually(found)


async def test_a_bulk_row_is_recorded_as_the_same_single_registration_is(clients: Clients, draft: Draft) -> None:
    row = draft | {"files": [FILE], "licence": "CC0-1.0", "custom": {"a": 1.5}, "coverage": None}
    single = (await clients.ingest.post("/api/objects", json=row)).json()

    told = await load(clients.ingest, row)

    differs = {"id", "created_at", "updated_at", "uploads", "files"}
    bulk = await read(clients.ingest, told[1]["id"])
    assert {name: value for name, value in bulk.items() if name not in differs} == {
        name: value for name, value in single.items() if name not in differs
    }


async def test_rows_that_fail_tell_why_and_hinder_no_other(clients: Clients, draft: Draft) -> None:
    told = await load(
        clients.ingest,
        draft,
        b"{broken",
        draft | {"titel": "x"},
        b"",
        b"  ",
        b"[]",
        draft | {"licence": "MIT-ish", "creators": []},
        draft | {"title": "x" * (LINE_BYTES_MAX + 1)},
        draft,
        b'{"kind": "\xff"}',
        b'{"kind": "model", "x": ' + b"[" * 20_000,
        b'{"kind": "model", "idempotency_key": "a", "x": ' + b"[" * 20_000,
    )

    assert {line: one["status"] for line, one in told.items()} == {
        1: "created",
        2: "failed",
        3: "failed",
        6: "failed",
        7: "failed",
        8: "failed",
        9: "created",
        **dict.fromkeys((10, 11, 12), "failed"),
    }
    places = ["invalid unicode code point at line 1 column 11", "recursion limit exceeded at line 1 column 224"]
    assert [told[line]["errors"] for line in (10, 11)] == [
        [{"pointer": "", "message": f"not JSON: {place}"}] for place in places
    ]
    assert told[3]["errors"] == [
        {"pointer": "/titel", "message": "there is no field 'titel' here", "suggestion": "title"}
    ]
    assert [fault["pointer"] for fault in told[7]["errors"]] == ["/creators", "/licence"]
    assert told[6]["errors"] == [{"pointer": "", "message": "send one JSON object that describes what you register"}]
    assert told[8]["errors"] == [{"pointer": "", "message": f"a line has at most {LINE_BYTES_MAX:,} bytes"}]


async def test_a_row_that_breaks_something_fails_alone(
    live: Live, draft: Draft, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read_row, record_rows = validation.draft_from, bulk.load

    def read_unless(body: bytes, *, prefix: str) -> validation.Draft:
        if b"breaks the reading" in body:
            raise RecursionError
        return read_row(body, prefix=prefix)

    async def record_unless(session: Any, rows: Any, *, caller: Any) -> Any:
        if any(row.draft.description.title == "breaks the recording" for row in rows):
            raise RuntimeError
        return await record_rows(session, rows, caller=caller)

    monkeypatch.setattr(validation, "draft_from", read_unless)
    monkeypatch.setattr(bulk, "load", record_unless)
    rows = [draft | {"title": f"row {number}"} for number in range(1, 9)]
    rows[1]["title"], rows[5]["title"] = "breaks the reading", "breaks the recording"

    async with in_process(live.settings, live.tokens["ingest"]) as client:
        told = await load(client, *rows)

    broken = [{"pointer": "", "message": OURS}]
    assert {line: one.get("errors") for line, one in told.items()} == {
        line: broken if line in {2, 6} else None for line in range(1, 9)
    }
    logged = capfd.readouterr()
    assert "bulk row not read" in logged.out + logged.err
    assert "bulk row not recorded" in logged.out + logged.err


async def test_a_long_chain_that_hangs_on_nothing_is_looked_through_once_or_twice(
    live: Live, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0

    def counted(*asked: Any) -> Any:
        nonlocal looked_at
        looked_at += 1
        return resolve(*asked)

    resolve = resolving.resolved
    monkeypatch.setattr(resolving, "resolved", counted)
    length = 200
    chain = [bundle(draft, f"ecr-bundle/link-{number + 1}", name=f"link-{number}") for number in range(length)]

    async with in_process(live.settings, live.tokens["ingest"]) as client:
        told = await load(client, *chain)

    assert {line: one["errors"][0]["message"] for line, one in told.items()} == {
        line: f"there is no object ecr-bundle/link-{line} that you may see" for line in range(1, length + 1)
    }
    # A load tries rows that wait again, and once more to tell what they waited for.
    assert looked_at <= 3 * 2 * length


async def test_a_key_whose_object_was_withdrawn_makes_no_second_one(clients: Clients, draft: Draft) -> None:
    row = draft | {"idempotency_key": f"key-{draft['project']}"}
    made = (await load(clients.ingest, row))[1]["id"]
    await clients.ingest.delete(f"/api/objects/{made}", params=BECAUSE, headers={"If-Match": "*"})

    (told,) = (await load(clients.ingest, row)).values()

    (fault,) = told["errors"]
    assert (told["status"], fault["pointer"]) == ("failed", "/idempotency_key")
    assert re.fullmatch(
        rf"this key made the object {made}, which was withdrawn on \d{{4}}-\d\d-\d\d; take a new key", fault["message"]
    )


async def test_a_named_row_brings_its_object_to_what_it_says_and_leaves_it_when_it_says_nothing_new(
    clients: Clients, draft: Draft
) -> None:
    row = draft | {"name": "soil-2024", "files": [FILE]}

    told = [
        await load(clients.ingest, row),
        await load(clients.ingest, row),
        await load(clients.ingest, row | {"title": "Better", "keywords": ["new"]}),
        await load(clients.ingest, row | {"title": "Better", "keywords": ["new"], "files": []}),
        await load(clients.ingest, row | {"title": "Better", "keywords": ["new"], "files": [FILE | {"path": "b"}]}),
    ]

    assert [fates(one) for one in told] == [
        [("created", 1)],
        [("unchanged", 1)],
        [("changed", 2)],
        [("unchanged", 2)],
        [("changed", 3)],
    ]
    assert len({one[1]["id"] for one in told}) == 1
    now = await read(clients.ingest, told[0][1]["id"])
    assert (now["title"], now["name"], [file["path"] for file in now["files"]]) == (
        "Better",
        "soil-2024",
        ["a.csv", "b"],
    )


async def test_two_rows_of_one_name_in_one_body_are_taken_one_after_the_other(clients: Clients, draft: Draft) -> None:
    row = draft | {"name": "twice"}

    told = await load(clients.ingest, row, row | {"title": "Second"}, row | {"title": "Second"})

    assert fates(told) == [("created", 1), ("changed", 2), ("unchanged", 2)]


async def test_a_name_is_one_objects_own_and_free_again_after_its_withdrawal(clients: Clients, draft: Draft) -> None:
    row = draft | {"name": "mine", "visibility": "public"}
    made = (await load(clients.ingest, row))[1]["id"]

    theirs = await load(clients.other, row)
    single = await clients.ingest.post("/api/objects", json=row)
    other_kind = await load(clients.ingest, row | {"kind": "model", "metadata": {}})
    await clients.ingest.delete(f"/api/objects/{made}", params=BECAUSE, headers={"If-Match": "*"})
    again = await load(clients.other, row)

    assert theirs[1] == {
        "status": "failed",
        "errors": [
            {"pointer": "/name", "message": "this name is taken by an object that belongs to another principal"}
        ],
    }
    assert problem_of(single) == simple(
        "conflict",
        "In conflict with the present state",
        409,
        f"The project {row['project']} has a {row['kind']} called 'mine' already; "
        "take another name, or change that object.",
    )
    assert (fates(other_kind), fates(again)) == ([("created", 1)], [("created", 1)])


async def test_a_key_makes_its_object_once(clients: Clients, draft: Draft, project: str) -> None:
    row = draft | {"idempotency_key": f"key-{project}"}

    told = [await load(clients.ingest, row, row), await load(clients.ingest, row)]
    other = await load(clients.ingest, row | {"title": "Another"})
    somebody_elses = await load(clients.other, row)
    wrong = await load(clients.ingest, draft | {"idempotency_key": "with space"})

    made = told[0][1]["id"]
    assert [[(one["status"], one["id"]) for one in rows.values()] for rows in told] == [
        [("created", made), ("unchanged", made)],
        [("unchanged", made)],
    ]
    assert other[1]["errors"] == [
        {
            "pointer": "/idempotency_key",
            "message": f"this key was used for another registration, which made the object {made}; take a new key",
        }
    ]
    assert somebody_elses[1]["status"] == "created"
    assert wrong[1]["errors"] == [{"pointer": "/idempotency_key", "message": "1 to 200 visible ASCII characters"}]


@pytest.mark.req("SAGE-STORAGE-18")
@pytest.mark.parametrize("order", ["before", "after"])
async def test_members_come_before_their_bundle_or_after_it(clients: Clients, draft: Draft, order: str) -> None:
    backwards = order == "after"
    # In batches of their own: rows of one batch could help each other without waiting.
    padding = [draft | {"title": f"padding {number}"} for number in range(600)]
    rows = [draft | {"name": "part"}, *padding, bundle(draft, f"{draft['kind']}/part", name="whole")]
    rows.append(bundle(draft, "ecr-bundle/whole", name="whole-of-wholes"))

    told = await load(clients.ingest, *(reversed(rows) if backwards else rows))

    assert {one["status"] for one in told.values()} == {"created"}
    first, second = (told[1], told[2]) if backwards else (told[len(rows)], told[len(rows) - 1])
    part = told[len(rows)] if backwards else told[1]
    members = [(await read(clients.ingest, one["id"]))["metadata"]["members"] for one in (first, second)]
    assert members == [[{"type": "object", "id": second["id"]}], [{"type": "object", "id": part["id"]}]]


async def test_rows_of_one_batch_may_name_each_other_even_in_a_circle(clients: Clients, draft: Draft) -> None:
    told = await load(clients.ingest, bundle(draft, "ecr-bundle/b", name="a"), bundle(draft, "ecr-bundle/a", name="b"))

    assert fates(told) == [("created", 1)] * 2


async def test_who_names_what_never_comes_fails_and_takes_along_only_those_that_name_it(
    clients: Clients, draft: Draft
) -> None:
    told = await load(
        clients.ingest,
        bundle(draft, "ecr-bundle/second", name="first"),
        bundle(draft, "model/never", name="second"),
        draft | {"name": "alone"},
        bundle(draft, f"{draft['kind']}/alone"),
        draft | {"kind": "weights", "metadata": {"model": f"{draft['kind']}/alone"}},
        bundle(draft, "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"),
    )

    assert [one["status"] for one in told.values()] == ["failed", "failed", "created", "created", "failed", "failed"]
    assert [one["errors"][0]["message"] for one in told.values() if "errors" in one] == [
        "there is no object ecr-bundle/second that you may see",
        "there is no object model/never that you may see",
        f"the object {draft['kind']}/alone is of the kind {draft['kind']}; here belongs model",
        "there is no object 0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f that you may see",
    ]


async def test_a_single_registration_names_others_by_name_and_keeps_their_ids(clients: Clients, draft: Draft) -> None:
    made = (await load(clients.ingest, draft | {"name": "part"}))[1]["id"]
    whole = await clients.ingest.post("/api/objects", json=bundle(draft, f"{draft['project']}/{draft['kind']}/part"))
    assert whole.status_code == 201, whole.text

    renamed = await patch(clients.ingest, made, {"name": "renamed"})
    changed = await patch(clients.ingest, whole.json()["id"], {"title": "Still the same member"})

    assert (renamed.status_code, renamed.json()["name"]) == (200, "renamed")
    assert changed.json()["metadata"]["members"] == [{"type": "object", "id": made}]


async def test_bytes_that_are_there_are_not_replaced_by_a_row(clients: Clients, engines: Engines, draft: Draft) -> None:
    row = draft | {"name": "kept", "files": [FILE]}
    made = (await load(clients.ingest, row))[1]["id"]
    async with engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE file SET state = 'available' WHERE object_id::text = :id"), {"id": made})

    told = await load(clients.ingest, row | {"title": "Never", "files": [FILE | {"size": 4}]})

    assert told[1]["errors"] == [
        {
            "pointer": "/files/0",
            "message": f"other bytes are there; to replace them declare it by POST to /api/objects/{made}/files",
        }
    ]
    assert (await read(clients.ingest, made))["title"] == draft["title"]


async def test_loads_of_the_same_names_at_once_make_each_object_once(clients: Clients, draft: Draft) -> None:
    rows = [draft | {"name": f"shared-{number}"} for number in range(300)]

    told = await asyncio.gather(*(load(clients.ingest, *rows[::step]) for step in (1, -1, 1, -1)))

    statuses = [one["status"] for load_ in told for one in load_.values()]
    assert sorted(set(statuses)) == ["created", "unchanged"]
    assert statuses.count("created") == len(rows)
    assert len({one["id"] for load_ in told for one in load_.values()}) == len(rows)


async def test_a_body_comes_in_pieces_of_any_size(clients: Clients, draft: Draft) -> None:
    text = b"\r\n".join(json.dumps(draft | {"title": f"piece {number}"}).encode() for number in range(20))

    async def pieces() -> AsyncGenerator[bytes]:
        for at in range(0, len(text), 777):
            yield text[at : at + 777]

    assert fates(await load_text(clients.ingest, pieces())) == [("created", 1)] * 20


async def test_an_empty_body_is_answered_by_an_empty_answer(clients: Clients) -> None:
    assert await load_text(clients.ingest, b"") == {}


async def test_who_may_not_register_is_told_before_anything_is_read(clients: Clients, draft: Draft) -> None:
    async def status(client: httpx2.AsyncClient, media_type: str = "application/x-ndjson") -> int:
        headers = {"Content-Type": media_type}
        return (await client.post("/api/bulk/objects", content=json.dumps(draft), headers=headers)).status_code

    assert [await status(clients.anonymous), await status(clients.reader)] == [401, 403]
    assert await status(clients.ingest, "application/json") == 415


ROWS = 20_000
MEMORY_BYTES_MAX = 100_000_000


@pytest.mark.timeout(300)
async def test_twenty_thousand_rows_take_little_memory_and_every_bad_one_is_told_with_its_line(
    clients: Clients, engines: Engines, draft: Draft, project: str
) -> None:
    api = psutil.Process(clients.live.processes["api"].pid)
    before = peak = api.memory_info().rss

    async def lines() -> AsyncGenerator[bytes]:
        nonlocal peak
        for number in range(1, ROWS + 1):
            bad = {"licence": "none"} if number % 100 == 0 else {}
            yield json.dumps(draft | {"title": f"row {number}", "files": [FILE]} | bad).encode() + b"\n"
            if number % 500 == 0:
                peak = max(peak, api.memory_info().rss)

    told = await load_text(clients.ingest, lines())

    peak = max(peak, api.memory_info().rss)
    failed = {line: one["errors"] for line, one in told.items() if one["status"] != "created"}
    assert list(told) == list(range(1, ROWS + 1))
    assert failed == {
        line: [
            {
                "pointer": "/licence",
                "message": "'none' is not an SPDX licence id or expression; examples: CC-BY-4.0, MIT, CC0-1.0",
            }
        ]
        for line in range(100, ROWS + 1, 100)
    }
    async with engines.database.transaction() as session:
        counted = await session.execute(
            sa.text("SELECT count(*) FROM object WHERE project = :project"), {"project": project}
        )
        assert counted.scalar_one() == ROWS - len(failed)
    assert peak - before < MEMORY_BYTES_MAX

    async def all_found() -> bool:
        found = (await clients.ingest.get("/api/search", params={"project": project, "limit": 1})).json()
        return bool(found["total"] == ROWS - len(failed))

    # And nothing of it is left for the tests that come after.
    await eventually(all_found, seconds=120)
