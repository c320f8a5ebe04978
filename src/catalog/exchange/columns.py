"""Objects as rows: the columns that every table of objects has, by name and in their order, whatever it is written as.

Pure. Names, order and types are what others program against: a column may be added, none is renamed or changed.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from catalog.exchange.parquet import Holds
from catalog.objects import versions
from catalog.objects.reading import Entry

_OF_ENTRY: Mapping[str, tuple[Holds, Callable[[Entry], object]]] = MappingProxyType(
    {
        "id": (Holds.TEXT, lambda entry: str(entry.id)),
        "kind": (Holds.TEXT, lambda entry: entry.kind),
        "project": (Holds.TEXT, lambda entry: entry.project),
        "name": (Holds.TEXT, lambda entry: entry.record.get("name")),
        "title": (Holds.TEXT, lambda entry: entry.record["title"]),
        "description": (Holds.TEXT, lambda entry: entry.record["description"]),
        "creators": (Holds.TEXTS, lambda entry: [one["name"] for one in entry.record["creators"]]),
        "keywords": (Holds.TEXTS, lambda entry: entry.record["keywords"]),
        "subjects": (
            Holds.TEXTS,
            lambda entry: [entry.terms.get(uri, uri) for uri in entry.record.get("subjects") or ()],
        ),
        "licence": (Holds.TEXT, lambda entry: entry.record.get("licence")),
        "year": (Holds.NUMBER, lambda entry: entry.year),
        "visibility": (Holds.TEXT, lambda entry: entry.record["visibility"]),
        "state": (Holds.TEXT, versions.state_of),
        "version": (Holds.NUMBER, lambda entry: entry.version),
        "revision": (Holds.NUMBER, lambda entry: entry.revision),
        "files": (Holds.NUMBER, lambda entry: entry.files_total),
        "created_at": (Holds.MOMENT, lambda entry: entry.created_at),
        "updated_at": (Holds.MOMENT, lambda entry: entry.updated_at),
    }
)
COLUMNS: Mapping[str, Holds] = MappingProxyType(
    {name: holds for name, (holds, _) in _OF_ENTRY.items()} | {"doi": Holds.TEXT, "address": Holds.TEXT}
)


def row(entry: Entry, *, doi: str | None, address: str) -> list[object]:
    """Return what stands in each column of an object's row; its public DOI and its page are told by who writes it."""
    return [*(told(entry) for _, told in _OF_ENTRY.values()), doi, address]
