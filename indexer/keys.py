"""Look at keys: what a notification only hinted at is asked of the store, and rows are brought in line with it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import CatalogError, NotFound, Unavailable
from catalog.inventory import fixity
from catalog.objects import arriving, discovered, moving, uploads, versions
from catalog.objects.discovered import Lying
from catalog.objects.uploads import Claimed, Seen
from catalog.queue import LEASE_OF_A_MOMENT, Claim
from catalog.storage import parts
from catalog.storage.keys import nameable
from catalog.storage.s3 import Stat, Store
from catalog.storage.stores import Detached, NoSuchBackend
from indexer import handling

log = structlog.get_logger("indexer.keys")

# A HEAD takes a few milliseconds; a small batch keeps leases short when a store is slow.
BATCH = 64
# Connections to one store at a time: enough to hide its latency, few enough to leave it to its users.
LOOKS_AT_ONCE = 16
# So many keys at once are a folder; fewer are settled one by one, each with a revision of its own.
TOGETHER_LEAST = 8
# Larger files are read in a lane of their own, where only those wait that have to be read as well: a store gives some
# 100 MiB a second, so that this much is read in the time of a few looks.
READ_HERE_MAX = 8 * 1024 * 1024


class NoSuchKey(CatalogError):
    """The subject names no key."""


class UnnameableKey(CatalogError):
    """The key has . or .. parts, which are steps in an address: no store can be asked for it."""


class _ToBeRead(Exception):
    """Whether the bytes are the right ones is known only once they were read, and that takes long."""


async def step(engines: Engines) -> int:
    """Claim a batch of keys, look at each, settle what was found; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, uploads.KEY, most=BATCH, lease=LEASE_OF_A_MOMENT)
    if not claims:
        return 0
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)
    in_hand = {claim.id: claim for claim in claims}
    async with handling.kept(engines, in_hand, lease=LEASE_OF_A_MOMENT):
        answers: dict[int, _Answer] = {}
        if len(claims) >= TOGETHER_LEAST:
            for done in await _settled_together(engines, claims, gate, answers):
                del in_hand[done.id]
        left = [(claim, answers.get(claim.id)) for claim in in_hand.values()]
        await handling.all_of(_handle(engines, claim, gate, in_hand, answer) for claim, answer in left)
    return len(claims)


async def read_step(engines: Engines) -> int:
    """Look at the key that has waited longest to have its bytes read; returns how many were claimed."""
    return await handling.next_one(engines, uploads.READ, _read, log=log, doing="Reading the bytes under the key")


async def _read(engines: Engines, claim: Claim) -> None:
    try:
        look = await _settle(engines, claim, None, reading=True)
        if look is None:
            return
        # Others look at the key while it is read. What they saw of later bytes, ours has undone: it is looked at again.
        again = look.ours and not await _is_still(engines, claim, look.seen)
    except CatalogError as fault:
        await _later(engines, claim, fault)
        return
    async with engines.database.transaction() as session:
        # What is read before what is looked at, as everybody locks them.
        await queue.finish(session, [claim])
        if again:
            await queue.put(session, uploads.KEY, [claim.subject])


async def _is_still(engines: Engines, claim: Claim, seen: Seen | None) -> bool:
    backend, _, key = uploads.location_of(claim.subject)
    try:
        found = await (await engines.store_of(backend)).stat(key)
    except (Detached, NoSuchBackend):
        return seen is None
    if found is None or seen is None:
        return found is None and seen is None
    return (found.etag, found.version_id) == (seen.etag, seen.store_version)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the store has just said of a key; None where nothing lies there."""

    found: Stat | None


async def _settled_together(
    engines: Engines, claims: Sequence[Claim], gate: asyncio.Semaphore, answers: dict[int, _Answer]
) -> list[Claim]:
    """Settle the many files that have arrived as declared in one go, and return their claims; others are left.

    Puts down what the store said of each key that it was asked for, by the claim's id: it need not be asked again.
    """
    async with engines.database.transaction() as session:
        awaited = await arriving.awaited(session, [claim.subject for claim in claims])
    mine = [claim for claim in claims if claim.subject in awaited]

    async def ask(claim: Claim) -> None:
        upload = awaited[claim.subject]
        async with gate:
            # Whatever fails here is looked at once more by itself, and told then: nothing that one store answers may
            # cost the keys of others their turn.
            with suppress(Exception):
                answers[claim.id] = _Answer(await (await engines.store_of(upload.backend)).stat(upload.key))

    await asyncio.gather(*map(ask, mine))
    arrived = {}
    for claim in mine:
        upload, answer = awaited[claim.subject], answers.get(claim.id)
        if answer is not None and answer.found is not None and upload.is_brought(seen := _seen(answer.found)):
            arrived[claim.id] = (upload.id, seen)
    async with engines.database.transaction() as session:
        held = await queue.hold(session, [claim for claim in mine if claim.id in arrived])
        done = await arriving.settle(session, dict(arrived[claim.id] for claim in held))
        settled = [claim for claim in held if arrived[claim.id][0] in done]
        await queue.finish(session, settled)
    return settled


def _seen(found: Stat) -> Seen:
    return Seen(found.size, found.sha256, found.etag, found.version_id)


async def _handle(
    engines: Engines, claim: Claim, gate: asyncio.Semaphore, in_hand: dict[int, Claim], answer: _Answer | None
) -> None:
    async with gate:
        try:
            await _settle(engines, claim, answer)
        except CatalogError as fault:
            await _later(engines, claim, fault)
        except Exception as fault:
            if handling.is_away(fault):
                # Where the reason would be noted is there: the lease brings the key back.
                raise
            # Nobody foresaw this. It must cost neither the process nor the other keys anything.
            log.exception("look failed", subject=claim.subject)
            reason = f"Looking at the key failed: {type(fault).__name__}: {fault}"
            await _later(engines, claim, CatalogError(reason))
        finally:
            del in_hand[claim.id]


async def _settle(engines: Engines, claim: Claim, answer: _Answer | None, *, reading: bool = False) -> "_Look | None":
    """Bring rows in line with what lies under a key, and return it; None where another has, or will.

    Ends the claim, but not one for which the bytes were read.
    """
    try:
        backend, bucket, key = uploads.location_of(claim.subject)
    except ValueError:
        raise NoSuchKey from None
    if not nameable(key):
        raise UnnameableKey
    async with engines.database.transaction() as session:
        known = await _known(session, backend, bucket, key)
    if known.moving or key.endswith("/"):
        # Bytes on their way: whoever moves them looks at them, and may have moved them by now. Or a folder, as some
        # stores make one of each part of a key: no listing of ours has it either.
        async with engines.database.transaction() as session:
            await queue.finish(session, [claim])
        return None
    try:
        look = await _look(engines, known, answer, reading=reading)
    except _ToBeRead:
        async with engines.database.transaction() as session:
            await queue.put(session, uploads.READ, [claim.subject])
            await queue.finish(session, [claim])
        return None
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            # Another worker has looked since, and what it saw is newer: settling ours would undo it for good.
            log.info("look overtaken", subject=claim.subject)
            return None
        if not look.ours:
            layout = await discovered.layout_of(session, engines.placement.prefix, backend)
            await discovered.note(session, backend, bucket, key, look.lying, layout=layout)
            await queue.finish(session, [claim])
            return look
        await fixity.mended(session, backend, bucket, key, look.mended)
        again_at = await uploads.settle(session, backend, bucket, key, look.seen)
        lost_at = await versions.settle(session, (backend, bucket, key), look.seen, look.kept)
        look_at = again_at or lost_at
        if reading:
            if look_at is not None:
                await queue.put(session, uploads.KEY, [claim.subject], after=look_at - now())
        elif look_at is None:
            await queue.finish(session, [claim])
        else:
            awaiting = "awaiting bytes" if look.seen is None else "until its ticket has ended"
            reason = "confirming a loss" if again_at is None else awaiting
            await queue.postpone(session, claim, reason=reason, after=look_at - now())
    return look


@dataclass(frozen=True, slots=True)
class _Look:
    """What lies under a key: of ours, with the published versions of it that the store still has; or of others."""

    ours: bool
    seen: Seen | None = None
    kept: Mapping[str, bool] = field(default_factory=dict)
    lying: Lying | None = None
    # Versions that were found to be others once and are what they should be; without versions, the empty one.
    mended: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What rows say of a place: an upload of ours, what was published, what was found to be altered.

    `moving` where a relocation was given the key, and nothing names it yet.
    """

    place: versions.Place
    claim: Claimed | None
    published: Sequence[tuple[str | None, int]]
    altered: Mapping[str, str]
    moving: bool

    @property
    def sizes(self) -> set[int | None]:
        """How many bytes may lie there."""
        return {None if self.claim is None else self.claim.size, *(size for _, size in self.published)}

    def suspects(self, found: Stat) -> bool:
        """Whether these bytes were found to be others than the store says, as it was told once."""
        return (found.version_id or "") in self.altered


async def _known(session: AsyncSession, backend: str, bucket: str, key: str) -> _Known:
    claim = await uploads.claim_on(session, backend, bucket, key)
    published = await versions.published_under(session, (backend, bucket, key))
    altered = await fixity.altered_under(session, backend, bucket, key)
    of_others = claim is None and not published
    moves = of_others and await moving.is_copy(session, backend, bucket, key)
    return _Known((backend, bucket, key), claim, published, altered, moves)


async def _look(engines: Engines, known: _Known, answer: _Answer | None, *, reading: bool) -> _Look:
    (backend, _, key), claim = known.place, known.claim
    published, altered = known.published, known.altered
    if altered and not reading:
        raise _ToBeRead
    try:
        store = await engines.store_of(backend)
    except (Detached, NoSuchBackend):
        # Nothing can be had from there any more: what it held is missing, like bytes that were removed.
        return _Look(ours=claim is not None or bool(published))
    if claim is not None and claim.size is None and not published:
        # The key of an upload that a newer one took over: what lies there is of no more use, and takes room.
        if claim.multipart_id is not None:
            await store.abort_multipart(key, claim.multipart_id)
        left = await store.stat(key)
        return _Look(ours=True, seen=None if left is None else Seen(left.size, None, left.etag, left.version_id))
    found = await _found(engines, store, key, claim, answer, reading=reading)
    if claim is None and not published:
        if found is None:
            return _Look(ours=False)
        lying = Lying(found.size, found.etag, found.media_type, found.version_id, found.modified_at)
        return _Look(ours=False, lying=lying)
    kept = {}
    for store_version in filter(None, (name for name, _ in published)):
        if store_version in altered:
            kept[store_version] = await _is_again(store, key, store_version, altered[store_version])
            continue
        there = found is not None and found.version_id == store_version
        kept[store_version] = there or await store.stat(key, version_id=store_version) is not None
    if found is None:
        return _Look(ours=True, kept=kept)
    sha256 = await _sha256_of(engines, store, found, known, reading=reading)
    suspected = known.suspects(found)
    again = [name for name, declared in altered.items() if kept.get(name) or (suspected and sha256 == declared)]
    replaceable = found.version_id is None and not (store.capabilities.verifies or store.capabilities.writes_once)
    seen = Seen(found.size, sha256, found.etag, found.version_id, replaceable=replaceable)
    return _Look(ours=True, seen=seen, kept=kept, mended=again)


async def _sha256_of(engines: Engines, store: Store, found: Stat, known: _Known, *, reading: bool) -> str | None:
    """Return the SHA-256 of what lies there; None where its size says enough. Raises _ToBeRead."""
    # The store keeps none of the whole, or one that it never compared: what was read once is not read again, and the
    # rest is, in constant memory. Bytes that are suspected are read in any case.
    if not known.suspects(found):
        if found.sha256 is not None:
            return found.sha256
        async with engines.database.transaction() as session:
            read = await uploads.read_before(session, *known.place)
        if (before := read.get((found.version_id, found.etag))) is not None:
            return before
    if found.size not in known.sizes:
        return None
    if not reading and found.size > READ_HERE_MAX:
        raise _ToBeRead
    return await store.sha256_of(known.place[2], version_id=found.version_id)


async def _is_again(store: Store, key: str, version_id: str, sha256: str) -> bool:
    try:
        return await store.sha256_of(key, version_id=version_id) == sha256
    except NotFound:
        return False


async def _found(
    engines: Engines, store: Store, key: str, claim: Claimed | None, answer: _Answer | None, *, reading: bool
) -> Stat | None:
    """Return what lies under a key, once its parts were joined if the client has brought them all; raises _ToBeRead."""
    found = (answer or _Answer(await store.stat(key))).found
    if claim is None or claim.multipart_id is None:
        return found
    if found is not None or claim.over:
        # Another look has joined the parts, the bytes came whole, or nobody may bring more.
        await store.abort_multipart(key, claim.multipart_id)
    elif claim.sent:
        # Some stores take minutes to join thousands of parts, and the whole has to be read afterwards.
        if not reading:
            raise _ToBeRead
        if await _joined(engines, store, key, claim, claim.multipart_id):
            return await store.stat(key)
    return found


async def _joined(engines: Engines, store: Store, key: str, claim: Claimed, multipart_id: str) -> bool:
    """Make one object of an upload's parts, which the client has brought all; whether it was done."""
    cut = None if claim.size is None else parts.cut(claim.size)
    held = await store.parts_of(key, multipart_id)
    if cut is None or held is None or parts.missing(cut, held):
        # The store has lost what it had when the client was told that nothing is missing.
        async with engines.database.transaction() as session:
            await uploads.not_sent(session, claim.upload_id)
        return False
    await store.complete_multipart(key, multipart_id, held)
    log.info("parts joined", upload=str(claim.upload_id), parts=cut.count)
    return True


async def _later(engines: Engines, claim: Claim, fault: CatalogError) -> None:
    hopeless = isinstance(fault, NoSuchKey | UnnameableKey) or (claim.exhausted and not isinstance(fault, Unavailable))
    async with engines.database.transaction() as session:
        if not await queue.hold(session, [claim]):
            return
        if hopeless:
            log.error("key parked", subject=claim.subject, reason=fault.detail)
            await queue.park(session, claim, reason=fault.detail)
        else:
            log.warning("key postponed", subject=claim.subject, reason=fault.detail, attempts=claim.attempts)
            await queue.postpone(session, claim, reason=fault.detail, after=min(claim.delay, timedelta(minutes=1)))
