"""Service accounts, and who changed who may do what."""

import json as encoding
from itertools import islice
from typing import Annotated

import typer

from catalog.cli import output
from catalog.cli.access import PANEL
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

SHOWN_DEFAULT = 100

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Organization = Annotated[
    str | None, typer.Option("--organization", metavar="ORG", help="Whose it is; left out, of the whole catalog.")
]
Name = Annotated[str, typer.Argument(metavar="NAME")]

services = Commands(help="Service accounts: programs that act.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(services, name="service", rich_help_panel=PANEL)
    app.command(rich_help_panel=PANEL)(audit)


@services.command("list")
def list_services(context: typer.Context, *, organization: Organization = None, json: Json = False) -> None:
    """List the service accounts of an organization, or of the whole catalog; for admins there."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.tokens.service_accounts(organization)
    if json:
        output.as_json(found)
        return
    columns = ("name", "organization", "role", "created at", "ended at")
    output.table(
        columns,
        [[one["name"], one["organization"], one["role"], one["created_at"], one["ended_at"]] for one in found],
    )


@services.command("create")
def create_service(
    context: typer.Context,
    name: Name,
    *,
    organization: Organization = None,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Its role there: admin, curator, ingest or reader.")
    ] = None,
) -> None:
    """Make a service account; for admins there. Others name it service:NAME."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.tokens.create_service_account(name, organization=organization, role=role)
    output.say(f"made service:{name}; `catalog token create --service {name} --scope register` makes a token of it")


@services.command("end")
def end_service(context: typer.Context, name: Name) -> None:
    """End a service account: none of its tokens works from now on. Its objects stay."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.tokens.end_service_account(name)
    output.say(f"service:{name} was ended: nothing it holds works any more")


def audit(
    context: typer.Context,
    *,
    scope: Annotated[
        str | None, typer.Option(metavar="SCOPE", help="Of this organization or project, and what is in it.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="WHOM", help="Done to whom: user:NAME, service:NAME or group:ORG/NAME.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Done by the principal of this name.")] = None,
    since: Annotated[str | None, typer.Option(metavar="MOMENT", help="From then on: 2027-01-31T00:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(metavar="MOMENT", help="Before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = SHOWN_DEFAULT,
    export: Annotated[bool, typer.Option("--export", help="Write all of it, one change in JSON a line.")] = False,
    json: Json = False,
) -> None:
    """Show who changed who may do what: roles, groups, grants, tokens, services. For admins, as far as they are."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        pages = catalog.tokens.audit(scope=scope, subject=subject, actor=actor, since=since, until=until)
        if export:
            for one in pages:
                output.as_line(one)
            return
        found = list(islice(pages, limit))
    if json:
        output.as_json(found)
        return
    output.table(
        ("at", "by", "action", "whom", "where", "before", "after"),
        [
            [
                *(one["at"], one["by"] or one["via"], one["action"], one["subject"], one["scope"] or ""),
                *("" if told is None else encoding.dumps(told) for told in (one["before"], one["after"])),
            ]
            for one in found
        ],
    )
