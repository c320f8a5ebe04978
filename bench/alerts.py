"""ALERTS: ten thousand saved searches of as many people; how long after the write the right ones are told."""

import asyncio
import time
from uuid import UUID

import httpx2
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from bench.measure import Figure, once
from bench.stand import Stand
from catalog.alerts import saved
from catalog.engines import Engines

SEARCHES = 10_000
TOLD_SECONDS_MAX = 10.0
# A word of so many stands in an object: one in so many searches fits it.
WORDS = 100
KEPT_SECONDS_MAX = 300
# How people ask: mostly by words, some with a filter, a beginning, a phrase, or a range.
_QUESTIONS = """
    CASE n % 5
        WHEN 0 THEN jsonb_build_object('q', word)
        WHEN 1 THEN jsonb_build_object('q', word, 'kind', jsonb_build_array('training-dataset', 'model'))
        WHEN 2 THEN jsonb_build_object('q', word || ' -nothingofthiskind')
        WHEN 3 THEN jsonb_build_object('q', word, 'filter', 'year >= 1900 OR year IS NULL')
        ELSE jsonb_build_object('q', '"' || word || '"')
    END
    """
_FILL = f"""
    WITH made AS (
        INSERT INTO principal (id, name, role)
        SELECT gen_random_uuid(), :mark || '-' || n, 'reader' FROM generate_series(0, :count - 1) AS n
        RETURNING id, split_part(name, '-', 2)::int AS n
    )
    INSERT INTO saved_search (id, owner_id, name, question, channel, rhythm, secret_id)
    SELECT gen_random_uuid(), id, 'watched', {_QUESTIONS}, 'feed', 'at_once', gen_random_uuid()
    FROM (SELECT id, n, :mark || (n / 5) % :words AS word FROM made) AS asked
    """


async def fill(engines: Engines, count: int, *, mark: str, words: int) -> None:
    """Save so many searches, each of somebody else; a word is the mark with a number below `words`."""
    async with engines.database.transaction() as session:
        await session.execute(sa.text(_FILL), {"mark": mark, "count": count, "words": words})
        await saved.keep_everything(session)


async def told(engines: Engines, object_id: str) -> int:
    """Return how many were told of an object."""
    statement = "SELECT count(*) FROM saved_alert WHERE object_id = %(id)s AND seen_at IS NOT NULL"
    ((count,),) = await engines.database.rows(statement, {"id": UUID(object_id)})
    return int(count)


async def ten_thousand(stand: Stand) -> list[Figure]:
    """Register objects that fit a hundred and ten thousand searches, with one indexer at work."""
    engines, mark = stand.engines, f"w{uuid7().hex[-8:]}x"
    started = time.perf_counter()
    await fill(engines, SEARCHES, mark=mark, words=WORDS)
    while await engines.database.rows("SELECT 1 FROM queue WHERE topic = 'saved' LIMIT 1", {}):
        assert time.perf_counter() - started < KEPT_SECONDS_MAX
        await asyncio.sleep(0.2)
    kept = time.perf_counter() - started
    every_word = " ".join(f"{mark}{number}" for number in range(WORDS))
    few, all_of_them = SEARCHES // WORDS, SEARCHES
    url, headers = str(stand.settings.public_url).rstrip("/"), {"Authorization": f"Bearer {stand.tokens[0]}"}
    samples = stand.corpus.samples()
    figures = []
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        for name, text, meant in (("few", f"{mark}7", few), ("all", every_word, all_of_them)):
            sample = next(samples).body | {"name": None, "visibility": "public", "description": text}
            answer = await client.post(
                "/api/objects", json=sample | {"kind": "training-dataset", "metadata": {"labelled": False}}
            )
            assert answer.status_code == 201, answer.text
            begun = time.perf_counter()
            while await told(engines, answer.json()["id"]) < meant:
                assert time.perf_counter() - begun < 60
                await asyncio.sleep(0.02)
            took = time.perf_counter() - begun
            note = f"{meant:,} of {SEARCHES:,} searches fit, each of another person; kept in {kept:.1f} s"
            size = len(stand.ids)
            figures.append(once(f"ALERTS.{name}", took, TOLD_SECONDS_MAX, unit="s", objects=size, note=note))
    return figures
