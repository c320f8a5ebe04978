"""Whether a catalog is well, for whoever watches it, and what that says beside."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2

from catalog import queue
from catalog.cli import agreeing
from catalog.database import Database, now
from catalog.sync.rounds import SYNC, Phase, Round, Tally
from tests.conftest import Live, eventually


async def test_readiness_tells_how_far_the_index_is_behind_and_whether_it_agreed_and_is_ready_all_the_same(
    watched: Live, database: Database
) -> None:
    ended = now().replace(microsecond=0)
    tally = Tally(began_at=ended - timedelta(hours=1), ended_at=ended, objects=9, documents=8, missing=1)
    subject = Round(phase=Phase.RESTING, tally=tally).subject
    late = f"no store {uuid4().hex}"
    await database.rows("DELETE FROM queue WHERE topic = %(topic)s RETURNING id", {"topic": SYNC})
    async with database.transaction() as session:
        await queue.put(session, SYNC, [subject], after=timedelta(days=1))
        await queue.put(session, "key", [late], after=timedelta(days=1))
    # It fails again and again since an hour ago, and is tried tomorrow.
    aged = "UPDATE queue SET created_at = now() - interval '1 hour', attempts = 5 WHERE subject = %(late)s"
    await database.rows(f"{aged} RETURNING id", {"late": late})

    async def told() -> dict[str, Any] | None:
        async with httpx2.AsyncClient(base_url=watched.url, trust_env=False, timeout=30) as client:
            answer = await client.get("/readyz")
        index: dict[str, Any] | None = answer.json()["index"]
        # On a busy machine an engine may be slow for once, and then there are no figures.
        if answer.status_code != 200 or index is None:
            return None
        return index if index["compared_at"] is not None and index["lag_seconds"] >= 3600 else None

    index = await eventually(told, seconds=30)
    await database.rows("DELETE FROM queue WHERE subject = %(late)s RETURNING id", {"late": late})

    assert index["agreed"] is False
    assert index["lag_seconds"] < 3700
    # How much was wrong is nobody's business who watches from outside.
    assert index.keys() == {"lag_seconds", "compared_at", "agreed"}


def test_the_terminal_tells_it_in_a_line() -> None:
    assert agreeing.told_standing({"lag_seconds": 0.4, "parked": {}}) == "index as new as the database; nothing parked"
    assert agreeing.told_standing({"lag_seconds": 75.2, "parked": {"key": 2, "doi": 1}}) == (
        "index 75 s behind the database; parked: 1 of doi, 2 of key, see `catalog queue list`"
    )
