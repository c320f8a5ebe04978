"""What an installation of any size needs: `python -m bench.scaling --objects 1e9 --changes 500 --searches 200`.

Arithmetic and a simulation over rates that `python -m bench --only SIZE B2` measured on this machine, per core; each
assumption that was not measured is a named constant. The simulation lets changes come, lets indexers take batches as
ours do, lets the engine go away for a while, and tells how late the documents were.
"""

import argparse
import heapq
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"
BATCH = 500
# OpenSearch's advice for a shard that is searched: 10 to 30 GB (docs/scaling.md).
SHARD_GB = 20.0
# Heap that a node has at most without losing compressed pointers, and shards a GiB of it carries (AWS OpenSearch Lens).
NODE_HEAP_GIB, SHARDS_PER_HEAP_GIB = 30, 25
# A node keeps as much again of what is searched most in the page cache; less, and searches wait for the disk.
CACHED_SHARE = 0.5
# Of its processor, an engine that is also searched can give so much to writing.
WRITING_SHARE = 0.5
HOURS_TO_FILL = 24.0
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured: bytes of an object in database and index, what a batch costs, searches a core."""

    database_bytes: float
    index_bytes: float
    batch_seconds: float
    document_seconds: float
    searches_a_core: float

    @classmethod
    def measured(cls, results: Path = RESULTS) -> "Rates":
        """Read them from what the benches wrote; raises KeyError for one that was never measured."""
        found = {one["id"]: one for one in json.loads(results.read_text())["figures"]}
        return cls(
            found["SIZE.database"]["ours"],
            found["SIZE.index"]["ours"],
            found["STEP.batch"]["ours"] / 1000,
            found["STEP.document"]["ours"] / 1000,
            # Both cores of the machine served the sixteen clients.
            found["B2"]["ours"] / 2,
        )

    def rate_of(self, batch: int = BATCH) -> float:
        """Return how many documents one indexer's core writes in a second, in batches of this size."""
        return batch / (self.batch_seconds + batch * self.document_seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """What so many objects, changes and searches a second need."""

    database_gb: float
    index_gb: float
    shards: int
    search_nodes: int
    indexer_cores: int
    search_cores: int
    fill_hours: float
    queue_rows_a_day: float


def plan(rates: Rates, objects: float, changes: float, searches: float) -> Plan:
    """Return what is needed, replicas included: every shard lies on two nodes."""
    index_gb = objects * rates.index_bytes / 1e9
    shards = max(1, math.ceil(index_gb / SHARD_GB))
    copies = 2 * shards
    by_heap = copies / (NODE_HEAP_GIB * SHARDS_PER_HEAP_GIB)
    by_cache = 2 * index_gb * CACHED_SHARE / (NODE_HEAP_GIB * 2)
    filling = objects / (HOURS_TO_FILL * 3600)
    indexer_cores = math.ceil(max(changes, filling) / rates.rate_of())
    return Plan(
        database_gb=objects * rates.database_bytes / 1e9,
        index_gb=index_gb * 2,
        shards=shards,
        # Two, so that one may go; three, so that the others agree who is left.
        search_nodes=max(1 if objects < 1e6 else 3, math.ceil(max(by_heap, by_cache))),
        indexer_cores=max(1, indexer_cores),
        # A search asks every shard: the engine's part grows with them, ours does not.
        search_cores=max(1, math.ceil(searches / rates.searches_a_core)),
        fill_hours=objects / (max(1, indexer_cores) * rates.rate_of()) / 3600,
        queue_rows_a_day=changes * DAY_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class Lag:
    """How late documents were, in seconds; how deep the queue was; how long after the outage it was as before."""

    p50: float
    p95: float
    worst: float
    deepest: int
    recovered_seconds: float | None


def simulate(
    rates: Rates,
    *,
    changes: float,
    indexers: int,
    seconds: float = 600.0,
    outage: tuple[float, float] | None = None,
    seed: int = 0,
) -> Lag:
    """Let changes come at random, at this rate, and indexers take what is there, at most a batch each.

    During `outage`, from and to, the engine takes nothing. A batch takes its measured time, give or take a third.
    """
    chance = random.Random(seed)
    arrivals = list(_arrivals(chance, changes, seconds))
    free = [(0.0, number) for number in range(indexers)]
    heapq.heapify(free)
    taken, late, deepest = 0, list[float](), 0
    recovered: float | None = None
    while taken < len(arrivals):
        at, who = heapq.heappop(free)
        at = max(at, arrivals[taken])
        if outage is not None and outage[0] <= at < outage[1]:
            at = outage[1]
        waiting = _until(arrivals, at, taken) - taken
        deepest = max(deepest, waiting)
        batch = min(waiting, BATCH)
        if outage is not None and at >= outage[1] and waiting <= BATCH and recovered is None:
            recovered = at - outage[1]
        done = at + (rates.batch_seconds + batch * rates.document_seconds) * chance.uniform(2 / 3, 4 / 3)
        late += [done - one for one in arrivals[taken : taken + batch]]
        taken += batch
        heapq.heappush(free, (done, who))
    late.sort()
    return Lag(late[len(late) // 2], late[int(len(late) * 0.95)], late[-1], deepest, recovered)


def _arrivals(chance: random.Random, rate: float, seconds: float) -> Sequence[float]:
    at, found = 0.0, []
    while (at := at + chance.expovariate(rate)) < seconds:
        found.append(at)
    return found


def _until(arrivals: Sequence[float], at: float, begin: int) -> int:
    low, high = begin, len(arrivals)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if arrivals[middle] <= at else (low, middle)
    return low


def main() -> None:
    """Print what so much needs, and how late documents would be."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description=__doc__)
    parser.add_argument("--objects", type=float, default=1e7, help="objects in all (default 10 million)")
    parser.add_argument("--changes", type=float, default=50.0, help="changes a second (default 50)")
    parser.add_argument("--searches", type=float, default=20.0, help="searches a second (default 20)")
    parser.add_argument("--indexers", type=int, help="indexers, of one core each; else as many as the plan says")
    parser.add_argument(
        "--outage", type=float, default=300.0, help="seconds for which the engine is away (default 300)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the benches wrote their figures")
    asked = parser.parse_args()
    rates = Rates.measured(asked.results)
    needed = plan(rates, asked.objects, asked.changes, asked.searches)
    print(f"{asked.objects:,.0f} objects, {asked.changes:,.0f} changes and {asked.searches:,.0f} searches a second")
    print(f"  database      {needed.database_gb:12,.1f} GB")
    print(f"  index         {needed.index_gb:12,.1f} GB with one replica, {needed.shards:,} shards")
    print(f"  search nodes  {needed.search_nodes:12,}")
    print(f"  search cores  {needed.search_cores:12,} for API and engine together")
    print(f"  indexer cores {needed.indexer_cores:12,}, which fill an empty index in {needed.fill_hours:,.1f} h")
    print(f"  queue         {needed.queue_rows_a_day:12,.0f} entries a day")
    indexers = asked.indexers or needed.indexer_cores
    calm = simulate(rates, changes=asked.changes, indexers=indexers)
    away = simulate(
        rates,
        changes=asked.changes,
        indexers=indexers,
        seconds=600 + 4 * asked.outage,
        outage=(300, 300 + asked.outage),
    )
    print(f"simulated with {indexers:,} indexers, without what a refresh takes:")
    print(f"  calm          p50 {calm.p50 * 1000:8,.0f} ms  p95 {calm.p95 * 1000:8,.0f} ms  worst {calm.worst:6.1f} s")
    told = "not within the time simulated" if away.recovered_seconds is None else f"{away.recovered_seconds:,.0f} s"
    print(f"  {asked.outage:,.0f} s away    {away.deepest:,} entries deep; as before {told} after the engine is back")


if __name__ == "__main__":
    main()
