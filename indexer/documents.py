"""Index objects: read the rows, project them, write them with their revisions, and judge every item's result."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import Unavailable
from catalog.objects import reading, verbs
from catalog.objects.reading import Entry
from catalog.queue import Claim
from catalog.search.document import CreatorProjection, Projection, document_from
from catalog.search.index import Outcome, Verdict, Written

log = structlog.get_logger("indexer.documents")

# OpenSearch advises 1,000 to 5,000 operations a bulk; 500 keeps a lease short and freshness high.
BATCH = 500
# Longer than any lease and any request: nothing older than the tombstone can still be on its way.
TOMBSTONE_KEPT = timedelta(days=7)
PURGE = "purge"


def projection_of(entry: Entry) -> Projection:
    """Return what the index shall know of an object."""
    kind = reading.kind_of(entry)
    record = entry.record
    metadata = kind.metadata.model_validate(record["metadata"], strict=False)
    return Projection(
        id=entry.id,
        kind=entry.kind,
        project=entry.project,
        revision=entry.revision,
        readers=entry.readers,
        title=record["title"],
        description=record["description"],
        keywords=record["keywords"],
        creators=[
            CreatorProjection(creator["name"], creator.get("orcid"), creator.get("ror"))
            for creator in record["creators"]
        ],
        licence=record.get("licence"),
        year=entry.year,
        visibility=record["visibility"],
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        formats=sorted({file.media_type for file in entry.files}),
        member_texts=kind.searchable(metadata),
        file_paths=[file.path for file in entry.files],
        withdrawn=entry.withdrawn_at is not None,
    )


async def step(engines: Engines) -> int:
    """Claim a batch of objects and bring their documents up to date; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, verbs.INDEX, most=BATCH)
        if not claims:
            return 0
        entries = {entry.id: entry for entry in await reading.read_for_index(session, _ids(claims))}
    documents = [Written(entry.id, entry.revision, document_from(projection_of(entry))) for entry in entries.values()]
    try:
        outcomes = await engines.index.write(documents)
    except Unavailable:
        async with engines.database.transaction() as session:
            await queue.release(session, claims)
        raise
    judged = dict(zip((document.id for document in documents), outcomes, strict=True))
    await _conclude(engines, claims, entries, judged)
    return len(claims)


async def _conclude(
    engines: Engines, claims: Sequence[Claim], entries: dict[UUID, Entry], judged: dict[UUID, Outcome]
) -> None:
    done, withdrawn = [], []
    async with engines.database.transaction() as session:
        for claim in claims:
            outcome = judged.get(UUID(claim.subject))
            if outcome is None or outcome.verdict in {Verdict.WRITTEN, Verdict.STALE}:
                # No row: the entry outlived its object, and there is nothing to do. Stale: the index is ahead already.
                done.append(claim)
                if outcome is not None and entries[UUID(claim.subject)].withdrawn_at is not None:
                    withdrawn.append(claim.subject)
            elif outcome.verdict is Verdict.REJECTED or claim.exhausted:
                log.error("object parked", object_id=claim.subject, reason=outcome.reason)
                await queue.park(session, claim, reason=outcome.reason)
            else:
                log.warning("object postponed", object_id=claim.subject, reason=outcome.reason)
                await queue.postpone(session, claim, reason=outcome.reason)
        await queue.finish(session, done)
        await queue.put(session, PURGE, withdrawn, after=TOMBSTONE_KEPT)


async def purge_step(engines: Engines) -> int:
    """Remove tombstones that have served their time; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, PURGE, most=BATCH)
        if not claims:
            return 0
        entries = await reading.read_for_index(session, _ids(claims))
    for entry in entries:
        await engines.index.purge(entry.id, entry.revision)
    async with engines.database.transaction() as session:
        await queue.finish(session, claims)
    return len(claims)


def _ids(claims: Sequence[Claim]) -> list[UUID]:
    return [UUID(claim.subject) for claim in claims]
