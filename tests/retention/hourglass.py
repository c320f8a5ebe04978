"""What a person, an indexer and the clock do to a catalog of which a test watches what is kept."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from uuid_utils.compat import uuid7

from catalog.access import principals
from catalog.access.audience import Role
from catalog.access.callers import Caller
from catalog.objects import versions
from catalog.objects.tables import Upload
from catalog.retention import marking, rules
from catalog.retention.deciding import Since
from catalog.retention.marking import Mark
from catalog.retention.rules import Wanted
from indexer import retention
from tests.indexer.scene import Scene, declared, project

DAY = timedelta(days=1)
BYTES = b"seven bytes and more"


@dataclass
class Hourglass:
    """A scene with a clock that can be set."""

    scene: Scene

    def with_policy(self, **said: Any) -> "Hourglass":
        """Return the same catalog with other settings."""
        engines = self.scene.engines
        return Hourglass(replace(self.scene, engines=replace(engines, retention=replace(engines.retention, **said))))

    async def jump(self, by: timedelta) -> None:
        """Set the database's clock, as an administrator or a broken time server does."""
        self.scene.engines.database.learned.clear()
        await self._do("UPDATE hourglass.ahead SET by = by + :by", by=by)

    async def let_pass(self, time: timedelta) -> None:
        """Let time pass while indexers look at the clock."""
        await self.jump(time)
        await self._do("UPDATE retention_clock SET seen_at = seen_at + :by, witnessed = witnessed + :seconds",
                       by=time, seconds=int(time.total_seconds()))  # fmt: skip

    async def watch(self, time: timedelta, step: timedelta) -> None:
        """Let time pass, with a cycle after every step."""
        passed = timedelta()
        while passed < time:
            await self.jump(step)
            await self.cycle()
            passed += step

    async def cycle(self) -> None:
        """Run one cycle."""
        await retention.cycle(self.scene.engines)

    async def delete(self) -> None:
        """Delete what the cycles have queued."""
        while await retention.leftover_step(self.scene.engines):
            pass

    async def now(self) -> datetime:
        """Return what the database's clock says."""
        ((at,),) = await self.scene.engines.database.rows("SELECT now()", {})
        told: datetime = at
        return told.astimezone(UTC)

    async def admin(self) -> Caller:
        """Return an admin of the whole catalog."""
        async with self.scene.engines.database.transaction() as session:
            caller, _ = await principals.create_token(session, name=f"admin-{project()[7:]}", role=Role.ADMIN)
        return caller

    async def rule(self, scope: str, days: int | None, kind: str | None = None, **said: Any) -> None:
        """Set a rule."""
        wanted = Wanted(days, Since(said.get("since", "registration")), said.get("versions", False))
        async with self.scene.engines.database.transaction() as session:
            await rules.put(session, scope, kind, wanted, caller=await self.admin())

    async def stored(self, where: str, **told: Any) -> tuple[UUID, Upload]:
        """Register an object with one file, and bring its bytes."""
        entry, (upload,) = await self.scene.register(declared("a.bin", BYTES), project=where, **told)
        await self.scene.upload(upload, BYTES)
        await self.scene.notice(upload)
        await self.scene.work()
        return entry.id, upload

    async def publish(self, object_id: UUID) -> None:
        """Publish an object as it stands."""
        async with self.scene.engines.database.transaction() as session:
            await versions.publish(session, object_id, label=None, note=None, caller=self.scene.caller, revisions=None)

    async def mark(self, object_id: UUID) -> Mark | None:
        """Return the mark at an object."""
        async with self.scene.engines.database.transaction() as session:
            return await marking.of(session, object_id)

    async def gone(self, *ids: UUID) -> list[bool]:
        """Tell which of these objects were withdrawn."""
        return [(await self.scene.entry(one)).withdrawn_at is not None for one in ids]

    async def lies(self, *uploads: Upload) -> list[bool]:
        """Tell under which of these keys the store has bytes."""
        return [await self.scene.engines.store.stat(one.key) is not None for one in uploads]

    async def bring_backend(self, upload: Upload, *, detached: bool) -> None:
        """Let an upload lie in a backend at the same store that is for data alone, or was detached."""
        name, store = uuid7(), self.scene.engines.store
        await self._do("INSERT INTO organization (name) VALUES ('sage') ON CONFLICT DO NOTHING")
        await self._do(
            "INSERT INTO storage_backend (id, organization, name, endpoint, region, addressing, bucket, prefix, root,"
            " document, data, health, checks, created_by, changed_by, detached_at) VALUES (:id, 'sage', :name,"
            " :endpoint, 'us-east-1', 'path', :bucket, :name, 'catalog', false, true, 'healthy', '[]', :by, :by,"
            " CASE WHEN :detached THEN now() END)",
            id=name,
            name=f"b{name.hex[-12:]}",
            endpoint=str(store.endpoint).rstrip("/"),
            bucket=store.bucket,
            by=self.scene.caller.id,
            detached=detached,
        )
        for table in ("upload", "file"):
            await self._do(f"UPDATE {table} SET backend = :name WHERE key = :key", name=str(name), key=upload.key)  # noqa: S608 - names of tables, above.

    async def clear(self) -> None:
        """Forget everything that a test has said."""
        retention = ("rule", "hold", "mark", "stop", "clock")
        for table in ("queue", "leftover", *(f"retention_{one}" for one in retention)):
            await self._do(f"DELETE FROM {table}")  # noqa: S608 - names of tables, above.
        await self._do("UPDATE hourglass.ahead SET by = '0'")
        await self._do("UPDATE object SET withdrawn_at = now(), withdrawal_reason = 'Over.' WHERE withdrawn_at IS NULL")

    async def _do(self, statement: str, **values: Any) -> None:
        async with self.scene.engines.database.transaction() as session:
            await session.execute(sa.text(statement), values)
