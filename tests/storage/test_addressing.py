"""The catalog's own store is reached as its settings say: at a host of the bucket's, where that is what it wants."""

from typing import Any

import pytest
from pydantic import HttpUrl

from catalog.database import now
from catalog.engines import opened
from tests.conftest import make_world

SHA256 = "0" * 64


@pytest.mark.req("MWM-STORAGE-4")
@pytest.mark.parametrize(
    ("addressing", "beginning"),
    [
        ("path", "https://s3.example.com/lab-catalog/a/b.csv?"),
        ("virtual", "https://lab-catalog.s3.example.com/a/b.csv?"),
    ],
)
async def test_links_and_tickets_name_the_bucket_as_the_settings_say(
    engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, addressing: str, beginning: str
) -> None:
    world = make_world(engines_ready, tmp_path_factory.mktemp("addressing"))
    told = {
        "store_url": HttpUrl("https://s3.example.com"),
        "store_region": "eu-central-1",
        "store_bucket": "lab-catalog",
    }
    async with opened(world.settings.model_copy(update=told | {"store_addressing": addressing})) as engines:
        lifetime, moment = engines.placement.ticket_lifetime, now()
        ticket = engines.store.upload_ticket(
            "a/b.csv", size=1, sha256=SHA256, media_type="text/csv", lifetime=lifetime, now=moment
        )
        link = engines.store.download_link(
            "a/b.csv", version_id=None, filename="b.csv", media_type="text/csv", lifetime=lifetime, now=moment
        )

    assert [one.startswith(beginning) for one in (ticket.url, link.href)] == [True, True]
    assert [one.count("%2Feu-central-1%2Fs3%2Faws4_request") for one in (ticket.url, link.href)] == [1, 1]
