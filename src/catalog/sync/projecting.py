"""What the index shall know of objects: their rows, and all else that a document is made of, read and projected.

`gathered` reads in the caller's transaction, `projected` is pure. The indexer writes what comes out, and the index is
held against it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.objects import describing, discovered, kinds, naming, reading, versions
from catalog.objects.describing import Indexed
from catalog.objects.discovered import Layout
from catalog.objects.kinds.training_dataset import TrainingDataset
from catalog.objects.naming import Labelling
from catalog.objects.reading import Entry
from catalog.objects.running import range_of
from catalog.objects.tables import FileState
from catalog.quality import assessing
from catalog.quality import facts as quality
from catalog.quality.assessing import Facts, Report, Told
from catalog.search.document import CreatorProjection, Own, Projection, document_from
from catalog.search.index import Written
from catalog.storage.keys import Stage

# What is told of the concepts of an object: with all that are broader, and of those alone that it names.
Described = tuple[Indexed, Indexed]
NOT_DESCRIBED = (describing.NOTHING_INDEXED, describing.NOTHING_INDEXED)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Objects with all that their documents are made of, of one transaction; and why some cannot be read."""

    entries: Mapping[UUID, Entry]
    told: Sequence[Told]
    labellings: Mapping[UUID, Labelling]
    described: Mapping[UUID, Described]
    dois: Mapping[UUID, Sequence[str]]
    facts: Mapping[UUID, Facts]
    layouts: Mapping[str, Layout]
    unreadable: Mapping[UUID, str]


@dataclass(frozen=True, slots=True)
class Projected:
    """Documents with their versions, how good the records are, and why some objects have no document."""

    documents: Sequence[Written]
    reports: Mapping[UUID, Report]
    unreadable: Mapping[UUID, str]


async def gathered(session: AsyncSession, ids: Sequence[UUID], *, prefix: str) -> Gathered:
    """Return what there is of these objects; `prefix` is that of the catalog's own store."""
    entries = await reading.read_for_index(session, ids)
    labellings = await naming.labellings(session, ids)
    unreadable: dict[UUID, str] = {}
    objects = list(_readable(entries, unreadable))
    described = await describing.for_index(session, [one.entry.id for one in objects])
    dois = await reading.dois_of(session, [one.entry.id for one in objects])
    there = [one for one in objects if one.entry.withdrawn_at is None]
    facts = await quality.facts_of(session, there, explained=False)
    lying = {file.backend for one in there for file in one.entry.files if file.backend is not None}
    return Gathered(
        {entry.id: entry for entry in entries},
        objects,
        labellings,
        described,
        dois,
        {one.told.entry.id: one for one in facts},
        {one: await discovered.layout_of(session, prefix, one) for one in sorted(lying)},
        unreadable,
    )


def projected(objects: Gathered) -> Projected:
    """Return the documents; whatever is wrong with one object, its neighbours have theirs."""
    documents: list[Written] = []
    reports: dict[UUID, Report] = {}
    unreadable = dict(objects.unreadable)
    for one in objects.told:
        entry = one.entry
        try:
            if entry.id in objects.facts:
                reports[entry.id] = assessing.assess(objects.facts[entry.id])
            labelling = objects.labellings.get(entry.id)
            projection = projection_of(
                one,
                reports.get(entry.id),
                labelling,
                objects.described.get(entry.id, NOT_DESCRIBED),
                objects.dois.get(entry.id, ()),
                layouts=objects.layouts,
            )
            documents.append(Written(entry.id, version_of(entry, labelling), document_from(projection)))
        except Exception as fault:  # ruff: ignore[BLE001] - whatever is wrong with one row, its neighbours go on.
            unreadable[entry.id] = _unreadable(fault)
    return Projected(documents, reports, unreadable)


def _readable(entries: Sequence[Entry], unreadable: dict[UUID, str]) -> Iterator[Told]:
    for entry in entries:
        try:
            yield assessing.told(entry)
        except Exception as fault:  # ruff: ignore[BLE001] - as above.
            unreadable[entry.id] = _unreadable(fault)


def _unreadable(fault: Exception) -> str:
    return f"This version cannot project the object: {type(fault).__name__}: {fault}"


def projection_of(
    told: Told,
    report: Report | None,
    labelling: Labelling | None = None,
    described: Described = NOT_DESCRIBED,
    dois: Sequence[str] = (),
    *,
    layouts: Mapping[str, Layout] = MappingProxyType({}),
) -> Projection:
    """Return what the index shall know: an object, how good its record is, who may see its labels, terms and DOIs.

    `layouts` are those of the backends that its files lie in.
    """
    entry, record = told.entry, told.entry.record
    broad, own = described
    elsewhere = record.get("identifiers", ())
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
        name=record.get("name"),
        # The same object under a DOI of another registry is found by it as by one of ours.
        dois=[*dois, *(one["value"] for one in elsewhere if one["type"].upper() == "DOI")],
        identifiers=[one["value"] for one in elsewhere if one["type"].upper() != "DOI"],
        licence=record.get("licence"),
        year=entry.year,
        visibility=record["visibility"],
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        formats=sorted({file.media_type for file in entry.files}),
        stages=sorted(_stages(entry, layouts)),
        # A concept is found by its labels; its URI has no words.
        member_texts=[
            text for text in (record.get("name"), *told.metadata.searchable()) if text and text not in entry.terms
        ],
        concepts=broad.uris,
        terms=broad.texts,
        subjects=broad.subjects,
        tasks=broad.tasks,
        own=Own(own.uris, own.texts, own.subjects, own.tasks),
        file_paths=[file.path for file in entry.files],
        hashes=sorted({file.sha256 for file in entry.files}),
        files=len(entry.files),
        bytes=sum(file.size for file in entry.files),
        sensors=list(told.metadata.instruments()),
        runtimes=[(need.name, *range_of(need.version)) for need in told.metadata.runtimes()],
        holds=_holds(told),
        place=list(_places(record)),
        state=versions.state_of(entry),
        quality=None if report is None else report.band,
        label_readers=_label_readers(entry, told.metadata, labelling),
        withdrawn=entry.withdrawn_at is not None,
    )


def _stages(entry: Entry, layouts: Mapping[str, Layout]) -> set[Stage]:
    found: set[Stage] = set()
    for file in entry.files:
        layout = layouts.get(file.backend or "")
        if layout is not None and file.key is not None and file.state == FileState.AVAILABLE:
            _, stage = layout.standing(file.key)
            found |= set() if stage is None else {stage}
    return found


def _holds(told: Told) -> tuple[datetime, datetime | None] | None:
    """Return from when to when an object holds: as its kind says, else by the time that it covers."""
    said = told.metadata.validity()
    if said is not None:
        return said
    span = (told.entry.record.get("coverage") or {}).get("temporal")
    if span is None:
        return None
    end = span.get("end")
    return datetime.fromisoformat(span["start"]), None if end is None else datetime.fromisoformat(end)


def _places(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    spatial = (record.get("coverage") or {}).get("spatial") or {}
    if (point := spatial.get("point")) is not None:
        yield {"type": "point", "coordinates": [point["longitude"], point["latitude"]]}
    if (box := spatial.get("box")) is not None:
        yield {"type": "envelope", "coordinates": [[box["west"], box["north"]], [box["east"], box["south"]]]}


def _label_readers(entry: Entry, metadata: kinds.Metadata, labelling: Labelling | None) -> list[str]:
    readers = set() if labelling is None else set(labelling.readers)
    if isinstance(metadata, TrainingDataset) and metadata.labelled:
        readers |= set(entry.readers)
    return sorted(readers)


def version_of(entry: Entry, labelling: Labelling | None) -> int:
    """Return the version of a document: it grows with every change of the object, of its labels, and of its terms."""
    return entry.document_version + (0 if labelling is None else labelling.changes)
