"""Writing with versions, on the real engine: every item's result is read, and the index never moves back."""

import asyncio
import random
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from catalog.errors import Unavailable
from catalog.search import index as search_index
from catalog.search.document import document_from
from catalog.search.index import Index, Outcome, Verdict, Written
from tests.search.conftest import AS_ADMIN, Between, ask, entry, put, written

WRITTEN = Outcome(Verdict.WRITTEN)
STALE = Outcome(Verdict.STALE)


def stored(engine: httpx2.Client, index: Index, one: Any) -> dict[str, Any]:
    """Return what the engine holds of an object: its version and its source."""
    told = engine.get(f"/{index.alias}/_doc/{one.id}").json()
    return {"version": told["_version"], "source": told["_source"]}


def as_json(document: dict[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))


async def test_what_is_written_is_found_and_held_with_its_revision(index: Index, engine: httpx2.Client) -> None:
    one, other = entry(title="Soil moisture", revision=3), entry(title="Soil warmth", revision=41)
    assert await index.write([written(one), written(other)]) == [WRITTEN, WRITTEN]
    await index.refresh()
    assert {hit.id for hit in (await ask(index, "soil")).hits} == {one.id, other.id}
    assert await index.versions([one.id, uuid4(), other.id]) == {one.id: 3, other.id: 41}
    assert stored(engine, index, one) == {"version": 3, "source": as_json(document_from(one))}
    assert await index.count() == 3


async def test_nothing_to_write_asks_nothing(absent: Index) -> None:
    assert await absent.write([]) == []
    assert await absent.versions([]) == {}


@pytest.mark.parametrize("late", [4, 5])
async def test_an_older_or_equal_revision_is_done_and_changes_nothing(
    index: Index, engine: httpx2.Client, late: int
) -> None:
    newer = entry(title="Newer", revision=5)
    await put(index, newer)
    older = entry(id=newer.id, title="Older", revision=late)
    assert await index.write([written(older)]) == [STALE]
    assert stored(engine, index, newer) == {"version": 5, "source": as_json(document_from(newer))}


async def test_late_repeated_and_parallel_writes_end_with_the_newest(index: Index, engine: httpx2.Client) -> None:
    one = entry()
    dice = random.Random(5)  # noqa: S311 - a seed, so that a failure comes again.
    revisions = [*range(1, 41), *dice.sample(range(1, 41), 20)]
    dice.shuffle(revisions)
    batches = [revisions[place : place + 6] for place in range(0, len(revisions), 6)]

    async def write(batch: list[int]) -> list[Outcome]:
        return await index.write(
            [written(entry(id=one.id, revision=revision, title=f"Revision {revision}")) for revision in batch]
        )

    outcomes = [outcome for told in await asyncio.gather(*map(write, batches)) for outcome in told]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.WRITTEN, Verdict.STALE}
    assert stored(engine, index, one)["source"]["title"] == "Revision 40"
    assert await index.versions([one.id]) == {one.id: 40}


async def test_a_tombstone_hides_an_object_and_an_old_write_does_not_bring_it_back(index: Index) -> None:
    one = entry(title="Soil moisture", revision=1)
    await put(index, one)
    await put(index, entry(id=one.id, revision=3, withdrawn=True))
    late = entry(id=one.id, title="Soil moisture", revision=2)
    assert await index.write([written(late)]) == [STALE]
    await index.refresh()
    assert (await ask(index, "soil", AS_ADMIN)).total == 0
    assert (await ask(index, audience=AS_ADMIN)).total == 1
    assert await index.count() == 1
    assert await index.versions([one.id]) == {one.id: 3}


async def test_a_purged_tombstone_is_gone(index: Index) -> None:
    one = entry(revision=3, withdrawn=True)
    await put(index, one)
    assert await index.purge(one.id, 3) == WRITTEN
    assert await index.versions([one.id]) == {}
    # A second purge has nothing to do and says so.
    assert (await index.purge(one.id, 3)).verdict in {Verdict.WRITTEN, Verdict.STALE}


async def test_a_purge_leaves_what_was_written_since(index: Index, engine: httpx2.Client) -> None:
    one = entry(revision=3, withdrawn=True)
    back = entry(id=one.id, revision=4, title="Back again")
    await put(index, one, back)
    assert await index.purge(one.id, 3) == STALE
    assert stored(engine, index, one) == {"version": 4, "source": as_json(document_from(back))}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"surprise": 1}, "strict_dynamic_mapping_exception"),
        ({"year": "soon"}, "mapper_parsing_exception"),
        ({"year": 40_000}, "out of range"),
        ({"created_at": "yesterday"}, "failed to parse date"),
        ({"readers": ["x" * 40_000]}, "immense term"),
    ],
)
async def test_a_document_that_does_not_fit_is_rejected_and_its_neighbours_are_written(
    index: Index, wrong: dict[str, Any], reason: str
) -> None:
    before, faulty, after = entry(), entry(), entry()
    documents = [
        written(before),
        Written(faulty.id, 1, document_from(faulty) | wrong),
        written(after),
    ]
    first, second, third = await index.write(documents)
    assert (first, third) == (WRITTEN, WRITTEN)
    assert second.verdict is Verdict.REJECTED
    assert reason in second.reason
    assert await index.versions([before.id, faulty.id, after.id]) == {before.id: 1, after.id: 1}


async def test_a_document_that_is_no_json_is_rejected_and_its_neighbours_are_written(index: Index) -> None:
    faulty, fine = entry(), entry()
    wrong = Written(faulty.id, faulty.revision, document_from(faulty) | {"title": "\ud800"})
    first, second = await index.write([wrong, written(fine)])
    assert first.verdict is Verdict.REJECTED
    assert "not JSON" in first.reason
    assert second == WRITTEN


async def test_a_document_larger_than_any_batch_is_rejected_with_its_size(
    behind: Index, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "BULK_BYTES_MAX", 20_000)
    fine = [entry(description="x" * 5_000) for _ in range(9)]
    large = entry(description="x" * 20_000)
    outcomes = await behind.write([written(one) for one in [*fine[:5], large, *fine[5:]]])
    assert [outcome.verdict for outcome in outcomes] == [Verdict.WRITTEN] * 5 + [Verdict.REJECTED] + [
        Verdict.WRITTEN
    ] * 4
    size = int(outcomes[5].reason.split()[3])
    assert outcomes[5].reason == f"The document has {size} bytes; at most 20000 can be indexed."
    assert size > 20_000
    # Three of 5 kB fit into one batch.
    assert len(between.sizes) == 3
    assert max(between.sizes) <= 20_000


async def test_many_documents_go_in_batches(behind: Index, between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "BULK_DOCUMENTS_MAX", 10)
    entries = [entry() for _ in range(25)]
    assert await behind.write([written(one) for one in entries]) == [WRITTEN] * 25
    assert len(between.sizes) == 3
    assert await behind.versions([one.id for one in entries]) == {one.id: 1 for one in entries}


async def test_a_body_of_megabytes_is_written(index: Index) -> None:
    entries = [entry(description=f"soil {'x' * 200_000}") for _ in range(30)]
    assert await index.write([written(one) for one in entries]) == [WRITTEN] * 30


async def test_a_batch_refused_as_a_whole_is_halved_until_the_reason_is_found(behind: Index, between: Between) -> None:
    entries = [entry() for _ in range(8)]
    culprit = str(entries[5].id).encode()

    def too_large(body: bytes) -> bool:
        return culprit in body

    between.refuse = lambda path, body: (413, b"") if "/_bulk" in path and too_large(body) else None
    outcomes = await behind.write([written(one) for one in entries])
    assert outcomes == [WRITTEN] * 5 + [Outcome(Verdict.REJECTED, "HTTP 413")] + [WRITTEN] * 2
    assert await behind.versions([one.id for one in entries]) == {one.id: 1 for one in entries if one is not entries[5]}


@pytest.mark.parametrize("block", ["read_only_allow_delete", "read_only", "write"])
async def test_a_blocked_index_is_asked_again_later(index: Index, engine: httpx2.Client, block: str) -> None:
    one = entry()
    engine.put(f"/{index.alias}/_settings", json={f"index.blocks.{block}": True}).raise_for_status()
    (outcome,) = await index.write([written(one)])
    assert outcome.verdict is Verdict.RETRY
    assert "cluster_block_exception" in outcome.reason
    engine.put(f"/{index.alias}/_settings", json={f"index.blocks.{block}": None}).raise_for_status()
    assert await index.write([written(one)]) == [WRITTEN]


@pytest.mark.parametrize(
    ("status", "kind", "verdict"),
    [
        (409, "version_conflict_engine_exception", Verdict.STALE),
        (429, "rejected_execution_exception", Verdict.RETRY),
        (429, "circuit_breaking_exception", Verdict.RETRY),
        (500, "node_closed_exception", Verdict.RETRY),
        (502, "node_disconnected_exception", Verdict.RETRY),
        (503, "unavailable_shards_exception", Verdict.RETRY),
        (403, "cluster_block_exception", Verdict.RETRY),
        (408, "timeout_exception", Verdict.RETRY),
        (400, "mapper_parsing_exception", Verdict.REJECTED),
        (400, "strict_dynamic_mapping_exception", Verdict.REJECTED),
        (413, "too_large", Verdict.REJECTED),
    ],
)
async def test_every_item_is_judged_by_its_own_result(
    behind: Index, between: Between, status: int, kind: str, verdict: Verdict
) -> None:
    fault = {"type": kind, "reason": "because", "caused_by": {"type": "deeper", "reason": "really"}}
    between.items(lambda place, said: {"_id": said["_id"], "status": status, "error": fault} if place == 1 else said)
    outcomes = await behind.write([written(entry()) for _ in range(3)])
    reason = "" if verdict is Verdict.STALE else f"{kind}: because (deeper: really)"
    assert outcomes == [WRITTEN, Outcome(verdict, reason), WRITTEN]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
async def test_a_request_refused_as_a_whole_leaves_every_document_for_later(
    behind: Index, between: Between, status: int
) -> None:
    between.rewrite = lambda path, told, body: (status, b"<html>busy</html>") if "/_bulk" in path else (told, body)
    with pytest.raises(Unavailable) as away:
        await behind.write([written(entry())])
    assert away.value.detail == "The search engine cannot do this now."


async def test_writing_again_after_a_lost_answer_is_harmless(behind: Index, between: Between) -> None:
    one = entry()
    between.rewrite = lambda _path, _status, _body: (503, b"")
    with pytest.raises(Unavailable):
        await behind.write([written(one)])
    between.rewrite = lambda _path, status, body: (status, body)
    assert await behind.write([written(one)]) == [STALE]


async def test_without_an_index_nothing_is_made_up(absent: Index, engine: httpx2.Client) -> None:
    for attempt in (absent.write([written(entry())]), absent.purge(uuid4(), 1)):
        with pytest.raises(Unavailable) as away:
            await attempt
        assert away.value.detail == (
            f"There is no search index {absent.alias!r}: run `catalog migrate`, which creates it."
        )
    assert engine.get(f"/_cat/indices/{absent.alias}*?format=json").json() == []


async def test_a_written_object_is_found_after_the_refresh_without_asking_for_one(absent: Index) -> None:
    quick = Index(absent._url, absent.alias, timedelta(milliseconds=50))  # noqa: SLF001
    await quick.ensure()
    one = entry(title="Soil")
    await quick.write([written(one)])
    async with asyncio.timeout(10):
        while not (await ask(quick, "soil")).hits:  # noqa: ASYNC110 - another process makes it true.
            await asyncio.sleep(0.02)
    await quick.close()
