"""What the pages show, read in one moment: an object with its versions, and what a public DOI leads to.

No routes: the pages are another room, and read as the API does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import ANONYMOUS, Audience
from catalog.access.principals import Caller
from catalog.api import requests
from catalog.api import versions as versions_api
from catalog.api.requests import AnyRequest
from catalog.api.versions import ShownPublished, ShownVersion
from catalog.database import consistently
from catalog.doi import describing, minting
from catalog.doi.describing import House
from catalog.doi.minting import DoiView
from catalog.doi.tables import PUBLIC
from catalog.errors import Gone, NotFound
from catalog.exchange.work import Work
from catalog.objects import reading, versions
from catalog.objects.reading import Entry
from catalog.objects.versions import Published, VersionView
from catalog.snapshots import freezing

# Far more than anybody reads on a page.
TITLES_SHOWN_MAX = 500
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Whole:
    """An object with its versions, one of them whole where one is meant, and what others are told of it."""

    entry: Entry
    kept: Sequence[VersionView]
    work: Work
    published: Published | None
    # What the terms of the published description are called.
    terms: Mapping[str, str]
    # Of the objects that its metadata names, as far as the caller may see them.
    titles: Mapping[UUID, str]

    @property
    def shown_versions(self) -> list[ShownVersion]:
        """The versions as a list shows them; none of an object of which nothing is published now."""
        return [] if self.entry.version is None else [versions_api.shown(one) for one in self.kept]

    @property
    def shown(self) -> ShownPublished | None:
        """The version that is meant, as the wire shows it."""
        return None if self.published is None else versions_api.shown_whole(self.published, self.entry.kind, self.terms)


async def read(request: AnyRequest, object_id: UUID, caller: Caller, name: str | None = None) -> Whole:
    """Return an object, or the version of it that is named, with all that its page shows; the pages read through here.

    Raises NotFound, Gone.
    """
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        await consistently(session)
        entry, kept = await versions.listed(session, object_id, caller.audience)
        version = None if name is None else versions.named(object_id, kept, name)
        return await whole_of(session, entry, kept, version, house=engines.house, audience=caller.audience)


async def whole_of(
    session: AsyncSession,
    entry: Entry,
    kept: Sequence[VersionView],
    version: VersionView | None,
    *,
    house: House,
    audience: Audience,
    doi: str | None = None,
) -> Whole:
    """Return an object that has been found, and one of its versions, with what others are told of it."""
    published = None if version is None else await versions.read(session, version)
    terms = {} if published is None else await versions_api.labels_of(session, entry, published)
    work = await describing.work_of(session, entry, house, audience, published=published, doi=doi)
    record = entry.record if published is None else published.record
    titles = await reading.titles_of(session, _ids_in(record["metadata"]), audience)
    told = {object_id: title for object_id, (_, title) in titles.items()}
    return Whole(entry, kept, work, published, terms, told)


def _ids_in(value: Any) -> list[UUID]:
    """Return the ids of objects that stand in metadata, the first of them where there are very many."""
    found: dict[UUID, None] = {}
    waiting = [value]
    while waiting and len(found) < TITLES_SHOWN_MAX:
        match waiting.pop():
            case Mapping() as several:
                waiting.extend(several.values())
            case list() as several:
                waiting.extend(several)
            case str() as text if _ID.fullmatch(text):
                found[UUID(text)] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class Landing:
    """What a public DOI leads to: an object as it stands or as published, a snapshot; where it is gone, what became."""

    view: DoiView
    whole: Whole | None = None
    snapshot: Work | None = None
    gone: str | None = None
    # The object that is left of which a version is gone.
    left: UUID | None = None

    @property
    def work(self) -> Work | None:
        """What others are told of it; none where it is gone."""
        return self.snapshot if self.whole is None else self.whole.work


async def landing_of(request: AnyRequest, doi: str) -> Landing:
    """Return what everybody is shown at a DOI's page; raises NotFound where no registry has made it public."""
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        await consistently(session)
        view = None if "\x00" in doi else await minting.find(session, doi.lower())
        if view is None or view.state not in PUBLIC or view.registered is None:
            raise NotFound(f"There is no DOI {doi[:80]!r} here that leads anywhere.")
        if view.object_id is None:
            snapshot = await freezing.find_even_withdrawn(session, view.snapshot_id or UUID(int=0))
            if snapshot.withdrawn_at is not None:
                return Landing(
                    view, gone=f"It was withdrawn on {freezing.withdrawn(snapshot.withdrawn_at, snapshot.reason)}"
                )
            return Landing(view, snapshot=describing.snapshot_work(snapshot, engines.house, doi=view.doi))
        try:
            entry = await reading.find_even_withdrawn(session, view.object_id, ANONYMOUS)
        except NotFound:
            return Landing(view, gone="It is not public any more.")
        if entry.withdrawn_at is not None:
            reason = reading.stopped(entry.withdrawal_reason or "No reason was given")
            return Landing(view, gone=f"It was withdrawn on {entry.withdrawn_at:%Y-%m-%d}: {reason}")
        kept = await versions.all_of(session, entry.id)
        version = None
        if view.version is not None:
            try:
                version = versions.named(entry.id, kept, str(view.version))
            except (NotFound, Gone) as fault:
                return Landing(view, gone=fault.detail, left=entry.id)
        whole = await whole_of(session, entry, kept, version, house=engines.house, audience=ANONYMOUS, doi=view.doi)
    return Landing(view, whole)
