"""Files of others: a folder beside the repository, or where TEST_CORPORA says. The one way in which tests find them."""

import os
from pathlib import Path

import pytest

from tests.docs.repository import ROOT

# Not called CATALOG_…: a run of tests clears the environment of everything that describes a catalog.
FOLDER = Path(os.environ.get("TEST_CORPORA") or ROOT.parent / "shared" / "corpora")


def files(folder: str, pattern: str) -> list[Path]:
    """Return the files of a folder; none where there is no such folder."""
    return sorted((FOLDER / folder).glob(pattern))


def there(paths: list[Path]) -> list[Path]:
    """Return the files; skips the test with the reason where there are none."""
    if not paths:
        pytest.skip("no files of others are here: set TEST_CORPORA to a folder with datacite-json, datacite-xml, skos")
    return paths
