"""What is due is marked, goes after its grace with its bytes, and is kept by whatever is to keep it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.callers import Caller
from catalog.objects import verbs
from catalog.objects.metadata import FileDeclaration
from catalog.objects.tables import Upload
from catalog.retention import holds, marking, purging, removing
from catalog.retention.purging import Kept
from tests.indexer.scene import declared, project
from tests.retention.hourglass import BYTES, DAY, Hourglass

GRACE = 7 * DAY
Obstacle = Callable[[Hourglass, UUID], Awaitable[None]]


async def leftovers(hourglass: Hourglass, *ids: UUID) -> list[tuple[str, bool, str | None]]:
    return await hourglass.scene.engines.database.rows(
        "SELECT why, ended_at IS NOT NULL, reason FROM leftover WHERE object_id = ANY(%(ids)s) ORDER BY id",
        {"ids": list(ids)},
    )


@pytest.mark.req("MWM-SADD-67", "MWM-SADD-68")
async def test_what_is_due_is_marked_then_goes_and_then_its_bytes_and_nothing_else(hourglass: Hourglass) -> None:
    here, beside = project(), project()
    due, upload = await hourglass.stored(here)
    other_kind, _ = await hourglass.stored(here, kind="training-dataset", metadata={"labelled": False})
    elsewhere, kept = await hourglass.stored(beside)
    await hourglass.rule(here, 30, "sensor-blob")
    await hourglass.cycle()
    await hourglass.let_pass(29 * DAY)
    await hourglass.cycle()
    assert await hourglass.mark(due) is None

    await hourglass.let_pass(DAY)
    await hourglass.cycle()
    mark = await hourglass.mark(due)
    assert mark is not None
    assert mark.removes_at - mark.marked_at == GRACE
    assert await hourglass.gone(due) == [False]

    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    assert await hourglass.gone(due, other_kind, elsewhere) == [True, False, False]
    assert await hourglass.lies(upload, kept) == [True, True]
    reason = (await hourglass.scene.entry(due)).withdrawal_reason
    assert reason == f"Removed by the rule of {here}, kind sensor-blob: keep for 30 days from registration."

    await hourglass.delete()
    assert await hourglass.lies(upload, kept) == [False, True]
    assert await leftovers(hourglass, due, other_kind, elsewhere) == [("removed", True, None)]
    (file,) = (await hourglass.scene.entry(due)).files
    assert (file.state, file.key) == ("missing", None)


async def test_lifting_the_mark_gives_everything_back_and_counts_the_days_anew(hourglass: Hourglass) -> None:
    here = project()
    object_id, upload = await hourglass.stored(here)
    before = await hourglass.scene.entry(object_id)
    await hourglass.rule(here, 30)
    await hourglass.cycle()
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE - timedelta(minutes=20))
    await hourglass.cycle()

    async with hourglass.scene.engines.database.transaction() as session:
        await marking.keep(session, object_id, caller=hourglass.scene.caller)

    await hourglass.let_pass(DAY)
    await hourglass.cycle()
    assert (await hourglass.scene.entry(object_id), await hourglass.lies(upload)) == (before, [True])
    assert await hourglass.mark(object_id) is None
    await hourglass.let_pass(29 * DAY)
    await hourglass.cycle()
    assert await hourglass.mark(object_id) is not None


async def place_hold(hourglass: Hourglass, object_id: UUID) -> None:
    async with hourglass.scene.engines.database.transaction() as session:
        await holds.place_on_object(session, object_id, "A trial.", caller=await hourglass.admin())


async def hold_project(hourglass: Hourglass, object_id: UUID) -> None:
    where = (await hourglass.scene.entry(object_id)).project
    async with hourglass.scene.engines.database.transaction() as session:
        await holds.place_on_project(session, where, "A trial.", caller=await hourglass.admin())


async def reserve_doi(hourglass: Hourglass, object_id: UUID) -> None:
    async with hourglass.scene.engines.database.transaction() as session:
        await session.execute(
            sa.text("INSERT INTO doi (doi, object_id, state, principal_id) VALUES (:doi, :id, 'reserved', :by)"),
            {"doi": f"10.5072/{object_id}", "id": object_id, "by": hourglass.scene.caller.id},
        )


async def name_it(hourglass: Hourglass, object_id: UUID) -> None:
    where = (await hourglass.scene.entry(object_id)).project
    other, _ = await hourglass.scene.register(project=f"{where}x")
    async with hourglass.scene.engines.database.transaction() as session:
        await session.execute(
            sa.text(
                "INSERT INTO relation (id, subject_id, type, target_id, principal_id, position, later_id, earlier_id)"
                " VALUES (gen_random_uuid(), :other, 'IsDerivedFrom', :id, :by, 0, :other, :id)"
            ),
            {"other": other.id, "id": object_id, "by": hourglass.scene.caller.id},
        )


async def publish_it(hourglass: Hourglass, object_id: UUID) -> None:
    await hourglass.publish(object_id)


OBSTACLES: list[Obstacle] = [place_hold, hold_project, reserve_doi, name_it, publish_it]


@pytest.mark.req("MWM-SADD-69")
@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_what_is_to_keep_an_object_keeps_it_even_from_the_moment_before_it_goes(
    hourglass: Hourglass, obstacle: Obstacle
) -> None:
    here = project()
    object_id, upload = await hourglass.stored(here)
    control, _ = await hourglass.stored(here.replace("/p", "/q"))
    await hourglass.rule(here, 30)
    await hourglass.rule(here.replace("/p", "/q"), 30)
    await hourglass.cycle()
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    policy = hourglass.scene.engines.retention

    await obstacle(hourglass, object_id)
    # As a cycle does that had chosen it the moment before.
    async with hourglass.scene.engines.database.transaction() as session:
        went = [await removing.remove(session, one, policy) for one in (object_id, control)]
    await hourglass.delete()

    assert went == [False, True]
    assert (await hourglass.gone(object_id), await hourglass.lies(upload)) == ([False], [True])
    assert await hourglass.mark(object_id) is None


async def test_versions_go_with_their_object_where_the_rule_says_so_and_their_bytes_too(hourglass: Hourglass) -> None:
    here = project()
    object_id, upload = await hourglass.stored(here)
    await hourglass.publish(object_id)
    await hourglass.rule(here, 30, versions=True)
    await hourglass.cycle()
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    states = await hourglass.scene.engines.database.rows(
        "SELECT version_file.state, withdrawn_at IS NOT NULL FROM version_file JOIN version ON id = version_id"
        " WHERE object_id = %(id)s",
        {"id": object_id},
    )
    assert (await hourglass.gone(object_id), await hourglass.lies(upload), states) == (
        [True],
        [False],
        [("lost", True)],
    )


@pytest.mark.parametrize("change", ["UPDATE retention_rule SET days = 60", "DELETE FROM retention_rule"])
async def test_a_mark_is_taken_back_when_its_rule_is_another(hourglass: Hourglass, change: str) -> None:
    here = project()
    (object_id,) = (await hourglass.scene.registered("Blob", project=here)).values()
    await hourglass.rule(here, 30)
    await hourglass.cycle()
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    assert await hourglass.mark(object_id) is not None

    async with hourglass.scene.engines.database.transaction() as session:
        await session.execute(sa.text(change))
    await hourglass.cycle()

    assert await hourglass.mark(object_id) is None


@pytest.mark.req("MWM-SADD-68")
async def test_a_flood_stops_its_project_until_an_admin_says_go_on_and_no_other(hourglass: Hourglass) -> None:
    flooded, calm = project(), project()
    many = list((await hourglass.scene.registered(*map(str, range(12)), project=flooded)).values())
    few = list((await hourglass.scene.registered("a", "b", project=calm)).values())
    for where in (flooded, calm):
        await hourglass.rule(where, 30)
    await hourglass.cycle()
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)

    await hourglass.cycle()
    await hourglass.cycle()
    assert (await hourglass.gone(*many), await hourglass.gone(*few)) == ([False] * 12, [True] * 2)
    database = hourglass.scene.engines.database
    async with database.transaction() as session:
        (stop,) = await removing.stops(session)
        assert (stop.project, stop.due, stop.objects) == (flooded, 12, 12)
        await removing.resume(session, flooded, caller=await hourglass.admin())

    await hourglass.cycle()
    assert await hourglass.gone(*many) == [True] * 12


async def test_a_cycle_removes_as_many_as_it_may_and_the_next_ones_the_rest(hourglass: Hourglass) -> None:
    few = hourglass.with_policy(removals=2)
    here = project()
    ids = list((await few.scene.registered(*"abcde", project=here)).values())
    await few.rule(here, 30)
    await few.cycle()
    await few.let_pass(30 * DAY)
    await few.cycle()
    await few.let_pass(GRACE)
    counts = []
    for _ in range(3):
        await few.cycle()
        counts.append((await few.gone(*ids)).count(True))
    assert counts == [2, 4, 5]


async def test_an_object_that_cannot_be_removed_keeps_no_other_from_going(
    hourglass: Hourglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project()
    first, second = (await hourglass.scene.registered("a", "b", project=here)).values()
    await hourglass.rule(here, 30)
    await hourglass.let_pass(30 * DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    remove = removing.remove

    async def failing(session: AsyncSession, object_id: UUID, *more: Any) -> bool:
        if object_id == first:
            raise RuntimeError("out of luck")
        return await remove(session, object_id, *more)

    with monkeypatch.context() as patch:
        patch.setattr(removing, "remove", failing)
        await hourglass.cycle()
    assert await hourglass.gone(first, second) == [False, True]

    await hourglass.cycle()
    assert await hourglass.gone(first, second) == [True, True]


async def replaced(hourglass: Hourglass, where: str, *, published: bool) -> list[Upload]:
    """Return the uploads of an object whose bytes were replaced."""
    object_id, first = await hourglass.stored(where)
    if published:
        await hourglass.publish(object_id)
    body = declared("a.bin", b"other bytes")
    async with hourglass.scene.engines.database.transaction() as session:
        made = await verbs.declare_files(
            session,
            object_id,
            [FileDeclaration(**body)],
            caller=hourglass.scene.caller,
            revisions=None,
            placement=hourglass.scene.engines.placement,
        )
    (second,) = made.uploads
    await hourglass.scene.upload(second, b"other bytes")
    await hourglass.scene.notice(second)
    await hourglass.scene.work()
    return [first, second]


async def test_bytes_that_nobody_names_are_swept_and_those_of_a_version_or_a_file_never(hourglass: Hourglass) -> None:
    swept, current = await replaced(hourglass, project(), published=False)
    frozen, newer = await replaced(hourglass, project(), published=True)
    untouched = f"{project()}/uploads/note.txt"
    await hourglass.scene.overwrite(untouched, b"somebody else's")
    await hourglass.let_pass(DAY)
    await hourglass.cycle()
    await hourglass.delete()
    uploads = (swept, current, frozen, newer)
    assert await hourglass.lies(*uploads) == [True] * 4

    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()

    assert await hourglass.lies(*uploads) == [False, True, True, True]
    assert await hourglass.scene.engines.store.stat(untouched) is not None


async def test_what_came_after_its_ticket_was_given_up_is_swept_too(hourglass: Hourglass) -> None:
    here = project()
    _, (upload,) = await hourglass.scene.register(declared("a.bin", BYTES), project=here)
    async with hourglass.scene.engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE upload SET state = 'abandoned' WHERE id = :id"), {"id": upload.id})
        await session.execute(sa.text("DELETE FROM queue"))
    # Nobody was told of it.
    await hourglass.scene.upload(upload, BYTES)
    await hourglass.let_pass(DAY)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    assert await hourglass.lies(upload) == [False]


async def test_what_came_after_all_before_it_was_swept_stays(hourglass: Hourglass) -> None:
    object_id, upload = await hourglass.stored(project())
    async with hourglass.scene.engines.database.transaction() as session:
        await session.execute(sa.text("UPDATE upload SET state = 'abandoned' WHERE id = :id"), {"id": upload.id})
        await session.execute(
            sa.text("UPDATE file SET backend = NULL, bucket = NULL, key = NULL WHERE object_id = :id"),
            {"id": object_id},
        )
    await hourglass.let_pass(DAY)
    await hourglass.cycle()
    assert await leftovers(hourglass, object_id) == [("unused", False, None)]
    await hourglass.scene.notice(upload)
    await hourglass.scene.work()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    assert await hourglass.lies(upload) == [True]
    assert await leftovers(hourglass, object_id) == []


async def test_what_is_held_does_not_keep_others_from_being_deleted(
    hourglass: Hourglass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.retention.leftovers.FOUND_AT_ONCE", 1)
    admin, ids, uploads = await hourglass.admin(), [], []
    for _ in range(4):
        object_id, upload = await hourglass.stored(project())
        await hourglass.scene.withdraw(object_id)
        await purge(hourglass, object_id, admin)
        ids.append(object_id)
        uploads.append(upload)
    async with hourglass.scene.engines.database.transaction() as session:
        for one in ids[:3]:
            await holds.place_on_object(session, one, "A trial.", caller=admin)
        # Whichever way a look goes through them, it comes upon this one last.
        last = "UPDATE leftover SET id = :id, removes_at = removes_at + interval '1 second' WHERE object_id = :object"
        await session.execute(sa.text(last), {"id": UUID(int=2**128 - 1), "object": ids[3]})

    await hourglass.cycle()
    await hourglass.let_pass(GRACE + DAY)
    await hourglass.cycle()
    await hourglass.delete()

    assert await hourglass.lies(*uploads) == [True, True, True, False]


async def purge(hourglass: Hourglass, object_id: UUID, caller: Caller, *, versions: bool = False) -> purging.Purge:
    async with hourglass.scene.engines.database.transaction() as session:
        policy = hourglass.scene.engines.retention
        return await purging.ask(session, object_id, "Asked.", versions=versions, caller=caller, policy=policy)


async def test_the_bytes_of_a_withdrawn_object_go_when_an_admin_asks_and_stay_when_it_is_undone(
    hourglass: Hourglass,
) -> None:
    admin = await hourglass.admin()
    going, gone = await hourglass.stored(project())
    staying, stays = await hourglass.stored(project())
    for one in (going, staying):
        await hourglass.scene.withdraw(one)
        await purge(hourglass, one, admin)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE - DAY)
    await hourglass.cycle()
    await hourglass.delete()
    assert await hourglass.lies(gone, stays) == [True, True]
    async with hourglass.scene.engines.database.transaction() as session:
        await purging.undo(session, staying, caller=admin)

    await hourglass.let_pass(2 * DAY)
    await hourglass.cycle()
    await hourglass.delete()

    assert await hourglass.lies(gone, stays) == [False, True]


@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_what_keeps_an_object_keeps_its_bytes_from_being_purged(hourglass: Hourglass, obstacle: Obstacle) -> None:
    object_id, upload = await hourglass.stored(project())
    await obstacle(hourglass, object_id)
    await hourglass.scene.withdraw(object_id)
    with pytest.raises(Kept):
        await purge(hourglass, object_id, await hourglass.admin())
    assert await hourglass.lies(upload) == [True]


@pytest.mark.parametrize("obstacle", [place_hold, hold_project, reserve_doi, name_it])
async def test_a_hold_that_comes_after_the_purge_was_asked_for_keeps_the_bytes(
    hourglass: Hourglass, obstacle: Obstacle
) -> None:
    object_id, upload = await hourglass.stored(project())
    await hourglass.scene.withdraw(object_id)
    await purge(hourglass, object_id, await hourglass.admin())
    await obstacle(hourglass, object_id)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    assert await hourglass.lies(upload) == [True]


@pytest.mark.req("MWM-SADD-69")
async def test_a_job_goes_with_its_files_fifteen_days_after_its_end_and_nothing_else_does_by_default(
    hourglass: Hourglass,
) -> None:
    here = project()
    output = declared("output/a.bin", BYTES)
    told = {"kind": "job", "metadata": {}, "project": here}
    ended, (upload,) = await hourglass.scene.register(output, name="ended", **told)
    running, _ = await hourglass.scene.register(name="running", **told)
    other, _ = await hourglass.stored(here)
    await hourglass.scene.upload(upload, BYTES)
    await hourglass.scene.notice(upload)
    await hourglass.scene.work()
    await hourglass.cycle()
    await hourglass.let_pass(100 * DAY)
    async with hourglass.scene.engines.database.transaction() as session:
        end = "UPDATE job SET state = 'ended', outcome = 'failed', ended_at = hourglass.now() WHERE object_id = :id"
        await session.execute(sa.text(end), {"id": ended.id})
    await hourglass.let_pass(15 * DAY - timedelta(minutes=1))
    await hourglass.cycle()
    assert await hourglass.mark(ended.id) is None

    await hourglass.let_pass(timedelta(minutes=1))
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()

    assert await hourglass.gone(ended.id, running.id, other) == [True, False, False]
    assert await hourglass.lies(upload) == [False]


async def test_a_store_for_data_alone_and_one_that_was_detached_are_not_written_to(hourglass: Hourglass) -> None:
    kept, uploads = [], []
    for state in ("for data", "detached"):
        object_id, upload = await hourglass.stored(project())
        await hourglass.bring_backend(upload, detached=state == "detached")
        await hourglass.scene.withdraw(object_id)
        await purge(hourglass, object_id, await hourglass.admin())
        kept.append(object_id)
        uploads.append(upload)
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    assert await hourglass.lies(*uploads) == [True, True]
    told = [one for object_id in kept for one in await leftovers(hourglass, object_id)]
    assert [(why, ended, (reason or "").split(":")[0][:13]) for why, ended, reason in told] == [
        ("purged", True, "The store at "),
        ("purged", True, "The store of "),
    ]


async def test_every_store_version_of_a_key_goes(hourglass: Hourglass) -> None:
    object_id, upload = await hourglass.stored(project())
    store = hourglass.scene.engines.store
    first = await store.stat(upload.key)
    await hourglass.scene.overwrite(upload.key, b"other bytes, put by somebody else")
    # Hidden, and still there.
    await store.remove(upload.key)
    assert first is not None
    assert await store.stat(upload.key, version_id=first.version_id) is not None
    await hourglass.scene.withdraw(object_id)
    await purge(hourglass, object_id, await hourglass.admin())
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    assert await store.stat(upload.key, version_id=first.version_id) is None


async def test_a_key_that_its_upload_was_not_given_is_left_alone(hourglass: Hourglass) -> None:
    object_id, upload = await hourglass.stored(project())
    sibling, theirs = await hourglass.stored(project())
    await hourglass.scene.withdraw(object_id)
    await purge(hourglass, object_id, await hourglass.admin())
    async with hourglass.scene.engines.database.transaction() as session:
        # As a fault of ours might have it.
        wrong = sa.text("UPDATE leftover SET key = :key WHERE object_id = :id")
        await session.execute(wrong, {"key": theirs.key, "id": object_id})
    await hourglass.cycle()
    await hourglass.let_pass(GRACE)
    await hourglass.cycle()
    await hourglass.delete()
    assert await hourglass.lies(upload, theirs) == [True, True]
    assert await hourglass.gone(sibling) == [False]
    assert await leftovers(hourglass, object_id) == [("purged", True, "The key is none that the catalog gives.")]
