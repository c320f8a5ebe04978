"""The Python client of a catalog: HTTP only, never its database.

    with Catalog("http://127.0.0.1:8000", token) as catalog:
        for hit in catalog.hits("penguins", kind=["training-dataset"]):
            print(hit["title"])

`AsyncCatalog` has the same methods, to be awaited. Answers are the API's JSON, typed in `catalog.client.shapes`.
Whatever goes wrong is a `CatalogError`; a refusal of the catalog is a `Problem`.
"""

from catalog.client.catalog import AsyncCatalog, Catalog
from catalog.client.files import file_of
from catalog.client.folders import Got, Piece, Put, pieces_in, read_through
from catalog.client.frames import MissingExtra, to_pandas, to_polars
from catalog.client.problems import (
    BytesDiffer,
    Closed,
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
from catalog.client.pushing import Pushed
from catalog.client.transfer import Downloaded
from catalog.errors import CatalogError

__all__ = [
    "AsyncCatalog",
    "BytesDiffer",
    "Catalog",
    "CatalogError",
    "Closed",
    "Downloaded",
    "FileChanged",
    "Got",
    "MissingExtra",
    "NoSuchFile",
    "NotACatalog",
    "NotAvailable",
    "NotNoticed",
    "Piece",
    "Problem",
    "Pushed",
    "Put",
    "Stopped",
    "StoreRefused",
    "Unreachable",
    "UnsafePath",
    "file_of",
    "pieces_in",
    "read_through",
    "to_pandas",
    "to_polars",
]
