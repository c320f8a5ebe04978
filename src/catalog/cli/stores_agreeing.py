"""Whether stores agree with the database, for `catalog diff`, and having them agree, for `catalog reconcile`."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalog.cli import output

if TYPE_CHECKING:
    from catalog.engines import Engines
    from catalog.sync.stores import Side, Walked, WrongKey

# Between two lines that tell how far it is.
TOLD_KEYS = 100_000
# Of a bucket that nobody has scanned yet, millions of keys are unknown: so many of a kind are named, all are counted.
NAMED_MAX = 100_000


@dataclass(slots=True)
class Found:
    """What a walk through one store has met; `fault` is why it did not come to its end."""

    backend: str
    name: str
    bucket: str | None = None
    keys: int = 0
    recorded: int = 0
    pending: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"lost": 0, "changed": 0, "unknown": 0})
    differences: list["WrongKey"] = field(default_factory=list)
    fault: str | None = None
    # Of `catalog reconcile`: how many keys were queued, how many may be lost, and whether they were more.
    queued: int = 0
    may_be_lost: int = 0
    held_back: bool = False

    @property
    def differs(self) -> bool:
        """Whether anything is wrong in it."""
        return any(self.counts.values())

    def note(self, compared: "Walked") -> None:
        """Add what a part of the walk came to."""
        before = self.keys // TOLD_KEYS
        self.keys += compared.keys
        self.recorded += compared.recorded
        self.pending += compared.pending + len(compared.waiting)
        for one in compared.differences:
            self.counts[one.kind.value] += 1
            if self.counts[one.kind.value] <= NAMED_MAX:
                self.differences.append(one)
        if self.keys // TOLD_KEYS > before:
            output.say(f"{self.name}: {self.keys:,} keys listed, {sum(self.counts.values()):,} differ")

    def as_told(self) -> dict[str, Any]:
        """Return it for JSON."""
        told: dict[str, Any] = {
            name: getattr(self, name) for name in ("backend", "name", "bucket", "keys", "recorded", "pending", "counts")
        }
        told["differences"] = [
            {
                "key": one.key,
                "kind": one.kind.value,
                "object": None if one.object_id is None else str(one.object_id),
                "path": one.path,
                "recorded": one.recorded,
                "lying": one.lying,
                "parked": one.parked,
            }
            for one in self.differences
        ]
        return told | {"fault": self.fault}


async def named(engines: "Engines", only: str | None) -> list[tuple[str, str]]:
    """Return id and name of every store that is in use, or of the one; raises NotFound."""
    from catalog.errors import NotFound
    from catalog.storage import backends
    from catalog.storage.keys import OWN

    async with engines.database.transaction() as session:
        brought = await backends.everywhere(session)
    every = [(OWN, OWN), *((str(one.id), f"{one.organization}: {one.name}") for one in brought)]
    chosen = [one for one in every if only in {None, one[0]}]
    if not chosen:
        raise NotFound(f"There is no backend {only!r}; `catalog backend list` names those of an organization.")
    return chosen


async def compared(engines: "Engines", backend: str, name: str, *, losses: int | None = None) -> Found:
    """Walk through one store, and change nothing."""
    found = Found(backend, name)
    await _walk(engines, found, mend=False, losses=losses)
    return found


async def mended(engines: "Engines", backend: str, name: str, *, losses: int | None) -> Found:
    """Walk through one store and have the indexer look at what differs; at what is gone only if it is little enough."""
    found = Found(backend, name)
    await _walk(engines, found, mend=True, losses=losses)
    return found


async def _walk(engines: "Engines", found: Found, *, mend: bool, losses: int | None) -> None:
    from catalog.errors import CatalogError
    from catalog.inventory import scanning
    from catalog.objects import discovered
    from catalog.sync import comparing, mending, stores

    lost: list[str] = []
    try:
        store = await engines.store_of(found.backend)
        found.bucket = store.bucket
        async with engines.database.transaction() as session:
            layout = await discovered.layout_of(session, engines.placement.prefix, found.backend)
        side = stores.Side(found.backend, store, layout)
        async for some in stores.differences(engines.database, side):
            found.note(some)
            if mend:
                lost += await _looked_at(engines, found, side, some)
        found.may_be_lost = scanning.may_be_lost(found.recorded, engines.sync.share) if losses is None else losses
        found.held_back = found.counts["lost"] > found.may_be_lost
        if mend and not found.held_back:
            await mending.look_at(engines.database, lost)
            found.queued += len(lost)
    except comparing.DatabaseAway:
        raise
    except CatalogError as fault:
        found.fault = fault.detail


async def _looked_at(engines: "Engines", found: Found, side: "Side", some: "Walked") -> Sequence[str]:
    """Queue what a part of the walk found, but what is gone: return that."""
    from catalog.sync import mending
    from catalog.sync.stores import Wrong

    there = [one.key for one in some.differences if one.kind is not Wrong.LOST]
    subjects = side.subjects([*there, *some.waiting])
    await mending.look_at(engines.database, subjects)
    found.queued += len(subjects)
    return side.subjects([one.key for one in some.differences if one.kind is Wrong.LOST])


def show(found: Sequence[Found], *, table: bool) -> None:
    """Write what each store came to; with `table` what differs before."""
    rows = [
        (
            one.backend,
            each.key,
            each.kind.value,
            "" if each.object_id is None else str(each.object_id),
            each.path or "",
            _number(each.recorded),
            _number(each.lying),
            each.parked or "",
        )
        for one in found
        for each in one.differences
    ]
    if table and rows:
        columns = ("backend", "key", "kind", "object", "path", "size in the database", "in the store", "parked")
        output.table(columns, rows)
    for one in found:
        line = f"{one.name}: {one.keys:,} keys listed, {one.recorded:,} recorded: "
        line += ", ".join(f"{count:,} {kind}" for kind, count in one.counts.items())
        line += f"; {one.pending:,} about to be looked at" if one.pending else ""
        unnamed = sum(one.counts.values()) - len(one.differences)
        line += f"; {unnamed:,} of them not named, see `catalog backend scan`" if unnamed else ""
        output.say(line if one.fault is None else f"{line}; not to its end: {one.fault}")


def must_have_ended(found: Sequence[Found]) -> None:
    """Raise Unavailable where a store could not be walked through."""
    from catalog.errors import Unavailable

    faults = [f"{one.name}: {one.fault}" for one in found if one.fault is not None]
    if faults:
        raise Unavailable(f"Not every store was compared. {' '.join(faults)}")


def must_not_be_held_back(found: Sequence[Found]) -> None:
    """Raise Conflict where more is gone than may be without a question."""
    from catalog.errors import Conflict

    held_back = [one for one in found if one.held_back]
    if held_back:
        many = "; ".join(f"{one.name}: {one.counts['lost']:,} of {one.recorded:,}" for one in held_back)
        most = max(one.counts["lost"] for one in held_back)
        raise Conflict(
            f"More keys are gone than may be without a question, so nothing counts as gone: {many}. Is it the right"
            f" bucket, and may the catalog's keys read it? If the bytes are gone indeed: catalog reconcile --stores"
            f" --losses {most}"
        )


def _number(size: int | None) -> str:
    return "" if size is None else str(size)
