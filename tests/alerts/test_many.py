"""Two thousand saved searches of as many people: the right ones are told in time, and nobody else."""

import time

import pytest

from bench import alerts as bench
from catalog.access.audience import Role
from catalog.alerts import matches
from tests.alerts.conftest import Desk, Person

SEARCHES = 2_000
WORDS = 20
TOLD_SECONDS_MAX = 10.0


@pytest.mark.timeout(120)
async def test_of_two_thousand_the_right_ones_are_told_within_ten_seconds(desk: Desk, lab: Person) -> None:
    await bench.fill(desk.engines, SEARCHES, mark="kestrel", words=WORDS)
    ana = await desk.person(Role.READER)
    revoked = await ana.save("kestrel7")
    await desk.work()
    hidden = await lab.register("Secret kestrel7", visibility="private")
    public = await lab.register("kestrel7 kestrel9 of the valley")
    told = {"to": f"user:{ana.name}", "permission": "READ"}
    grant = (await lab.client.post(f"/api/objects/{hidden}/grants", json=told)).json()["id"]
    await lab.client.delete(f"/api/objects/{hidden}/grants/{grant}")
    started = time.monotonic()
    await desk.work()
    took = time.monotonic() - started

    rows = await desk.engines.database.rows(
        "SELECT question->>'q', object_id::text, seen_at IS NOT NULL FROM saved_alert"
        " JOIN saved_search ON saved_search.id = search_id",
        {},
    )
    seen = [(q, object_id) for q, object_id, is_seen in rows if is_seen]
    assert {object_id for _, object_id in seen} == {public}
    # Two words of twenty, and who was granted and then was not, by what everybody sees.
    assert len(seen) == 2 * SEARCHES // WORDS + 1
    assert {q.strip('"').partition(" ")[0] for q, _ in seen} == {"kestrel7", "kestrel9"}
    assert await ana.feed(revoked) == ["kestrel7 kestrel9 of the valley"]
    assert took < TOLD_SECONDS_MAX


async def test_more_than_is_looked_at_at_once_is_looked_at_in_turns(
    desk: Desk, lab: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matches, "LOOKED_AT_ONCE", 2)
    ana = await desk.person()
    made = await ana.save("narwhal")
    await desk.work()
    titles = {f"A narwhal, the {number}." for number in range(5)}
    for title in titles:
        await lab.register(title)

    await desk.work()

    assert set(await ana.feed(made)) == titles
