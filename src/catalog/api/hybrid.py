"""Hybrid search, acted out: the index by words, the database by meaning, and pages through what both make.

The fused order is made once, for the first page; its rest travels in the cursor, sealed, so that a walk meets each id
once. After it comes what has the words and stood further down. Whatever fails here leaves an answer by words, which
says so.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

import msgspec
import psycopg
import sqlalchemy as sa
import structlog

from catalog.access.audience import Audience
from catalog.access.principals import Caller
from catalog.engines import Engines
from catalog.search import hybrid, meant, query, vectors
from catalog.search.answers import Found
from catalog.search.embedding import Embedder, NoModel, WrongModel
from catalog.search.hybrid import Why
from catalog.search.query import Question
from catalog.search.vectors import Nearest, NoExtension

log = structlog.get_logger("catalog.hybrid")

# Longer, and the answer is one by words.
MEANING_SECONDS_MAX = 1.5
ID_BYTES = 16


class HybridNote(msgspec.Struct, frozen=True):
    """Whether hits were found by their meaning too, and why not, or not wholly.

    `added` counts those hits of the whole walk that have not the words: `total` and the facets do not.
    """

    used: bool
    added: int
    why: Literal["off", "no-model", "no-extension", "order", "words", "slow", "away", "filling"] | None
    note: str | None


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of a search that asked for meaning ended.

    `rest` are the ids of the fused order that are still to come, `late` which of these have the words but come late by
    them, `shown` such ids that have come. `after` is where what has the words goes on.
    """

    why: str | None
    similar: bool
    added: int = 0
    rest: bytes = b""
    late: list[int] = []
    shown: bytes = b""
    after: list[int | float | str] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What a page of such a search holds, and where the next one begins."""

    found: Found
    similar: bool
    note: HybridNote
    place: Place | None


async def first_page(engines: Engines, question: Question, caller: Caller, *, similar: bool) -> Page:
    """Return the first page; `similar` is whether similar words may do where nothing has these.

    Raises what the index raises: without it there is no answer. Without anything else there is one by words.
    """
    audience = caller.audience
    why = Why.OFF if engines.embedder is None else hybrid.refusal(question)
    if engines.embedder is None or why is not None:
        return await _by_words(engines, question, audience, why or Why.OFF, similar=similar)
    (asked, by_words), near = await asyncio.gather(
        _ranked(engines, question, audience, similar=similar), _near(engines, engines.embedder, question, audience)
    )
    if not isinstance(near, Nearest):
        return await _by_words(engines, question, audience, near, similar=similar)
    body = hybrid.candidates_body(asked, audience, near.ids)
    named = await engines.index.named(body) if near.ids else {}
    order = hybrid.fused([hit.id for hit in by_words.hits], near.ids, named, similar=asked.similar)
    late = set(order.late) if by_words.last is not None else set()
    place = Place(
        why=Why.FILLING if near.filling else None,
        similar=asked.similar,
        added=order.added,
        rest=_packed(order.ids),
        late=[number for number, one in enumerate(order.ids) if one in late],
        after=None if by_words.last is None else list(by_words.last),
    )
    return await _fused_page(engines, asked, audience, place, by_words)


async def next_page(engines: Engines, question: Question, caller: Caller, place: Place) -> Page:
    """Return the page that begins at a place. Raises as `first_page`."""
    audience = caller.audience
    question = replace(question, similar=place.similar)
    counting = hybrid.counted_body(question, audience)
    if place.rest:
        return await _fused_page(engines, question, audience, place, await engines.index.find(counting, question))
    question = replace(question, after=tuple(place.after or ()))
    if place.why is not None and place.why != Why.FILLING:
        found = await engines.index.find(query.body_of(question, audience), question)
        return _page_by_words(found, place)
    body = hybrid.rest_body(question, audience, _unpacked(place.shown))
    found, counted = await asyncio.gather(
        engines.index.find(body, question), engines.index.find(counting, replace(question, after=None))
    )
    found = replace(found, total=counted.total, facets=counted.facets)
    return Page(found, place.similar, _note(place), _after(place, found))


async def _by_words(engines: Engines, question: Question, audience: Audience, why: Why, *, similar: bool) -> Page:
    found = await engines.index.find(query.body_of(question, audience), question)
    wider = None if found.total or not similar else meant.widened(question)
    if wider is not None:
        near = await engines.index.find(query.body_of(wider, audience), wider)
        if near.total:
            return _page_by_words(near, Place(why, similar=True))
    return _page_by_words(found, Place(why, similar=False))


def _page_by_words(found: Found, place: Place) -> Page:
    return Page(found, place.similar, _note(place), _after(place, found))


def _after(place: Place, found: Found) -> Place | None:
    return None if found.last is None else msgspec.structs.replace(place, after=list(found.last))


async def _ranked(engines: Engines, question: Question, audience: Audience, *, similar: bool) -> tuple[Question, Found]:
    """Return the candidates by words, and the question that found them: the one that was asked, or a wider one."""
    first = hybrid.ranked(question)
    found = await engines.index.find(hybrid.ranked_body(question, audience), first)
    wider = None if found.total or not similar else meant.widened(question)
    if wider is not None:
        near = await engines.index.find(hybrid.ranked_body(wider, audience), first)
        if near.total:
            return wider, near
    return question, found


async def _near(engines: Engines, embedder: Embedder, question: Question, audience: Audience) -> Nearest | Why:
    """Return the candidates by meaning, or why there are none; raises what the index raises, and nothing else."""
    try:
        async with asyncio.timeout(MEANING_SECONDS_MAX):
            among = await _among(engines, question, audience)
            (vector,) = await embedder.vectors([hybrid.meaning(question)])
            narrowed = hybrid.is_narrowed(question)
            async with engines.database.transaction() as session:
                return await vectors.nearest(
                    session,
                    vector,
                    audience,
                    most=hybrid.NEAREST_TO_NARROW if narrowed and among is None else hybrid.CANDIDATES,
                    likeness_least=hybrid.LIKENESS_LEAST,
                    among=among,
                )
    except TimeoutError:
        return Why.SLOW
    except (NoModel, WrongModel) as fault:
        log.warning("no meanings", reason=fault.detail)
        return Why.NO_MODEL
    except NoExtension:
        return Why.NO_EXTENSION
    except sa.exc.SQLAlchemyError as fault:
        log.warning("no meanings", reason=type(fault).__name__)
        return Why.SLOW if isinstance(getattr(fault, "orig", None), psycopg.errors.QueryCanceled) else Why.AWAY


async def _among(engines: Engines, question: Question, audience: Audience) -> Sequence[UUID] | None:
    """Return what the question leaves beside its plain words; None where it is everything, or much."""
    if not hybrid.is_narrowed(question):
        return None
    ids = await engines.index.ids(hybrid.within_body(question, audience))
    return ids if len(ids) <= hybrid.WITHIN_MAX else None


async def _fused_page(engines: Engines, question: Question, audience: Audience, place: Place, counted: Found) -> Page:
    """Return the next hits of the fused order, with total and facets as they were counted by words."""
    ids = _unpacked(place.rest)
    now, later = ids[: question.limit], ids[question.limit :]
    hits = {}
    if now:
        sized = replace(question, limit=len(now), after=None)
        marked = await engines.index.find(hybrid.page_body(question, audience, now), sized)
        hits = {hit.id: hit for hit in marked.hits}
    found = replace(counted, hits=[hits[one] for one in now if one in hits], last=None)
    shown = [ids[number] for number in place.late if number < len(now)]
    following = msgspec.structs.replace(
        place,
        rest=_packed(later),
        late=[number - len(now) for number in place.late if number >= len(now)],
        shown=place.shown + _packed(shown),
    )
    more = later or place.after is not None
    return Page(found, place.similar, _note(place), following if more else None)


def _note(place: Place) -> HybridNote:
    why = None if place.why is None else Why(place.why)
    used = why in {None, Why.FILLING}
    return HybridNote(used, place.added, None if why is None else why.value, None if why is None else hybrid.TOLD[why])


def _packed(ids: Sequence[UUID]) -> bytes:
    return b"".join(one.bytes for one in ids)


def _unpacked(ids: bytes) -> list[UUID]:
    return [UUID(bytes=ids[first : first + ID_BYTES]) for first in range(0, len(ids), ID_BYTES)]
