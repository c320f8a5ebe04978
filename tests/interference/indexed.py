"""The documents of random worlds: what the index holds of the objects that a database has."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from catalog.engines import opened
from catalog.search.document import Projection
from catalog.search.index import Outcome, Verdict
from catalog.settings import Settings
from tests.interference.world import Rows
from tests.search.conftest import entry, written

AT_ONCE = 500


async def index(settings: Settings, worlds: Iterable[Rows]) -> None:
    """Make the index, and write a document of every object in these worlds."""
    documents = [written(one) for world in worlds for one in _projections(world["object"])]
    async with opened(settings) as engines:
        await engines.index.ensure()
        for start in range(0, len(documents), AT_ONCE):
            few = documents[start : start + AT_ONCE]
            assert await engines.index.write(few) == [Outcome(Verdict.WRITTEN)] * len(few)
        await engines.index.refresh()


def _projections(objects: Iterable[Mapping[str, Any]]) -> Iterator[Projection]:
    for row in objects:
        record = row["record"]
        yield entry(
            id=row["id"],
            kind=row["kind"],
            project=row["project"],
            revision=row["revision"],
            readers=row["readers"],
            title=record["title"],
            description=record["description"],
            visibility=record["visibility"],
            created_at=row["created_at"],
            withdrawn=row["withdrawn_at"] is not None,
        )
