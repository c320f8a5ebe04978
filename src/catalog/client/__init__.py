"""The Python client of a catalog: HTTP only, never its database.

    with Catalog("http://127.0.0.1:8000", token) as catalog:
        for hit in catalog.hits("penguins", kind=["training-dataset"]):
            print(hit["title"])

Answers are the API's JSON, typed. Refusals are raised as `Problem`.
"""

from catalog.client.catalog import Catalog
from catalog.client.problems import (
    BytesDiffer,
    FileChanged,
    NoSuchFile,
    NotACatalog,
    NotAvailable,
    NotNoticed,
    Problem,
    Stopped,
    StoreRefused,
    Unreachable,
    UnsafePath,
)

__all__ = [
    "BytesDiffer",
    "Catalog",
    "FileChanged",
    "NoSuchFile",
    "NotACatalog",
    "NotAvailable",
    "NotNoticed",
    "Problem",
    "Stopped",
    "StoreRefused",
    "Unreachable",
    "UnsafePath",
]
