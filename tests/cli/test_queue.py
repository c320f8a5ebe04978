"""`catalog queue`: what was set aside, listed, tried again and discarded."""

import asyncio
from collections.abc import Generator
from uuid import uuid4

import pytest

from catalog import queue
from catalog.database import Database
from tests.cli import terminal
from tests.cli.conftest import Catalog
from tests.conftest import Live

OBJECT = "01a1fd1f-74a6-76f6-8383-4ced501143c7"
REASON = "The registry refused the metadata: 422 a creator is missing, and so is the year of publication."


@pytest.fixture
def topic(live: Live) -> Generator[str]:
    """A topic that nobody works on, with two parked entries."""
    topic = f"t{uuid4().hex[:12]}"

    async def make() -> None:
        database = Database(str(live.settings.database_url), connections=1)
        async with database.transaction() as session:
            await queue.put(session, topic, ["a", "b"])
            for claim in await queue.claim(session, topic, most=10):
                await queue.park(session, claim, reason=f"Nothing is known of {claim.subject}.")
        await database.close()

    async def remove() -> None:
        database = Database(str(live.settings.database_url), connections=1)
        await database.rows("DELETE FROM queue WHERE topic = %(topic)s RETURNING id", {"topic": topic})
        await database.close()

    asyncio.run(make())
    yield topic
    asyncio.run(remove())


def test_what_is_parked_is_listed_tried_again_and_discarded(catalog: Catalog, topic: str) -> None:
    listed = catalog("queue", "list", "--topic", topic, by="admin")
    nothing = [
        catalog("queue", "list", *asked, by="admin") for asked in (("--topic", f"{topic}x"), ("--reason", topic))
    ]
    told = catalog("queue", "list", "--topic", topic, "--reason", "KNOWN of b", "--json", by="admin").json
    discarded = catalog("queue", "discard", str(told[0]["id"]), by="admin")
    gone = catalog("queue", "discard", str(told[0]["id"]), by="admin")
    retried = catalog("queue", "retry", "--topic", topic, by="admin")
    left = catalog("queue", "list", "--topic", topic, "--json", by="admin")

    assert [no.code for no in nothing] == [0, 0]
    assert {no.err.partition("parked: ")[0] for no in nothing} == {"nothing that is parked is like that; "}
    rows = [line.split("\t")[1:5] for line in listed.out.splitlines()]
    assert rows == [
        ["topic", "subject", "reason", "attempts"],
        [topic, "a", "Nothing is known of a.", "1"],
        [topic, "b", "Nothing is known of b.", "1"],
    ]
    assert f"2 of {topic}" in listed.err
    assert [(one["subject"], one["attempts"]) for one in told] == [("b", 1)]
    assert (discarded.code, discarded.err) == (0, f"entry {told[0]['id']} was discarded\n")
    assert gone.code == 4
    assert (retried.code, retried.err) == (0, "1 will be tried again\n")
    assert (left.code, left.json) == (0, [])


def test_on_a_narrow_terminal_what_an_entry_is_about_and_why_it_waits_are_whole(live: Live, topic: str) -> None:
    by_admin = {"CATALOG_URL": live.url, "CATALOG_TOKEN": live.tokens["admin"], "NO_COLOR": "1"}

    async def about_an_object() -> None:
        database = Database(str(live.settings.database_url), connections=1)
        values = {"topic": topic, "subject": OBJECT, "reason": REASON}
        await database.rows(
            "UPDATE queue SET subject = %(subject)s, reason = %(reason)s WHERE topic = %(topic)s AND subject = 'a' "
            "RETURNING id",
            values,
        )
        await database.close()

    asyncio.run(about_an_object())
    shown = terminal.on_terminal("queue", "list", "--topic", topic, columns=80, **by_admin)

    assert f"subject: {OBJECT}" in shown
    assert f"reason: {REASON}" in shown


def test_who_may_not_is_told_so_and_who_says_nothing_too(catalog: Catalog, topic: str) -> None:
    assert catalog("queue", "list", "--topic", topic, by="reader").code == 3
    assert catalog("queue", "retry", by="admin").code == 2
    assert catalog("queue", "retry", "1", "--topic", topic, by="admin").code == 2
    assert catalog("queue", "unreadable", "--json", by="admin").code == 0
