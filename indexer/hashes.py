"""Read files that no object claims, to tell their SHA-256, as somebody asked."""

from uuid import UUID

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import CatalogError, NotFound, Unavailable
from catalog.objects import discovered, uploads
from catalog.objects.discovered import HASH
from catalog.queue import Claim
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.hashes")


async def step(engines: Engines) -> int:
    """Read the file that has waited longest; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, HASH, most=1)
    for claim in claims:
        async with handling.kept(engines, {claim.id: claim}):
            await handling.alone(engines, claim, _read(engines, claim), log=log, doing="Reading the file")
    return len(claims)


async def _read(engines: Engines, claim: Claim) -> None:
    async with engines.database.transaction() as session:
        file = await discovered.find(session, UUID(claim.subject))
        if file is None:
            await queue.finish(session, [claim])
            return
    subject = uploads.subject_of(file.backend, file.bucket, file.key)
    try:
        store = await engines.store_of(file.backend)
        sha256 = await store.sha256_of(file.key, version_id=file.store_version)
        now = await store.stat(file.key)
    except (NotFound, Detached, NoSuchBackend):
        async with engines.database.transaction() as session:
            await queue.put(session, uploads.KEY, [subject])
            await queue.finish(session, [claim])
        return
    except Unavailable as fault:
        await _later(engines, claim, fault)
        return
    async with engines.database.transaction() as session:
        if now is not None and (now.size, now.etag) == (file.size, file.etag):
            await discovered.note_hash(session, file, sha256)
        else:
            # Other bytes came meanwhile: whose hash this is nobody can say.
            await queue.put(session, uploads.KEY, [subject])
        await queue.finish(session, [claim])


async def _later(engines: Engines, claim: Claim, fault: CatalogError) -> None:
    async with engines.database.transaction() as session:
        if claim.exhausted:
            await queue.park(session, claim, reason=fault.detail)
        else:
            await queue.postpone(session, claim, reason=fault.detail)
