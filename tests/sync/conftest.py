"""A quiet catalog with some objects, and the hands of somebody who writes to its index past the indexer."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx2
import pytest

from catalog.sync import comparing, mending
from catalog.sync.comparing import Kind, Sides
from tests.indexer.conftest import between, quiet, quiet_scene, scene, search_url
from tests.indexer.scene import Scene

__all__ = ["between", "quiet", "quiet_scene", "scene", "search_url"]


@dataclass(frozen=True)
class Hand:
    """Writes to the index as nothing in the catalog does."""

    url: str

    async def put(self, document_id: str, document: Mapping[str, Any], **how: Any) -> None:
        """Put a document; with a version as it is told."""
        await self._send("PUT", f"/_doc/{document_id}", document, **how)

    async def change(self, document_id: object, **fields: Any) -> None:
        """Change fields of a document."""
        await self._send("POST", f"/_update/{document_id}", {"doc": fields})

    async def delete(self, document_id: object) -> None:
        """Delete a document."""
        await self._send("DELETE", f"/_doc/{document_id}", None)

    async def read(self, document_id: object) -> dict[str, Any]:
        """Return a document as it is held, or nothing."""
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            told: dict[str, Any] = (await client.get(f"{self.url}/_doc/{document_id}")).json()
        return told.get("_source", {})

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, **how: Any) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            asked = {"refresh": "true", **how}
            answer = await client.request(method, f"{self.url}{path}", params=asked, json=body)
        assert answer.status_code < 300, answer.text


@pytest.fixture
def hand(scene: Scene, search_url: str) -> Hand:
    """Somebody's hand in the scene's index."""
    return Hand(f"{search_url}/{scene.engines.index.alias}")


@pytest.fixture
async def sides(scene: Scene) -> AsyncGenerator[Sides]:
    """The scene's database and index, which agree again when a test has ended."""
    sides = Sides(scene.engines.database, scene.engines.index, scene.engines.placement.prefix, full=True)
    yield replace(sides, full=False)
    await scene.work()
    await scene.engines.index.refresh()
    found = [one async for slice_ in comparing.differences(sides) for one in slice_.differences]
    await mending.write_anew(sides.database, found)
    await mending.remove(sides, found)
    await scene.work()
    assert await differing(sides) == {}


async def differing(sides: Sides, after: UUID | None = None) -> dict[str, Kind]:
    """Return what is wrong with which document."""
    await sides.index.refresh()
    found = [one async for one in comparing.differences(sides, after)]
    return {one.id: one.kind for slice_ in found for one in slice_.differences}


async def indexed(scene: Scene, count: int, **told: Any) -> Sequence[UUID]:
    """Register and index so many objects, and return their ids."""
    ids = list((await scene.registered(*(f"Plot {number}" for number in range(count)), **told)).values())
    await scene.work()
    return ids
