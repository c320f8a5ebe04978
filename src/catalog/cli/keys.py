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
    from catalog.storage.wrapping import KeyService

keys = Commands(help="The keys that wrap those of organizations' stores.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(keys, name="keys", rich_help_panel="Running a catalog")


def _file(settings: "Settings") -> Path:
    from catalog.errors import Conflict
    from catalog.storage.wrapping import NoKeyService

    if settings.key_vault_url is not None:
        name = f"{settings.key_vault_mount}/keys/{settings.key_vault_name}"
        raise Conflict(f"Keys are made in Vault here: `vault write -f {name}/rotate`, then `catalog keys rotate`.")
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
    """List the keys, the one that wraps first, and how many backends' keys each of them wraps.

    Of Vault's, the newest version and those that wrap something.
    """
    from catalog import engines
    from catalog.database import Database
    from catalog.settings import Settings
    from catalog.storage import sealing, wrapping

    settings = Settings.from_environment()

    async def counted() -> tuple[list[str], dict[str, int]]:
        database = Database(str(settings.database_url), connections=1)
        service = engines.key_service(settings)
        try:
            vault = settings.key_vault_url is not None
            known = [await service.current()] if vault else list(wrapping.read_file(_file(settings)))
            async with database.transaction() as session:
                return known, await sealing.count_by_key(session)
        finally:
            await service.close()
            await database.close()

    with database_faults_explained():
        known, counts = asyncio.run(counted())
    in_file = known if settings.key_vault_url is None else ()
    rows = [
        {"id": one, "wraps": counts.get(one, 0), "in_file": one in in_file, "current": one == known[0]}
        for one in dict.fromkeys([*known, *sorted(counts)])
    ]
    if json:
        output.as_json(rows)
        return
    columns = ["id", "wraps", "in file", "current"]
    output.table(columns, [[str(value) for value in row.values()] for row in rows])


@keys.command("rotate")
def rotate_keys(
    from_file: Annotated[
        Path | None, typer.Option(help="With Vault: a key file too, whose keys opened what shall be Vault's now.")
    ] = None,
    into_file: Annotated[
        Path | None, typer.Option(help="With Vault: the key file whose first key shall wrap what Vault's keys did.")
    ] = None,
) -> None:
    """Wrap everything anew that the current key does not wrap. Interrupted, start it again: nothing is lost.

    Ends with exit code 1 when the key of something is not at hand.
    """
    from catalog.database import Database
    from catalog.settings import Settings
    from catalog.storage import sealing

    settings = Settings.from_environment()
    service = _service(settings, from_file=from_file, into_file=into_file)

    async def rotate() -> "Rotated":
        database = Database(str(settings.database_url), connections=1)
        try:
            return await sealing.rotate(database, service)
        finally:
            await service.close()
            await database.close()

    with database_faults_explained():
        done = asyncio.run(rotate())
    output.say(f"{done.count} wrapped anew; `catalog keys list` shows which keys wrap nothing any more")
    if done.lost:
        output.say(f"the keys of these backends cannot be opened: {', '.join(map(str, done.lost))}")
        raise typer.Exit(output.FAILED)


def _service(settings: "Settings", *, from_file: Path | None, into_file: Path | None) -> "KeyService":
    from catalog import engines
    from catalog.storage import wrapping

    file = from_file or into_file
    if file is None:
        return engines.key_service(settings)
    if settings.key_vault_url is None or (from_file and into_file):
        raise typer.BadParameter("say one of them, with CATALOG_KEY_VAULT_URL set", param_hint="--from-file")
    wrapping.read_file(file)
    other = engines.key_service(settings)
    return wrapping.Moving(wrapping.LocalKeys(file), other, into_file=into_file is not None)
