"""Running a catalog: serve, migrate, schemas. These know it from inside, by the server's own settings."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from catalog.cli import output
from catalog.cli.manual import Commands

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from catalog.settings import Settings

Result = TypeVar("Result")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="The data folder of the embedded stack whose database is meant; else that of CATALOG_DATABASE_URL, or of "
        "the stack that runs here.",
        file_okay=False,
    ),
]

# Things made since the last look for cycles; Python's own 700 come with every answer.
GARBAGE_THRESHOLD = 50_000
# Longer than a load balancer keeps its side (60 s is usual), so that it never writes into a connection we just closed.
KEEP_ALIVE_SECONDS = 65
# Of a request's first line and headers; a search for all that may be chosen fits. Only h11 has a limit here. It costs a
# tenth of a millisecond a request more than httptools, which keeps headers of any size in memory as long as they come.
HEAD_BYTES_MAX = 64 * 1024

# Objects whose terms are looked up together.
CHECKED_AT_ONCE = 500

config = Commands(help="What a catalog was told.", no_args_is_help=True)
schemas = Commands(help="Hold what is recorded against the kinds' schemas.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Running a catalog")(serve)
    app.command(rich_help_panel="Running a catalog")(migrate)
    app.add_typer(config, name="config", rich_help_panel="Running a catalog")
    app.add_typer(schemas, name="schema", rich_help_panel="Running a catalog")


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
) -> None:
    """Serve the API and the pages until interrupted."""
    import gc

    # Loading makes half a million things and no garbage: looking for some would take a fifth of the time.
    gc.disable()

    import uvicorn

    from catalog import logs
    from catalog.api import serving
    from catalog.api.app import create_app
    from catalog.settings import Settings
    from catalog.web import pages

    logs.configure()
    settings = Settings.from_environment()
    application = create_app(settings, pages.ROUTES)
    # What was loaded so far lives as long as the process. Looking through all of it again and again would make every
    # hundredth request take twice its time; an answer makes some thousands of things, and nearly no cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    gc.enable()
    # Our own log line tells more than uvicorn's, and leaves queries out.
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        # It would believe whoever says so, if only the connection comes from this machine: `api/limits.py` asks the
        # settings which proxies are ours.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        http="h11",
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
    )
    server = serving.draining(config, application.drain, settings.drain)
    # It hears a second Ctrl-C itself.
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise typer.Exit(output.FAILED)


def migrate() -> None:
    """Bring the database, the index and the bucket to what this version needs. Repeat it as you like."""
    from catalog.access import principals
    from catalog.engines import Engines, opened
    from catalog.migrations import upgrade
    from catalog.objects import changing, schemes
    from catalog.search.index import MappingChanged
    from catalog.settings import Settings
    from catalog.sync import rebuilding

    async def load_vocabularies(engines: Engines) -> None:
        async with engines.database.transaction() as session:
            differences = await schemes.load_shipped(session)
        for name, one in differences.items():
            counts = f"{len(one.added)} added, {len(one.changed)} changed, {len(one.retired)} retired"
            output.say(f"vocabulary {name}: {counts}")

    async def make_first_admin(engines: Engines) -> None:
        if settings.first_admin_token is None:
            return
        async with engines.database.transaction() as session:
            made = await principals.ensure_admin(session, settings.first_admin_token.get_secret_value())
        there = "made, with the token of CATALOG_FIRST_ADMIN_TOKEN" if made else "not needed, there is an admin"
        output.say(f"admin {principals.FIRST_ADMIN}: {there}")

    async def prepare(engines: Engines) -> None:
        await make_first_admin(engines)
        await load_vocabularies(engines)
        await engines.store.ensure_bucket()
        output.say(f"bucket {engines.store.bucket}: ready")
        try:
            made = await engines.index.ensure()
        except MappingChanged as changed:
            # Searches go on with it meanwhile.
            async with engines.database.transaction() as session:
                await rebuilding.begin_for_mapping(
                    session, version=engines.index.shape.version, why=changed.detail.partition(":")[0] + "."
                )
            output.say(f"index {settings.search_index}: made by another version; the indexer builds it anew beside it")
            output.say("  to watch: catalog reindex --status")
            return
        if made:
            async with engines.database.transaction() as session:
                await changing.index_everything(session)
        output.say(f"index {settings.search_index}: {'made; every object is queued for it' if made else 'ready'}")

    async def inside() -> None:
        async with opened(settings) as engines:
            await prepare(engines)

    settings = Settings.from_environment()
    with database_faults_explained():
        upgrade(str(settings.database_url))
        output.say("database: ready")
        asyncio.run(inside())


@config.callback()
def _config() -> None:
    """Keep `show` a command of its own: one command alone would be taken for the group."""


@config.command("show")
def show_config(*, home: HomeOption = None, json: Json = False) -> None:
    """Show every setting with its value, and whether somebody set it; of secrets, only that.

    Without CATALOG_DATABASE_URL and --home, those of the embedded stack that runs here.
    """
    from catalog.settings import PREFIX, Settings, secrets_of

    settings = settings_of(home)
    secret = set(secrets_of(Settings))
    told = {
        name: {
            "value": None if name in secret else _plain(getattr(settings, name)),
            "set": name in settings.model_fields_set,
            "secret": name in secret,
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
    }
    if json:
        output.as_json(told)
        return
    rows = [
        (
            f"{PREFIX}{name.upper()}",
            ("kept secret" if one["set"] else "") if one["secret"] else one["value"],
            "set" if one["set"] else "default",
        )
        for name, one in told.items()
    ]
    output.table(("setting", "value", "by"), rows)


def settings_of(home: Path | None) -> "Settings":
    """Return the settings of the environment, or of the embedded stack that runs in that folder, or here.

    Raises Unavailable when nothing runs there, WrongSettings when nobody has said which catalog is meant.
    """
    from catalog.errors import Unavailable
    from catalog.local.home import Home
    from catalog.local.stack import Stack
    from catalog.settings import Given, Settings, Workstation, WrongSettings

    folder = (home or Workstation().catalog_home).absolute()
    if home is None and Given.from_environment().database_url is not None:
        return Settings.from_environment()
    if home is None and not folder.is_dir():
        raise WrongSettings(
            f"Which catalog is meant? CATALOG_DATABASE_URL is not set, and there is no {folder}. Name the data folder "
            "of an embedded stack by --home or CATALOG_HOME, or set what a catalog runs with (docs/configuration.md)."
        )
    if not Home(folder).is_held():
        raise Unavailable(f"Nothing runs in {folder}; start it with `catalog up`, or set CATALOG_DATABASE_URL.")
    return Settings.told(Stack(folder).running_environment())


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


@schemas.callback()
def _schemas() -> None:
    """Keep `check` a command of its own: one command alone would be taken for the group."""


@schemas.command("check")
def check_schemas(*, home: HomeOption = None, json: Json = False) -> None:
    """Validate every object in the database by its kind's schema of today, and list what falls short.

    Objects keep the version they were accepted under: falling short is no fault, but a curator may want to mend it.
    Ends with exit code 1 when anything falls short.
    """
    from catalog.errors import Fault
    from catalog.objects import describing, kinds, reading, validation

    async def check(session: "AsyncSession") -> tuple[int, list[dict[str, Any]]]:
        count = 0
        read: list[tuple[reading.Kept, list[Fault]]] = []
        short: list[dict[str, Any]] = []
        async for kept in reading.every_record(session):
            count += 1
            kind = kinds.known().get(kept.kind)
            faults = [kinds.unknown("/kind", kept.kind)] if kind is None else validation.shortcomings(kind, kept.record)
            read.append((kept, faults))
            if len(read) == CHECKED_AT_ONCE:
                short += await judge(session, read)
                read = []
        return count, short + await judge(session, read)

    async def judge(session: "AsyncSession", read: list[tuple[reading.Kept, list[Fault]]]) -> list[dict[str, Any]]:
        known = kinds.known()
        named = [describing.uses(known[kept.kind], kept.record) if kept.kind in known else [] for kept, _ in read]
        terms = await describing.faults_of(session, named)
        return [
            {
                "id": str(kept.id),
                "kind": kept.kind,
                "schema_version": kept.schema_version,
                "errors": [{"pointer": fault.pointer, "message": fault.message} for fault in faults],
            }
            for (kept, own), wrong in zip(read, terms, strict=True)
            if (faults := [*own, *wrong])
        ]

    count, short = in_database(check, home)
    if json:
        output.as_json({"checked": count, "short": short})
    else:
        for one in short:
            output.data(f"{one['id']}  {one['kind']}, accepted under version {one['schema_version']}")
            for fault in one["errors"]:
                output.data(f"  {fault['pointer']}: {fault['message']}")
        output.say(f"{count} objects checked, {len(short)} fall short")
    if short:
        raise typer.Exit(output.FAILED)


def in_database(work: "Callable[[AsyncSession], Awaitable[Result]]", home: Path | None = None) -> Result:
    """Do work in the database of the embedded stack in that folder, or in the one of the settings."""
    from catalog.database import Database
    from catalog.local import stack
    from catalog.settings import Settings

    url = str(Settings.from_environment().database_url) if home is None else stack.database_url(home)

    async def inside() -> Result:
        database = Database(url, connections=1)
        try:
            async with database.transaction() as session:
                return await work(session)
        finally:
            await database.close()

    with database_faults_explained():
        return asyncio.run(inside())


@contextmanager
def database_faults_explained() -> Iterator[None]:
    """Say in one line what a database refuses, with what mends it; raises Unavailable."""
    import psycopg
    import sqlalchemy as sa

    from catalog.errors import Unavailable

    # The driver's first line names host, port and reason, never the password.
    def told(fault: Exception) -> str:
        said = getattr(fault, "orig", fault) or ""
        return next(iter(str(said).strip().splitlines()), type(fault).__name__)

    try:
        yield
    except (sa.exc.OperationalError, psycopg.OperationalError) as fault:
        raise Unavailable(f"The database of CATALOG_DATABASE_URL does not answer: {told(fault)}") from None
    except (sa.exc.ProgrammingError, psycopg.ProgrammingError) as fault:
        raise Unavailable(f"The database is not ready: {told(fault)}. Run `catalog migrate` first.") from None
