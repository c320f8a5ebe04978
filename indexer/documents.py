"""Index objects: have them projected, write them with their versions, and judge every item's result."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.alerts import saved, topics
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.measuring import DOCUMENTS
from catalog.objects import changing, naming, reading
from catalog.objects.reading import Entry
from catalog.quality import tables
from catalog.quality.assessing import Report
from catalog.queue import LEASE_OF_A_MOMENT, Claim
from catalog.search.index import Index, NoIndex, Outcome, Verdict, Written
from catalog.search.vectors import EMBED
from catalog.sync import projecting, rebuilding
from catalog.sync.projecting import Gathered
from catalog.sync.rebuilding import Targets
from indexer import embedding, handling

log = structlog.get_logger("indexer.documents")

# OpenSearch advises 1,000 to 5,000 operations a bulk; 500 keeps a lease short and freshness high.
BATCH = 500
# Longer than any lease and any request: nothing older than the tombstone can still be on its way.
TOMBSTONE_KEPT = timedelta(days=7)
PURGE = "purge"
# Beside the index that is searched, a document is tried so often: some 15 seconds, for which the entry waits.
BESIDE_ATTEMPTS_MAX = 5


async def step(engines: Engines) -> int:
    """Claim a batch of objects and bring their documents up to date; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, changing.INDEX, most=BATCH, lease=LEASE_OF_A_MOMENT)
        if not claims:
            return 0
        # After the claims: who changes one of them from here on queues it anew, for whatever targets there are then.
        targets = rebuilding.targets(engines.index, await rebuilding.latest(session))
        ids = list(filter(None, map(handling.id_of, claims)))
        objects = await projecting.gathered(session, ids, prefix=engines.placement.prefix)
    async with handling.kept(engines, {claim.id: claim for claim in claims}, lease=LEASE_OF_A_MOMENT):
        await _bring(engines, claims, objects, targets)
    return len(claims)


async def _bring(engines: Engines, claims: Sequence[Claim], objects: Gathered, targets: Targets) -> None:
    """Write the documents of what was claimed, and conclude; raises CatalogError while the engine is away."""
    made = projecting.projected(objects)
    outcomes = {one: Outcome(Verdict.REJECTED, reason) for one, reason in made.unreadable.items()}
    worn = {one for claim in claims if claim.attempts >= BESIDE_ATTEMPTS_MAX and (one := handling.id_of(claim))}
    try:
        written = await write(targets.live, made.documents)
        outcomes |= written
        lacking = await _write_beside(targets, made.documents, outcomes, worn)
    except CatalogError:
        # The engine is away or refuses us altogether: that says nothing of the documents.
        async with engines.database.transaction() as session:
            await queue.release(session, claims)
        raise
    if lacking is not None and not await _give_up_beside(engines, targets, lacking):
        # It has become the one that is searched meanwhile, and is judged as such the next time.
        outcomes |= dict.fromkeys(written, Outcome(Verdict.RETRY, lacking))
    for outcome in outcomes.values():
        DOCUMENTS.labels(outcome.verdict.value).inc()
    await _conclude(engines, claims, objects.entries, outcomes, made.reports)


async def _write_beside(
    targets: Targets, documents: Sequence[Written], outcomes: dict[UUID, Outcome], worn: Collection[UUID]
) -> str | None:
    """Write documents to the second target, and put down what is to be tried again for its sake alone.

    Returns why the second target has to be given up, if it has. The first has what it is to have either way.
    """
    if targets.beside is None:
        return None
    try:
        written = await write(targets.beside, documents)
    except NoIndex:
        return "The index is gone."
    except CatalogError as fault:
        written = dict.fromkeys((one.id for one in documents), Outcome(Verdict.RETRY, fault.detail))
    lacking = None
    for one, beside in written.items():
        outcomes[one], wrong = _both(outcomes[one], beside, foreign=targets.foreign, worn=one in worn)
        lacking = lacking or (wrong and f"Object {one}: {wrong}")
    return lacking


def _both(live: Outcome, beside: Outcome, *, foreign: bool, worn: bool) -> tuple[Outcome, str | None]:
    """Return what became of a document that goes to two indices, and why the second is no good, if it is none."""
    if live.verdict is Verdict.RETRY:
        return live, None
    if live.verdict is Verdict.REJECTED:
        # An index of another mapping may be unable to hold what the new one can: searches go on finding what it has.
        return (beside, None) if foreign and beside.verdict is not Verdict.REJECTED else (live, None)
    if beside.verdict is Verdict.REJECTED or (beside.verdict is Verdict.RETRY and worn):
        return live, beside.reason
    return (beside, None) if beside.verdict is Verdict.RETRY else (live, None)


async def _give_up_beside(engines: Engines, targets: Targets, why: str) -> bool:
    if targets.rebuild is None or targets.beside is None:
        return True
    async with engines.database.transaction() as session:
        given_up = await rebuilding.spoil(session, targets.rebuild, targets.beside.alias, why)
    log.error("index no longer written", alias=targets.beside.alias, reason=why, given_up=given_up)
    return given_up


async def write(index: Index, documents: Sequence[Written]) -> dict[UUID, Outcome]:
    """Write documents and return what became of each; raises CatalogError for a fault that is none of theirs."""
    if not documents:
        return {}
    try:
        outcomes = await index.write(documents)
    except CatalogError:
        raise
    except Exception as fault:
        # Nobody foresaw this. Halving finds the document that it is about, if it is about one.
        if len(documents) > 1:
            half = len(documents) // 2
            return {**await write(index, documents[:half]), **await write(index, documents[half:])}
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
        targets = rebuilding.targets(engines.index, await rebuilding.latest(session))
        entries, labellings = await reading.read_for_index(session, ids), await naming.labellings(session, ids)
    outcomes = {
        str(entry.id): await _purge(targets, entry.id, projecting.version_of(entry, labellings.get(entry.id)))
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


async def _purge(targets: Targets, object_id: UUID, version: int) -> Outcome:
    outcome = await targets.live.purge(object_id, version)
    if targets.beside is not None and outcome.verdict is not Verdict.RETRY:
        # One that is gone has no tombstones either.
        with suppress(NoIndex):
            beside = await targets.beside.purge(object_id, version)
            return beside if beside.verdict is Verdict.RETRY else outcome
    return outcome


def _told(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"
