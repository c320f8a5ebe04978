"""B4 and B7: single registrations, and notifications, one after the other and from many at once."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import msgspec
import psycopg
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from bench import stand as stands
from bench.corpus import Corpus
from bench.measure import Figure, Pair, figure, interleaved, median
from bench.stand import Stand, Wire, say

CLIENTS = 16
REGISTERED_A_BLOCK = 320
TOLD_A_BLOCK = 400
TELLERS = 8
# As a registration leaves it, in one statement and one commit: the object, and the note to index it.
_LIMIT = f"""
WITH made AS (
    INSERT INTO object ({stands.OBJECT_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
) INSERT INTO queue (topic, subject) SELECT 'index', id::text FROM made
"""


def _by_many(connections: int, work: Callable[[int], None]) -> float:
    """Do work from so many threads, each told its number, and return how long all of it took."""
    gate = threading.Barrier(connections + 1)

    def one(number: int) -> None:
        gate.wait()
        work(number)

    with ThreadPoolExecutor(connections) as pool:
        waiting = [pool.submit(one, number) for number in range(connections)]
        gate.wait()
        started = time.perf_counter()
        for one_of_them in waiting:
            one_of_them.result()
        return time.perf_counter() - started


async def single_registration(stand: Stand) -> list[Figure]:
    """B4: registrations of sixteen clients over HTTP, against one statement each of as many connections."""
    say("B4 single registration")
    more = Corpus(1_000_000, seed=13).samples()
    url, owner = str(stand.settings.database_url), stand.owners[0]
    bearer = {"Authorization": f"Bearer {stand.tokens[0]}", "Content-Type": "application/json"}
    wires = [Wire(str(stand.settings.public_url), bearer) for _ in range(CLIENTS)]
    connections = [psycopg.connect(url, autocommit=True) for _ in range(CLIENTS)]
    each = REGISTERED_A_BLOCK // CLIENTS
    latencies = Pair([], [])

    def ours() -> list[float]:
        bodies = [msgspec.json.encode({**one.body, "files": []}) for one in islice(more, REGISTERED_A_BLOCK)]

        def register(number: int) -> None:
            for body in bodies[number * each : (number + 1) * each]:
                began = time.perf_counter()
                status, told = wires[number].send("POST", "/api/objects", body)
                latencies.ours.append((time.perf_counter() - began) * 1000)
                assert status == 201, told[:500]

        return [REGISTERED_A_BLOCK / _by_many(CLIENTS, register)]

    def limit() -> list[float]:
        rows = [stands.prepared(one, owner, stand.settings).object for one in islice(more, REGISTERED_A_BLOCK)]

        def insert(number: int) -> None:
            for row in rows[number * each : (number + 1) * each]:
                began = time.perf_counter()
                connections[number].execute(_LIMIT, row)
                latencies.limit.append((time.perf_counter() - began) * 1000)

        return [REGISTERED_A_BLOCK / _by_many(CLIENTS, insert)]

    pair = await asyncio.to_thread(interleaved, ours, limit)
    for connection in connections:
        connection.close()
    await _emptied(stand)
    size = len(stand.ids)
    slower = median(latencies.ours) - median(latencies.limit)
    note = f"{CLIENTS} clients; the median of one is {slower:+.1f} ms"
    return [figure("B4", pair, median, unit="objects/s", objects=size, target=">= 0.50", note=note)]


async def notifications(stand: Stand) -> list[Figure]:
    """B7: notifications that are answered once they are kept, against an insert and a commit of the same payload."""
    return [
        await _told(stand, "B7.one", 1, target=">= 0.60"),
        await _told(stand, "B7.eight", TELLERS, target=">= 0.70"),
    ]


async def _told(stand: Stand, name: str, tellers: int, *, target: str) -> Figure:
    say(f"{name} notifications")
    token = stand.settings.notification_token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    wires = [Wire(str(stand.settings.public_url), headers) for _ in range(tellers)]
    connections = [psycopg.connect(str(stand.settings.database_url), autocommit=True) for _ in range(tellers)]
    with psycopg.connect(str(stand.settings.database_url), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_inbox (id bigint GENERATED ALWAYS AS IDENTITY, body bytea)"
        )
    each = TOLD_A_BLOCK // tellers
    numbers = count()

    def bodies() -> list[bytes]:
        return [_event(stand.settings.store_bucket, next(numbers)) for _ in range(TOLD_A_BLOCK)]

    def block(send: Callable[[int, bytes], None]) -> list[float]:
        made = bodies()

        def one(number: int) -> None:
            for body in made[number * each : (number + 1) * each]:
                send(number, body)

        return [TOLD_A_BLOCK / _by_many(tellers, one)]

    def tell(number: int, body: bytes) -> None:
        status, told = wires[number].send("POST", "/api/notifications/s3", body)
        assert status == 204, told

    def keep(number: int, body: bytes) -> None:
        connections[number].execute("INSERT INTO bench_inbox (body) VALUES (%s)", [body])

    pair = await asyncio.to_thread(interleaved, lambda: block(tell), lambda: block(keep))
    for connection in connections:
        connection.close()
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("DROP TABLE bench_inbox"))
    await _emptied(stand)
    note = f"{tellers} connections" if tellers > 1 else "one connection, one after the other"
    return figure(name, pair, median, unit="events/s", objects=len(stand.ids), target=target, note=note)


def _event(bucket: str, number: int) -> bytes:
    key = f"org/project/uploads/{uuid7()}/{uuid7()}/data/file%20{number}.csv"
    told = {"key": key, "size": 4096, "eTag": uuid7().hex, "sequencer": f"{number:016X}", "contentType": "text/csv"}
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "eventTime": "2026-11-22T12:00:00.000Z",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": told},
    }
    return msgspec.json.encode({"EventName": "s3:ObjectCreated:Put", "Key": f"{bucket}/{key}", "Records": [record]})


async def _emptied(stand: Stand) -> None:
    async with stand.engines.database.transaction() as session:
        await session.execute(sa.text("TRUNCATE queue"))
