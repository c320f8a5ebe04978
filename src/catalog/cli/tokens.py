"""Tokens and principals: one's own over the API, and the operator's commands straight in the database."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.operating import HomeOption, in_database
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from catalog.client import Catalog

SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Label = Annotated[str | None, typer.Option(help="What it is for, to tell it from others.")]
Expires = Annotated[str | None, typer.Option(metavar="30d", help="When it ends, in s, m, h or d.")]
Service = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of this service account, whose admin you are; else your own.")
]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        metavar="SCOPE",
        help="What it is good for: read, register, curate, admin. Repeat it.",
        autocompletion=output.choices(("read", "register", "curate", "admin")),
    ),
]
Place = Annotated[
    str | None,
    typer.Option(metavar="ORG[/PROJECT]", help="Where alone it counts; else wherever its holder has rights."),
]
Into = Annotated[
    Path | None,
    typer.Option("--into", help="Write it into this file, which only you can read, and not to the terminal."),
]
Database = Annotated[
    bool, typer.Option("--database", help="Of everybody, straight in the database of CATALOG_DATABASE_URL.")
]
TokenId = Annotated[str, typer.Argument(metavar="TOKEN_ID", help="The id that `catalog token list` shows.")]
PrincipalName = Annotated[str, typer.Argument(metavar="NAME", help="The name that `catalog principal list` shows.")]

tokens = Commands(help="Make, list, rotate and end tokens: your own, or those of a service.", no_args_is_help=True)
principals_of = Commands(help="List, end and restore principals, straight in the database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(tokens, name="token", rich_help_panel="Who may see what")
    app.add_typer(principals_of, name="principal", rich_help_panel="Running a catalog")


@tokens.command("create")
def create_token(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Whose, straight in the database: made if new, in the --role. Left out: your own."),
    ] = None,
    *,
    role: Annotated[
        str | None,
        typer.Option(help="With NAME: admin, curator, ingest or reader.", autocompletion=output.choices(output.ROLES)),
    ] = None,
    service: Service = None,
    scope: Scopes = None,
    place: Place = None,
    label: Label = None,
    expires: Expires = None,
    into: Into = None,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """Make a token and print it, this once: over the API your own or a service's, with NAME in the database."""
    lifetime = None if expires is None else _duration(expires, "--expires")
    wish = _Wish(_scopes(scope), place, label, lifetime)
    _must_be_new(into)
    if name is None:
        if role is not None or home is not None:
            raise typer.BadParameter("this goes with a NAME, straight in the database", param_hint="--role, --home")
        if wish.scopes is None:
            raise typer.BadParameter("say what it is good for, as --scope read --scope register", param_hint="--scope")
        holder = None if service is None else f"service:{service}"
        made = _made(context, holder, wish)
    else:
        if service is not None:
            raise typer.BadParameter("a NAME or --service, not both", param_hint="NAME")
        made = _made_in_database(name, role, wish, home)
    _tell(made, into, json=json)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a new token shall be good for."""

    scopes: list[str] | None
    place: str | None
    label: str | None
    lifetime: timedelta | None


def _made(context: typer.Context, holder: str | None, wish: _Wish) -> dict[str, Any]:

    until = None if wish.lifetime is None else (datetime.now(UTC) + wish.lifetime).isoformat()
    with _catalog(context) as catalog:
        made = catalog.tokens.create(
            scopes=wish.scopes or [], principal=holder, place=wish.place, label=wish.label, expires_at=until
        )
    return dict(made)


def _made_in_database(name: str, role: str | None, wish: _Wish, home: Path | None) -> dict[str, Any]:
    from catalog.access import principals
    from catalog.access.audience import Role
    from catalog.access.scopes import PLACE, Scope, in_order

    if role is None or role not in list(Role):
        given = "with a NAME, say the role" if role is None else f"{role!r} is not one of {', '.join(Role)}"
        raise typer.BadParameter(given, param_hint="--role")
    if not re.fullmatch(principals.NAME_PATTERN, name):
        raise typer.BadParameter("lower-case letters, digits, . _ - and at most 63 of them", param_hint="NAME")
    scopes = in_order(wish.scopes if wish.scopes is not None else list(Scope))
    if wish.scopes is not None and len(scopes) < len(set(wish.scopes)):
        raise typer.BadParameter(f"scopes are {', '.join(Scope)}", param_hint="--scope")
    if wish.place is not None and PLACE.fullmatch(wish.place) is None:
        raise typer.BadParameter("write an organization, or organization/project", param_hint="--place")

    async def create(session: "AsyncSession") -> str:
        _, token = await principals.create_token(
            session,
            name=name,
            role=Role(role),
            label=wish.label,
            expires=wish.lifetime,
            scopes=frozenset(scopes),
            place=wish.place,
        )
        return token

    token = in_database(create, home)
    return {"name": name, "role": role, "label": wish.label, "scopes": scopes, "place": wish.place, "token": token}


def _tell(made: dict[str, Any], into: Path | None, *, json: bool) -> None:
    """Give the token to whoever asked: into a file, as JSON, or alone on a line."""
    from catalog.errors import CatalogError
    from catalog.local.home import write_private

    who = made.get("principal") or f"{made['name']} ({made['role']})"
    if into is not None:
        try:
            write_private(into, f"{made['token']}\n")
        except OSError as fault:
            lost = f"; it is lost, so end it: catalog token revoke {made['id']}" if "id" in made else ""
            raise CatalogError(f"The token of {who} cannot be written to {into}: {fault.strerror}{lost}.") from None
        made = {name: value for name, value in made.items() if name != "token"} | {"file": str(into)}
        output.say(f"the token of {who} is in {into}, which only you can read: export CATALOG_TOKEN_FILE='{into}'")
    if json:
        output.as_json(made)
    elif into is None:
        output.data(made["token"])
        output.say(f"this is the token of {who}; it is shown only now. Put it into a file and name that file in")
        output.say("CATALOG_TOKEN_FILE, or set CATALOG_TOKEN")


@tokens.command("list")
def list_tokens(
    context: typer.Context,
    *,
    service: Service = None,
    database: Database = False,
    home: HomeOption = None,
    json: Json = False,
) -> None:
    """List the tokens that work: yours, a service's or everybody's; only how they begin is kept."""
    if database or home is not None:
        _list_in_database(home, json=json)
        return

    with _catalog(context) as catalog:
        found = catalog.tokens.listed(None if service is None else f"service:{service}")
    if json:
        output.as_json(found)
        return
    columns = ("id", "begins", "label", "good for", "place", "made", "expires", "last used", "former until")
    output.table(
        columns,
        [
            [
                *(one["id"], f"{one['hint']}…", one["label"] or "", " ".join(one["scopes"]), one["place"] or ""),
                *(_minute(one[when]) for when in ("created_at", "expires_at", "last_used_at", "former_until")),
            ]
            for one in found
        ],
    )


def _list_in_database(home: Path | None, *, json: bool) -> None:
    from catalog.access import principals

    found = in_database(principals.list_tokens, home)
    if json:
        output.as_json(found)
        return
    columns = ("id", "name", "role", "begins", "label", "created", "expires", "last used", "revoked")
    output.table(
        columns,
        [
            [
                *(one["id"], one["name"], one["role"], f"{one['hint']}…", one["label"] or ""),
                *(_minute(one[when]) for when in ("created_at", "expires_at", "last_used_at", "revoked_at")),
            ]
            for one in found
        ],
    )


@tokens.command("rotate")
def rotate_token(
    context: typer.Context,
    token_id: TokenId,
    *,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="1d", help="How long the value it has now works on, 30d at most; 0 ends it at once."),
    ] = None,
    into: Into = None,
    json: Json = False,
) -> None:
    """Give a token a new value and print it, this once; the former one works for a day more, unless said otherwise."""
    seconds = overlap_seconds(overlap)
    # A file that holds the former value is what one wants to replace.
    with _catalog(context) as catalog:
        made = catalog.tokens.rotate(_id(token_id), overlap_seconds=seconds)
    _tell(dict(made), into, json=json)


@tokens.command("revoke")
def revoke_token(
    context: typer.Context, token_id: TokenId, *, database: Database = False, home: HomeOption = None
) -> None:
    """End a token at once, and those that were made with it."""
    wanted = _id(token_id)
    if database or home is not None:
        from catalog.access import principals

        count = in_database(lambda session: principals.revoke_token(session, UUID(wanted)), home)
    else:
        with _catalog(context) as catalog:
            count = catalog.tokens.revoke(wanted)
    more = f", nor {output.counted(count - 1, 'token')} made with it" if count > 1 else ""
    output.say(f"token {wanted} works no more{more}")


@principals_of.command("list")
def list_principals(*, home: HomeOption = None, json: Json = False) -> None:
    """List who acts here: holders of tokens, services, and whoever came with a token of the OpenID provider."""
    from catalog.access import principals

    found = in_database(principals.list_principals, home)
    if json:
        output.as_json(found)
        return
    output.table(
        ("name", "kind", "organization", "role", "made", "ended"),
        [
            [
                *(one["name"], one["kind"], one["organization"] or "", one["role"]),
                *(_minute(one[when]) for when in ("created_at", "ended_at")),
            ]
            for one in found
        ],
    )


@principals_of.command("end")
def end_principal(name: PrincipalName, *, home: HomeOption = None) -> None:
    """End a principal: none of its tokens works from now on, whoever issued them. Its objects stay."""
    from catalog.access import principals

    in_database(lambda session: principals.end(session, name), home)
    output.say(f"{name} was ended: nothing it holds works any more")


@principals_of.command("restore")
def restore_principal(name: PrincipalName, *, home: HomeOption = None) -> None:
    """Take back that a principal was ended."""
    from catalog.access import principals

    in_database(lambda session: principals.restore(session, name), home)
    output.say(f"{name} acts again")


def _catalog(context: typer.Context) -> "Catalog":
    invocation: Invocation = context.obj
    return invocation.catalog()


def _scopes(said: list[str] | None) -> list[str] | None:
    return [one for part in said for one in part.split(",") if one] if said else None


def overlap_seconds(said: str | None) -> int | None:
    """Return an overlap in seconds; None where nobody said one."""
    if said is None:
        return None
    return 0 if said == "0" else int(_duration(said, "--overlap").total_seconds())


def _duration(said: str, option: str) -> timedelta:
    found = DURATION.fullmatch(said)
    if found is None:
        raise typer.BadParameter(f"{said!r} is not like 12h or 30d", param_hint=option)
    return timedelta(seconds=int(found[1]) * SECONDS_OF[found[2]])


def _must_be_new(file: Path | None) -> None:
    if file is not None and (file.exists() or not file.absolute().parent.is_dir()):
        said = "there is such a file already" if file.exists() else "there is no such folder"
        raise typer.BadParameter(f"{said}: {file}", param_hint="--into")


def _id(said: str) -> str:
    try:
        return str(UUID(said))
    except ValueError:
        raise typer.BadParameter("this is no id; `catalog token list` shows them", param_hint="TOKEN_ID") from None


def _minute(moment: "datetime | str | None") -> str:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
