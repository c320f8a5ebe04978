"""What is done about what a store told, whichever way it came: keys of ours are queued to be looked at.

What cannot be read of the catalog's own store is kept with the reason: whoever sent it would send it again for ever.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from catalog.database import Database
from catalog.objects import uploads
from catalog.objects.uploads import Placement
from catalog.queue import Notes
from catalog.storage import backends, unreadable
from catalog.storage.backends import Backend
from catalog.storage.dialects.noticed import Noticed, UnreadableNotification
from catalog.storage.keys import OWN, PROBES

# Longer than any key we ever hand out; what does not fit an index row cannot be ours either.
SUBJECT_BYTES_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What a body told; `reason` where not all of it could be read."""

    dialect: str
    body: bytes
    told: Sequence[Noticed] = ()
    reason: str | None = None


def read(dialect: str, body: bytes, parse: Callable[[], list[Noticed]]) -> Heard:
    """Return what a body tells, whatever it is."""
    try:
        return Heard(dialect, body, parse())
    except UnreadableNotification as fault:
        return Heard(dialect, body, fault.beside, fault.detail)


async def keep(database: Database, notes: Notes, placement: Placement, heard: Heard) -> None:
    """Queue what the catalog's own store told; when this returns, it is committed.

    Raises psycopg.Error, or SQLAlchemy's, when it is not.
    """
    subjects = {uploads.subject_of(OWN, noticed.bucket, noticed.key) for noticed in heard.told}
    own = f"{OWN}/{placement.bucket}/"
    # What trying our own store brought is gone again, and nobody's.
    within = f"{placement.prefix}/" if placement.prefix else ""
    tried = f"{own}{within}{PROBES}/"
    subjects = {subject for subject in subjects if not subject.startswith(tried) and _fits(subject)}
    ours = [subject for subject in subjects if subject.startswith(own)]
    others = [subject for subject in subjects if not subject.startswith(own)]
    if heard.reason is not None or others:
        async with database.transaction() as session:
            if heard.reason is not None:
                await unreadable.keep(session, dialect=heard.dialect, reason=heard.reason, body=heard.body)
            # Of other buckets what a ticket of ours was for, and what lies in a backend for data, whichever store
            # speaks: one server may have the buckets of several, and a hint does no harm.
            places = [uploads.location_of(one)[1:] for one in others]
            ours += await uploads.awaited_elsewhere(session, places)
            ours += lying_in(await backends.holding(session, {bucket for bucket, _ in places}), places)
    await notes.put(uploads.KEY, ours)


def lying_in(held: Sequence[Backend], places: Collection[tuple[str, str]]) -> list[str]:
    """Return where to look for keys that lie within these backends."""
    return [
        uploads.subject_of(str(backend.id), bucket, key)
        for backend in held
        for bucket, key in places
        if bucket == backend.place.bucket and key.startswith(backend.place.within)
    ]


def _fits(subject: str) -> bool:
    return "\x00" not in subject and len(subject.encode(errors="replace")) <= SUBJECT_BYTES_MAX
