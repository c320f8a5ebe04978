"""What objects name outside the catalog is looked at by the indexer, and told with what was found."""

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from catalog.engines import opened
from catalog.outside.looking import Looker
from indexer import outside as checking
from tests.conftest import World, make_tokens, running
from tests.outside.serving import Outside

BODY = {
    "kind": "training-dataset",
    "project": "outside/tests",
    "title": "Data that lies elsewhere",
    "creators": [{"name": "Rivera, Ana"}],
    "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
    "visibility": "public",
    "metadata": {"labelled": False},
}


@pytest.mark.req("SAGE-STORAGE-8")
async def test_what_an_object_names_outside_is_looked_at_and_told(fresh_world: World, outside: Outside) -> None:
    there, gone = f"https://{outside.address}/data.csv", f"https://{outside.address}/gone.csv"
    git = {"type": "git", "url": f"https://{outside.address}/code.git", "commit": "9f" * 20}
    image = {"type": "image", "reference": f"edge/app@sha256:{'ab' * 32}"}
    external = [{"type": "url", "url": there, "sha256": "ab" * 32}, {"type": "url", "url": gone}, git, image]
    outside.says("HEAD", "/data.csv", 200)
    outside.says("GET", "/code.git/info/refs?service=git-upload-pack", 401)
    tokens = await make_tokens(fresh_world)
    looker = Looker((ip_network("127.0.0.0/8"), ip_network("::1/128")), outside.tls)
    with running(fresh_world, tokens, "api") as live:
        headers = {"Authorization": f"Bearer {tokens['ingest']}"}
        async with httpx2.AsyncClient(base_url=live.url, headers=headers, trust_env=False, timeout=30) as client:
            single = await client.post("/api/objects", json=BODY | {"external": external})
            assert single.status_code == 201, single.text
            rows = "\n".join(json.dumps(BODY | more) for more in ({"external": external[:1]}, {}))
            bulk = await client.post(
                "/api/bulk/objects", content=rows, headers={"Content-Type": "application/x-ndjson"}
            )
            assert bulk.status_code == 200, bulk.text
            object_id = single.json()["id"]

            async def told() -> list[tuple[str, Any, Any]]:
                items = (await client.get(f"/api/objects/{object_id}/outside")).json()["items"]
                return [(item["pointer"], item["state"], item["reason"]) for item in items]

            before = await told()
            async with opened(fresh_world.settings) as nobody_looks:
                passed_over = await checking.step(nobody_looks)
            async with opened(fresh_world.settings) as engines:
                looking = replace(engines, looker=looker)
                # Looking was just switched on: what had been passed over comes back, and only once.
                await checking.prepare(looking)
                counts = [await checking.step(looking), await checking.step(looking)]
                await checking.prepare(looking)
                async with engines.database.transaction() as session:
                    scheduled = await session.execute(
                        sa.text("SELECT count(*) FROM queue WHERE topic = 'outside' AND ready_at > now() + '23 hours'")
                    )
                    assert scheduled.scalar_one() == 2
                asked = list(outside.asked)
                async with engines.database.transaction() as session:
                    await session.execute(sa.text("UPDATE queue SET ready_at = now() WHERE topic = 'outside'"))
                again = await checking.step(looking)
            after = await told()

    assert before == [(f"/external/{place}", "unchecked", None) for place in range(3)]
    assert after == [
        ("/external/0", "reachable", None),
        ("/external/1", "unreachable", "it answers 404"),
        ("/external/2", "restricted", "it answers 401: it wants to know who asks"),
    ]
    assert (passed_over, counts, again) == (2, [3, 0], 2)
    # What was looked at lately is not asked again, whoever names it.
    assert outside.asked == asked
    assert sorted(set(asked)) == [
        ("GET", "/code.git/info/refs?service=git-upload-pack"),
        ("GET", "/gone.csv"),
        ("HEAD", "/data.csv"),
        ("HEAD", "/gone.csv"),
    ]
