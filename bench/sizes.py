"""SIZE and STEP: what an object takes in database and index, and what a batch of documents costs one indexer.

`bench.scaling` reckons with them.
"""

import random
import time
from statistics import median

import sqlalchemy as sa

from bench.measure import Figure
from bench.stand import Stand, Wire, say
from catalog import queue
from catalog.objects import changing
from indexer import documents

ROUNDS = 15


async def of_an_object(stand: Stand) -> list[Figure]:
    """Measure both."""
    say("SIZE bytes of an object, STEP cost of a batch")
    url = str(stand.settings.search_url)
    Wire(url).send("POST", f"/{stand.settings.search_index}/_forcemerge?max_num_segments=1")
    await stand.engines.index.refresh()
    told = Wire(url).send("GET", f"/_cat/indices/{stand.settings.search_index}?h=store.size&bytes=b")[1]
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("TRUNCATE queue"))
        (database,) = (
            await session.execute(
                sa.text(
                    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
                    " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
                )
            )
        ).one()
        (told_bytes,) = (await session.execute(sa.text("SELECT sum(length(record::text)) FROM object"))).one()
    size = len(stand.ids)
    one, many = await _step(stand, 1), await _step(stand, documents.BATCH)
    each = (many - one) / (documents.BATCH - 1)
    return [
        _figure("SIZE.database", float(database) / size, float(told_bytes) / size, "B", size),
        _figure("SIZE.index", int(told) / size, float(told_bytes) / size, "B", size),
        _figure("STEP.batch", (one - each) * 1000, one * 1000, "ms", size),
        _figure("STEP.document", each * 1000, many / documents.BATCH * 1000, "ms", size),
    ]


def _figure(name: str, ours: float, limit: float, unit: str, size: int) -> Figure:
    ratio = round(ours / limit, 4)
    note = "the limit is the record itself" if unit == "B" else "the limit is a whole batch, by its documents"
    return Figure(name, ratio, (ratio, ratio), round(ours, 4), round(limit, 4), unit, size, note=note)


async def _step(stand: Stand, count: int) -> float:
    took = []
    for number in range(ROUNDS):
        ids = random.Random(number).sample(stand.ids, count)
        async with stand.engines.database.transaction() as session:
            raised = sa.text("UPDATE object SET revision = revision + 1 WHERE id = ANY(:ids)")
            await session.execute(raised, {"ids": ids})
            await queue.put(session, changing.INDEX, [str(one) for one in ids])
        started = time.perf_counter()
        assert await documents.step(stand.engines) == count
        took.append(time.perf_counter() - started)
    return median(took[1:])
