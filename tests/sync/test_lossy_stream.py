"""A real store's notifications, recorded and then delivered badly: one reconciliation leaves nothing different.

What is done to the bucket is done once, while the store tells a recorder of it. The catalog hears the recording alone:
without a twentieth of it, with a tenth twice, in no order.
"""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from catalog.engines import opened
from catalog.objects import hearing
from catalog.objects.tables import Upload
from catalog.storage.dialects import s3
from tests.cli.conftest import Catalog, run
from tests.cli.test_operating import variables
from tests.conftest import FOLDER, Sized, World, make_world, prepare
from tests.indexer.scene import Scene, declared, project, scene_on

__all__ = ["run"]

FILES_AN_OBJECT = 10
DROPPED, DOUBLED = 0.05, 0.10
RECORDED_SECONDS_MAX = 60
SEED = 20_261_122


@contextmanager
def recording(config: pytest.Config, world: World) -> Generator[list[bytes]]:
    """Take down what the store tells of the world's bucket."""
    bodies: list[bytes] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    recorder = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=recorder.serve_forever, args=(0.01,), daemon=True).start()
    registered = Path(config.stash[FOLDER]) / f"{world.settings.store_bucket}.api"
    registered.write_text(f"http://127.0.0.1:{recorder.server_port}")
    try:
        yield bodies
    finally:
        registered.unlink()
        recorder.shutdown()
        recorder.server_close()


class Stream:
    """A catalog that nobody works on but the test, and the recording that it hears."""

    def __init__(self, world: World, bodies: list[bytes], chance: random.Random) -> None:
        self._world, self._bodies, self._chance = world, bodies, chance

    def inside(self, work: Callable[[Scene], Awaitable[Any]]) -> Any:
        """Do something in the catalog."""

        async def opening() -> Any:
            async with opened(self._world.settings) as engines, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
                return await work(await scene_on(engines, http))

        return asyncio.run(opening())

    def heard_badly(self, count: int) -> int:
        """Let the catalog hear so many recorded events, badly, and do what is due; return how many it never heard."""
        ends = time.monotonic() + RECORDED_SECONDS_MAX
        while len(self._bodies) < count and time.monotonic() < ends:
            time.sleep(0.05)
        assert len(self._bodies) == count
        recorded = self._bodies[:]
        self._bodies.clear()
        self._chance.shuffle(recorded)
        kept = recorded[round(DROPPED * count) :]
        delivered = [*kept, *kept[: round(DOUBLED * count)]]
        self._chance.shuffle(delivered)

        async def hear(scene: Scene) -> None:
            engines = scene.engines
            for place, body in enumerate(delivered):
                heard = hearing.read("s3", body, partial(s3.parse, body))
                await hearing.keep(engines.database, engines.notes, engines.placement, heard)
                if place % 50 == 0:
                    await scene.work()
            await scene.work()

        self.inside(hear)
        return count - len(kept)


def content(number: int) -> bytes:
    """Return what a file should hold; what it holds instead is as long, so that sizes tell nothing."""
    return b"depth,pH\n%d,6.4\n" % number


async def uploaded(scene: Scene, count: int) -> list[Upload]:
    made: list[Upload] = []
    for first in range(0, count, FILES_AN_OBJECT):
        files = [declared(f"{number:05}.csv", content(number)) for number in range(first, first + FILES_AN_OBJECT)]
        made += (await scene.register(*files, project=project()))[1]
    for one in made:
        await scene.upload(one, content(int(one.path.removesuffix(".csv"))))
    return made


async def treated(scene: Scene, uploads: Sequence[Upload], chance: random.Random) -> int:
    """Overwrite some, overwrite some twice, so that they are what they were, remove some, put strange ones beside."""
    count = 0
    for place, one in enumerate(uploads):
        right = content(int(one.path.removesuffix(".csv")))
        act = chance.choice(("wrong", "wrong and right", "removed", "nothing", "stranger"))
        if act.startswith("wrong"):
            await scene.overwrite(one.key, right.replace(b"pH", b"Ph"))
            count += 1
        if act.endswith("right"):
            await scene.overwrite(one.key, right)
            count += 1
        if act == "removed":
            await scene.engines.store.remove(one.key)
            count += 1
        if act == "stranger":
            prefix = scene.engines.placement.prefix
            await scene.overwrite(f"{prefix}/sage/cloud/source/{place:05}.csv".removeprefix("/"), right)
            count += 1
    return count


async def otherwise(scene: Scene, uploads: Sequence[Upload]) -> dict[str, tuple[str, str]]:
    """Return the files that are not as the store itself has their keys: how they are, and how they should be."""
    found = {}
    states: dict[tuple[Any, str], str] = {}
    for object_id in {one.object_id for one in uploads}:
        states |= {(object_id, file.path): str(file.state) for file in (await scene.entry(object_id)).files}
    for one in uploads:
        lying = await scene.engines.store.stat(one.key)
        right = lying is not None and await scene.engines.store.sha256_of(one.key) == one.sha256
        should = "available" if right else "missing" if lying is None else "mismatched"
        state = states[one.object_id, one.path]
        # Bytes that came and went unheard may still come, as long as their ticket works.
        if state != should and not (lying is None and state == "expected"):
            found[one.key] = (state, should)
    return found


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.req("SAGE-STORAGE-7", "MWM-SADD-41")
def test_after_a_bad_stream_one_reconciliation_leaves_no_difference(
    engines_ready: dict[str, Any], tmp_path: Path, pytestconfig: pytest.Config, run: Catalog, sized: Sized
) -> None:
    world = make_world(engines_ready, tmp_path, store="minio")
    chance = random.Random(SEED)  # noqa: S311 - a test's chance.
    asyncio.run(prepare(world, engines_ready))
    with recording(pytestconfig, world) as bodies:
        stream = Stream(world, bodies, chance)
        uploads = stream.inside(lambda scene: uploaded(scene, sized(100, long=2_000)))
        unheard = stream.heard_badly(len(uploads))
        treatments = stream.inside(lambda scene: treated(scene, uploads, chance))
        unheard += stream.heard_badly(treatments)

    before = stream.inside(lambda scene: otherwise(scene, uploads))
    found = run("diff", "--stores", "--json", **variables(world))
    mended = run("reconcile", "--stores", "--json", **variables(world))
    stream.inside(lambda scene: scene.work())
    after = run("diff", "--full", "--stores", "--json", **variables(world))

    assert unheard >= 0.04 * (len(uploads) + treatments)
    assert (found.code, len(before) > 0) == (7, True)
    # Strangers that nobody heard of are no files, and are found besides.
    named = {one["key"] for one in found.json["stores"][0]["differences"] if one["object"] is not None}
    awaited = {key for key, (state, _) in before.items() if state == "expected"}
    assert (named | awaited, mended.code) == (set(before), 0), mended.err
    assert (after.code, after.json["stores"][0]["differences"], after.json["index"]["differences"]) == (0, [], [])
    assert stream.inside(lambda scene: otherwise(scene, uploads)) == {}
