"""Looking up schemes and concepts, and what a text means in a scheme: a concept, or the nearest ones.

A text is a concept's URI, notation, label or synonym in any language; case, accents and doubled spaces do not matter.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.database import Database
from catalog.errors import NotFound
from catalog.vocabulary.tables import Scheme
from catalog.vocabulary.terms import folded

NEAREST = 3
NUL = "\x00"
# Shares of common trigrams: what is close is found fast, even among 100,000 concepts; only where too little is, the
# rest is looked through as well. Below the last two words have nothing to do with each other.
NEAR_SIMILARITIES = (0.4, 0.1)
# A retired concept's replacement may be retired later, and so on; nobody follows further.
REPLACEMENTS_FOLLOWED_MAX = 10
# The nearest concepts of a text cost up to some ten milliseconds; one who writes more wrong terms at once sees the rest
# when these are mended.
EXPLAINED_MAX = 20

_schemes = SQLModel.metadata.tables[str(Scheme.__tablename__)]


@dataclass(frozen=True, slots=True)
class SchemeView:
    """A scheme as it stands, with how many concepts it has."""

    name: str
    uri: str
    title: str
    description: str
    licence: str | None
    source: str | None
    version: str | None
    revision: int
    digest: bytes
    concepts: int
    deprecated: int


@dataclass(frozen=True, slots=True)
class ConceptView:
    """A concept as it stands; `labels` are kind, language and text of each."""

    uri: str
    scheme: str
    label: str
    labels: list[tuple[str, str, str]]
    definitions: Mapping[str, str]
    broader: list[str]
    narrower: list[str]
    related: list[str]
    exact_matches: list[str]
    deprecated: bool
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class Near:
    """A concept that may have been meant."""

    uri: str
    label: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text means in a scheme: a concept to use, or none, and why."""

    uri: str | None
    # Why there is no concept; empty where there is one.
    problem: str = ""
    nearest: Sequence[Near] = ()

    @property
    def suggestion(self) -> str | None:
        """What to write instead, the likeliest first."""
        return "; ".join(near.label for near in self.nearest) or None


@dataclass(frozen=True, slots=True)
class Named:
    """What a concept is called, and in which scheme: what is told of it to who does not know our vocabularies."""

    uri: str
    label: str
    # Of the label; empty where the vocabulary says none.
    language: str
    notation: str | None
    scheme: str
    scheme_uri: str


async def schemes(session: AsyncSession, *, name: str | None = None) -> list[SchemeView]:
    """Return every scheme, or the one of that name, by name."""
    counted = sa.text(
        """
        SELECT scheme.name, scheme.uri, title, description, licence, source, version, revision, scheme.digest,
            count(concept.uri) AS concepts, count(concept.uri) FILTER (WHERE deprecated) AS deprecated
        FROM scheme LEFT JOIN concept ON concept.scheme = scheme.name
        WHERE CAST(:name AS text) IS NULL OR scheme.name = :name GROUP BY scheme.name ORDER BY scheme.name
        """
    )
    return [SchemeView(*row) for row in await session.execute(counted, {"name": name})]


async def scheme(session: AsyncSession, name: str) -> SchemeView:
    """Return the scheme of that name; raises NotFound with those that are there."""
    # Postgres text holds no NUL: such a name is nowhere, and is not asked for.
    found = [] if NUL in name else await schemes(session, name=name)
    if not found:
        names = (await session.execute(sa.select(_schemes.c.name).order_by(_schemes.c.name).limit(100))).scalars()
        raise NotFound(f"There is no vocabulary {name[:80]!r}; there are {', '.join(names) or 'none'}.")
    return found[0]


_PAGE = """
    SELECT uri FROM concept
    WHERE scheme = :scheme
    AND (NOT :top OR broader = '{}')
    AND (CAST(:pattern AS text) IS NULL OR EXISTS (
        SELECT 1 FROM concept_label WHERE concept_label.concept = concept.uri AND folded LIKE :pattern))
    AND (CAST(:label AS text) IS NULL OR (label COLLATE "C", uri COLLATE "C") > (:label, :uri))
    ORDER BY label COLLATE "C", uri COLLATE "C" LIMIT :limit
    """


async def page(
    session: AsyncSession,
    name: str,
    *,
    text: str | None,
    top: bool = False,
    after: tuple[str, str] | None,
    limit: int,
) -> list[ConceptView]:
    """Return concepts of a scheme by label, those that have the text in a label or notation, after a label and URI.

    `top`: only those that have no broader one.
    """
    label, uri = after or (None, None)
    rows = await session.execute(
        sa.text(_PAGE),
        {"scheme": name, "pattern": _pattern(text), "top": top, "label": label, "uri": uri, "limit": limit},
    )
    uris = [row.uri for row in rows]
    found = {concept.uri: concept for concept in await concepts(session, uris)}
    return [found[uri] for uri in uris]


def _pattern(text: str | None) -> str | None:
    if text is None:
        return None
    plain = folded(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{plain}%"


_CONCEPTS = """
    SELECT concept.uri, concept.scheme, concept.label,
        coalesce((SELECT jsonb_agg(jsonb_build_array(kind, language, text) ORDER BY kind DESC, language, text)
                  FROM concept_label WHERE concept_label.concept = concept.uri), '[]') AS labels,
        definitions, broader,
        ARRAY(SELECT below.uri FROM concept AS below WHERE below.broader @> ARRAY[concept.uri] ORDER BY below.uri
              LIMIT 1000) AS narrower,
        related, exact_matches, deprecated, replaced_by
    FROM concept JOIN unnest(CAST(:uris AS text[])) AS asked (uri) USING (uri) ORDER BY concept.uri
    """


async def concepts(session: AsyncSession, uris: Collection[str]) -> list[ConceptView]:
    """Return the concepts of these URIs, as far as they are there."""
    if not uris:
        return []
    rows = await session.execute(sa.text(_CONCEPTS), {"uris": sorted(set(uris))})
    return [ConceptView(*row) for row in rows]


CONCEPTS_AT_ONCE = 1_000


async def every_concept(session: AsyncSession, name: str) -> AsyncIterator[ConceptView]:
    """Yield all concepts of a scheme in the order of their URIs, some at a time."""
    after = ""
    while True:
        rows = await session.execute(
            sa.text(
                'SELECT uri FROM concept WHERE scheme = :scheme AND uri COLLATE "C" > :after'
                ' ORDER BY uri COLLATE "C" LIMIT :most'
            ),
            {"scheme": name, "after": after, "most": CONCEPTS_AT_ONCE},
        )
        uris = [row.uri for row in rows]
        if not uris:
            return
        found = {one.uri: one for one in await concepts(session, uris)}
        for uri in uris:
            yield found[uri]
        after = uris[-1]


async def labels_and_broader(database: Database, uris: Collection[str]) -> dict[str, tuple[str, list[str]]]:
    """Return what the concepts of these URIs are called and which are broader, as far as they are there."""
    if not uris:
        return {}
    rows = await database.rows(
        "SELECT uri, label, broader FROM concept WHERE uri = ANY (%(uris)s)", {"uris": sorted(set(uris))}
    )
    return {uri: (label, broader) for uri, label, broader in rows}


_BEGUN = """
    SELECT DISTINCT ON (concept) concept, concept_label.scheme, text
    FROM concept_label JOIN concept ON concept.uri = concept_label.concept
    WHERE concept_label.scheme = ANY (%(schemes)s) AND folded LIKE %(pattern)s AND NOT deprecated
    ORDER BY concept, length(text), text
    """
_CONTAINING = """
    SELECT DISTINCT concept FROM concept_label WHERE scheme = %(scheme)s AND folded LIKE %(pattern)s
    ORDER BY concept LIMIT %(most)s
    """
CONTAINING_MAX = 500


async def begun(database: Database, schemes: Sequence[str], text: str, *, most: int) -> list[tuple[str, str, str]]:
    """Return concepts with a label that begins so: URI, scheme and that label, the shortest first."""
    pattern = str(_pattern(text)).removeprefix("%")
    rows = await database.rows(
        f"SELECT * FROM ({_BEGUN}) AS begun ORDER BY length(text), text LIMIT %(most)s",  # ruff: ignore[S608] - ours.
        {"schemes": list(schemes), "pattern": pattern, "most": most},
    )
    return [(uri, scheme, label) for uri, scheme, label in rows]


async def containing(database: Database, scheme: str, text: str) -> list[str]:
    """Return the URIs of concepts with a label that contains the text, up to CONTAINING_MAX."""
    rows = await database.rows(_CONTAINING, {"scheme": scheme, "pattern": _pattern(text), "most": CONTAINING_MAX})
    return [uri for (uri,) in rows]


_NAMED = """
    SELECT concept.uri, concept.label,
        coalesce((SELECT language FROM concept_label
                  WHERE concept = concept.uri AND kind = 'preferred' AND text = concept.label
                  ORDER BY split_part(language, '-', 1) <> 'en', language LIMIT 1), '') AS language,
        (SELECT min(text) FROM concept_label WHERE concept = concept.uri AND kind = 'notation') AS notation,
        scheme.title, scheme.uri AS scheme_uri
    FROM concept JOIN scheme ON scheme.name = concept.scheme
    JOIN unnest(CAST(:uris AS text[])) AS asked (uri) ON asked.uri = concept.uri
    """


async def names_of(session: AsyncSession, uris: Collection[str]) -> dict[str, Named]:
    """Return what the concepts of these URIs are called, and in which scheme, as far as they are there."""
    if not uris:
        return {}
    rows = await session.execute(sa.text(_NAMED), {"uris": sorted(set(uris))})
    return {row.uri: Named(*row) for row in rows}


async def concept(session: AsyncSession, uri: str) -> ConceptView:
    """Return the concept of that URI; raises NotFound."""
    found = [] if NUL in uri else await concepts(session, [uri])
    if not found:
        raise NotFound(f"There is no concept {uri[:200]}.")
    return found[0]


_MEANT = """
    WITH asked AS (
        SELECT * FROM unnest(CAST(:places AS int[]), CAST(:schemes AS text[]), CAST(:texts AS text[]),
            CAST(:folded AS text[])) AS asked (place, scheme, text, folded)
    ), meant AS (
        SELECT place, uri, 0 AS rank FROM asked JOIN concept ON concept.uri = asked.text
            AND concept.scheme = asked.scheme
        UNION ALL
        SELECT place, concept AS uri, CASE WHEN kind IN ('preferred', 'notation') THEN 1 ELSE 3 END
            + CASE WHEN concept_label.text = asked.text THEN 0 ELSE 1 END
        FROM asked JOIN concept_label USING (scheme, folded)
    )
    SELECT place, concept.uri, concept.label, deprecated, replaced_by, min(rank) AS rank
    FROM meant JOIN concept USING (uri)
    GROUP BY place, concept.uri ORDER BY place, deprecated, rank, concept.uri
    """


async def meanings(
    session: AsyncSession, asked: Iterable[tuple[str, str]], *, unexplained: Collection[tuple[str, str]] = ()
) -> dict[tuple[str, str], Meaning]:
    """Return what each text means in its scheme, by one query for all that are right.

    Those that are wrong are explained with the nearest concepts, up to a number; `unexplained` ones never are.
    """
    wanted = sorted(set(asked))
    if not wanted:
        return {}
    rows = await session.execute(
        sa.text(_MEANT),
        {
            "places": list(range(len(wanted))),
            "schemes": [name for name, _ in wanted],
            "texts": [text.strip() for _, text in wanted],
            "folded": [folded(text) for _, text in wanted],
        },
    )
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.place, []).append(row)
    meant = {one: await _decided(session, one[1], found[place]) for place, one in enumerate(wanted) if place in found}
    return meant | await _unknown(session, [one for one in wanted if one not in meant], unexplained)


async def _decided(session: AsyncSession, text: str, candidates: Sequence[Any]) -> Meaning:
    # A URI is exact; a living concept goes before a retired one, and a preferred label before a synonym.
    first = min(candidates, key=lambda one: (one.rank != 0, one.deprecated, one.rank))
    if first.deprecated:
        replacement = await _replacement(session, first.uri)
        nearest = [] if replacement is None else [replacement]
        return Meaning(None, f"the term {text[:80]!r} is deprecated", nearest)
    equal = [one for one in candidates if (one.deprecated, one.rank) == (False, first.rank)]
    if len(equal) > 1:
        told = ", ".join(one.uri for one in equal[:NEAREST])
        return Meaning(None, f"several concepts are called {text[:80]!r}: name one by its URI, {told}")
    return Meaning(first.uri)


_REPLACEMENT = """
    WITH RECURSIVE way AS (
        SELECT uri, label, deprecated, replaced_by, 0 AS step FROM concept WHERE uri = :uri
        UNION ALL
        SELECT concept.uri, concept.label, concept.deprecated, concept.replaced_by, step + 1
        FROM way JOIN concept ON concept.uri = way.replaced_by WHERE step < :most
    )
    SELECT uri, label FROM way WHERE NOT deprecated ORDER BY step LIMIT 1
    """


async def _replacement(session: AsyncSession, uri: str) -> Near | None:
    row = (await session.execute(sa.text(_REPLACEMENT), {"uri": uri, "most": REPLACEMENTS_FOLLOWED_MAX})).one_or_none()
    return None if row is None else Near(row.uri, row.label)


async def _unknown(
    session: AsyncSession, wanted: Sequence[tuple[str, str]], unexplained: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Meaning]:
    if not wanted:
        return {}
    names = {name for name, _ in wanted}
    there = set((await session.execute(sa.select(_schemes.c.name).where(_schemes.c.name.in_(names)))).scalars())
    told = {}
    explained = 0
    for name, text in wanted:
        near: Sequence[Near] = ()
        if name not in there:
            problem = (
                f"the vocabulary {name} is not loaded here, and nothing can be named in it; `catalog migrate` loads it"
            )
        else:
            problem = f"there is no term {text[:80]!r} in {name}"
            if (name, text) not in unexplained and explained < EXPLAINED_MAX:
                explained += 1
                near = await nearest(session, name, text)
        told[name, text] = Meaning(None, problem, near)
    return told


async def nearest(session: AsyncSession, name: str, text: str) -> list[Near]:
    """Return the concepts whose labels resemble the text most, the likeliest first."""
    found: list[Near] = []
    for least in NEAR_SIMILARITIES:
        found = await _near(session, name, text, least)
        if len(found) == NEAREST:
            break
    return found


async def _near(session: AsyncSession, name: str, text: str, least: float) -> list[Near]:
    await session.execute(
        sa.text("SELECT set_config('pg_trgm.similarity_threshold', :least, true)"), {"least": str(least)}
    )
    rows = await session.execute(
        sa.text(
            """
            SELECT concept.uri, concept.label FROM concept_label JOIN concept ON concept.uri = concept_label.concept
            WHERE concept_label.scheme = :scheme AND NOT deprecated AND folded % :folded
            GROUP BY concept.uri, concept.label
            ORDER BY max(greatest(similarity(folded, :folded), word_similarity(:folded, folded) * 0.8)) DESC,
                concept.uri LIMIT :most
            """
        ),
        {"scheme": name, "folded": folded(text), "most": NEAREST},
    )
    return [Near(row.uri, row.label) for row in rows]
