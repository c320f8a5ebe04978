"""Saved searches: keep their queries in the engine, ask which of them new documents fit, and see who may be told."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.access import principals
from catalog.access.audience import Audience
from catalog.alerts import matches, saved, telling, topics
from catalog.alerts.matches import Waiting
from catalog.alerts.saved import Saved
from catalog.alerts.tables import Rhythm
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError, Invalid, Unavailable
from catalog.queue import Claim
from catalog.search import percolator, wanted
from catalog.search.document import Document
from catalog.search.index import Outcome, Verdict, Written
from catalog.search.wanted import WantedBody

log = structlog.get_logger("indexer.alerts")

SAVED_BATCH = 500
MATCH_BATCH = 500
ALERT_BATCH = 1_000
# Going through ten thousand queries for hundreds of documents may take longer than writing these.
LEASE = timedelta(minutes=2)


async def prepare(engines: Engines) -> None:
    """Wait until the index of queries is there; one that is new or empty is filled from the database."""
    created = await engines.percolator.ensure()
    if created or not await engines.percolator.count():
        async with engines.database.transaction() as session:
            await saved.keep_everything(session)


async def saved_step(engines: Engines) -> int:
    """Claim a batch of saved searches and have the engine keep or forget their queries; returns how many."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, topics.SAVED, most=SAVED_BATCH)
        if not claims:
            return 0
        ids = {claim.subject: UUID(claim.subject) for claim in claims}
        found = {one.id: one for one in await saved.with_ids(session, list(ids.values()))}
    outcomes: dict[UUID, Outcome] = {}
    try:
        documents = [one for one in [await _query_of(engines, one, outcomes) for one in found.values()] if one]
        written = await engines.percolator.write(documents)
        outcomes |= dict(zip((one.id for one in documents), written, strict=True))
        for search_id in ids.values():
            if search_id not in found or outcomes[search_id].verdict is Verdict.REJECTED:
                await engines.percolator.remove(search_id)
        # What is registered from now on is compared with them.
        await engines.percolator.refresh()
    except CatalogError:
        async with engines.database.transaction() as session:
            await queue.release(session, claims)
        raise
    async with engines.database.transaction() as session:
        await queue.hold(session, claims)
        for claim in claims:
            outcome = outcomes.get(ids[claim.subject])
            if outcome is not None and outcome.verdict is Verdict.RETRY and not claim.exhausted:
                await queue.postpone(session, claim, reason=outcome.reason)
            elif outcome is not None and outcome.verdict in {Verdict.RETRY, Verdict.REJECTED}:
                log.error("saved search parked", search_id=claim.subject, reason=outcome.reason)
                await saved.note_fault(session, ids[claim.subject], outcome.reason)
                await queue.park(session, claim, reason=outcome.reason)
            else:
                await queue.finish(session, [claim])
    return len(claims)


async def _query_of(engines: Engines, one: Saved, outcomes: dict[UUID, Outcome]) -> Written | None:
    try:
        asked = WantedBody.model_validate(one.question)
        question = await wanted.read(engines.database, asked, asked.filter)
        clause = percolator.clause_of(question)
    except Invalid as wrong:
        # What it names is there no more, such as a concept.
        told = "; ".join(f"{fault.pointer} {fault.message}" for fault in wrong.faults) or wrong.detail
        outcomes[one.id] = Outcome(Verdict.REJECTED, f"The question cannot be asked any more: {told}")
        return None
    return Written(one.id, one.revision, percolator.query_document(one.id, clause))


async def match_step(engines: Engines) -> int:
    """Claim a batch of objects and take note which searches they fit; returns how many were claimed.

    Objects wait until the engine keeps every query that was saved before.
    """
    async with engines.database.transaction() as session:
        if not await matches.all_kept(session):
            return 0
        claims = await queue.claim(session, topics.MATCH, most=MATCH_BATCH, lease=LEASE)
        if not claims:
            return 0
    refused: dict[UUID, str] = {}
    try:
        found = await engines.index.documents([UUID(claim.subject) for claim in claims])
        fitting = await _fitting(engines, [one for one in found if not one["tombstone"]], refused)
    except CatalogError:
        # The engine is away: that says nothing of the documents.
        async with engines.database.transaction() as session:
            await queue.release(session, claims)
        raise
    async with engines.database.transaction() as session:
        held = await queue.hold(session, claims)
        await matches.note(session, fitting)
        await queue.finish(session, [claim for claim in held if UUID(claim.subject) not in refused])
        await _match_later(session, held, refused)
    return len(claims)


async def _fitting(
    engines: Engines, documents: Sequence[Document], refused: dict[UUID, str]
) -> list[tuple[UUID, UUID]]:
    """Return which searches which objects fit, and put down what the engine refuses to compare, with the reason."""
    try:
        found = await engines.percolator.fitting(documents)
    except Unavailable:
        raise
    except CatalogError as fault:
        # Halving finds the document that it is about.
        if len(documents) > 1:
            half = len(documents) // 2
            return [
                *await _fitting(engines, documents[:half], refused),
                *await _fitting(engines, documents[half:], refused),
            ]
        refused[UUID(documents[0]["id"])] = fault.detail
        return []
    return [(search_id, UUID(documents[place]["id"])) for search_id, place in found]


async def _match_later(session: AsyncSession, claims: Sequence[Claim], refused: Mapping[UUID, str]) -> None:
    for claim in claims:
        reason = refused.get(UUID(claim.subject))
        if reason is None:
            continue
        log.error("object not compared with saved searches", object_id=claim.subject, reason=reason)
        if claim.exhausted:
            await queue.park(session, claim, reason=reason)
        else:
            await queue.postpone(session, claim, reason=reason)


async def alert_step(engines: Engines) -> int:
    """Claim a batch of searches and see which objects that fit them their owners may see; returns how many."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, topics.ALERT, most=ALERT_BATCH)
        if not claims:
            return 0
        found = await matches.waiting(session, [UUID(claim.subject) for claim in claims])
    audiences = await _audiences(engines, found)
    async with engines.database.transaction() as session:
        await queue.hold(session, claims)
        await tell(session, await matches.looked(session, found, audiences))
        if len(found) == matches.LOOKED_AT_ONCE:
            await queue.put(session, topics.ALERT, [claim.subject for claim in claims])
        await queue.finish(session, claims)
    return len(claims)


async def _audiences(engines: Engines, found: Collection[Waiting]) -> dict[UUID, Audience]:
    """Return what each owner may see now, by the owner's id; nothing of those whose accounts were ended."""
    owners = {one.owner_id for one in found if one.live}
    callers = await principals.callers_of(engines.database, sorted(owners))
    return {owner_id: caller.audience for owner_id, caller in callers.items()}


async def tell(session: AsyncSession, due: dict[Rhythm, set[UUID]]) -> None:
    """Queue what has to be sent: at once, or with the next digest."""
    await queue.put(session, topics.TELL, [str(one) for one in due[Rhythm.AT_ONCE]])
    moment = now()
    later = telling.next_digest(moment) - moment
    await queue.put(session, topics.TELL, [str(one) for one in due[Rhythm.DAILY]], after=later)
