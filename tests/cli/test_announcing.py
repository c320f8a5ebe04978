"""`announce`: what has arrived is told by a command, or by a file of events."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Catalog
from tests.conftest import Live


@pytest.mark.req("MWM-SADD-3")
def test_keys_are_announced_with_a_receipt_for_each_event(catalog: Catalog, live: Live, project: str) -> None:
    prefix = live.settings.store_prefix
    keys = [f"{prefix}/{project}/source/{name}" if prefix else f"{project}/source/{name}" for name in ("a b.csv", "+")]

    written = catalog("announce", *keys, "--json", by="ingest")
    removed = catalog("announce", keys[0], "--removed", by="ingest")

    assert (written.code, removed.code) == (0, 0), written.err + removed.err
    (receipt,) = written.json
    assert receipt.keys() == {"source", "id", "receipt"}
    assert receipt["source"] == "urn:catalog:client"


def test_a_file_of_events_is_sent_and_may_be_sent_again(
    catalog: Catalog, live: Live, project: str, tmp_path: Path
) -> None:
    prefix = live.settings.store_prefix
    key = f"{prefix}/{project}/source/a.csv" if prefix else f"{project}/source/a.csv"
    events = [
        {"specversion": "1.0", "id": uuid4().hex, "source": "urn:x", "type": kind, "data": {"keys": [key]}}
        for kind in ("catalog.files.written.v1", "catalog.files.removed.v1")
    ]
    file = tmp_path / "events.json"
    file.write_text(json.dumps(events))

    once, again = (catalog("announce", "--event", str(file), "--json", by="ingest") for _ in range(2))
    file.write_text(json.dumps(events[0]))
    one = catalog("announce", "--event", str(file), "--json", by="ingest")

    assert once.code == 0, once.err
    assert again.json == once.json
    assert one.json == once.json[:1]


def test_what_cannot_be_announced_is_refused_with_its_reason(catalog: Catalog, tmp_path: Path) -> None:
    broken = tmp_path / "events.json"
    broken.write_text("{")

    assert catalog("announce", by="ingest").code == 2
    assert catalog("announce", "a.csv", "--event", str(broken), by="ingest").code == 2
    assert "cannot be read as JSON" in catalog("announce", "--event", str(broken), by="ingest").err
    refused = catalog("announce", "nowhere.csv", by="ingest")
    assert (refused.code, "no project where you may register" in refused.err) == (3, True)
