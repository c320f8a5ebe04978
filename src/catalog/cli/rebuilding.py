"""Building the search index anew: plan, begin, watch, go back. These know a catalog by the server's own settings."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import agreeing, output
from catalog.cli.operating import HomeOption, Json, database_faults_explained

if TYPE_CHECKING:
    from catalog.engines import Engines
    from catalog.sync.rebuilding import Plan
    from catalog.sync.tables import Rebuild

WATCH_SECONDS = 0.5
# Between two lines of the same state; and without any beginning, who should begin is told.
TOLD_SECONDS = 5.0
UNTOUCHED_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel="Running a catalog")(reindex)


def reindex(
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only tell whether it is needed, and what it takes.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only tell how far the last one is.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End an unfinished one; the new index is removed.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Let the old index answer searches again.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Remove the index that is kept.")] = False,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Build the search index anew from the database, beside the one that is searched, and swap them in one step.

    The indexer does it, and this watches: whoever stops watching stops nothing, and may come back. Searches and writes
    go on. Before the swap the new index is held against the database; where anything differs there is none, and this
    ends with exit code 7. The old index is kept, and written, until --finish or --rollback.
    """
    chosen = {"--plan": plan, "--status": status, "--cancel": cancel, "--rollback": rollback, "--finish": finish}
    given = [name for name, is_given in chosen.items() if is_given]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot go together.")
    doing = _DOING[given[0]] if given else _build

    async def inside() -> int:
        async with agreeing.opened(home) as engines:
            return await doing(engines, json=json)

    with database_faults_explained():
        code = asyncio.run(inside())
    if code:
        raise typer.Exit(code)


async def _plan(engines: "Engines", *, json: bool) -> int:
    import msgspec

    from catalog.sync import rebuilding

    async with engines.database.transaction() as session:
        plan = await rebuilding.plan(session, engines.index)
    if json:
        output.as_json(msgspec.to_builtins(plan))
        return 0
    output.data("a rebuild is needed" if plan.needed else "no rebuild is needed")
    for reason in plan.reasons:
        output.data(f"  {reason}")
    output.data(_spelled(plan))
    return 0


def _spelled(plan: "Plan") -> str:
    takes = "how long that takes is known after the first one"
    if plan.seconds is not None:
        takes = f"some {max(1, round(plan.seconds))} s at the rate of the last one, and then about as long to verify"
    size = f"{plan.documents:,} documents in {plan.bytes / 1e6:,.1f} MB"
    return f"it would write {plan.objects:,} objects beside an index of {size}; {takes}"


async def _status(engines: "Engines", *, json: bool) -> int:
    from catalog.sync import rebuilding

    async with engines.database.transaction() as session:
        one = await rebuilding.latest(session)
    _show(one, json=json)
    return 0


async def _cancel(engines: "Engines", *, json: bool) -> int:
    from catalog.sync import rebuilding

    async with engines.database.transaction() as session:
        one = await rebuilding.cancel(session)
    await _tell(engines, f"ended; the indexer removes {one.new}" if one.new else "ended", json=json)
    return 0


async def _rollback(engines: "Engines", *, json: bool) -> int:
    from catalog.sync import rebuilding

    one = await rebuilding.go_back(engines.database, engines.index)
    told = f"searches are answered by {one.old} again; to remove {one.new}: catalog reindex --finish"
    await _tell(engines, told, json=json)
    return 0


async def _finish(engines: "Engines", *, json: bool) -> int:
    from catalog.sync import rebuilding

    async with engines.database.transaction() as session:
        one = await rebuilding.finish(session)
    await _tell(engines, f"the indexer removes {one.old if one.swapped_at else one.new}", json=json)
    return 0


async def _tell(engines: "Engines", text: str, *, json: bool) -> None:
    output.say(text)
    if json:
        await _status(engines, json=json)


async def _build(engines: "Engines", *, json: bool) -> int:
    from catalog.errors import Conflict
    from catalog.search import concrete
    from catalog.sync import rebuilding

    if await concrete.behind(engines.index) is None:
        raise Conflict("There is no index to build another one beside: `catalog migrate` makes and fills it.")
    async with engines.database.transaction() as session:
        plan = await rebuilding.plan(session, engines.index)
        why = " ".join(plan.reasons) if plan.needed else "It was asked for."
        one = await rebuilding.begin(session, version=engines.index.shape.version, why=why)
    try:
        one = await _watched(engines, one)
    except asyncio.CancelledError:
        output.say("it goes on by itself; to watch on: catalog reindex; to end it: catalog reindex --cancel")
        raise
    _show(one, json=json)
    return _code(one)


async def _watched(engines: "Engines", one: "Rebuild") -> "Rebuild":
    """Tell how far it is until it is over, or searches are answered by the new index."""
    from catalog.sync import rebuilding
    from catalog.sync.tables import UNFINISHED, State

    began, told_at, told = time.monotonic(), 0.0, ""
    warned = False
    while State(one.state) in {*UNFINISHED, State.SWAPPING}:
        line = _line(one)
        moment = time.monotonic()
        if line != told and (moment - told_at > TOLD_SECONDS or line.partition(":")[0] != told.partition(":")[0]):
            output.say(line)
            told, told_at = line, moment
        if one.state == State.WAITING and moment - began > UNTOUCHED_SECONDS and not warned:
            output.say("nobody has begun: is an indexer of this version running? (catalog-indexer run)")
            warned = True
        await asyncio.sleep(WATCH_SECONDS)
        async with engines.database.transaction() as session:
            one = await rebuilding.with_id(session, one.id) or one
    return one


def _line(one: "Rebuild") -> str:
    from catalog.sync.tables import State

    lines: dict[str, Callable[[], str]] = {
        State.WAITING: lambda: "waiting for the indexer",
        State.FILLING: lambda: f"filling {one.new}: {one.filled:,} of {max(one.objects, one.filled):,} objects",
        State.VERIFYING: lambda: (
            f"verifying {one.new}: {one.verified:,} of {max(one.objects, one.verified):,} objects,"
            f" {one.differing:,} differ"
        ),
        State.SWAPPING: lambda: f"swapping: {one.old} for {one.new}",
        State.KEPT: lambda: (
            f"searches are answered by {one.new}; {one.old} is kept: catalog reindex --finish removes it,"
            " catalog reindex --rollback goes back to it" + (f" (no more: {one.lost})" if one.lost else "")
        ),
        State.BACK: lambda: f"searches are answered by {one.old} again; {one.new} is kept: catalog reindex --finish",
        State.FINISHED: lambda: f"finished: searches are answered by {one.new if one.swapped_at else one.old}",
        State.CANCELLED: lambda: "cancelled: searches are answered as before",
        State.FAILED: lambda: f"failed, and searches are answered as before: {one.fault}",
    }
    return lines[one.state]()


def _show(one: "Rebuild | None", *, json: bool) -> None:
    from catalog.sync import rebuilding

    if json:
        told: dict[str, Any] | None = None if one is None else rebuilding.told(one)
        output.as_json(told)
    elif one is None:
        output.say("no index was ever built anew")
    else:
        if one.differences:
            columns = ("id", "kind", "version in the index", "in the database", "parked")
            output.table(columns, [_row(difference) for difference in one.differences])
        output.say(_line(one))


def _row(difference: dict[str, Any]) -> tuple[str, ...]:
    values = (difference[name] for name in ("id", "kind", "held", "wanted", "parked"))
    return tuple("" if value is None else str(value) for value in values)


def _code(one: "Rebuild") -> int:
    from catalog.sync.tables import State

    if one.state in {State.FAILED, State.CANCELLED}:
        return output.DIFFERS if one.differing else output.FAILED
    return 0


_DOING = {"--plan": _plan, "--status": _status, "--cancel": _cancel, "--rollback": _rollback, "--finish": _finish}
