"""Notifications are hints: whatever becomes of them on the way, the same store and the same rows end in the same state.

Changes of a real bucket are made once for each way of delivery, on objects that are alike. Then each gets its own
notifications: in order, shuffled, doubled, or only the last of each key.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.database import now
from catalog.errors import Conflict
from catalog.objects import verbs
from catalog.objects.metadata import FileDeclaration
from catalog.objects.tables import Upload
from tests.indexer.scene import Scene, declared, project, subject

PATHS = ("soil.csv", "water.csv")
CONTENTS = (b"depth,pH\n10,6.4\n", b"depth,pH\n10,9.9\n20,8.8\n", b"")
# Ways in which somebody with other credentials may treat a key: bytes by their place in CONTENTS.
STORE_ACTS = ("put 0", "put 1", "put 2", "delete", "tag")
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


@dataclass(frozen=True)
class OnKey:
    """Somebody treats the key of one of a file's uploads."""

    path: int
    upload: int
    act: str
    noticed: bool


@dataclass(frozen=True)
class OnFile:
    """The owner asks for a fresh ticket, or declares other bytes."""

    path: int
    content: int | None


def on_key(noticed: st.SearchStrategy[bool]) -> st.SearchStrategy[OnKey]:
    return st.builds(OnKey, st.integers(0, 1), st.integers(0, 2), st.sampled_from(STORE_ACTS), noticed)


BEFORE = st.lists(
    on_key(st.booleans()) | st.builds(OnFile, st.integers(0, 1), st.none() | st.integers(0, 2)), max_size=6
)
THEN = st.lists(on_key(st.just(value=False)), min_size=1, max_size=6)


@dataclass
class Twin:
    """One of several objects to which the same is done."""

    scene: Scene
    id: UUID
    project: str
    uploads: dict[str, list[Upload]]
    notified: list[str] = field(default_factory=list)

    @classmethod
    async def born(cls, scene: Scene) -> "Twin":
        there = project()
        files = [declared(path, CONTENTS[0]) for path in PATHS]
        entry, uploads = await scene.register(*files, title="Twin", project=there)
        twin = cls(scene, entry.id, there, {})
        twin._add(uploads)
        return twin

    def _add(self, uploads: Sequence[Upload]) -> None:
        for upload in uploads:
            self.uploads.setdefault(upload.path, []).append(upload)

    async def meets(self, act: OnKey | OnFile) -> None:
        """Do one thing to it."""
        if isinstance(act, OnFile):
            await self._owner_asks(act)
            return
        uploads = self.uploads[PATHS[act.path]]
        upload = uploads[act.upload % len(uploads)]
        store = self.scene.engines.store
        if act.act == "delete":
            await store.remove(upload.key)
        elif act.act == "tag":
            link = store._inside.sign(  # noqa: SLF001 - no product code tags.
                "PUT", store.bucket, upload.key, expires=timedelta(minutes=5), now=now(), query={"tagging": ""}
            )
            await self.scene.http.put(link.href, content=TAGS)
        else:
            await self.scene.overwrite(upload.key, CONTENTS[int(act.act[-1])])
        self.notified.append(subject(upload))
        if act.noticed:
            await self.hears(self.notified[-1:])

    async def _owner_asks(self, act: OnFile) -> None:
        path, placement = PATHS[act.path], self.scene.engines.placement
        async with self.scene.engines.database.transaction() as session:
            if act.content is not None:
                files = [FileDeclaration.model_validate(declared(path, CONTENTS[act.content]))]
                told = await verbs.declare_files(
                    session, self.id, files, caller=self.scene.caller, revisions=None, placement=placement
                )
                self._add(told.uploads)
                return
            try:
                fresh = await verbs.reissue(session, self.id, path, caller=self.scene.caller, placement=placement)
            except Conflict:
                # The file is available: nothing to bring.
                return
            self._add([fresh])

    async def grows_late(self) -> None:
        """Let every ticket be long over."""
        async with self.scene.engines.database.transaction() as session:
            statement = "UPDATE upload SET expires_at = expires_at - CAST('1 day' AS interval) WHERE object_id = :id"
            await session.execute(sa.text(statement), {"id": self.id})

    async def hears(self, subjects: Sequence[str]) -> None:
        """Get notifications, each handled before the next comes."""
        for one in subjects:
            await self.scene.notice(one)
            await self.scene.work()

    async def state(self) -> dict[str, Any]:
        """Return all that people see of it, without what differs between twins."""
        entry = await self.scene.entry(self.id)
        place = {
            upload.key: f"{path} {number}"
            for path, uploads in self.uploads.items()
            for number, upload in enumerate(uploads)
        }
        rows = await self.scene.engines.database.rows(
            "SELECT key, state, found_size, found_sha256 FROM upload WHERE object_id = %(id)s ORDER BY id",
            {"id": self.id},
        )
        return {
            "files": [
                (
                    *(file.path, file.size, file.sha256, str(file.state), file.found_size, file.found_sha256),
                    place.get(file.key or "") if file.state == "available" else None,
                )
                for file in entry.files
            ],
            "uploads": [(place[key], *told) for key, *told in rows],
            "document": await self._document(entry.revision),
        }

    async def _document(self, revision: int) -> dict[str, Any]:
        answer = await self.scene.engines.index.told("GET", f"/_doc/{self.id}", seconds=10)
        found = msgspec.json.decode(answer)
        # The index holds what the row says now, however many revisions that took.
        assert found["_version"] == found["_source"]["revision"] == revision
        unlike = {"id", "revision", "project", "readers", "created_at", "updated_at", "digest"}
        return {name: value for name, value in found["_source"].items() if name not in unlike}


def last_of_each(subjects: Sequence[str]) -> list[str]:
    return [one for place, one in enumerate(subjects) if one not in subjects[place + 1 :]]


@pytest.mark.req("SAGE-STORAGE-30")
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    # Shrinking an example repeats it a hundred times over, at a second each.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=BEFORE, then=THEN, tickets=st.sampled_from(["open", "long over"]), seed=st.integers(0, 999))
async def test_order_repetition_and_loss_of_all_but_the_last_notification_do_not_change_the_result(
    scene: Scene, before: list[OnKey | OnFile], then: list[OnKey], tickets: str, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret.
    states = []
    for deliver in (
        list,
        lambda told: chance.sample(told, len(told)),
        lambda told: chance.sample(told * 2, len(told) * 2),
        last_of_each,
        lambda told: last_of_each(told)[::-1],
    ):
        twin = await Twin.born(scene)
        for act in [*before, *then]:
            await twin.meets(act)
        if tickets == "long over":
            await twin.grows_late()
        await twin.hears(deliver(twin.notified))
        states.append(await twin.state())

    assert states[1:] == states[:1] * 4
