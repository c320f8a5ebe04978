"""Which concepts describe an object: where its kind takes terms, what a text there means, and which URIs are kept.

The kind's JSON Schema says where: `x-scheme` names the scheme of a field. Where it says `x-scheme-open` too, a text
that is no term stays as it was written.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.errors import Fault
from catalog.objects import kinds, resolving
from catalog.vocabulary import looking_up
from catalog.vocabulary.looking_up import Meaning

SUBJECTS = "scientific-fields"
TASKS = "ml-tasks"

Asked = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """A field that takes terms; None in the way to it stands for every member of a list."""

    way: tuple[str | None, ...]
    scheme: str
    open: bool


@dataclass(frozen=True, slots=True)
class Use:
    """A text where a term belongs."""

    pointer: str
    scheme: str
    text: str
    open: bool

    @property
    def asked(self) -> Asked:
        """The scheme and the text: what has one meaning, wherever it stands."""
        return self.scheme, self.text


@cache
def places(kind: kinds.Kind) -> Sequence[Place]:
    """Return where objects of this kind take terms."""
    schema = kind.draft().model_json_schema()
    return tuple(_places(schema, schema.get("$defs", {}), ()))


def _places(at: Mapping[str, Any], parts: Mapping[str, Any], way: tuple[str | None, ...]) -> Iterator[Place]:
    if "x-scheme" in at:
        yield Place(way, at["x-scheme"], at.get("x-scheme-open", False))
    if "$ref" in at:
        yield from _places(parts[at["$ref"].rsplit("/", 1)[-1]], parts, way)
    for option in (*at.get("anyOf", ()), *at.get("oneOf", ())):
        yield from _places(option, parts, way)
    for name, inner in at.get("properties", {}).items():
        yield from _places(inner, parts, (*way, name))
    if "items" in at:
        yield from _places(at["items"], parts, (*way, None))


def uses(kind: kinds.Kind, described: Any) -> list[Use]:
    """Return every text where a term belongs, of a description or of a record."""
    return [
        Use(pointer, place.scheme, text, place.open)
        for place in places(kind)
        for pointer, text in _found(described, place.way, "")
    ]


def _found(at: Any, way: Sequence[str | None], pointer: str) -> Iterator[tuple[str, str]]:
    if at is None:
        return
    if not way:
        if isinstance(at, str):
            yield pointer, at
        return
    name, *rest = way
    if name is not None:
        inner = at.get(name) if isinstance(at, Mapping) else getattr(at, name, None)
        yield from _found(inner, rest, f"{pointer}/{name}")
    elif isinstance(at, list):
        for place, member in enumerate(at):
            yield from _found(member, rest, f"{pointer}/{place}")


async def known(session: AsyncSession, asked: Iterable[Use], kept: Collection[Asked] = ()) -> dict[Asked, Meaning]:
    """Return what each of these texts means: one query for all of them, and some more where any is wrong.

    Those in `kept` may stay as they are, so nobody is told what else they might have been.
    """
    wanted = list(asked)
    strict = {use.asked for use in wanted if not use.open} - set(kept)
    unexplained = {use.asked for use in wanted} - strict
    return await looking_up.meanings(session, {use.asked for use in wanted}, unexplained=unexplained)


def resolved(
    there: Mapping[Asked, Meaning], named: Sequence[Use], kept: Collection[Asked] = ()
) -> tuple[dict[str, str], list[Fault]]:
    """Return the URI of each text by its pointer, and a fault for each that is no term; those in `kept` may stay."""
    uris: dict[str, str] = {}
    faults = []
    for use in named:
        meaning = there[use.asked]
        if meaning.uri is not None:
            # So is one that was written when there was no such term.
            uris[use.pointer] = meaning.uri
        elif not use.open and use.asked not in kept:
            faults.append(Fault(use.pointer, meaning.problem, meaning.suggestion))
    return uris, faults


def write_uris(record: dict[str, Any], uris: Mapping[str, str]) -> None:
    """Put the URIs where the record names terms: labels change, URIs never."""
    resolving.put_at(record, uris)
    # Two names of one concept are one subject.
    record["subjects"] = list(dict.fromkeys(record.get("subjects", ())))


async def keep(session: AsyncSession, object_id: UUID, kind: kinds.Kind, record: Mapping[str, Any]) -> None:
    """Note down which concepts describe the object now, in the transaction that changes it."""
    await session.execute(sa.text("DELETE FROM object_term WHERE object_id = :id"), {"id": object_id})
    await keep_new(session, [(object_id, use.text) for use in uses(kind, record)])


async def keep_new(session: AsyncSession, described: Sequence[tuple[UUID, str]]) -> None:
    """Note down the concepts of new objects; a text that is no concept's URI is passed over."""
    if not described:
        return
    ids, texts = zip(*described, strict=True)
    await session.execute(
        sa.text(
            "INSERT INTO object_term (object_id, concept) SELECT DISTINCT asked.object_id, concept.uri"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:texts AS text[])) AS asked (object_id, uri)"
            " JOIN concept USING (uri) ON CONFLICT DO NOTHING"
        ),
        {"ids": list(ids), "texts": list(texts)},
    )


async def faults_of(
    session: AsyncSession, named: Sequence[Sequence[Use]], *, explained: bool = True
) -> list[list[Fault]]:
    """Return, of the uses of each record, what is no term, is one no longer, or is one by now and a text still.

    Without `explained` nobody reads which terms are the nearest, and they are not looked for.
    """
    every = [use for one in named for use in one]
    there = await known(session, every, () if explained else {use.asked for use in every})
    return [[*resolved(there, one)[1], *_unread(there, one)] for one in named]


def _unread(there: Mapping[Asked, Meaning], named: Sequence[Use]) -> Iterator[Fault]:
    for use in named:
        uri = there[use.asked].uri
        if uri is not None and uri != use.text:
            message = (
                f"{use.text[:80]!r} is a text, and a term of {use.scheme} by now; any change of the record reads it"
            )
            yield Fault(use.pointer, message, uri)


async def labels_of(session: AsyncSession, kind: kinds.Kind, record: Mapping[str, Any]) -> dict[str, str]:
    """Return what the concepts that a record names are called, by URI; a version may name others than its object."""
    named = await looking_up.names_of(session, {use.text for use in uses(kind, record)})
    return {uri: one.label for uri, one in named.items()}


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index shall know of the concepts of one object, broader ones included, narrower before broader."""

    uris: Sequence[str] = ()
    texts: Sequence[str] = ()
    subjects: Sequence[str] = ()
    tasks: Sequence[str] = ()


NOTHING_INDEXED = Indexed()

_FOR_INDEX = """
    WITH RECURSIVE way AS (
        SELECT DISTINCT concept AS used, concept AS uri, 0 AS step FROM object_term WHERE object_id = ANY (:ids)
        UNION
        SELECT way.used, above, step + 1 FROM way JOIN concept USING (uri), unnest(concept.broader) AS above
        WHERE step < :most
    ), told AS (
        SELECT used, uri, min(step) AS step FROM way GROUP BY used, uri
    ), labels AS (
        SELECT concept AS uri, array_agg(DISTINCT text) AS texts FROM concept_label
        WHERE concept IN (SELECT uri FROM told) GROUP BY concept
    )
    SELECT used, array_agg(uri ORDER BY step, uri) AS uris, min(scheme) AS scheme,
        jsonb_agg(coalesce(texts, '{}') ORDER BY step, uri) AS texts
    FROM told JOIN concept USING (uri) LEFT JOIN labels USING (uri) GROUP BY used
    """
# A hierarchy may be deeper; nobody looks for a concept by what is further above it.
LEVELS_INDEXED_MAX = 20


async def for_index(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, tuple[Indexed, Indexed]]:
    """Return what the index shall know of the concepts of these objects, each concept looked up once for all.

    First with all that are broader, then of those alone that an object names.
    """
    rows = await session.execute(
        sa.text("SELECT object_id, concept FROM object_term WHERE object_id = ANY (:ids) ORDER BY object_id, concept"),
        {"ids": list(ids)},
    )
    used: dict[UUID, list[str]] = {}
    for object_id, concept in rows:
        used.setdefault(object_id, []).append(concept)
    if not used:
        return {}
    found = await session.execute(sa.text(_FOR_INDEX), {"ids": list(used), "most": LEVELS_INDEXED_MAX})
    told = {row.used: row for row in found}
    described = {}
    for object_id, uris in used.items():
        rows_of_it = [told[uri] for uri in uris]
        described[object_id] = (_indexed(rows_of_it), _indexed(rows_of_it, levels=1))
    return described


def _indexed(told: Sequence[Any], *, levels: int | None = None) -> Indexed:
    # Narrower before broader: the concept itself is the first of its row.
    def unrepeated(texts: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(texts))

    return Indexed(
        unrepeated(uri for row in told for uri in row.uris[:levels]),
        unrepeated(text for row in told for texts in row.texts[:levels] for text in texts),
        unrepeated(uri for row in told if row.scheme == SUBJECTS for uri in row.uris[:levels]),
        unrepeated(uri for row in told if row.scheme == TASKS for uri in row.uris[:levels]),
    )
