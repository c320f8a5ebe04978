"""B8: what the permission filter costs a caller with 1, 50 and 1,000 grants."""

import asyncio
import random
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from bench.measure import Figure, figure, interleaved, median, timed
from bench.stand import Stand, Wire
from catalog.access.audience import PUBLIC, Audience, grant_token
from catalog.objects import reading
from catalog.quality import assessing
from catalog.search import query
from catalog.search.document import document_from, index_body
from catalog.sync import projecting

GRANTS = {1: "<= 1.05", 50: "<= 1.10", 1_000: "<= 1.30"}
FACETS = ("kind", "project", "licence", "year", "creator")
QUESTIONS = 200
QUESTIONS_A_BLOCK = 40
BLOCKS = 8
BATCH = 500
Document = dict[str, Any]


async def permission_cost(stand: Stand) -> list[Figure]:
    """Ask an index with everything under the filter, and one with only what the caller may see without any.

    The grants end by themselves, which is the dearest sort: each is a token of its own in the filter.
    """
    full = [one async for one in _documents(stand)]
    hidden = [one for one in full if PUBLIC not in one["readers"]]
    most = min(max(GRANTS), len(hidden))
    granted = random.Random(8).sample(hidden, most)
    for number, one in enumerate(granted):
        one["readers"] = [*one["readers"], grant_token(UUID(int=number))]
    wire = Wire(str(stand.settings.search_url), {"Content-Type": "application/json"})
    await asyncio.to_thread(_make, wire, "b8-full", full)
    figures = []
    for grants, target in GRANTS.items():
        tokens = {PUBLIC, *(grant_token(UUID(int=number)) for number in range(grants))}
        visible = [one for one in full if not tokens.isdisjoint(one["readers"])]
        await asyncio.to_thread(_make, wire, "b8-visible", visible)
        figures.append(await asyncio.to_thread(_measured, stand, wire, Audience(frozenset(tokens)), grants, target))
        wire.send("DELETE", "/b8-visible")
    wire.send("DELETE", "/b8-full")
    return figures


async def _documents(stand: Stand) -> Any:
    for at in range(0, len(stand.ids), BATCH):
        async with stand.engines.database.transaction() as session:
            for entry in await reading.read_for_index(session, stand.ids[at : at + BATCH]):
                yield document_from(projecting.projection_of(assessing.told(entry), None))


def _make(wire: Wire, name: str, held: list[Document]) -> None:
    told = wire.send("PUT", f"/{name}", msgspec.json.encode(index_body(refresh_interval="-1")))
    assert told[0] == 200, told
    for batch in _batches(held):
        lines = (
            part + b"\n"
            for one in batch
            for part in (msgspec.json.encode({"index": {"_id": one["id"]}}), msgspec.json.encode(one))
        )
        status, answer = wire.send("POST", f"/{name}/_bulk", b"".join(lines), Content_Type="application/x-ndjson")
        assert status == 200, answer
        assert b'"errors":false' in answer, answer[:500]
    # As an index looks that has lain for a while: one segment, nothing to merge while it is measured.
    assert wire.send("POST", f"/{name}/_forcemerge?max_num_segments=1")[0] == 200
    assert wire.send("POST", f"/{name}/_refresh")[0] == 200


def _batches(held: list[Document]) -> Iterator[Iterable[Document]]:
    return (held[at : at + BATCH] for at in range(0, len(held), BATCH))


def _measured(stand: Stand, wire: Wire, audience: Audience, grants: int, target: str) -> Figure:
    questions = [query.Question(text=text, facets=FACETS, limit=20) for text in stand.corpus.questions(QUESTIONS)]
    everything = Audience(frozenset(), everything=True)
    filtered = [msgspec.json.encode(query.body_of(one, audience)) for one in questions]
    free = [msgspec.json.encode(query.body_of(one, everything)) for one in questions]
    chosen = random.Random(1)

    def block(path: str, bodies: list[bytes]) -> list[float]:
        def ask(body: bytes) -> None:
            status, told = wire.send("POST", path, body)
            assert status == 200, told

        return [timed(partial(ask, body)) for body in chosen.sample(bodies, QUESTIONS_A_BLOCK)]

    # The same answers, before anything is timed.
    for body, other in zip(filtered, free, strict=True):
        assert _total(wire, "/b8-full/_search", body) == _total(wire, "/b8-visible/_search", other)
    pair = interleaved(
        partial(block, "/b8-full/_search", filtered), partial(block, "/b8-visible/_search", free), BLOCKS
    )
    return figure(f"B8.{grants}", pair, median, unit="ms", objects=len(stand.ids), target=target)


def _total(wire: Wire, path: str, body: bytes) -> int:
    told: int = msgspec.json.decode(wire.send("POST", path, body)[1])["hits"]["total"]["value"]
    return told
