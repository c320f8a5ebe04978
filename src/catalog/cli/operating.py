"""Running a catalog: serve, migrate, tokens, schemas. These know it from inside, by the server's own settings."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from catalog.cli import output

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

Result = TypeVar("Result")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="The data folder of the embedded stack whose database is meant; else that of CATALOG_DATABASE_URL.",
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

SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}

tokens = typer.Typer(help="Make, list and end tokens, straight in the database.")

principals_of = typer.Typer(help="List, end and restore principals, straight in the database.", no_args_is_help=True)

schemas = typer.Typer(help="Hold what is recorded against the kinds' schemas.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Running a catalog")(serve)
    app.command(rich_help_panel="Running a catalog")(migrate)
    app.add_typer(tokens, name="token", rich_help_panel="Running a catalog")
    app.add_typer(principals_of, name="principal", rich_help_panel="Running a catalog")
    app.add_typer(schemas, name="schema", rich_help_panel="Running a catalog")


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
) -> None:
    """Serve the API and the pages until interrupted."""
    import gc

    import uvicorn

    from catalog import logs
    from catalog.api.app import create_app
    from catalog.settings import Settings
    from catalog.web import pages

    logs.configure()
    application = create_app(Settings.from_environment(), pages.ROUTES)
    # What was loaded so far lives as long as the process. Looking through all of it again and again would make every
    # hundredth request take twice its time; an answer makes some thousands of things, and nearly no cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    # Our own log line tells more than uvicorn's, and leaves queries out.
    uvicorn.run(
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


def migrate() -> None:
    """Bring the database, the index and the bucket to what this version needs. Repeat it as you like."""
    from catalog.engines import Engines, opened
    from catalog.migrations import upgrade
    from catalog.objects import changing, schemes
    from catalog.search.index import MappingChanged
    from catalog.settings import Settings

    async def load_vocabularies(engines: Engines) -> None:
        async with engines.database.transaction() as session:
            differences = await schemes.load_shipped(session)
        for name, one in differences.items():
            counts = f"{len(one.added)} added, {len(one.changed)} changed, {len(one.retired)} retired"
            output.say(f"vocabulary {name}: {counts}")

    async def prepare(engines: Engines) -> None:
        await load_vocabularies(engines)
        await engines.store.ensure_bucket()
        output.say(f"bucket {engines.store.bucket}: ready")
        try:
            made = await engines.index.ensure()
        except MappingChanged:
            # The index is disposable: it is filled from the database whenever it has to be.
            output.say(f"index {settings.search_index}: made by another version, so it is made anew")
            await engines.index.drop()
            made = await engines.index.ensure()
        if made:
            async with engines.database.transaction() as session:
                await changing.index_everything(session)
        output.say(f"index {settings.search_index}: {'made; every object is queued for it' if made else 'ready'}")

    async def inside() -> None:
        async with opened(settings) as engines:
            await prepare(engines)

    settings = Settings.from_environment()
    with _database_faults_explained():
        upgrade(str(settings.database_url))
        output.say("database: ready")
        asyncio.run(inside())


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="Who will hold it; made if new. Lower-case letters, digits, . _ -")],
    *,
    role: Annotated[str, typer.Option(help="admin, curator, ingest or reader.")],
    label: Annotated[str | None, typer.Option(help="What it is for, to tell it from others.")] = None,
    expires: Annotated[str | None, typer.Option(metavar="30d", help="When it ends, in s, m, h or d.")] = None,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Make a token and print it, this once."""
    import re
    from datetime import timedelta

    from catalog.access import principals
    from catalog.access.audience import Role

    if role not in list(Role):
        raise typer.BadParameter(f"{role!r} is not one of {', '.join(Role)}", param_hint="--role")
    if not re.fullmatch(principals.NAME_PATTERN, name):
        raise typer.BadParameter("lower-case letters, digits, . _ - and at most 63 of them", param_hint="NAME")
    lifetime = None
    if expires is not None:
        amount, unit = expires[:-1], expires[-1:]
        if not amount.isdigit() or not int(amount) or unit not in SECONDS_OF or len(amount) > 6:  # ruff: ignore[PLR2004]
            raise typer.BadParameter(f"{expires!r} is not like 12h or 30d", param_hint="--expires")
        lifetime = timedelta(seconds=int(amount) * SECONDS_OF[unit])

    async def create(session: "AsyncSession") -> str:
        _, token = await principals.create_token(session, name=name, role=Role(role), label=label, expires=lifetime)
        return token

    token = _in_database(create, home)
    if json:
        output.as_json({"name": name, "role": role, "label": label, "token": token})
        return
    output.data(token)
    output.say(f"this is the token of {name} ({role}); it is shown only now. Put it into a file and name that file in")
    output.say("CATALOG_TOKEN_FILE, or set CATALOG_TOKEN")


@tokens.command("list")
def list_tokens(*, home: HomeOption = None, json: Json = False) -> None:
    """List the tokens; what they are is not kept, only how they begin."""
    from catalog.access import principals

    found = _in_database(principals.list_tokens, home)
    if json:
        output.as_json(found)
        return
    columns = ("id", "name", "role", "begins", "label", "created", "expires", "revoked")
    output.table(
        columns,
        [
            [
                *(one["id"], one["name"], one["role"], f"{one['hint']}…", one["label"] or ""),
                *(_minute(one[when]) for when in ("created_at", "expires_at", "revoked_at")),
            ]
            for one in found
        ],
    )


def _minute(moment: "datetime | None") -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


@tokens.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="The id that `catalog token list` shows.")], home: HomeOption = None
) -> None:
    """End a token at once."""
    from catalog.access import principals

    try:
        wanted = UUID(token_id)
    except ValueError:
        raise typer.BadParameter("this is no id; `catalog token list` shows them", param_hint="TOKEN_ID") from None
    _in_database(lambda session: principals.revoke_token(session, wanted), home)
    output.say(f"token {wanted} works no more")


@principals_of.command("list")
def list_principals(*, json: Json = False) -> None:
    """List who acts here: holders of tokens, and whoever came with a token of the OpenID provider."""
    from catalog.access import principals

    found = _in_database(principals.list_principals)
    if json:
        output.as_json(found)
        return
    output.table(
        ("name", "role", "made", "ended"),
        [[one["name"], one["role"], *(_minute(one[when]) for when in ("created_at", "ended_at"))] for one in found],
    )


@principals_of.command("end")
def end_principal(name: Annotated[str, typer.Argument(help="The name that `catalog principal list` shows.")]) -> None:
    """End a principal: none of its tokens works from now on, whoever issued them. Its objects stay."""
    from catalog.access import principals

    _in_database(lambda session: principals.end(session, name))
    output.say(f"{name} was ended: nothing it holds works any more")


@principals_of.command("restore")
def restore_principal(
    name: Annotated[str, typer.Argument(help="The name that `catalog principal list` shows.")],
) -> None:
    """Take back that a principal was ended."""
    from catalog.access import principals

    _in_database(lambda session: principals.restore(session, name))
    output.say(f"{name} acts again")


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

    count, short = _in_database(check, home)
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


def _in_database(work: "Callable[[AsyncSession], Awaitable[Result]]", home: Path | None = None) -> Result:
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

    with _database_faults_explained():
        return asyncio.run(inside())


@contextmanager
def _database_faults_explained() -> Iterator[None]:
    import sqlalchemy as sa

    from catalog.errors import Unavailable

    try:
        yield
    except sa.exc.OperationalError as fault:
        # The driver's first line names host, port and reason, never the password.
        told = str(fault.orig).strip().splitlines()[0] if fault.orig else type(fault).__name__
        raise Unavailable(f"The database of CATALOG_DATABASE_URL does not answer: {told}") from None
    except sa.exc.ProgrammingError as fault:
        told = str(fault.orig).strip().splitlines()[0] if fault.orig else type(fault).__name__
        raise Unavailable(f"The database is not ready: {told}. Run `catalog migrate` first.") from None
