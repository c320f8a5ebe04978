"""Records of others: a folder beside the repository, or where TEST_CORPORA says."""

import os
from pathlib import Path

import pytest

# Not called CATALOG_…: a run of tests clears the environment of everything that describes a catalog.
CORPORA = Path(os.environ.get("TEST_CORPORA") or Path(__file__).parents[3] / "shared" / "corpora")


def records(folder: str, pattern: str) -> list[Path]:
    """Return the records of a folder; none where there is no such folder."""
    return sorted((CORPORA / folder).glob(pattern))


def there(paths: list[Path]) -> list[Path]:
    """Return the records; skips the test with the reason where there are none."""
    if not paths:
        pytest.skip("no records of others are here: set TEST_CORPORA to a folder that has datacite-json")
    return paths
