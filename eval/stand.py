"""A catalog of its own on real engines, filled with the corpus, and ways to ask it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from catalog.demo import data
from catalog.demo.data import Say
from catalog.local import Stack
from catalog.settings import Workstation
from eval import corpus, sources
from eval.corpus import Filled

INDEXED_SECONDS_MAX = 300.0
# A thousand texts take two minutes, on a busy machine many more.
MEANT_SECONDS_MAX = 1_800.0
POLL_SECONDS = 0.5
# As many hits as the figures look at.
HITS = 50


@dataclass(frozen=True)
class Stand:
    """A filled catalog: as anybody, as who filled it, and what it was filled with."""

    stack: Stack
    anybody: httpx2.AsyncClient
    owner: httpx2.AsyncClient
    filled: Filled


@asynccontextmanager
async def standing(home: Path, corpora: Path, say: Say) -> AsyncGenerator[Stand]:
    """Start the stack with the catalog, fill it, and wait until all of it is found."""
    async with AsyncExitStack() as held:
        cache, log = Workstation().cache / "demo", home / "downloads.log"
        stack = Stack(home, with_catalog=True, say=say)
        packages = {
            **await held.enter_async_context(data.packages(cache, log, say)),
            **await held.enter_async_context(data.packages(cache, log, say, listed=sources.WHEELS)),
        }
        await held.enter_async_context(stack)
        token = (await asyncio.to_thread(stack.token_file.read_text)).strip()
        owner = await held.enter_async_context(_client(stack.api_address, {"Authorization": f"Bearer {token}"}))
        anybody = await held.enter_async_context(_client(stack.api_address, {}))
        began = time.monotonic()
        filled = Filled()
        await corpus.register_demo(owner, packages, filled)
        await corpus.register_examples(owner, filled)
        await corpus.import_records(owner, corpora, filled)
        samples = [*sources.samples(packages), *corpus.croissants(corpora)]
        await corpus.load(owner, samples, filled)
        say(f"{len(filled.ids)} objects are registered, {len(filled.refused)} were refused")
        await _await_index(owner, len(filled.ids))
        await _await_meaning(owner)
        say(f"all of them are found, {time.monotonic() - began:.0f} s after the first was sent")
        yield Stand(stack, anybody, owner, filled)


def _client(url: str, headers: dict[str, str]) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False)


async def _await_index(owner: httpx2.AsyncClient, objects: int) -> None:
    ends = time.monotonic() + INDEXED_SECONDS_MAX
    while time.monotonic() < ends:
        answer = await owner.get("/api/search", params={"limit": 1})
        if answer.is_success and answer.json()["total"] >= objects:
            return
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"not all of {objects} objects are found after {INDEXED_SECONDS_MAX:.0f} s")


async def _await_meaning(owner: httpx2.AsyncClient) -> None:
    """Wait until all objects were read for their meaning; raises RuntimeError where that is not to be had."""
    ends = time.monotonic() + MEANT_SECONDS_MAX
    while time.monotonic() < ends:
        note = (await owner.get("/api/search", params={"q": "data", "hybrid": "true"})).json()["hybrid"]
        if note["used"] and note["why"] is None:
            return
        if note["why"] not in {"filling", "slow"}:
            raise RuntimeError(note["note"])
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"not all objects were read for their meaning after {MEANT_SECONDS_MAX:.0f} s")


async def hits(client: httpx2.AsyncClient, text: str, **narrowed: Any) -> list[str]:
    """Return the ids of what a question finds, best first."""
    answer = await client.get("/api/search", params={"q": text, "limit": HITS, **narrowed})
    answer.raise_for_status()
    return [hit["id"] for hit in answer.json()["hits"]]
