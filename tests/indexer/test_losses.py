"""A store that could not tell of everything says how much, and is scanned."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog import queue
from catalog.engines import opened
from catalog.errors import Unavailable
from catalog.inventory import scanning
from catalog.local import ports
from catalog.local.minio import Minio
from catalog.local.process import Process, Program
from catalog.settings import Workstation
from catalog.storage import health, losses
from catalog.storage.keys import OWN
from indexer import probes, scans
from tests.conftest import make_world
from tests.indexer.scene import Scene, declared, scene_on

CSV = b"depth,pH\n10,6.4\n"
V2 = """# TYPE minio_notify_events_errors_total counter
minio_notify_events_errors_total{server="a:9000"} 3
minio_notify_events_errors_total{server="b:9000"} 2
minio_notify_events_skipped_total{server="a:9000"} 1e+01
minio_notify_events_sent_total{server="a:9000"} 400
minio_notify_target_failed_events{server="a:9000",target_id="C",target_name="webhook"} 3
"""
V3 = """minio_notification_events_errors_total{server="a:9000"} 4
minio_notification_events_sent_total{server="a:9000"} 9
"""


class Forgetful(Minio):
    """A MinIO that keeps no event that nobody takes, and tells everybody how many those are."""

    async def program(self) -> Program:
        """Return how it is started."""
        program = await super().program()
        kept = {name: value for name, value in program.environment.items() if "_QUEUE_" not in name}
        return replace(program, environment=kept | {"MINIO_PROMETHEUS_AUTH_TYPE": "public"})


@pytest.fixture
async def forgetful(engines_ready: dict[str, Any], tmp_path: Path) -> AsyncGenerator[Minio]:
    """A running one, whose receiver is away."""
    given = engines_ready["environment"]
    minio = Forgetful(
        folder=tmp_path / "minio",
        port=ports.choose(),
        region=given["CATALOG_STORE_REGION"],
        access_key=given["CATALOG_STORE_ACCESS_KEY"],
        secret_key=given["CATALOG_STORE_SECRET_KEY"],
        root_password="only-of-this-test",
        bucket="*",
        notify="http://127.0.0.1:9/api/notifications/s3",
        notification_token=given["CATALOG_NOTIFICATION_TOKEN"],
        cache=Workstation().cache,
        say=lambda _: None,
    )
    (tmp_path / "minio").mkdir()
    process = Process(minio, tmp_path / "minio.log", lambda _: None)
    await process.start()
    await minio.ensure_account()
    yield minio
    await process.stop()


async def tried(scene: Scene) -> None:
    async with scene.engines.database.transaction() as session:
        await queue.put(session, health.PROBE, [OWN])
    await probes.step(scene.engines)


async def causes(scene: Scene) -> list[tuple[str, str]]:
    async with scene.engines.database.transaction() as session:
        return [(one.cause, one.state) for one in await scanning.of(session, OWN, most=9)]


@pytest.mark.timeout(120)
@pytest.mark.req("SAGE-STORAGE-7")
async def test_a_store_that_lost_events_is_scanned_once_and_nothing_is_overlooked(
    forgetful: Minio, engines_ready: dict[str, Any], tmp_path: Path
) -> None:
    metrics = f"{forgetful.address}/minio/v2/metrics/cluster"
    there = engines_ready | {"minio_url": forgetful.address}
    world = make_world(there, tmp_path, store="minio", store_metrics_url=metrics)
    async with opened(world.settings) as engines, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        await engines.index.ensure()
        await engines.store.ensure_bucket()
        scene = await scene_on(engines, http)
        await tried(scene)
        untold = await causes(scene)
        await engines.store.set_notification(forgetful.arn)
        entry, (upload,) = await scene.register(declared("soil.csv", CSV))
        await scene.upload(upload, CSV)
        await engines.store.change_setting("notification", b"<NotificationConfiguration/>")

        # It counts anew every ten seconds.
        for _ in range(300):
            if await losses.LossCounter(metrics).read():
                break
            await asyncio.sleep(0.1)

        await tried(scene)
        begun = await causes(scene)
        while await scans.step(engines):
            pass
        await scene.work()
        states = [str(file.state) for file in (await scene.entry(entry.id)).files]
        await tried(scene)

        assert (untold, begun) == ([], [("events-lost", "running")])
        assert (states, await causes(scene)) == (["available"], [("events-lost", "done")])


@pytest.mark.parametrize(("metrics", "lost"), [(V2, 15), (V3, 4)], ids=["v2", "v3"])
def test_lost_events_are_added_up_over_servers(metrics: str, lost: int) -> None:
    assert losses.counted(metrics) == lost


async def test_metrics_that_count_nothing_of_the_kind_or_are_away_are_no_answer() -> None:
    with pytest.raises(Unavailable, match="do not count lost events"):
        losses.counted('minio_s3_requests_total{server="a"} 3\n')
    with pytest.raises(Unavailable, match="cannot be read"):
        await losses.LossCounter("http://127.0.0.1:9/minio/v2/metrics/cluster").read()
