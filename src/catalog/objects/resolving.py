"""Looking up the objects that metadata names, by id or by kind/name, as far as the caller may see them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import Fault
from catalog.objects import reading
from catalog.objects.references import Reference

Place = tuple[str, str, str]


@dataclass(slots=True)
class Known:
    """The objects that were found: the kind of each by id, and the id of each by project, kind and name."""

    kinds: dict[UUID, str] = field(default_factory=dict)
    ids: dict[Place, UUID] = field(default_factory=dict)

    def add(self, object_id: UUID, kind: str, place: Place | None) -> None:
        """Count an object that is about to be there among those that are."""
        self.kinds[object_id] = kind
        if place is not None:
            self.ids[place] = object_id


async def known(session: AsyncSession, named: Iterable[tuple[str, Reference]], audience: Audience) -> Known:
    """Return what is there of the objects that are named, each as seen from a project."""
    wanted: set[UUID] = set()
    places: set[Place] = set()
    for project, reference in named:
        place = reference.place(project)
        if place is not None:
            places.add(place)
        elif reference.id is not None:
            wanted.add(reference.id)
    titles = await reading.titles_of(session, sorted(wanted), audience)
    found = Known({object_id: kind for object_id, (kind, _) in titles.items()})
    for place, object_id in (await reading.ids_of(session, sorted(places), audience)).items():
        found.add(object_id, place[1], place)
    return found


def resolved(there: Known, project: str, references: Sequence[Reference]) -> tuple[dict[str, UUID], list[Fault]]:
    """Return the id of each reference by its pointer, and a fault for each that is not there or does not fit."""
    ids: dict[str, UUID] = {}
    faults = []
    for reference in references:
        place = reference.place(project)
        object_id = reference.id if place is None else there.ids.get(place)
        kind = None if object_id is None else there.kinds.get(object_id)
        if object_id is None or kind is None:
            faults.append(Fault(reference.pointer, f"there is no object {reference.target} that you may see"))
        elif reference.kinds and kind not in reference.kinds:
            belongs = " or ".join(reference.kinds)
            message = f"the object {reference.target} is of the kind {kind}; here belongs {belongs}"
            faults.append(Fault(reference.pointer, message))
        else:
            ids[reference.pointer] = object_id
    return ids, faults


def write_ids(record: dict[str, Any], ids: Mapping[str, UUID]) -> None:
    """Put the ids where the record names objects: names may be given away later, ids never."""
    for pointer, object_id in ids.items():
        *names, last = pointer.split("/")[1:]
        at: Any = record
        for name in names:
            at = at[int(name)] if isinstance(at, list) else at[name]
        at[int(last) if isinstance(at, list) else last] = str(object_id)
