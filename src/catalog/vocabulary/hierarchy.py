"""Concepts level by level: which stand at the top, which directly below one, and how one gets there from the top.

Reads what is broader from the concepts themselves. Knows nothing of objects, nor how many a concept describes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from catalog.database import Database

# The engine takes no more than 65,536 values in one condition; a level that is wider is no level that somebody reads.
LEVEL_CONCEPTS_MAX = 20_000
# As deep as anybody looks; a circle, which no import lets in, would end here too.
LEVELS_MAX = 50


@dataclass(frozen=True, slots=True)
class Way:
    """How one gets to a concept of a scheme: URI and label of each concept from the top, itself the last."""

    scheme: str
    steps: tuple[tuple[str, str], ...]


_TOP = """
    SELECT uri FROM concept WHERE scheme = %(scheme)s AND broader = '{}'
    ORDER BY label COLLATE "C", uri COLLATE "C" LIMIT %(most)s
    """
_BELOW = """
    SELECT uri FROM concept WHERE broader @> ARRAY[%(uri)s]
    ORDER BY label COLLATE "C", uri COLLATE "C" LIMIT %(most)s
    """
_ABOVE = """
    WITH RECURSIVE above AS (
        SELECT uri, 0 AS step FROM concept WHERE uri = ANY (%(uris)s)
        UNION
        SELECT broad, step + 1 FROM above JOIN concept USING (uri), unnest(concept.broader) AS broad
        WHERE step < %(most)s
    )
    SELECT uri, scheme, label, broader FROM concept WHERE uri IN (SELECT uri FROM above)
    """
_NARROWER = """
    SELECT asked.uri, (SELECT count(*) FROM concept WHERE broader @> ARRAY[asked.uri])
    FROM unnest(%(uris)s::text[]) AS asked (uri)
    """


async def level(database: Database, scheme: str, below: str | None) -> list[str]:
    """Return the URIs of the concepts directly below one, or at the top of a scheme: the first LEVEL_CONCEPTS_MAX."""
    if below is None:
        rows = await database.rows(_TOP, {"scheme": scheme, "most": LEVEL_CONCEPTS_MAX})
    else:
        rows = await database.rows(_BELOW, {"uri": below, "most": LEVEL_CONCEPTS_MAX})
    return [uri for (uri,) in rows]


async def ways(database: Database, uris: Collection[str]) -> dict[str, Way]:
    """Return how one gets to each of these concepts, as far as they are there.

    Of several ways the shortest, of equally short ones always the same.
    """
    wanted = sorted({uri for uri in uris if "\x00" not in uri})
    if not wanted:
        return {}
    rows = await database.rows(_ABOVE, {"uris": wanted, "most": LEVELS_MAX})
    known = {uri: (scheme, label, broader) for uri, scheme, label, broader in rows}
    labels = {uri: label for uri, (_, label, _) in known.items()}
    broader = {uri: [one for one in above if one in known] for uri, (_, _, above) in known.items()}
    return {
        uri: Way(known[uri][0], tuple((step, labels[step]) for step in shortest_way(uri, broader, labels)))
        for uri in wanted
        if uri in known
    }


def shortest_way(uri: str, broader: Mapping[str, Collection[str]], labels: Mapping[str, str]) -> list[str]:
    """Return the shortest way from the top to a concept, itself the last; labels decide between equally short ones."""
    reached, seen = [[uri]], {uri}
    while reached:
        reached.sort(key=lambda way: [(labels[step], step) for step in way])
        arrived = [way for way in reached if not broader[way[0]]]
        if arrived:
            return arrived[0]
        further = []
        for way in reached:
            for above in broader[way[0]]:
                if above not in seen:
                    seen.add(above)
                    further.append([above, *way])
        reached = further
    return [uri]


async def narrower_counts(database: Database, uris: Collection[str]) -> dict[str, int]:
    """Return how many concepts are directly below each of these."""
    if not uris:
        return {}
    rows = await database.rows(_NARROWER, {"uris": sorted(set(uris))})
    return {uri: int(count) for uri, count in rows}
