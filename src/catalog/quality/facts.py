"""Reading what an assessment takes: of many objects at once, a statement for each kind of fact."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import PUBLIC
from catalog.objects import describing, reading, versions
from catalog.outside import tables as outside
from catalog.provenance import recording
from catalog.quality.assessing import Facts, Told


async def facts_of(session: AsyncSession, objects: Sequence[Told], *, explained: bool = True) -> list[Facts]:
    """Return the facts of each object, in their order; `explained` wrong terms come with the nearest right ones."""
    ids = [one.entry.id for one in objects]
    named = {reference.id for one in objects for reference in one.references if reference.id is not None}
    looks = await outside.looks_at(session, {address.address for one in objects for address in one.outside})
    withdrawn = await reading.withdrawn_among(session, sorted(named))
    disturbed = await versions.disturbed(session, ids)
    origins = await recording.told_of(session, ids)
    wrong_terms = await describing.faults_of(session, [one.terms for one in objects], explained=explained)
    return [
        Facts(
            one,
            looks,
            frozenset(gone for gone, readers in withdrawn.items() if _known_to(one.entry.readers, readers)),
            disturbed.get(one.entry.id, []),
            bool(one.references) or one.entry.id in origins,
            wrong,
        )
        for one, wrong in zip(objects, wrong_terms, strict=True)
    ]


def _known_to(readers: Sequence[str], others: Sequence[str]) -> bool:
    """Whether all who may see one object may see the other: else its quality would tell of what they may not know."""
    return PUBLIC in others or set(readers) <= set(others)
