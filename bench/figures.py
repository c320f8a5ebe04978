"""The figures: registration, index pipeline, freshness, signing, lineage, import of vocabularies."""

import asyncio
import hashlib
import hmac
import random
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import msgspec
import psutil
import psycopg
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from bench import (
    agreement,
    alerts,
    exports,
    lag,
    peer,
    pinned,
    pipeline,
    rebuilding,
    recovery,
    searches,
    sizes,
    transfers,
    writing,
)
from bench import stand as stands
from bench.corpus import Corpus
from bench.measure import Figure, Pair, figure, interleaved, median, once, quantile, timed
from bench.permissions import permission_cost
from bench.stand import Stand, Wire, say
from catalog.database import now
from catalog.provenance.lineage import NODES_MAX
from catalog.search import query
from indexer import documents

ROWS_A_BLOCK = 2_000
FRESH = 40
LINKS_A_BLOCK = 5_000
RELATIONS = 100_000
LINEAGE_DEPTH = 20
LINEAGES_A_BLOCK = 20
DEPENDANTS = 5_000
WIDE_A_BLOCK = 5
CONCEPTS = 100_000
IMPORT_SECONDS_MAX = 120


async def registration(stand: Stand) -> list[Figure]:
    """B3: bulk registration over HTTP by one client, against COPY and outbox of the same prepared rows."""
    say("B3 bulk registration")
    wire = Wire(str(stand.settings.public_url), {"Authorization": f"Bearer {stand.tokens[0]}"})
    more = Corpus(1_000_000, seed=7).samples()
    url = str(stand.settings.database_url)

    def ours() -> list[float]:
        body = b"\n".join(msgspec.json.encode(one.body) for one in islice(more, ROWS_A_BLOCK))
        started = time.perf_counter()
        status, told = wire.send("POST", "/api/bulk/objects", body, Content_Type="application/x-ndjson")
        took = time.perf_counter() - started
        assert (status, told.count(b'"status":"created"')) == (200, ROWS_A_BLOCK), told[:500]
        return [ROWS_A_BLOCK / took]

    with psycopg.connect(url, autocommit=False) as connection:

        def limit() -> list[float]:
            owner = stand.owners[0]
            rows = [stands.prepared(one, owner, stand.settings) for one in islice(more, ROWS_A_BLOCK)]
            started = time.perf_counter()
            stands.copy(connection, rows)
            connection.execute(
                "INSERT INTO queue (topic, subject) SELECT 'index', unnest(%s::text[]) ON CONFLICT DO NOTHING",
                [[str(row.object[0]) for row in rows]],
            )
            connection.commit()
            return [len(rows) / (time.perf_counter() - started)]

        pair = await asyncio.to_thread(interleaved, ours, limit)
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("TRUNCATE queue"))
    return [figure("B3", pair, median, unit="objects/s", objects=len(stand.ids), target=">= 0.35")]


async def freshness(stand: Stand) -> list[Figure]:
    """B6: from 201 to visible in a filtered search, against a direct index call to visible, same refresh interval.

    Every change begins at its own share of the refresh interval after a refresh was seen, the same shares for both:
    else the luck of the moment, up to a whole interval, would drown what the pipeline takes.
    """
    say("B6 freshness")
    ours_wire = Wire(str(stand.settings.public_url), {"Authorization": f"Bearer {stand.tokens[0]}"})
    raw_wire = Wire(str(stand.settings.search_url), {"Content-Type": "application/json"})
    index = stand.settings.search_index
    corpus = Corpus(10_000, seed=11)
    more = corpus.samples()
    interval = stand.settings.search_refresh.total_seconds()
    audience = stand.owners[0].audience
    shares = [(number + 0.5) / FRESH for number in range(FRESH)]
    random.Random(3).shuffle(shares)
    # One unmeasured round each comes first, which also shows when a refresh was.
    phases = {"ours": iter([0.5, *shares]), "limit": iter([0.5, *shares])}

    def visible(wire: Wire, found: bytes, method: str, path: str, body: bytes | None = None) -> float:
        started = time.perf_counter()
        while time.perf_counter() - started < 30:
            if found in wire.send(method, path, body)[1]:
                return (time.perf_counter() - started) * 1000
            time.sleep(0.005)
        raise TimeoutError(path)

    def ours() -> list[float]:
        time.sleep(next(phases["ours"]) * interval)
        word = f"fresh{uuid7().hex}"
        body = msgspec.json.encode({**next(more).body, "title": word})
        status, told = ours_wire.send("POST", "/api/objects", body, Content_Type="application/json")
        assert status == 201, told
        return [visible(ours_wire, b'{"total":1,', "GET", f"/api/search?q={word}")]

    def limit() -> list[float]:
        time.sleep(next(phases["limit"]) * interval)
        word = f"fresh{uuid7().hex}"
        sample = next(more)
        document = {
            "id": sample.id,
            "revision": 1,
            "tombstone": False,
            "title": word,
            "readers": ["public"],
            "created_at": now(),
        }
        status, told = raw_wire.send(
            "PUT", f"/{index}/_doc/{sample.id}?version=1&version_type=external", msgspec.json.encode(document)
        )
        assert status == 201, told
        body = msgspec.json.encode(query.body_of(query.Question(text=word, limit=20), audience))
        return [visible(raw_wire, b'"total":{"value":1,', "POST", f"/{index}/_search", body)]

    pair = await asyncio.to_thread(interleaved, ours, limit, FRESH // 2)
    size = len(stand.ids)
    note = f"difference of the medians {median(pair.ours) - median(pair.limit):+.0f} ms; one change at a time"
    return [
        figure("B6.p50", pair, median, unit="ms", objects=size, target="<= limit + 100 ms", note=note),
        figure("B6.p99", pair, lambda values: quantile(values, 0.99), unit="ms", objects=size),
    ]


async def signing(stand: Stand) -> list[Figure]:
    """B9: download links a second as a search makes them, against one SHA-256, one HMAC and the strings they are over.

    The limit hashes a canonical request of the same length and puts a link of the same length together; nothing in it
    depends on the key but the key itself.
    """
    say("B9 signing")
    store = stand.engines.store
    at, lifetime, secret = now(), timedelta(minutes=15), hashlib.sha256(b"key").digest()
    names = [f"file {n}.csv" for n in range(LINKS_A_BLOCK)]
    keys = [f"org/project/uploads/{uuid7()}/{uuid7()}/data/{name}" for name in names]
    version = uuid7().hex

    def ours() -> list[float]:
        started = time.perf_counter()
        for key, name in zip(keys, names, strict=True):
            store.download_link(
                key, version_id=version, filename=name, media_type="text/csv", lifetime=lifetime, now=at
            )
        return [len(keys) / (time.perf_counter() - started)]

    link = store.download_link(
        keys[0], version_id=version, filename=names[0], media_type="text/csv", lifetime=lifetime, now=at
    ).href
    origin, sent = link.split("/" + stand.settings.store_bucket, 1)[0], link.partition("?")[2].rpartition("&")[0]
    host = urlsplit(link).netloc

    def limit() -> list[float]:
        started = time.perf_counter()
        for key in keys:
            request = f"GET\n/bucket/{key}\n{sent}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
            told = f"AWS4-HMAC-SHA256\n20261121T000000Z\nscope\n{hashlib.sha256(request.encode()).hexdigest()}"
            _ = f"{origin}/bucket/{key}?{sent}&X-Amz-Signature={hmac.digest(secret, told.encode(), 'sha256').hex()}"
        return [len(keys) / (time.perf_counter() - started)]

    pair = await asyncio.to_thread(interleaved, ours, limit)
    return [figure("B9", pair, median, unit="links/s", objects=len(stand.ids), target=">= 0.50")]


async def lineage(stand: Stand) -> list[Figure]:
    """PROV.depth20: lineage over HTTP, permission filter and nodes with titles, against the bare recursive query.

    PROV.wide beside it: one object with thousands that depend on it.
    """
    say("PROV lineage")
    url = str(stand.settings.database_url)
    owner = stand.owners[0]
    wire = Wire(str(stand.settings.public_url), {"Authorization": f"Bearer {stand.tokens[0]}"})
    with psycopg.connect(url, autocommit=True) as connection:
        tokens = owner.audience.sorted_tokens
        seen = connection.execute("SELECT id FROM object WHERE readers && %s::text[] ORDER BY id", [tokens])
        ids: list[UUID] = [row[0] for row in seen]
        # Each came from those before it, so that twenty steps up lie some hundred objects and a thousand relations.
        parents = -(-RELATIONS // len(ids))
        connection.execute("TRUNCATE relation")
        columns = "id, subject_id, type, target_id, later_id, earlier_id, position, principal_id"
        with connection.cursor().copy(f"COPY relation ({columns}) FROM STDIN") as rows:
            for at, later in enumerate(ids):
                for position, earlier in enumerate(ids[max(0, at - parents) : at]):
                    rows.write_row((uuid7(), later, "IsDerivedFrom", earlier, later, earlier, position, owner.id))
        connection.execute("VACUUM ANALYZE relation")
        chosen = random.Random(5)
        starts = ids[parents * LINEAGE_DEPTH :]

        def ours(start: UUID) -> None:
            status, told = wire.send("GET", f"/api/objects/{start}/provenance?depth={LINEAGE_DEPTH}")
            assert (status, told.count(b'"type":"object"')) == (200, parents * LINEAGE_DEPTH + 1), told[:500]

        def bare(start: UUID) -> None:
            found = connection.execute(
                "WITH RECURSIVE up(id, depth) AS (SELECT %s::uuid, 0 UNION SELECT earlier_id, depth + 1 FROM up"
                " JOIN relation ON later_id = up.id WHERE depth < %s) SELECT DISTINCT id FROM up",
                [start, LINEAGE_DEPTH],
            ).fetchall()
            assert len(found) == parents * LINEAGE_DEPTH + 1

        def block(one: Any) -> list[float]:
            return [timed(partial(one, start)) for start in chosen.sample(starts, LINEAGES_A_BLOCK)]

        deep = await asyncio.to_thread(interleaved, partial(block, ours), partial(block, bare))
        wide = await asyncio.to_thread(_wide, connection, wire, owner.must_be_known(), ids)
        connection.execute("TRUNCATE relation")
    target = "ours < 300 ms"
    return [
        figure("PROV.depth20", deep, median, unit="ms", objects=len(stand.ids), target=target),
        figure("PROV.wide", wide, median, unit="ms", objects=len(stand.ids), target=target),
    ]


def _wide(connection: psycopg.Connection[Any], wire: Wire, owner_id: UUID, ids: list[UUID]) -> Pair:
    """PROV.wide: what depends on an object of which 5,000 others came, against the bare statement of their ids."""
    hub, children = ids[0], ids[1 : DEPENDANTS + 1]
    connection.execute("TRUNCATE relation")
    columns = "id, subject_id, type, target_id, later_id, earlier_id, position, principal_id"
    with connection.cursor().copy(f"COPY relation ({columns}) FROM STDIN") as rows:
        for child in children:
            rows.write_row((uuid7(), child, "IsDerivedFrom", hub, child, hub, 0, owner_id))
    connection.execute("VACUUM ANALYZE relation")

    def ours() -> None:
        status, told = wire.send("GET", f"/api/objects/{hub}/provenance?direction=down&depth={LINEAGE_DEPTH}")
        assert (status, b'"truncated":true' in told) == (200, len(children) > NODES_MAX), told[:500]
        status, told = wire.send("GET", f"/api/objects/{hub}/impact")
        assert status == 200, told[:500]
        assert msgspec.json.decode(told)["total"] == len(children), told[:500]

    def bare() -> None:
        found = connection.execute("SELECT later_id FROM relation WHERE earlier_id = %s", [hub]).fetchall()
        assert len(found) == len(children)

    def block(one: Any) -> list[float]:
        return [timed(one) for _ in range(WIDE_A_BLOCK)]

    return interleaved(partial(block, ours), partial(block, bare))


async def vocabulary(stand: Stand) -> list[Figure]:
    """VOCAB: importing 100,000 concepts over HTTP; with the memory of the API and of the reading process."""
    say("VOCAB import of a large vocabulary")
    body = await asyncio.to_thread(_large_vocabulary)
    (api,) = [one for one in psutil.Process().children() if "serve" in one.cmdline()]
    peak = 0
    headers = {"Authorization": f"Bearer {stand.admin}", "Content-Type": "text/turtle"}
    address = f"{str(stand.settings.public_url).rstrip('/')}/api/vocabularies/large"
    started = time.perf_counter()
    async with httpx2.AsyncClient(timeout=IMPORT_SECONDS_MAX * 2, trust_env=False) as client:
        importing = asyncio.create_task(client.put(address, content=body, headers=headers))
        while not importing.done():
            peak = max(peak, await asyncio.to_thread(_resident_bytes, api))
            await asyncio.sleep(0.05)
        answer = importing.result()
    took = time.perf_counter() - started
    assert (answer.status_code, answer.json()["added"]) == (200, CONCEPTS), answer.text[:500]
    note = f"{len(body) >> 20} MiB of Turtle; API and reader together at most {peak >> 20} MiB (limit 1,000)"
    return [once("VOCAB.import", took, IMPORT_SECONDS_MAX, unit="s", objects=len(stand.ids), note=note)]


def _resident_bytes(api: psutil.Process) -> int:
    size = 0
    for one in (api, *api.children(recursive=True)):
        # The reader ends while we look.
        with suppress(psutil.NoSuchProcess):
            size += one.memory_info().rss
    return size


def _large_vocabulary() -> bytes:
    prefixes = "@prefix skos: <http://www.w3.org/2004/02/skos/core#> .\n@prefix c: <urn:example:large:> .\n"
    said = [prefixes, '<urn:example:large> a skos:ConceptScheme ; skos:prefLabel "Large"@en .\n']
    for number in range(CONCEPTS):
        above = f" ; skos:broader c:c{number // 10}" if number >= 10 else ""
        said.append(
            f"c:c{number} a skos:Concept ; skos:inScheme <urn:example:large>{above} ;"
            f' skos:prefLabel "Concept number {number}"@en, "Begriff Nummer {number}"@de ;'
            f' skos:altLabel "synonym {number} of it"@en ; skos:notation "N{number}" ;'
            f' skos:definition "What the concept of the number {number} means, in some words of English."@en .\n'
        )
    return "".join(said).encode()


async def fill(stand: Stand) -> None:
    """Index the whole corpus."""
    say("indexing the corpus")
    await stands.queue_all(stand.engines)
    while await documents.step(stand.engines):
        pass
    await stand.engines.index.refresh()


BENCHES = {
    "B5": pipeline.index_pipeline,
    "SIZE": sizes.of_an_object,
    "B1": searches.latency,
    "B2": searches.throughput,
    "SUGGEST": searches.completion,
    "WORST": searches.beside_the_worst,
    "B8": permission_cost,
    "B9": signing,
    "PROV": lineage,
    "B3": registration,
    "B4": writing.single_registration,
    "B7": writing.notifications,
    "XMIN": pinned.old_snapshot,
    "B10": recovery.store_look,
    "B12": recovery.crash_tax,
    # Before B6, which starts the indexer.
    "DIFF": agreement.by_hand,
    "B11": rebuilding.live,
    "REBUILD": rebuilding.noticed,
    "B6": freshness,
    # After B6, which starts the indexer.
    "LAG": lag.event_to_searchable,
    "VOCAB": vocabulary,
    "EXPORT": exports.whole_result,
    "ALERTS": alerts.ten_thousand,
    "B13": transfers.beside_rclone,
    "PEER": peer.beside_a_peer,
}
# Alters the corpus, and installs and runs what is not ours: only where it is asked for, and by itself.
APART = frozenset({"PEER"})
