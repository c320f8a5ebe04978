"""What depends on an object, before it is changed or withdrawn."""

from collections import Counter
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.objects import reading
from catalog.provenance import walk
from catalog.provenance.graph import Node, shown
from catalog.provenance.reader import Reader

# An impact counts so many, and shows the nearest of them.
COUNTED_MAX = 50_000
NEAREST_MAX = 100


class KindCount(msgspec.Struct, frozen=True):
    """How many objects of a kind."""

    kind: str
    count: int


class Impact(msgspec.Struct, frozen=True):
    """What depends on an object, directly or over others: counted by kind, and the nearest of them.

    Only objects that the caller may see are counted and shown; `hidden` tells that visible ones name others. `direct`
    are those that name the object itself. Not `complete` when there is more beyond the depth; `truncated` when there
    were more than are counted, so that each count is at least that.
    """

    object: str
    depth: int
    complete: bool
    truncated: bool
    total: int
    direct: int
    hidden: bool
    kinds: list[KindCount]
    nearest: list[Node]


async def impact_of(session: AsyncSession, object_id: UUID, audience: Audience, *, depth: int) -> Impact:
    """Return what depends on an object, up to so many objects away; raises NotFound, Gone."""
    await reading.find(session, object_id, audience)
    await walk.along_indices(session)
    ask = Reader(session, audience)
    levels = await walk.levels_down(ask, object_id, depth=depth, most=COUNTED_MAX + 1)
    far = [(row.depth, one) for row in levels if 0 < row.depth <= depth for one in row.frontier]
    kept = far[:COUNTED_MAX]
    seen = await reading.seen_among(session, [one for _, one in kept], audience)
    there = [(level, one) for level, one in kept if one in seen and seen[one].withdrawn_at is None]
    kinds = Counter(seen[one].kind for _, one in there)
    return Impact(
        object=str(object_id),
        depth=depth,
        complete=len(far) <= COUNTED_MAX and not any(row.depth > depth for row in levels),
        truncated=len(far) > COUNTED_MAX,
        total=len(there),
        direct=sum(level == 1 for level, _ in there),
        hidden=any(one not in seen for _, one in kept),
        kinds=[KindCount(kind, count) for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0]))],
        nearest=[shown(one, seen, 0) for _, one in there[:NEAREST_MAX]],
    )
