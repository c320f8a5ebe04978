"""The page about running a catalog tells of everything that can be met there."""

import re

from indexer.loop import lanes
from tests.docs.repository import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_page_says_of_every_topic_of_the_queue_what_discarding_means() -> None:
    section = PAGE.partition("## Parked work")[2].partition("\n## ")[0]
    topics = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert sorted(topics) == sorted({lane.topic for lane in lanes()})
