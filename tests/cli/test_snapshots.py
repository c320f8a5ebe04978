"""`catalog snapshot`: take, show, cite, withdraw, and who did it."""

import time
from typing import Any

import pytest

from catalog.client import Catalog as Client
from tests.cli.conftest import Catalog
from tests.conftest import SECONDS_MAX, Live


@pytest.mark.req("SAGE-STORAGE-27")
def test_a_snapshot_is_taken_shown_cited_and_withdrawn(catalog: Catalog, live: Live, draft: dict[str, Any]) -> None:
    with Client(live.url, live.tokens["ingest"]) as client:
        member = client.register(draft | {"visibility": "public"})["id"]
        ends = time.monotonic() + SECONDS_MAX
        while client.search(project=[draft["project"]])["total"] == 0:
            assert time.monotonic() < ends
            time.sleep(0.1)

    said = ("--title", "What we read", "--author", "Rivera, Ana", "--project", draft["project"])
    nothing = catalog("snapshot", "take", "nowhere", *said)
    assert (nothing.code, nothing.out) == (5, "")
    taken = catalog("snapshot", "take", *said)
    snapshot = taken.out.strip()
    assert (taken.code, taken.err) == (0, f"1 object; `catalog snapshot mint {snapshot}` makes its DOI\n")

    shown = catalog("snapshot", "show", snapshot)
    assert shown.out.startswith("What we read, taken 20")
    assert [one["id"] for one in catalog("snapshot", "show", snapshot, "--json").json["members"]] == [member]
    doi = catalog("snapshot", "mint", snapshot).out.strip()
    assert catalog("doi", "show", doi).code == 0
    assert catalog("snapshot", "mint", snapshot, "--json").json["doi"] == doi

    assert catalog("snapshot", "withdraw", snapshot, "--reason", "Not mine", by="other").code == 3
    withdrawn = catalog("snapshot", "withdraw", snapshot, "--reason", "Read again")
    assert (withdrawn.code, withdrawn.out, withdrawn.err) == (0, "", "withdrawn\n")
    gone = catalog("snapshot", "show", snapshot)
    assert (gone.code, gone.out, "Read again." in gone.err) == (4, "", True)
    done = [(one["by"], one["action"]) for one in catalog("snapshot", "history", snapshot, "--json").json]
    assert [one for one in done if one[0]] == [
        ("ingest", "withdraw"),
        ("ingest", "mint doi"),
        ("ingest", "take snapshot"),
    ]
    assert "Read again" in catalog("snapshot", "history", snapshot).out
