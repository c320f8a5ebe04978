"""Moving files step by step: whatever was done and not noted is done again, and harms nothing."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import members, principals
from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.database import now
from catalog.engines import Engines
from catalog.inventory import scanning
from catalog.objects import moving, relocations, versions
from catalog.objects.located import Target
from catalog.objects.relocated import RelocatedFile, Relocation, RelocationState
from catalog.retention import purging
from catalog.storage import backends, copying, sealing
from catalog.storage.backends import Account, Place, Size, Use
from catalog.storage.copying import Load, Pace, Throttle
from catalog.storage.own import OwnStore
from catalog.storage.sealing import Pair
from catalog.storage.signing import Addressing
from indexer import relocating, retention, scans
from tests.api.brought import server
from tests.conftest import eventually
from tests.indexer.scene import Scene, declared

CSV = b"depth,pH\n10,6.4\n"
# Five parts, the last of them short.
LARGE = b"0123456789abcdef" * (66 * 1024 * 1024 // 16)


@dataclass
class Moving:
    """A file in the catalog's own store, a relocation of it to another server, and who began it."""

    scene: Scene
    caller: Caller
    relocation: Relocation
    store: OwnStore
    object_id: UUID

    @property
    def engines(self) -> Engines:
        return self.scene.engines

    async def step(self, pace: Pace | None = None) -> None:
        """Let one indexer go on once, now."""
        await self.scene.let_pass(timedelta(days=30))
        engines = self.engines if pace is None else replace(self.engines, relocating=pace)
        assert await relocating.step(engines) == 1

    async def move(self) -> RelocatedFile:
        async with self.engines.database.transaction() as session:
            statement = "SELECT id FROM relocated_file WHERE relocation_id = :id"
            found = await session.execute(sa.text(statement), {"id": self.relocation.id})
            return await moving.afresh(session, found.scalar_one())

    async def begun(self) -> RelocatedFile:
        async with self.engines.database.transaction() as session:
            return await moving.begin(session, self.relocation, await self.move())

    async def cancel(self) -> None:
        async with self.engines.database.transaction() as session:
            cancelled = RelocationState.CANCELLED
            await relocations.move_to(session, self.relocation, cancelled, action="cancel", caller=self.caller)

    async def copied(self) -> list[str]:
        return [item.key async for item in self.store.list("")]

    async def place(self) -> tuple[str, str, str]:
        async with self.engines.database.transaction() as session:
            statement = sa.text("SELECT backend, state, key FROM file WHERE object_id = :id")
            row = (await session.execute(statement, {"id": self.object_id})).one()
        return row.backend, row.state, row.key

    async def forget_the_grace(self) -> None:
        async with self.engines.database.transaction() as session:
            await session.execute(sa.text("UPDATE relocated_file SET switched_at = switched_at - interval '30 days'"))


def load_of(move: RelocatedFile) -> Load:
    assert move.target_key is not None
    return Load(move.key, move.store_version, move.size, move.sha256, move.media_type, move.target_key)


@pytest.fixture
async def begin(scene: Scene, engines_ready: dict[str, Any]) -> AsyncGenerator[Any]:
    """Begin moving a file with this content, from SeaweedFS to MinIO."""
    engines = scene.engines
    minio = server(engines_ready, "minio")
    async with minio.bucket() as store:

        async def begin(content: bytes) -> Moving:
            organization = f"o{uuid4().hex[:10]}"
            place = Place(minio.endpoint, minio.region, Addressing.PATH, store.bucket, "lab", "catalog")
            backend_id = uuid7()
            sealed = await sealing.seal(Pair(minio.access_key, minio.secret_key), backend_id, engines.stores.keys)
            async with engines.database.transaction() as session:
                caller, _ = await principals.create_token(session, name=f"a{uuid4().hex[:8]}", role=Role.ADMIN)
                await members.create_organization(session, organization, None, caller=caller)
                await members.create_project(session, f"{organization}/soil", None, caller=caller)
                told = {"name": "Archive", "place": place, "uses": frozenset({Use.DOCUMENT}), "account": Account()}
                await backends.insert(session, backend_id, organization, **told, size=Size(), checks=[], caller=caller)
                await sealing.put(session, backend_id, sealed)
            entry, (upload,) = await scene.register(declared("soil.csv", content), project=f"{organization}/soil")
            await scene.upload(upload, content)
            await scene.notice(upload)
            await scene.work()
            async with engines.database.transaction() as session:
                target = Target(str(backend_id), store.bucket, place.uploads_prefix)
                started = await relocations.start(session, organization, "default", target, caller=caller)
                relocation = await relocations.named(session, started)
            assert relocation is not None
            return Moving(scene, caller, relocation, store, entry.id)

        yield begin


@pytest.mark.req("DEWRANGLE-RFC-54")
async def test_what_was_copied_and_not_noted_is_taken_as_it_lies(begin: Any) -> None:
    moved = await begin(CSV)
    standing = await moved.begun()
    await copying.copy(moved.engines.store, moved.store, load_of(standing), Throttle(None))
    lying = await moved.store.stat(standing.target_key or "")

    await moved.step()

    done = await moved.move()
    assert (done.state, done.target_key, done.attempts) == ("switched", standing.target_key, 0)
    assert lying is not None
    assert done.target_version == lying.version_id
    assert await moved.copied() == [done.target_key]
    assert await moved.place() == (moved.relocation.target, "available", done.target_key)


@pytest.mark.req("DEWRANGLE-RFC-54")
async def test_what_was_copied_and_is_gone_or_other_when_it_is_read_back_never_counts(begin: Any) -> None:
    moved = await begin(CSV)
    standing = await moved.begun()
    where = await moved.place()
    # Somebody else's bytes of the same length lie under the key.
    await moved.store.write(standing.target_key or "", CSV.replace(b"6.4", b"4.6"), now=now())

    await moved.step()

    done = await moved.move()
    assert (done.state, done.reason) == ("mismatched", "The copy at the target has other bytes.")
    assert (await moved.place(), await moved.copied()) == (where, [])


async def test_what_was_removed_and_not_noted_is_noted(begin: Any) -> None:
    moved = await begin(CSV)
    await moved.step()
    standing = await moved.move()
    await moved.step()
    # Not before the grace has passed.
    assert (standing.state, (await moved.move()).state) == ("switched", "switched")
    await moved.forget_the_grace()
    await moved.engines.store.remove(standing.key, standing.store_version)

    await moved.step()

    assert (await moved.move()).state == "removed"
    async with moved.engines.database.transaction() as session:
        relocation = await relocations.named(session, moved.relocation.id)
    assert relocation is not None
    assert relocation.state == "finished"
    # Whoever looks at the old key changes nothing.
    await moved.scene.notice(f"default/{moved.engines.store.bucket}/{standing.key}")
    await moved.scene.work()
    assert (await moved.place())[:2] == (moved.relocation.target, "available")


@pytest.mark.req("DEWRANGLE-RFC-54")
async def test_a_large_file_goes_on_with_the_parts_that_it_lacks(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = await begin(LARGE)
    # A part takes longer than a step may.
    monkeypatch.setattr(relocating, "STEP_SECONDS", 0.25)
    slow = Pace(Throttle(50 * 1024 * 1024), timedelta(days=1))
    await moved.step(slow)
    standing = await moved.move()
    assert (standing.state, standing.multipart_id is None) == ("waiting", False)
    held = await moved.store.parts_of(standing.target_key or "", standing.multipart_id or "")
    assert held is not None
    assert [part.number for part in held] == [1]

    for _ in range(10):
        if (await moved.move()).state == "switched":
            break
        await moved.step(slow)

    done = await moved.move()
    assert (done.state, done.target_key, done.attempts) == ("switched", standing.target_key, 0)
    assert await moved.store.sha256_of(done.target_key or "") == done.sha256
    assert await moved.copied() == [done.target_key]


async def test_a_file_whose_relocation_is_cancelled_while_it_is_copied_stays_and_leaves_no_copy(begin: Any) -> None:
    moved = await begin(LARGE[: 8 * 1024 * 1024])
    where = await moved.place()
    stepping = asyncio.create_task(moved.step(Pace(Throttle(8 * 1024 * 1024), timedelta(days=1))))

    async def copying_begun() -> bool:
        return (await moved.move()).target_key is not None

    assert await eventually(copying_begun)
    await moved.cancel()
    await stepping
    await moved.step()

    done = await moved.move()
    assert (done.state, done.target_key, await moved.copied()) == ("cancelled", None, [])
    assert await moved.place() == where
    async with moved.engines.database.transaction() as session:
        assert await queue.claim(session, relocations.RELOCATE, most=1) == []


async def test_a_file_that_was_replaced_while_it_was_copied_is_dropped(begin: Any) -> None:
    moved = await begin(CSV)
    standing = await moved.begun()
    await copying.copy(moved.engines.store, moved.store, load_of(standing), Throttle(None))
    await moved.scene.withdraw_file(moved.object_id, "soil.csv")

    await moved.step()

    done = await moved.move()
    assert (done.state, await moved.copied()) == ("dropped", [])


@pytest.mark.parametrize("deleted", [False, True], ids=["waits to be deleted", "was deleted"])
@pytest.mark.parametrize("published", [False, True], ids=["a file", "a version"])
async def test_what_was_purged_while_it_was_copied_is_not_kept_by_its_copy(
    begin: Any, *, published: bool, deleted: bool
) -> None:
    moved = await begin(CSV)
    if published:
        async with moved.engines.database.transaction() as session:
            caller = moved.scene.caller
            await versions.publish(session, moved.object_id, label=None, note=None, caller=caller, revisions=None)
    standing = await moved.begun()
    await copying.copy(moved.engines.store, moved.store, load_of(standing), Throttle(None))
    await moved.scene.withdraw(moved.object_id)
    policy = replace(moved.engines.retention, grace=timedelta())
    async with moved.engines.database.transaction() as session:
        wanted = {"versions": published, "caller": moved.caller, "policy": policy}
        await purging.ask(session, moved.object_id, "It names a person.", **wanted)
    if deleted:
        assert await retention.leftover_step(replace(moved.engines, retention=policy)) == 1

    await moved.step()

    done = await moved.move()
    left = await moved.engines.store.stat(standing.key)
    assert (done.state, await moved.copied(), left is None) == ("dropped", [], deleted)


async def test_a_scan_takes_what_is_on_its_way_for_no_discovery_and_what_moved_for_no_second_file(begin: Any) -> None:
    moved = await begin(CSV)
    standing = await moved.begun()
    await copying.copy(moved.engines.store, moved.store, load_of(standing), Throttle(None))
    ends = (moved.relocation.source, moved.relocation.target)

    async def scanned() -> tuple[int, list[Any]]:
        """Scan both ends; return how many bytes the file's project holds, and what was found there."""
        for end in ends:
            async with moved.engines.database.transaction() as session:
                await scanning.begin(session, end, scope=None, caller=moved.caller)
        while await scans.step(moved.engines):
            pass
        await moved.scene.work()
        held = "SELECT coalesce(sum(bytes), 0)::bigint FROM usage WHERE project LIKE %(scope)s"
        found = "SELECT key FROM discovered_file WHERE backend = %(target)s OR project LIKE %(scope)s"
        told = {"scope": f"{moved.relocation.scope}/%", "target": moved.relocation.target}
        rows = moved.engines.database.rows
        return (await rows(held, told))[0][0], list(await rows(found, told))

    assert await scanned() == (len(CSV), [])
    await moved.step()
    assert (await moved.move()).state == "switched"
    assert await scanned() == (len(CSV), [])
    await moved.forget_the_grace()
    await moved.step()
    assert (await moved.move()).state == "removed"
    assert await scanned() == (len(CSV), [])
    assert (await moved.place())[:2] == (moved.relocation.target, "available")


async def test_of_what_others_put_there_nothing_is_removed(begin: Any) -> None:
    moved = await begin(CSV)
    standing = await moved.move()
    async with moved.engines.database.transaction() as session:
        # As an adopted file's: the key has no id of its upload in it.
        other = sa.text("UPDATE upload SET id = :id WHERE key = :key")
        await session.execute(other, {"id": uuid7(), "key": standing.key})
    await moved.step()
    await moved.forget_the_grace()

    await moved.step()

    done = await moved.move()
    assert (done.state, done.reason) == ("kept", "The catalog did not put them there: its owner removes them.")
    assert await moved.engines.store.stat(standing.key, version_id=standing.store_version) is not None
    assert (await moved.place())[:2] == (moved.relocation.target, "available")
    # It is again what it was before it was adopted.
    await moved.scene.notice(f"default/{moved.engines.store.bucket}/{standing.key}")
    await moved.scene.work()
    found = "SELECT size FROM discovered_file WHERE key = %(key)s"
    assert list(await moved.engines.database.rows(found, {"key": standing.key})) == [(len(CSV),)]
