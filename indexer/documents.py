"""Index objects: read the rows, project them, write them with their revisions, and judge every item's result."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.alerts import saved, topics
from catalog.engines import Engines
from catalog.errors import CatalogError
from catalog.objects import changing, describing, discovered, kinds, naming, reading, versions
from catalog.objects.describing import Indexed
from catalog.objects.discovered import Layout
from catalog.objects.kinds.training_dataset import TrainingDataset
from catalog.objects.naming import Labelling
from catalog.objects.reading import Entry
from catalog.objects.running import range_of
from catalog.objects.tables import FileState
from catalog.quality import assessing, tables
from catalog.quality import facts as quality
from catalog.quality.assessing import Report, Told
from catalog.queue import Claim
from catalog.search.document import CreatorProjection, Own, Projection, document_from
from catalog.search.index import Outcome, Verdict, Written
from catalog.search.vectors import EMBED
from catalog.storage.keys import Stage
from indexer import embedding, handling

log = structlog.get_logger("indexer.documents")

# OpenSearch advises 1,000 to 5,000 operations a bulk; 500 keeps a lease short and freshness high.
BATCH = 500
# Longer than any lease and any request: nothing older than the tombstone can still be on its way.
TOMBSTONE_KEPT = timedelta(days=7)
PURGE = "purge"
# What is told of the concepts of an object: with all that are broader, and of those alone that it names.
Described = tuple[Indexed, Indexed]
NOT_DESCRIBED = (describing.NOTHING_INDEXED, describing.NOTHING_INDEXED)


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


async def _read(session: AsyncSession, claims: Sequence[Claim]) -> tuple[list[Entry], dict[UUID, Labelling]]:
    ids = list(filter(None, map(handling.id_of, claims)))
    return await reading.read_for_index(session, ids), await naming.labellings(session, ids)


async def step(engines: Engines) -> int:
    """Claim a batch of objects and bring their documents up to date; returns how many were claimed."""
    outcomes: dict[UUID, Outcome] = {}
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, changing.INDEX, most=BATCH)
        if not claims:
            return 0
        entries, labellings = await _read(session, claims)
        objects = list(_readable(entries, outcomes))
        described = await describing.for_index(session, [one.entry.id for one in objects])
        dois = await reading.dois_of(session, [one.entry.id for one in objects])
        there = [one for one in objects if one.entry.withdrawn_at is None]
        facts = await quality.facts_of(session, there, explained=False)
        lying = {file.backend for one in there for file in one.entry.files if file.backend is not None}
        layouts = {one: await discovered.layout_of(session, engines.placement.prefix, one) for one in sorted(lying)}
    known = {one.told.entry.id: one for one in facts}
    reports: dict[UUID, Report] = {}
    documents = []
    for one in objects:
        entry = one.entry
        try:
            if entry.id in known:
                reports[entry.id] = assessing.assess(known[entry.id])
            labelling = labellings.get(entry.id)
            indexed = described.get(entry.id, NOT_DESCRIBED)
            projected = projection_of(
                one, reports.get(entry.id), labelling, indexed, dois.get(entry.id, ()), layouts=layouts
            )
            document = document_from(projected)
            documents.append(Written(entry.id, version_of(entry, labelling), document))
        except Exception as fault:  # ruff: ignore[BLE001] - whatever is wrong with one row, its neighbours go on.
            outcomes[entry.id] = _unreadable(fault)
    try:
        outcomes |= await _write(engines, documents)
    except CatalogError:
        # The engine is away or refuses us altogether: that says nothing of the documents.
        async with engines.database.transaction() as session:
            await queue.release(session, claims)
        raise
    await _conclude(engines, claims, {entry.id: entry for entry in entries}, outcomes, reports)
    return len(claims)


def _readable(entries: Iterable[Entry], outcomes: dict[UUID, Outcome]) -> Iterator[Told]:
    for entry in entries:
        try:
            yield assessing.told(entry)
        except Exception as fault:  # ruff: ignore[BLE001] - as below.
            outcomes[entry.id] = _unreadable(fault)


def _unreadable(fault: Exception) -> Outcome:
    return Outcome(Verdict.REJECTED, f"This version cannot project the object: {_told(fault)}")


async def _write(engines: Engines, documents: Sequence[Written]) -> dict[UUID, Outcome]:
    if not documents:
        return {}
    try:
        outcomes = await engines.index.write(documents)
    except CatalogError:
        raise
    except Exception as fault:
        # Nobody foresaw this. Halving finds the document that it is about, if it is about one.
        if len(documents) > 1:
            half = len(documents) // 2
            return {**await _write(engines, documents[:half]), **await _write(engines, documents[half:])}
        log.exception("write failed", object_id=str(documents[0].id))
        return {documents[0].id: Outcome(Verdict.RETRY, f"Writing the document failed: {_told(fault)}")}
    return dict(zip((document.id for document in documents), outcomes, strict=True))


async def _conclude(
    engines: Engines,
    claims: Sequence[Claim],
    entries: dict[UUID, Entry],
    outcomes: dict[UUID, Outcome],
    reports: dict[UUID, Report],
) -> None:
    done, withdrawn = [], []
    async with engines.database.transaction() as session:
        await queue.hold(session, claims)
        for claim in claims:
            object_id = handling.id_of(claim)
            if object_id is None:
                await _park(session, claim, "The subject names no object.")
                continue
            outcome = outcomes.get(object_id)
            if outcome is None or outcome.verdict in {Verdict.WRITTEN, Verdict.STALE}:
                # No row: the entry outlived its object, and there is nothing to do. Stale: the index is ahead already.
                done.append(claim)
                if outcome is not None and entries[object_id].withdrawn_at is not None:
                    withdrawn.append(claim.subject)
            elif outcome.verdict is Verdict.REJECTED or claim.exhausted:
                await _park(session, claim, outcome.reason)
            else:
                log.warning("object postponed", object_id=claim.subject, reason=outcome.reason)
                await queue.postpone(session, claim, reason=outcome.reason)
        await queue.finish(session, done)
        await queue.put(session, PURGE, withdrawn, after=TOMBSTONE_KEPT)
        if await saved.anything(session):
            # Whatever was written, here or by another: who has saved a search for it?
            done_ids = {claim.subject for claim in done}
            there = [str(one) for one in outcomes if str(one) in done_ids and str(one) not in withdrawn]
            await queue.put(session, topics.MATCH, there)
        if await embedding.is_wanted(engines, session):
            await queue.put(session, EMBED, [claim.subject for claim in done])
        await tables.keep(session, {one: report for one, report in reports.items() if str(one) not in withdrawn})


async def _park(session: AsyncSession, claim: Claim, reason: str) -> None:
    log.error("object parked", object_id=claim.subject, reason=reason)
    await queue.park(session, claim, reason=reason)


async def purge_step(engines: Engines) -> int:
    """Remove tombstones that have served their time; returns how many were claimed."""
    async with engines.database.transaction() as session:
        claims = await queue.claim(session, PURGE, most=BATCH)
        if not claims:
            return 0
        entries, labellings = await _read(session, claims)
    outcomes = {
        str(entry.id): await engines.index.purge(entry.id, version_of(entry, labellings.get(entry.id)))
        for entry in entries
    }
    async with engines.database.transaction() as session:
        await queue.hold(session, claims)
        for claim in claims:
            outcome = outcomes.get(claim.subject)
            if outcome is not None and outcome.verdict is Verdict.RETRY:
                await queue.postpone(session, claim, reason=outcome.reason)
            else:
                await queue.finish(session, [claim])
    return len(claims)


def _told(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}"
