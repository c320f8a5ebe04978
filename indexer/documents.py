"""Index objects: have them projected, write them with their versions, and judge every item's result."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.alerts import saved, topics
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.objects import changing, naming, reading
from catalog.objects.reading import Entry
from catalog.quality import tables
from catalog.quality.assessing import Report
from catalog.queue import Claim
from catalog.search.index import Outcome, Verdict, Written
from catalog.search.vectors import EMBED
from catalog.sync import projecting
from indexer import embedding, handling

log = structlog.get_logger("indexer.documents")

# OpenSearch advises 1,000 to 5,000 operations a bulk; 500 keeps a lease short and freshness high.
BATCH = 500
# Longer than any lease and any request: nothing older than the tombstone can still be on its way.
TOMBSTONE_KEPT = timedelta(days=7)
PURGE = "purge"


async def step(engines: Engines) -> int:
    """Claim a batch of objects and bring their documents up to date; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, changing.INDEX, most=BATCH)
        if not claims:
            return 0
        ids = list(filter(None, map(handling.id_of, claims)))
        objects = await projecting.gathered(session, ids, prefix=engines.placement.prefix)
    made = projecting.projected(objects)
    outcomes = {one: Outcome(Verdict.REJECTED, reason) for one, reason in made.unreadable.items()}
    try:
        outcomes |= await _write(engines, made.documents)
    except CatalogError:
        # The engine is away or refuses us altogether: that says nothing of the documents.
        async with engines.database.transaction() as session:
            await queue.release(session, claims)
        raise
    await _conclude(engines, claims, objects.entries, outcomes, made.reports)
    return len(claims)


async def _write(engines: Engines, documents: Sequence[Written]) -> dict[UUID, Outcome]:
    if not documents:
        return {}
    try:
        outcomes = await engines.index.write(documents)
    except CatalogError:
        raise
    except Exception as fault:
        # Nobody foresaw this. Halving finds the document that it is about, if it is about one.
        if len(documents) > 1:
            half = len(documents) // 2
            return {**await _write(engines, documents[:half]), **await _write(engines, documents[half:])}
        log.exception("write failed", object_id=str(documents[0].id))
        return {documents[0].id: Outcome(Verdict.RETRY, f"Writing the document failed: {_told(fault)}")}
    return dict(zip((document.id for document in documents), outcomes, strict=True))


async def _conclude(
    engines: Engines,
    claims: Sequence[Claim],
    entries: Mapping[UUID, Entry],
    outcomes: Mapping[UUID, Outcome],
    reports: Mapping[UUID, Report],
) -> None:
    done, withdrawn = [], []
    async with engines.database.transaction() as session:
        await queue.hold(session, claims)
        for claim in claims:
            object_id = handling.id_of(claim)
            if object_id is None:
                await _park(session, claim, "The subject names no object.")
                continue
            outcome = outcomes.get(object_id)
            if outcome is None or outcome.verdict in {Verdict.WRITTEN, Verdict.STALE}:
                # No row: the entry outlived its object, and there is nothing to do. Stale: the index is ahead already.
                done.append(claim)
                if outcome is not None and entries[object_id].withdrawn_at is not None:
                    withdrawn.append(claim.subject)
            elif outcome.verdict is Verdict.REJECTED or claim.exhausted:
                await _park(session, claim, outcome.reason)
            else:
                log.warning("object postponed", object_id=claim.subject, reason=outcome.reason)
                await queue.postpone(session, claim, reason=outcome.reason)
        await queue.finish(session, done)
        await queue.put(session, PURGE, withdrawn, after=TOMBSTONE_KEPT)
        if await saved.anything(session):
            # Whatever was written, here or by another: who has saved a search for it?
            done_ids = {claim.subject for claim in done}
            there = [str(one) for one in outcomes if str(one) in done_ids and str(one) not in withdrawn]
            await queue.put(session, topics.MATCH, there)
        if await embedding.is_wanted(engines, session):
            await queue.put(session, EMBED, [claim.subject for claim in done])
        await tables.keep(session, {one: report for one, report in reports.items() if str(one) not in withdrawn})


async def _park(session: AsyncSession, claim: Claim, reason: str) -> None:
    log.error("object parked", object_id=claim.subject, reason=reason)
    await queue.park(session, claim, reason=reason)


async def purge_step(engines: Engines) -> int:
    """Remove tombstones that have served their time; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, PURGE, most=BATCH)
        if not claims:
            return 0
        ids = list(filter(None, map(handling.id_of, claims)))
        entries, labellings = await reading.read_for_index(session, ids), await naming.labellings(session, ids)
    outcomes = {
        str(entry.id): await engines.index.purge(entry.id, projecting.version_of(entry, labellings.get(entry.id)))
        for entry in entries
    }
    async with engines.database.transaction() as session:
        await queue.hold(session, claims)
        for claim in claims:
            outcome = outcomes.get(claim.subject)
            if outcome is not None and outcome.verdict is Verdict.RETRY:
                await queue.postpone(session, claim, reason=outcome.reason)
            else:
                await queue.finish(session, [claim])
    return len(claims)


def _told(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"
