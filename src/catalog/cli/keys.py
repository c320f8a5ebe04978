"""The keys that wrap those of organizations' stores: made, counted, and replaced while the catalog runs."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.access import Json
from catalog.cli.manual import Commands
from catalog.cli.operating import database_faults_explained

if TYPE_CHECKING:
    from catalog.settings import Settings
    from catalog.storage.sealing import Rotated

keys = Commands(help="The keys that wrap those of organizations' stores.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(keys, name="keys", rich_help_panel="Running a catalog")


def _file(settings: "Settings") -> Path:
    from catalog.storage.wrapping import NoKeyService

    if settings.key_file is None:
        raise NoKeyService
    return settings.key_file


@keys.command("create")
def create_key(
    file: Annotated[
        Path | None, typer.Option(help="The key file, made if it is not there; else that of CATALOG_KEY_FILE.")
    ] = None,
) -> None:
    """Make a key and put it first in the key file, so that it wraps from now on; print its id.

    Processes that run notice by themselves. The keys before it stay: what they wrapped opens until `catalog keys
    rotate` has wrapped it anew.
    """
    from catalog.settings import Settings
    from catalog.storage import wrapping

    path = file or _file(Settings.from_environment())
    output.data(wrapping.add_key(path))
    output.say(f"it is the first key of {path}; keep a copy of the file apart from the database's backups")


@keys.command("list")
def list_keys(*, json: Json = False) -> None:
    """List the keys, the one that wraps first, and how many backends' keys each of them wraps."""
    from catalog.database import Database
    from catalog.settings import Settings
    from catalog.storage import sealing, wrapping

    settings = Settings.from_environment()
    known = list(wrapping.read_file(_file(settings)))

    async def counted() -> dict[str, int]:
        database = Database(str(settings.database_url), connections=1)
        try:
            async with database.transaction() as session:
                return await sealing.count_by_key(session)
        finally:
            await database.close()

    with database_faults_explained():
        counts = asyncio.run(counted())
    rows = [
        {"id": one, "wraps": counts.get(one, 0), "in_file": one in known, "current": one == known[0]}
        for one in dict.fromkeys([*known, *sorted(counts)])
    ]
    if json:
        output.as_json(rows)
        return
    columns = ["id", "wraps", "in file", "current"]
    output.table(columns, [[str(value) for value in row.values()] for row in rows])


@keys.command("rotate")
def rotate_keys() -> None:
    """Wrap everything anew that the current key does not wrap. Interrupted, start it again: nothing is lost.

    Ends with exit code 1 when the key of something is not at hand.
    """
    from catalog.database import Database
    from catalog.settings import Settings
    from catalog.storage import sealing
    from catalog.storage.wrapping import LocalKeys

    settings = Settings.from_environment()

    async def rotate() -> "Rotated":
        database = Database(str(settings.database_url), connections=1)
        try:
            return await sealing.rotate(database, LocalKeys(_file(settings)))
        finally:
            await database.close()

    with database_faults_explained():
        done = asyncio.run(rotate())
    output.say(f"{done.count} wrapped anew; `catalog keys list` shows which keys of the file wrap nothing any more")
    if done.lost:
        output.say(f"the keys of these backends cannot be opened: {', '.join(map(str, done.lost))}")
        raise typer.Exit(output.FAILED)
