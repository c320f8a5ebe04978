"""The page about running a catalog tells of everything that can be met there."""

import re

from prometheus_client import generate_latest

from catalog.measuring import REGISTRY
from indexer.loop import lanes
from tests.docs.repository import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_page_says_of_every_topic_of_the_queue_what_discarding_means() -> None:
    section = PAGE.partition("## Parked work")[2].partition("\n## ")[0]
    topics = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert sorted(topics) == sorted({lane.topic for lane in lanes()})


def test_the_page_tells_of_every_metric_that_a_process_counts() -> None:
    counted = {
        line.split(" ")[2]
        for line in generate_latest(REGISTRY).decode().splitlines()
        if line.startswith("# TYPE catalog_")
    }
    told = set(re.findall(r"^\| `(catalog_\w+)` \|", PAGE, re.MULTILINE))
    assert {name for name in counted if not name.endswith("_created")} <= told
