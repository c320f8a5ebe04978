"""How good a record is: what is looked at, what it counts, and what the indexer keeps of it."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from catalog.outside import tables as outside
from catalog.outside.tables import Look, State
from catalog.quality import assessing
from catalog.quality.assessing import Band, Check, Group, Level, Report
from catalog.quality.facts import facts_of
from tests.indexer.scene import Scene, declared

CSV = b"depth,pH\n10,6.4\n"
GOOD: dict[str, Any] = {
    "description": "Soil moisture at ten depths, by hand, every morning from May to September, at one station.",
    "keywords": ["soil"],
    "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
    "dates": [{"type": "Created", "date": "2024"}],
    "licence": "CC-BY-4.0",
}


async def report(scene: Scene, object_id: UUID) -> Report:
    """Assess an object as it stands."""
    async with scene.engines.database.transaction() as session:
        (facts,) = await facts_of(session, [assessing.told(await scene.entry(object_id))])
    return assessing.assess(facts)


def told(found: Report) -> dict[str, list[str]]:
    """Return the pointers of what does not hold, by check."""
    return {check.name: [fault.pointer for fault in check.faults] for check in found.checks if not check.passed}


async def test_every_check_says_where_it_fails_and_a_mended_record_passes(scene: Scene) -> None:
    entry, uploads = await scene.register(
        declared("soil.csv", CSV), kind="training-dataset", metadata={"labelled": False}
    )

    first = await report(scene, entry.id)

    assert told(first) == {
        "description": ["/description"],
        "keywords": ["/keywords"],
        "creators": ["/creators"],
        "dates": ["/dates"],
        "licence": ["/licence"],
        "files": ["/files/0"],
        "media-types": ["/files/0/media_type"],
        "origin": [""],
        "published": [""],
    }
    assert (first.passes, first.band) == (False, Band.POOR)

    await scene.revise(entry.id, **GOOD)
    await scene.upload(uploads[0], CSV)
    await scene.notice(*uploads)
    await scene.work()

    mended = await report(scene, entry.id)
    assert told(mended) == {"media-types": ["/files/0/media_type"], "origin": [""], "published": [""]}
    # 3 of what must hold, counted three times, and 5 of 8 of what should.
    assert (mended.passes, mended.score, mended.band) == (True, round(100 * 14 / 17), Band.GOOD)


async def test_the_indexer_keeps_what_it_found_and_search_counts_it(scene: Scene) -> None:
    ids = await scene.registered("Poor")
    good, _ = await scene.register(title="Better", **GOOD, external=[{"type": "url", "url": "https://example.org/a"}])
    await scene.work()

    async def kept() -> dict[str, tuple[Any, ...]]:
        async with scene.engines.database.transaction() as session:
            rows = await session.execute(sa.text("SELECT object_id, score, band, passes, failed FROM quality"))
            return {str(row[0]): tuple(row[1:]) for row in rows}

    expected = {}
    for object_id in (ids["Poor"], good.id):
        found = await report(scene, object_id)
        expected[str(object_id)] = (found.score, found.band, found.passes, found.failed)
    held = await kept()
    assert {one: held[one] for one in expected} == expected
    assert expected[str(good.id)][2] is True
    assert "licence" in expected[str(ids["Poor"])][3]


async def test_what_lies_outside_and_does_not_answer_fails_the_record(scene: Scene) -> None:
    gone = "https://example.org/gone.csv"
    entry, _ = await scene.register(**GOOD, external=[{"type": "url", "url": gone}])
    assert (await report(scene, entry.id)).passes

    async with scene.engines.database.transaction() as session:
        await outside.note(session, gone, Look(State.UNREACHABLE, "answered 404"))

    broken = await report(scene, entry.id)
    (check,) = [one for one in broken.checks if one.name == "outside"]
    assert (broken.passes, check.level) == (False, Level.REQUIRED)
    assert [(fault.pointer, fault.message) for fault in check.faults] == [
        ("/external/0", f"{gone} is unreachable: answered 404")
    ]


async def test_a_withdrawn_object_that_is_named_is_told_only_where_all_readers_may_know(scene: Scene) -> None:
    bundle = {"kind": "ecr-bundle", "title": "Bundle"}
    ids = {}
    for visibility in ("public", "private"):
        named = await scene.registered("Model", kind="model", metadata={"task": "segmentation"}, visibility=visibility)
        member = {"type": "object", "id": str(named["Model"])}
        made, _ = await scene.register(**bundle, visibility="public", metadata={"version": "1.0", "members": [member]})
        ids[visibility] = made.id
        await scene.withdraw(named["Model"])

    shown, hidden = [told(await report(scene, ids[visibility])) for visibility in ("public", "private")]

    assert shown["references"] == ["/metadata/members/0/id"]
    assert "references" not in hidden


async def test_an_object_whose_reference_is_withdrawn_comes_into_the_queue_of_broken_ones(scene: Scene) -> None:
    named = await scene.registered("Model", kind="model", metadata={}, visibility="public")
    said = {"version": "1.0", "members": [{"type": "object", "id": str(named["Model"])}]}
    bundle, _ = await scene.register(kind="ecr-bundle", title="Bundle", metadata=said)
    await scene.work()

    async def failed() -> list[str]:
        async with scene.engines.database.transaction() as session:
            rows = await session.execute(sa.text("SELECT failed FROM quality WHERE object_id = :id"), {"id": bundle.id})
            found: list[str] = rows.scalar_one()
            return found

    before = await failed()
    await scene.withdraw(named["Model"])
    await scene.work()

    assert ("references" in before, "references" in await failed()) == (False, True)
    assert await scene.entries() == []
    # Its document was written anew, though nobody revised it.
    versions = await scene.engines.index.versions([bundle.id])
    assert (versions, (await scene.entry(bundle.id)).revision) == ({bundle.id: 2}, 1)


def test_the_score_weighs_what_must_hold_and_a_failing_record_is_at_most_fair() -> None:
    def check(level: Level, *, holds: bool) -> Check:
        return Check(
            "any", Group.FILES, level, None, "It holds.", [] if holds else [assessing.Fault("", "it does not")]
        )

    def made(*checks: tuple[Level, bool]) -> Report:
        return Report([check(level, holds=holds) for level, holds in checks], 0, [])

    must, should = Level.REQUIRED, Level.WANTED
    assert [
        (one.score, one.band, one.passes)
        for one in (
            made((must, True), (should, True)),
            made((must, True), (should, False)),
            made((must, True), (should, False), (should, False)),
            made((must, False), *[(should, True)] * 9),
            made((must, False), (should, False)),
        )
    ] == [
        (100, Band.EXCELLENT, True),
        (75, Band.GOOD, True),
        (60, Band.FAIR, True),
        (75, Band.FAIR, False),
        (0, Band.POOR, False),
    ]
