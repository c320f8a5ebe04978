"""What was set aside is listed with its reason, tried again and discarded, and it is kept who did so."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest

from catalog import queue
from catalog.database import Database
from catalog.objects import changing
from catalog.storage import unreadable
from tests.api.test_audit import audit
from tests.conftest import Clients, Live, eventually

PARKED = "/api/operations/queue/parked"
UNREADABLE = "/api/operations/notifications/unreadable"
TURN_SECONDS_MAX = 30


@pytest.fixture
async def database(live: Live) -> AsyncGenerator[Database]:
    database = Database(str(live.settings.database_url), connections=2)
    yield database
    await database.close()


@pytest.fixture
async def topic(database: Database) -> AsyncGenerator[str]:
    """A topic that nobody works on, with two entries parked for one reason, one for another, and one that is due."""
    topic = f"t{uuid4().hex[:12]}"
    async with database.transaction() as session:
        await queue.put(session, topic, ["a", "b", "c", "due"])
        for claim in await queue.claim(session, topic, most=10):
            if claim.subject == "due":
                await queue.release(session, [claim])
            else:
                reason = "Refused: 100% wrong." if claim.subject == "c" else "The engine Does not answer."
                await queue.park(session, claim, reason=reason)
    yield topic
    await database.rows("DELETE FROM queue WHERE topic = %(topic)s RETURNING id", {"topic": topic})


async def listed(clients: Clients, **asked: Any) -> list[dict[str, Any]]:
    answer = await clients.admin.get(PARKED, params=asked)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def state(database: Database, topic: str) -> list[tuple[Any, ...]]:
    """Return every entry of the topic: subject, attempts, touched, whether it is parked, why."""
    return await database.rows(
        "SELECT subject, attempts, touched, parked_at IS NOT NULL, reason FROM queue WHERE topic = %(topic)s"
        " ORDER BY subject",
        {"topic": topic},
    )


async def test_what_is_parked_is_listed_by_topic_and_reason_page_by_page(clients: Clients, topic: str) -> None:
    every = await listed(clients, topic=topic)
    told = [(one["topic"], one["subject"], one["reason"], one["attempts"]) for one in every]
    first = await clients.admin.get(PARKED, params={"topic": topic, "limit": 2})
    second = await clients.admin.get(PARKED, params={"topic": topic, "limit": 2, "cursor": first.json()["cursor"]})

    away = "The engine Does not answer."
    assert told == [(topic, "a", away, 1), (topic, "b", away, 1), (topic, "c", "Refused: 100% wrong.", 1)]
    assert all(one["created_at"] <= one["parked_at"] for one in every)
    assert first.json()["topics"][topic] == 3
    assert [first.json()["items"], second.json()["items"], second.json()["cursor"]] == [every[:2], every[2:], None]
    assert [one["subject"] for one in await listed(clients, topic=topic, reason="does NOT")] == ["a", "b"]
    assert [one["subject"] for one in await listed(clients, topic=topic, reason="100%")] == ["c"]
    # A wildcard of the database is a character like any other.
    assert await listed(clients, topic=topic, reason="100_") == []


async def test_one_entry_or_all_for_a_reason_are_tried_anew_and_the_others_left_alone(
    clients: Clients, database: Database, topic: str
) -> None:
    (number,) = [one["id"] for one in await listed(clients, topic=topic, reason="wrong")]
    one = await clients.admin.post(f"{PARKED}/retry", json={"id": number})
    after_one = await state(database, topic)
    again = await clients.admin.post(f"{PARKED}/retry", json={"id": number})
    many = await clients.admin.post(f"{PARKED}/retry", json={"topic": topic, "reason": "does not answer"})
    after_many = await state(database, topic)

    away = "The engine Does not answer."
    assert (one.status_code, one.json()) == (200, {"retried": 1, "more": False})
    assert after_one == [
        ("a", 1, 0, True, away),
        ("b", 1, 0, True, away),
        ("c", 0, 1, False, None),
        ("due", 0, 0, False, None),
    ]
    assert (again.status_code, again.json()["type"]) == (404, "/problems/not-found")
    assert (many.status_code, many.json()) == (200, {"retried": 2, "more": False})
    assert after_many == [
        ("a", 0, 1, False, None),
        ("b", 0, 1, False, None),
        ("c", 0, 1, False, None),
        ("due", 0, 0, False, None),
    ]
    rows = await audit(clients.admin, subject=f"queue:{topic}")
    assert [(one["by"], one["action"], one["after"]) for one in rows] == [
        ("user:admin", "retry parked", {"entries": 2}),
        ("user:admin", "retry parked", {"entries": 1}),
    ]


async def test_one_entry_is_discarded_and_it_is_kept_who_did_it_and_what_it_was(
    clients: Clients, database: Database, topic: str
) -> None:
    (number,) = [one["id"] for one in await listed(clients, topic=topic, reason="wrong")]
    gone = await clients.admin.delete(f"{PARKED}/{number}")
    again = await clients.admin.delete(f"{PARKED}/{number}")
    ((due,),) = await database.rows(
        "SELECT id FROM queue WHERE topic = %(topic)s AND subject = 'due'", {"topic": topic}
    )
    not_parked = await clients.admin.delete(f"{PARKED}/{due}")
    no_ids = [(await clients.admin.delete(f"{PARKED}/{text}")).status_code for text in ("x", "0", "-1", str(2**63))]

    assert [gone.status_code, again.status_code, not_parked.status_code] == [204, 404, 404]
    assert no_ids == [404] * 4
    assert [subject for subject, *_ in await state(database, topic)] == ["a", "b", "due"]
    (row,) = await audit(clients.admin, subject=f"queue:{topic}")
    assert (row["by"], row["action"], row["before"]) == (
        "user:admin",
        "discard parked",
        {"subject": "c", "reason": "Refused: 100% wrong.", "attempts": 1},
    )


async def test_what_the_indexer_set_aside_is_tried_by_it_again(clients: Clients, database: Database) -> None:
    subject = f"no id {uuid4().hex}"
    async with database.transaction() as session:
        await queue.put(session, changing.INDEX, [subject])

    async def parked(since: str = "") -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            found = [one for one in await listed(clients, topic="index", limit=1000) if one["subject"] == subject]
            return found[0] if found and found[0]["parked_at"] > since else None

        return await eventually(look, seconds=TURN_SECONDS_MAX)

    first = await parked()
    answer = await clients.admin.post(f"{PARKED}/retry", json={"id": first["id"]})
    second = await parked(since=first["parked_at"])
    gone = await clients.admin.delete(f"{PARKED}/{second['id']}")

    assert (answer.status_code, gone.status_code) == (200, 204)
    assert (second["id"], second["reason"], second["attempts"]) == (first["id"], first["reason"], first["attempts"])


@pytest.mark.parametrize("body", [{}, {"id": 1, "topic": "index"}, {"id": 0}, {"topic": None}, {"reason": ""}])
async def test_who_does_not_say_which_entries_is_told_so(clients: Clients, body: Any) -> None:
    answer = await clients.admin.post(f"{PARKED}/retry", json=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid")


async def test_notifications_that_nobody_could_read_are_listed_and_forgotten_after_their_time(
    clients: Clients, database: Database
) -> None:
    reason = f"No such dialect: {uuid4().hex}"
    async with database.transaction() as session:
        await unreadable.keep(session, dialect="s3", reason=reason, body=b"secret?")
        await unreadable.keep(session, dialect="s3", reason=f"old {reason}", body=b"")
    await database.rows(
        "UPDATE unreadable_notification SET received_at = received_at - %(kept)s - interval '1 minute'"
        " WHERE reason = %(reason)s RETURNING id",
        {"kept": unreadable.KEPT, "reason": f"old {reason}"},
    )

    async def told() -> list[dict[str, Any]]:
        answer = await clients.admin.get(UNREADABLE, params={"limit": 1000})
        assert "secret?" not in answer.text
        return [one for one in answer.json()["items"] if reason in one["reason"]]

    before = await told()
    async with database.transaction() as session:
        await unreadable.forget_old(session)
    after = await told()

    assert [(one["dialect"], one["reason"], one["kept_bytes"]) for one in before] == [
        ("s3", f"old {reason}", 0),
        ("s3", reason, 7),
    ]
    assert after == before[1:]
