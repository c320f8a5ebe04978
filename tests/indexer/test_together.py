"""Many keys at once: what arrived as declared is settled in one go, with the outcome that one by one has."""

from typing import Any
from uuid import UUID

import pytest

from catalog.errors import Unavailable
from catalog.objects.tables import Upload
from catalog.objects.verbs import reissue
from indexer import keys
from tests.indexer.scene import Scene, declared, project

FILES = {f"{number:02}.csv": f"depth,pH\n{number},6.4\n".encode() for number in range(16)}
WRONG = b"depth,pH\n99,9.9\n!"


async def brought(scene: Scene) -> UUID:
    """Register an object, and have all its keys noticed: of most the bytes are there as declared."""
    entry, uploads = await scene.register(*(declared(*file) for file in FILES.items()), project=project())
    by_path = {upload.path: upload for upload in uploads}
    noticed: list[Upload] = [*uploads]
    for path, content in FILES.items():
        match path:
            case "00.csv":
                # Nothing comes.
                continue
            case "01.csv":
                await scene.overwrite(by_path[path].key, WRONG)
            case "02.csv":
                # A second ticket, which alone was used.
                async with scene.engines.database.transaction() as session:
                    again = await reissue(
                        session, entry.id, path, caller=scene.caller, placement=scene.engines.placement
                    )
                await scene.upload(again, content)
                noticed.append(again)
            case _:
                await scene.upload(by_path[path], content)
    await scene.notice(*noticed, "default/none/of/ours", "no key")
    return entry.id


async def outcome(scene: Scene, object_id: UUID) -> dict[str, Any]:
    """Return all that looking has written, without ids and moments."""
    entry = await scene.entry(object_id)
    uploads = await scene.engines.database.rows(
        "SELECT path, state, seen_at IS NOT NULL, found_size, found_sha256, lying_size, multipart_id FROM upload"
        " WHERE object_id = %(id)s ORDER BY id",
        {"id": object_id},
    )
    placed = [
        (file.path, str(file.state), file.size, file.sha256, file.found_size, file.store_version is not None)
        for file in entry.files
    ]
    keyed = {file.path: file.key for file in entry.files}
    latest = await scene.engines.database.rows(
        "SELECT path, key FROM upload WHERE object_id = %(id)s AND state = 'complete' ORDER BY id", {"id": object_id}
    )
    return {
        "uploads": uploads,
        "files": placed,
        "at their keys": all(keyed[path] == key for path, key in dict(latest).items()),
    }


async def test_the_outcome_is_that_of_one_by_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    together = await brought(scene)
    await scene.work()
    with monkeypatch.context() as patched:
        patched.setattr(keys, "TOGETHER_LEAST", 1_000_000)
        apart = await brought(scene)
        await scene.work()

    assert await outcome(scene, together) == await outcome(scene, apart)
    one, other = await scene.entry(together), await scene.entry(apart)
    # All that arrived is one change; the others are one each.
    assert (one.revision, other.revision) == (4, 16)
    assert await scene.engines.index.versions([together, apart]) == {together: 4, apart: 16}


async def test_what_arrived_together_is_told_in_the_history_with_every_path(scene: Scene) -> None:
    entry, uploads = await scene.register(*(declared(*file) for file in FILES.items()), project=project())
    for upload in uploads:
        await scene.upload(upload, FILES[upload.path])
    await scene.notice(*uploads)
    await scene.work()

    told = await scene.engines.database.rows(
        "SELECT action, from_revision, to_revision, changes FROM audit WHERE object_id = %(id)s ORDER BY id",
        {"id": entry.id},
    )
    assert told[1:] == [("file available", 1, 2, {"files": sorted(FILES)})]


@pytest.mark.parametrize(
    "fault", [Unavailable("The store is away."), OverflowError("date value out of range")], ids=repr
)
async def test_a_store_that_fails_for_one_key_holds_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    entry, uploads = await scene.register(*(declared(*file) for file in FILES.items()), project=project())
    for upload in uploads:
        await scene.upload(upload, FILES[upload.path])
    store = scene.engines.store
    asked, stat = uploads[3].key, store.stat

    async def failing(key: str, **more: Any) -> Any:
        if key == asked:
            raise fault
        return await stat(key, **more)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "stat", lambda _, key, **more: failing(key, **more))
        await scene.notice(*uploads)
        await keys.step(scene.engines)
        during = {file.path for file in (await scene.entry(entry.id)).files if file.state == "available"}

    assert during == FILES.keys() - {uploads[3].path}


async def test_the_store_is_asked_once_for_each_key(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    _, uploads = await scene.register(*(declared(*file) for file in FILES.items()), project=project())
    for upload in uploads:
        if upload.path >= "04.csv":
            await scene.upload(upload, FILES[upload.path])
    store = scene.engines.store
    asked: list[str] = []
    stat = store.stat

    async def counting(key: str, **more: Any) -> Any:
        asked.append(key)
        return await stat(key, **more)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "stat", lambda _, key, **more: counting(key, **more))
        await scene.notice(*uploads)
        assert await keys.step(scene.engines) == len(FILES)

    assert sorted(asked) == sorted(upload.key for upload in uploads)
