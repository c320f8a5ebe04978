"""Embargoes end by themselves: each at its time, none because of another, and none that was made longer meanwhile."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from catalog import queue
from catalog.objects import granting
from indexer import embargoes
from tests.indexer.scene import Scene


def later(**told: float) -> str:
    return (datetime.now(UTC) + timedelta(**told)).isoformat()


async def embargoed(scene: Scene, until: str) -> UUID:
    entry, _ = await scene.register(title="Secret", visibility="embargoed", embargo_until=until)
    return entry.id


async def due(scene: Scene, *subjects: str) -> None:
    async with scene.engines.database.transaction() as session:
        await queue.put(session, granting.EMBARGO, subjects)


async def left(scene: Scene) -> list[tuple[str, bool, str | None]]:
    return await scene.engines.database.rows(
        "SELECT subject, parked_at IS NOT NULL, reason FROM queue WHERE topic = 'embargo' ORDER BY subject", {}
    )


async def test_an_embargo_whose_time_has_come_ends_and_one_that_was_made_longer_does_not(scene: Scene) -> None:
    ended, longer = await embargoed(scene, later(days=1)), await embargoed(scene, later(days=2))
    long_ago = {"until": "2001-01-01T00:00:00Z"}
    await scene.spoil(ended, "record = record || jsonb_build_object('embargo_until', CAST(:until AS text))", **long_ago)
    await due(scene, str(ended), str(longer))

    assert await embargoes.step(scene.engines) == 2

    entries = {one: await scene.entry(one) for one in (ended, longer)}
    assert {one: ("public" in entry.readers, entry.record["visibility"]) for one, entry in entries.items()} == {
        ended: (True, "public"),
        longer: (False, "embargoed"),
    }
    assert await left(scene) == [(str(longer), False, "embargoed")]


async def test_one_that_cannot_be_handled_costs_the_others_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await embargoed(scene, later(days=1)), await embargoed(scene, later(days=1))
    end = granting.end_embargo

    async def fails(session: object, object_id: UUID) -> datetime | None:
        if object_id == bad:
            raise RuntimeError("broken")
        return await end(session, object_id)

    monkeypatch.setattr(granting, "end_embargo", fails)
    await scene.spoil(good, 'record = record || \'{"embargo_until": "2001-01-01T00:00:00Z"}\'')
    await due(scene, str(bad), str(good), "nonsense")

    await embargoes.step(scene.engines)

    assert (await scene.entry(good)).record["visibility"] == "public"
    told = "Ending the embargo failed: RuntimeError: broken"
    assert await left(scene) == [(str(bad), False, told), ("nonsense", True, "The subject names no object.")]
