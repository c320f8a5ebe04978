"""Looking up the objects that metadata names, by id, kind/name or DOI, as far as the caller may see them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import Fault
from catalog.objects import reading
from catalog.objects.reading import NamedByDoi
from catalog.objects.references import Reference

Place = tuple[str, str, str]

VERSIONS_SHOWN_MAX = 10


@dataclass(slots=True)
class Known:
    """The objects that were found: the kind of each by id, the id of each by project, kind and name, and by DOI."""

    kinds: dict[UUID, str] = field(default_factory=dict)
    ids: dict[Place, UUID] = field(default_factory=dict)
    dois: dict[str, NamedByDoi] = field(default_factory=dict)
    # By id, the published versions of those of which a version is named, each with its label.
    versions: dict[UUID, dict[int, str | None]] = field(default_factory=dict)

    def add(self, object_id: UUID, kind: str, place: Place | None) -> None:
        """Count an object that is about to be there among those that are."""
        self.kinds[object_id] = kind
        if place is not None:
            self.ids[place] = object_id


async def known(session: AsyncSession, named: Iterable[tuple[str, Reference]], audience: Audience) -> Known:
    """Return what is there of the objects that are named, each as seen from a project."""
    named = list(named)
    wanted: set[UUID] = set()
    places: set[Place] = set()
    dois: set[str] = set()
    for project, reference in named:
        place = reference.place(project)
        if reference.doi is not None:
            dois.add(reference.doi)
        elif place is not None:
            places.add(place)
        elif reference.id is not None:
            wanted.add(reference.id)
    titles = await reading.titles_of(session, sorted(wanted), audience)
    found = Known({object_id: kind for object_id, (kind, _) in titles.items()})
    for place, object_id in (await reading.ids_of(session, sorted(places), audience)).items():
        found.add(object_id, place[1], place)
    found.dois = await reading.named_by_dois(session, sorted(dois), audience)
    for one in found.dois.values():
        found.add(one.id, one.kind, None)
    versioned = {_id_in(found, project, one) for project, one in named if one.version is not None} - {None}
    found.versions = await reading.version_names_of(session, sorted(filter(None, versioned)))
    return found


def _id_in(there: Known, project: str, reference: Reference) -> UUID | None:
    if reference.doi is not None:
        return there.dois[reference.doi].id if reference.doi in there.dois else None
    place = reference.place(project)
    return reference.id if place is None else there.ids.get(place)


def resolved(there: Known, project: str, references: Sequence[Reference]) -> tuple[dict[str, UUID], list[Fault]]:
    """Return the id of each reference by its pointer, and a fault for each that is not there or does not fit."""
    ids: dict[str, UUID] = {}
    faults = []
    for reference in references:
        object_id = _id_in(there, project, reference)
        kind = None if object_id is None else there.kinds.get(object_id)
        if object_id is None or kind is None:
            faults.append(_absent(reference))
        elif reference.kinds and kind not in reference.kinds:
            belongs = " or ".join(reference.kinds)
            message = f"the object {reference.target} is of the kind {kind}; here belongs {belongs}"
            faults.append(Fault(reference.pointer, message))
        else:
            ids[reference.pointer] = object_id
            faults += _version_faults(there, object_id, reference)
    return ids, faults


def _absent(reference: Reference) -> Fault:
    if reference.doi is None:
        return Fault(reference.pointer, f"there is no object {reference.target} that you may see")
    message = f"no object of this catalog that you may see has the DOI {reference.doi}; here belongs one that is"
    return Fault(reference.pointer, message)


def _version_faults(there: Known, object_id: UUID, reference: Reference) -> list[Fault]:
    published = there.versions.get(object_id)
    # Of an object that has published nothing yet, the text is all that is known.
    if reference.version is None or not published:
        return []
    named = None if reference.doi is None else there.dois[reference.doi].version
    known = [name for number, label in published.items() for name in (str(number), label) if name]
    if named is not None and reference.version not in {str(named), published.get(named)}:
        message = f"the DOI {reference.doi} names the version {named}, not {reference.version!r}"
        return [Fault(reference.version_pointer, message, str(named))]
    if reference.version in known:
        return []
    message = f"the object {reference.target} has no published version {reference.version!r}"
    return [Fault(reference.version_pointer, message, f"it has {', '.join(known[:VERSIONS_SHOWN_MAX])}")]


def versions_named(there: Known, references: Iterable[Reference]) -> dict[str, str]:
    """Return the number of each version that a DOI names, by the pointer where the record says the version."""
    return {
        one.version_pointer: str(there.dois[one.doi].version)
        for one in references
        if one.version_pointer
        and one.version is None
        and one.doi in there.dois
        and there.dois[one.doi].version is not None
    }


def write_ids(record: dict[str, Any], ids: Mapping[str, UUID], versions: Mapping[str, str]) -> None:
    """Put the ids where the record names objects, and versions that only a DOI said.

    Names may be given away later, ids never.
    """
    put_at(record, {pointer: str(object_id) for pointer, object_id in ids.items()})
    put_at(record, versions)


def put_at(record: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Put values where these JSON pointers lead in the record; what they lead into is there."""
    for pointer, value in values.items():
        *names, last = pointer.split("/")[1:]
        at: Any = record
        for name in names:
            at = at[int(name)] if isinstance(at, list) else at[name]
        at[int(last) if isinstance(at, list) else last] = value
