"""`catalog doi` and `catalog register --datacite`."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.client import Catalog as Client
from tests.cli.conftest import Catalog
from tests.conftest import Live

RECORD = {
    "creators": [{"name": "Rivera, Ana"}],
    "titles": [{"title": "Soil moisture, plot 7"}],
    "publisher": "Elsewhere",
    "publicationYear": 2019,
    "types": {"resourceTypeGeneral": "Dataset"},
    "version": "1.2",
    "rightsList": [{"rightsIdentifier": "cc0-1.0", "rightsIdentifierScheme": "SPDX"}],
}


@pytest.mark.req("SAGE-STORAGE-27")
def test_a_record_is_registered_checked_published_and_gets_its_doi(
    catalog: Catalog, live: Live, draft: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(RECORD), encoding="utf-8")
    options = ("--datacite", "--project", draft["project"], "--kind", "training-dataset", "--meta", "labelled=false")
    whom = ("--contact", "Ana Rivera <ana@example.org>")

    incomplete = catalog("register", file, *options)
    assert (incomplete.code, incomplete.out) == (2, "")
    made = catalog("register", file, *options, *whom, "--public")
    assert (made.code, made.err) == (0, "left out /version: has no place in an object's description\n")
    object_id = made.out.strip()
    assert catalog("register", file, *options, *whom, "--public").out.strip() == object_id

    early = catalog("doi", "lint", object_id)
    assert (early.code, early.out) == (
        1,
        (
            "/versions: a DOI names what does not change: publish a version first\n"
            "/files: it has no bytes, and names none elsewhere\n"
        ),
    )
    refused = catalog("doi", "mint", object_id)
    assert (refused.code, refused.out) == (5, "")
    assert "publish a version first" in refused.err
    assert "no DOI" in catalog("doi", "show", object_id).err

    with Client(live.url, live.tokens["ingest"]) as client:
        elsewhere = {"external": [{"type": "url", "url": "https://data.example.org/soil"}]}
        client.patch(object_id, elsewhere, revision=client.get(object_id)["revision"])
    catalog("publish", object_id)
    assert catalog("doi", "lint", object_id).code == 0
    minted = catalog("doi", "mint", object_id, "--wait", "30")
    doi = minted.out.strip()
    assert (minted.code, doi.startswith("10.5072/")) == (0, True)
    # Without a registry the state moves as with one, and it is said that the DOI leads nowhere.
    assert "findable; it leads nowhere outside this catalog" in minted.err
    assert catalog("doi", "show", doi).out == f"{doi}\tfindable\n"
    assert [one["doi"] for one in catalog("doi", "show", object_id, "--json").json] == [doi]
    assert doi in catalog("doi", "list", "--state", "findable").out
    assert doi not in catalog("doi", "list", "--attention").out
    assert catalog("doi", "retry", doi).code == 5
    assert catalog("doi", "retry").code == 2
    assert catalog("doi", "list", "--state", "lost").code == 2
    assert catalog("show", doi).out.startswith("Soil moisture, plot 7\n")
