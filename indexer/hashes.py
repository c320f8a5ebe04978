"""Read files that no object claims, to tell their SHA-256, as somebody asked."""

from uuid import UUID

import structlog

from catalog import queue
from catalog.engines import Engines
from catalog.errors import NotFound, Unavailable
from catalog.objects import discovered, uploads
from catalog.objects.discovered import HASH
from catalog.queue import Claim
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.hashes")


async def step(engines: Engines) -> int:
    """Read the file that has waited longest; returns how many were claimed."""
    return await handling.next_one(engines, HASH, _read, log=log, doing="Reading the file")


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
        await handling.later(engines, claim, fault.detail)
        return
    async with engines.database.transaction() as session:
        if now is not None and (now.size, now.etag) == (file.size, file.etag):
            await discovered.note_hash(session, file, sha256)
        else:
            # Other bytes came meanwhile: whose hash this is nobody can say.
            await queue.put(session, uploads.KEY, [subject])
        await queue.finish(session, [claim])
