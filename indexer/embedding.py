"""Read objects for their meaning: after their documents, apart from them, and again only where the text is another."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.engines import Engines
from catalog.errors import Unavailable
from catalog.objects import reading
from catalog.objects.reading import Entry
from catalog.search import vectors
from catalog.search.aside import Aside
from catalog.search.embedding import NoModel, WrongModel, digest_of, text_of
from catalog.search.vectors import EMBED
from indexer import handling

log = structlog.get_logger("indexer.embedding")

BATCH = 16
# A text takes a tenth of a second where there is a core for it, and ten times as long where there is none. What is not
# read by then is given back: that is far below a lease, and no longer than somebody waits who asks the process to end.
READING_SECONDS_MAX = 3.0


async def is_wanted(engines: Engines, session: AsyncSession) -> bool:
    """Whether objects are read for their meaning here: it is not off, the model is there, and so is the table."""
    return engines.aside is not None and await vectors.is_there(session)


async def prepare(engines: Engines) -> None:
    """Queue what has no vector, or one of an older state: written while nobody read, or cut short by a crash."""
    if engines.embedder is None:
        return
    if not engines.embedder.is_there:
        log.info("no language model", note="hybrid search answers by words; see requirements/hybrid.txt")
        return
    async with engines.database.transaction() as session:
        if not await vectors.is_there(session):
            log.warning("no vectors", note="hybrid search answers by words; install pgvector and run catalog migrate")
            return
        missing = await vectors.queue_missing(session)
    if missing:
        log.info("objects are to be read for their meaning", objects=missing)


async def step(engines: Engines) -> int:
    """Claim a batch of objects and bring their vectors up to date; returns how many were claimed."""
    if engines.aside is None:
        return 0
    async with engines.database.transaction() as session:
        if not await is_wanted(engines, session):
            return 0
        claims = await queue.claim(session, EMBED, most=BATCH)
        ids = [one for claim in claims if (one := handling.id_of(claim)) is not None]
        entries = {entry.id: entry for entry in await reading.read_for_index(session, ids)} if ids else {}
        known = await vectors.digests(session, ids)
    if not claims:
        return 0
    there = [entry for entry in entries.values() if entry.withdrawn_at is None]
    try:
        kept, at_fault = await _read(engines.aside, there, known)
    except (NoModel, WrongModel):
        # Nothing is wrong with these objects.
        async with engines.database.transaction() as session:
            await queue.release(session, await queue.hold(session, claims))
        raise
    async with engines.database.transaction() as session:
        # All at once: whoever writes documents locks them in the same order.
        held = await queue.hold(session, claims)
        mine = {handling.id_of(claim) for claim in held}
        done = {one.object_id for one in kept}
        left = {entry.id for entry in there} - done
        await vectors.keep(session, [one for one in kept if one.object_id in mine])
        gone = [entry.id for entry in entries.values() if entry.withdrawn_at is not None and entry.id in mine]
        await vectors.forget(session, gone)
        await queue.finish(session, [claim for claim in held if handling.id_of(claim) not in left])
        await queue.release(session, [claim for claim in held if handling.id_of(claim) in left - at_fault.keys()])
    for claim in held:
        if (reason := at_fault.get(handling.id_of(claim))) is not None:
            await handling.later(engines, claim, reason)
    return len(claims) - len(left)


async def _read(
    aside: Aside, entries: Sequence[Entry], known: Mapping[UUID, bytes]
) -> tuple[list[vectors.Kept], dict[UUID | None, str]]:
    """Return what is to be kept of each, as far as the time goes, and why one could not be read, after which it ends.

    The first is read however long it takes. Raises NoModel and WrongModel.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + READING_SECONDS_MAX
    kept: list[vectors.Kept] = []
    for entry in entries:
        text = text_of(entry.record)
        digest = digest_of(text)
        if known.get(entry.id) == digest:
            kept.append(vectors.kept(entry, digest, None))
        elif not kept or clock() < ends:
            try:
                kept.append(vectors.kept(entry, digest, await aside.vector(text)))
            except Unavailable as fault:
                return kept, {entry.id: f"Reading it for its meaning failed: {fault.detail}"}
    return kept, {}
