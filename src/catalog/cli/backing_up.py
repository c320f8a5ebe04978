"""Keeping a catalog and having it back: the database as a folder. These know a catalog by the server's own settings."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.operating import HomeOption, Json, database_faults_explained, settings_of

if TYPE_CHECKING:
    from catalog.backups import Manifest, Programs
    from catalog.settings import Settings

JOBS = 2


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Running a catalog")(backup)
    app.command(rich_help_panel="Running a catalog")(restore)


def backup(
    folder: Annotated[Path, typer.Argument(help="Where to write it; must not be there yet.")],
    *,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="So many tables at once.")] = JOBS,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Write the database into a folder as of one moment, while the catalog goes on.

    The bytes of files stay in their stores, which have means of their own; the index is made anew. Keep the file of
    CATALOG_KEY_FILE, or the access to Vault, apart: without it the keys of organizations' stores cannot be opened.
    """
    from catalog import backups

    url = str(settings_of(home).database_url)
    with database_faults_explained():
        manifest = backups.back_up(url, folder, _programs(url), jobs=jobs, tell=output.say)
    _tell(folder, manifest, json=json)


def restore(
    folder: Annotated[Path, typer.Argument(help="What `catalog backup` wrote.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the objects that the database holds.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only tell whether it is whole and can be restored.")] = False,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Put a backup in the place of the database, and have the index made anew and every file looked at.

    The database is restored whole or not at all, then brought to the schema of this version. The indexer fills the
    index, and looks at every file in its store: what is gone since is told. Start API and indexer anew afterwards.
    """
    from catalog import backups

    manifest = backups.read(folder)
    backups.check(folder, manifest)
    if check:
        _tell(folder, manifest, json=json)
        output.say("it is whole, and this version can restore it")
        return
    settings = settings_of(home)
    url = str(settings.database_url)
    with database_faults_explained():
        programs = _programs(url)
        output.say(f"restoring what was backed up at {manifest.made_at:%Y-%m-%d %H:%M} UTC")
        backups.restore(url, folder, manifest, programs, replace=replace)
    _tell(folder, manifest, json=json)
    with database_faults_explained():
        asyncio.run(_made_anew(settings))


async def _made_anew(settings: "Settings") -> None:
    """Have everything written and looked at that the database cannot know to be as it says."""
    from catalog.alerts import saved
    from catalog.engines import opened
    from catalog.errors import Unavailable
    from catalog.objects import changing, uploads
    from catalog.storage import sealing
    from catalog.sync import rebuilding

    async with opened(settings) as engines:
        async with engines.database.transaction() as session:
            looks = await uploads.look_at_everything(session)
            wraps = await sealing.count_by_key(session)
        output.say(f"{looks:,} keys are queued to be looked at")
        if wraps:
            output.say(f"keys of stores are wrapped by: {', '.join(sorted(wraps))}; see `catalog keys list`")
        try:
            async with engines.database.transaction() as session:
                await rebuilding.forget(session, engines.index)
            # Documents of a later state would refuse the earlier one that is true again.
            for index in (engines.index, engines.percolator):
                await index.drop()
                await index.ensure()
        except Unavailable as fault:
            raise Unavailable(
                f"The database is restored, but the index is not: {fault.detail} Once the engine is there, say "
                "`catalog restore` once more."
            ) from fault
        async with engines.database.transaction() as session:
            await changing.index_everything(session)
            await saved.keep_everything(session)
    output.say("the index is empty, and every object is queued for it; start API and indexer anew")


def _programs(url: str) -> "Programs":
    from catalog import backups
    from catalog.local import postgres
    from catalog.local.process import WheelMissing

    folders = []
    # Without the embedded stack, those of the machine are looked for alone.
    with suppress(WheelMissing):
        folders.append(postgres.programs())
    return backups.find_programs(backups.server_of(url), folders)


def _tell(folder: Path, manifest: "Manifest", *, json: bool) -> None:
    import msgspec

    if json:
        told: dict[str, Any] = msgspec.to_builtins(manifest)
        output.as_json({"folder": str(folder)} | told)
        return
    tables = manifest.tables
    objects, files = tables.get("object", 0), sum(one.files for one in manifest.places)
    output.say(
        f"{folder}: {objects:,} objects as of {manifest.made_at:%Y-%m-%d %H:%M} UTC, schema {manifest.schema}, "
        f"which name {files:,} files in {len(manifest.places)} buckets"
    )
