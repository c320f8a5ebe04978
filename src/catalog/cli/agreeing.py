"""Whether index and stores agree with the database, and mending them, with the server's own settings."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from catalog.cli import output
from catalog.cli.operating import HomeOption, Json, database_faults_explained, in_database, settings_of

if TYPE_CHECKING:
    from catalog.cli.stores_agreeing import Found
    from catalog.engines import Engines
    from catalog.sync.comparing import Difference, Sides

# Between two lines that tell how far it is.
TOLD_OBJECTS = 20_000

Full = Annotated[
    bool, typer.Option("--full", help="Make each document anew from the database, too. As slow as filling an index.")
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Running a catalog")(diff)
    app.command(rich_help_panel="Running a catalog")(reconcile)


Stores = Annotated[
    bool, typer.Option("--stores", help="Compare every store with the database, too. Lists all that they hold.")
]
One = Annotated[
    str | None, typer.Option("--backend", metavar="ID", help="Compare this store alone; `default` is the own one.")
]


def diff(
    *, full: Full = False, stores: Stores = False, backend: One = None, home: HomeOption = None, json: Json = False
) -> None:
    """Compare index and stores with the database, one by one, and name every document and every key that is wrong.

    A document is missing, stale (of an earlier state), altered (not what was written) or extra (of no object). A key is
    lost (its bytes are not there), changed (other bytes are) or unknown (nobody's, and new). What is in the queue is no
    difference. Changes nothing. Exit code 7 when anything differs.
    """
    from catalog.cli import stores_agreeing

    async def inside() -> "tuple[_Found | None, list[Found] | None]":
        async with opened(home) as engines:
            wanted = await stores_agreeing.named(engines, backend) if stores or backend else None
            found = None if backend else await _compared(engines.sides(full=full))
            if wanted is None:
                return found, None
            return found, [await stores_agreeing.compared(engines, *one) for one in wanted]

    with database_faults_explained():
        found, held = asyncio.run(inside())
    _show_all(found, held, json=json)
    stores_agreeing.must_have_ended(held or ())
    if (found is not None and found.differences) or any(one.differs for one in held or ()):
        raise typer.Exit(output.DIFFERS)


def reconcile(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    full: Full = False,
    stores: Stores = False,
    backend: One = None,
    removals: Annotated[
        int | None, typer.Option("--removals", min=0, help="So many documents of no object may be removed.")
    ] = None,
    losses: Annotated[
        int | None, typer.Option("--losses", min=0, help="So many keys of a store may be found to be gone.")
    ] = None,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Mend what `catalog diff` finds: documents are written anew, or removed if no object's; keys are looked at.

    The database is asked for each id once more before its document is removed. If more than CATALOG_SYNC_SHARE of all,
    and more than 100, would be removed, nothing is done but writing. What lies in a store is never touched: the indexer
    asks it about each key. If more than that share of a store's keys are gone, and more than 10, or all, none is looked
    at. Exit code 7 when --dry-run finds anything.
    """
    from catalog.cli import stores_agreeing

    if losses is not None and not stores and backend is None:
        raise typer.BadParameter("say which stores are meant: --stores or --backend ID", param_hint="--losses")
    if removals is not None and backend is not None:
        raise typer.BadParameter("with --backend the index is not looked at", param_hint="--removals")

    async def inside() -> "tuple[_Mended | None, list[Found] | None]":
        async with opened(home) as engines:
            wanted = await stores_agreeing.named(engines, backend) if stores or backend else None
            done = None if backend else await _mended(engines, full=full, removals=removals, dry_run=dry_run)
            if wanted is None:
                return done, None
            if dry_run:
                return done, [await stores_agreeing.compared(engines, *one, losses=losses) for one in wanted]
            return done, [await stores_agreeing.mended(engines, *one, losses=losses) for one in wanted]

    with database_faults_explained():
        done, held = asyncio.run(inside())
    _show_all(None if done is None else done.found, held, json=json, done=done, dry_run=dry_run)
    if not dry_run:
        output.say(_spelled(done, held))
    if done is not None:
        done.must_not_be_held_back()
    stores_agreeing.must_not_be_held_back(held or ())
    stores_agreeing.must_have_ended(held or ())
    if dry_run and ((done is not None and done.found.differences) or any(one.differs for one in held or ())):
        raise typer.Exit(output.DIFFERS)


def _spelled(done: "_Mended | None", held: "Sequence[Found] | None") -> str:
    told = []
    if done is not None:
        told.append(f"{len(done.queued):,} queued to be written by the indexer, {len(done.removed):,} removed")
    if held is not None:
        told.append(f"{sum(one.queued for one in held):,} keys queued to be looked at")
    return "; ".join(told)


def last(home: Path) -> dict[str, Any] | None:
    """Return what the indexer's last round came to on the stack of that folder; None before the first one has ended."""
    import msgspec

    from catalog.sync import rounds

    round_ = in_database(rounds.present, home)
    if round_ is None or round_.ended is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(round_.ended)
    return told


def standing(home: Path) -> dict[str, Any]:
    """Return how many seconds the index of the stack of that folder is behind, and what is parked by topic."""
    from catalog.operations import figures

    topics = in_database(figures.topics_of, home)
    parked = {name: one.parked for name, one in topics.items() if one.parked}
    return {"lag_seconds": round(figures.lag_seconds(topics), 1), "parked": parked}


def told_standing(told: Mapping[str, Any]) -> str:
    """Return the line that tells of it."""
    lag, parked = told["lag_seconds"], told["parked"]
    line = f"index {lag:,.0f} s behind the database" if lag >= 1 else "index as new as the database"
    waiting = ", ".join(f"{count:,} of {topic}" for topic, count in sorted(parked.items()))
    return line + (f"; parked: {waiting}, see `catalog queue list`" if waiting else "; nothing parked")


def spelled(told: Mapping[str, Any]) -> str:
    """Return the line that tells of such a round."""
    wrong = ", ".join(f"{told[kind]:,} {kind}" for kind in ("missing", "stale", "altered", "extra") if told[kind])
    line = f"index compared with the database, {told['ended_at'][:16].replace('T', ' ')}: "
    line += f"{told['objects']:,} objects, {wrong or 'nothing wrong'}"
    return line + (": too much of no object to be removed, see `catalog diff`" if told["held_back"] else "")


class _Mended(NamedTuple):
    """What was done about the index: ids that were queued, and ids that were removed if no more than `most`."""

    found: "_Found"
    queued: Sequence[str]
    removed: Sequence[str]
    most: int

    def must_not_be_held_back(self) -> None:
        """Raise Conflict where more would go than may without a question."""
        from catalog.errors import Conflict

        extra = self.found.counts()["extra"]
        if extra > self.most:
            raise Conflict(
                f"{extra:,} documents of no object are more than the {self.most:,} that may go without a question, so"
                f" none goes. If the database is the right one and whole: catalog reconcile --removals {extra}"
            )


class _Found:
    """What a walk through both sides has met."""

    def __init__(self) -> None:
        self.objects, self.documents, self.pending = 0, 0, 0
        # By id: the first slice that meets one settles it.
        self.differences: dict[str, Difference] = {}

    def counts(self) -> dict[str, int]:
        from catalog.sync import rounds
        from catalog.sync.comparing import Kind

        found = list(self.differences.values())
        return {kind.value: rounds.count(found, kind) for kind in Kind}


@asynccontextmanager
async def opened(home: Path | None) -> "AsyncIterator[Engines]":
    """Open the engines of the embedded stack in that folder, or those of the settings."""
    from catalog import engines

    async with engines.opened(settings_of(home)) as there:
        yield there


async def _mended(engines: "Engines", *, full: bool, removals: int | None, dry_run: bool) -> _Mended:
    from catalog.sync import mending
    from catalog.sync.comparing import Kind

    sides = engines.sides(full=full)
    found = await _compared(sides)
    extra = [one for one in found.differences.values() if one.kind is Kind.EXTRA]
    most = mending.may_go(found.documents, engines.sync.share) if removals is None else removals
    if dry_run:
        return _Mended(found, [], [], most)
    queued = await mending.write_anew(sides.database, list(found.differences.values()))
    removed = await mending.remove(sides, extra) if len(extra) <= most else []
    return _Mended(found, queued, removed, most)


async def _compared(sides: "Sides") -> _Found:
    from catalog.sync import comparing

    found = _Found()
    # Else what was written in this very second would be looked at twice.
    await sides.index.refresh()
    async for compared in comparing.differences(sides):
        before = found.objects // TOLD_OBJECTS
        found.objects += compared.objects
        found.documents += compared.documents
        found.pending += compared.pending
        found.differences |= {one.id: one for one in compared.differences}
        if found.objects // TOLD_OBJECTS > before:
            output.say(f"{found.objects:,} objects compared, {len(found.differences):,} differ")
    return found


def _show_all(
    found: _Found | None,
    held: "Sequence[Found] | None",
    *,
    json: bool,
    done: _Mended | None = None,
    dry_run: bool = False,
) -> None:
    from catalog.cli import stores_agreeing

    if json:
        did = {} if done is None or dry_run else {"queued": done.queued, "removed": done.removed}
        index = None if found is None else _told(found) | did
        output.as_json({"index": index, "stores": None if held is None else [one.as_told() for one in held]})
    if found is not None:
        _show(found, table=not json)
    if held is not None:
        stores_agreeing.show(held, table=not json)


def _told(found: _Found) -> dict[str, Any]:
    return {
        "objects": found.objects,
        "documents": found.documents,
        "pending": found.pending,
        "counts": found.counts(),
        "differences": [
            {"id": one.id, "kind": one.kind.value, "held": one.held, "wanted": one.wanted, "parked": one.parked}
            for one in found.differences.values()
        ],
    }


def _show(found: _Found, *, table: bool) -> None:
    counts = found.counts()
    if table and found.differences:
        columns = ("id", "kind", "version in the index", "in the database", "parked")
        rows = [
            (one.id, one.kind.value, _number(one.held), _number(one.wanted), one.parked or "")
            for one in found.differences.values()
        ]
        output.table(columns, rows)
    output.say(
        f"{found.objects:,} objects and {found.documents:,} documents compared: "
        + ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        + (f"; {found.pending:,} about to be written" if found.pending else "")
    )


def _number(version: int | None) -> str:
    return "" if version is None else str(version)
