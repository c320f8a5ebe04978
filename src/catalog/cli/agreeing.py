"""Whether the index agrees with the database, and mending it. These know a catalog by the server's own settings."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.operating import HomeOption, Json, database_faults_explained, in_database, settings_of

if TYPE_CHECKING:
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


def diff(*, full: Full = False, home: HomeOption = None, json: Json = False) -> None:
    """Compare the search index with the database, object by object, and name every document that is wrong.

    It is missing, stale (of an earlier state), altered (not what was written) or extra (of no object). What is in the
    queue is no difference. Changes nothing. Exit code 7 when anything differs.
    """

    async def inside() -> "_Found":
        async with opened(home) as engines:
            return await _compared(engines.sides(full=full))

    with database_faults_explained():
        found = asyncio.run(inside())
    _show(found, json=json)
    if found.differences:
        raise typer.Exit(output.DIFFERS)


def reconcile(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    full: Full = False,
    removals: Annotated[
        int | None, typer.Option("--removals", min=0, help="So many documents of no object may be removed.")
    ] = None,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Mend what `catalog diff` finds: have documents written anew by the indexer, remove those of no object.

    The database is asked for each id once more before its document is removed. If more than CATALOG_SYNC_SHARE of all,
    and more than 100, would be removed, nothing is done but writing. Exit code 7 when --dry-run finds anything.
    """
    from catalog.errors import Conflict
    from catalog.sync import mending
    from catalog.sync.comparing import Kind

    async def inside() -> "tuple[_Found, list[str], list[str], int]":
        async with opened(home) as engines:
            sides = engines.sides(full=full)
            found = await _compared(sides)
            extra = [one for one in found.differences.values() if one.kind is Kind.EXTRA]
            most = mending.may_go(found.documents, engines.sync.share) if removals is None else removals
            if dry_run:
                return found, [], [], most
            queued = await mending.write_anew(sides.database, list(found.differences.values()))
            removed = await mending.remove(sides, extra) if len(extra) <= most else []
            return found, queued, removed, most

    with database_faults_explained():
        found, queued, removed, most = asyncio.run(inside())
    _show(found, json=json, done={} if dry_run else {"queued": queued, "removed": removed})
    extra = found.counts()["extra"]
    if not dry_run:
        output.say(f"{len(queued):,} queued to be written by the indexer, {len(removed):,} removed")
    if extra > most:
        raise Conflict(
            f"{extra:,} documents of no object are more than the {most:,} that may go without a question, so none goes."
            f" If the database is the right one and whole: catalog reconcile --removals {extra}"
        )
    if dry_run and found.differences:
        raise typer.Exit(output.DIFFERS)


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


def _show(found: _Found, *, json: bool, done: Mapping[str, Sequence[str]] | None = None) -> None:
    counts = found.counts()
    if json:
        told: dict[str, Any] = {
            "objects": found.objects,
            "documents": found.documents,
            "pending": found.pending,
            "counts": counts,
            "differences": [
                {"id": one.id, "kind": one.kind.value, "held": one.held, "wanted": one.wanted, "parked": one.parked}
                for one in found.differences.values()
            ],
        }
        output.as_json(told | dict(done or {}))
    elif found.differences:
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
