"""Putting right what differs: documents are written anew by the indexer, and what is no object's is removed.

Of stores nothing is ever removed: the indexer looks at the keys. Removing documents and calling files missing is what
many would notice, so that much of it at once waits for a person.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from catalog import queue
from catalog.database import Database
from catalog.objects import changing, uploads
from catalog.search.index import Verdict
from catalog.sync import comparing
from catalog.sync.comparing import Difference, Kind, Sides

# However small the index, so many may go without a question.
REMOVED_ALWAYS = 100
# The engine remembers for a minute which version a removed document had, and refuses what is not newer. Nobody is told
# that version: whoever removes by hand raises it by one each time.
PAST_REMOVALS = 100

_RAISE = sa.text(
    """
    UPDATE object SET relabelled = relabelled + raised.by
    FROM unnest(CAST(:ids AS uuid[]), CAST(:steps AS bigint[])) AS raised (id, by) WHERE object.id = raised.id
    """
).bindparams(sa.bindparam("ids", type_=ARRAY(sa.Text)), sa.bindparam("steps", type_=ARRAY(sa.BigInteger)))


def may_go(documents: int, share: float) -> int:
    """Return how many of so many documents may be removed in one round without a question."""
    return max(REMOVED_ALWAYS, int(documents * share))


async def look_at(database: Database, subjects: Sequence[str]) -> None:
    """Have keys looked at by the indexer, which asks the store about each and believes nothing else."""
    if subjects:
        async with database.transaction() as session:
            await queue.put(session, uploads.KEY, subjects)


async def write_anew(database: Database, found: Sequence[Difference]) -> list[str]:
    """Queue the documents that are missing, stale or altered, and return their ids: the indexer writes them.

    The index keeps what has the same version or a higher one, so that the version is raised where that is in the way.
    """
    wrong = [one for one in found if one.kind is not Kind.EXTRA]
    steps = {one.id: step for one in wrong if (step := _step(one))}
    if wrong:
        async with database.transaction() as session:
            if steps:
                await session.execute(_RAISE, {"ids": list(steps), "steps": list(steps.values())})
            await queue.put(session, changing.INDEX, [one.id for one in wrong])
    return [one.id for one in wrong]


def _step(one: Difference) -> int:
    if one.kind is Kind.MISSING:
        return PAST_REMOVALS
    if one.held is None or one.wanted is None:
        return 0
    return max(one.held - one.wanted + 1, 0)


async def remove(sides: Sides, found: Sequence[Difference]) -> list[str]:
    """Remove the documents that are no object's, and return the ids of those that went.

    The database is asked for each of them once more, after the document was read; one written since stays.
    """
    gone: list[str] = []
    for ids in comparing.batches([one.id for one in found if one.kind is Kind.EXTRA]):
        documents = await sides.index.held(ids)
        ours = await comparing.standing(sides.database, ids)
        going = [held for one, held in documents.items() if one not in ours]
        outcomes = await sides.index.remove_held(going)
        gone += [held.id for held, outcome in zip(going, outcomes, strict=True) if outcome.verdict is Verdict.WRITTEN]
    return gone
