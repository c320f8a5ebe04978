"""Who may see and change what: organizations, projects, groups, roles, and grants."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from catalog.cli import inventory, output, quotas
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client import Catalog

Told = TypeVar("Told")
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="An organization, or a project written org/project.")]
Member = Annotated[str, typer.Argument(metavar="MEMBER", help="user:NAME, service:NAME or group:ORG/NAME.")]
GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Written org/group.")]
User = Annotated[str, typer.Argument(metavar="USER", help="A user's name.")]
On = Annotated[str, typer.Argument(metavar="ON", help="An object's id, or a prefix: org/ or org/project/.")]
Title = Annotated[str | None, typer.Option(help="What it is called in full.")]

PANEL = "Who may see what"

organizations = Commands(help="Organizations: who owns projects.", no_args_is_help=True)
projects = Commands(help="Projects of an organization.", no_args_is_help=True)
members = Commands(help="Roles in organizations and projects.", no_args_is_help=True)
groups = Commands(help="Groups of users who are given roles and grants together.", no_args_is_help=True)
grants = Commands(help="Who else may see and change an object, or all below a prefix.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for name, commands in {
        "organization": organizations,
        "project": projects,
        "member": members,
        "group": groups,
        "grant": grants,
    }.items():
        app.add_typer(commands, name=name, rich_help_panel=PANEL)
    quotas.register(organizations, projects)
    organizations.command("accounting")(inventory.accounting)


def _asked(context: typer.Context, ask: "Callable[[Catalog], Told]") -> Told:
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        return ask(catalog)


def _shown(found: Sequence[Any], columns: Sequence[str], *, json: bool) -> None:
    if json:
        output.as_json(list(found))
        return
    rows = [[_cell(one[name]) for name in columns] for one in found]
    output.table([name.replace("_", " ") for name in columns], rows)


def _cell(value: Any) -> object:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else value


@organizations.command("list")
def list_organizations(context: typer.Context, *, json: Json = False) -> None:
    """List the organizations in which you have a role."""
    _shown(_asked(context, lambda catalog: catalog.access.organizations()), ["name", "title", "role"], json=json)


@organizations.command("create")
def create_organization(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="ORG")], *, title: Title = None
) -> None:
    """Make an organization; for admins of the whole catalog."""
    _asked(context, lambda catalog: catalog.access.create_organization(name, title))
    output.say(f"made {name}; `catalog project create {name}/NAME` makes a project of it")


@projects.command("list")
def list_projects(
    context: typer.Context, organization: Annotated[str, typer.Argument(metavar="ORG")], *, json: Json = False
) -> None:
    """List the projects of an organization in which you have a role."""
    _shown(_asked(context, lambda catalog: catalog.access.projects(organization)), ["name", "title", "role"], json=json)


@projects.command("create")
def create_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ORG/PROJECT")],
    *,
    title: Title = None,
) -> None:
    """Make a project; for admins of its organization."""
    _asked(context, lambda catalog: catalog.access.create_project(name, title))
    output.say(f"made {name}; `catalog member give {name} user:NAME ingest` lets somebody register there")


@members.command("list")
def list_members(context: typer.Context, scope: Scope, *, json: Json = False) -> None:
    """List who has a role there."""
    _shown(_asked(context, lambda catalog: catalog.access.members(scope)), ["member", "role"], json=json)


@members.command("give")
def give_role(
    context: typer.Context,
    scope: Scope,
    member: Member,
    role: Annotated[
        str,
        typer.Argument(
            metavar="ROLE", help="admin, curator, ingest or reader.", autocompletion=output.choices(output.ROLES)
        ),
    ],
) -> None:
    """Give a role, or another one; nobody gives a role above their own."""
    _asked(context, lambda catalog: catalog.access.give_role(scope, member, role))
    output.say(f"{member} is {role} in {scope}")


@members.command("take")
def take_role(context: typer.Context, scope: Scope, member: Member) -> None:
    """Take a role away; it counts no more at once."""
    _asked(context, lambda catalog: catalog.access.take_role(scope, member))
    output.say(f"{member} has no role in {scope} any more")


@groups.command("list")
def list_groups(
    context: typer.Context, organization: Annotated[str, typer.Argument(metavar="ORG")], *, json: Json = False
) -> None:
    """List the groups of an organization and who belongs to them."""
    _shown(_asked(context, lambda catalog: catalog.access.groups(organization)), ["name", "members"], json=json)


@groups.command("create")
def create_group(context: typer.Context, name: GroupName) -> None:
    """Make a group."""
    _asked(context, lambda catalog: catalog.access.create_group(name))
    output.say(f"made group:{name}")


@groups.command("add")
def put_into_group(context: typer.Context, name: GroupName, user: User) -> None:
    """Put a user into a group."""
    _asked(context, lambda catalog: catalog.access.put_into_group(name, user))
    output.say(f"{user} belongs to group:{name}")


@groups.command("remove")
def take_from_group(context: typer.Context, name: GroupName, user: User) -> None:
    """Take a user out of a group."""
    _asked(context, lambda catalog: catalog.access.take_from_group(name, user))
    output.say(f"{user} does not belong to group:{name} any more")


@grants.command("list")
def list_grants(context: typer.Context, on: On, *, json: Json = False) -> None:
    """List who was granted what."""
    columns = ["id", "to", "permission", "expires_at", "granted_by"]
    _shown(_asked(context, lambda catalog: catalog.access.grants(on)), columns, json=json)


@grants.command("give")
def give_grant(
    context: typer.Context,
    on: On,
    to: Annotated[str, typer.Argument(metavar="TO", help="user:NAME, service:NAME, group:ORG/NAME or public.")],
    permission: Annotated[
        str,
        typer.Argument(
            metavar="PERMISSION",
            help="READ, WRITE, READ_ACP, WRITE_ACP or FULL_CONTROL.",
            autocompletion=output.choices(output.PERMISSIONS),
        ),
    ] = "READ",
    *,
    until: Annotated[str | None, typer.Option(metavar="MOMENT", help="When it ends: 2027-01-31T00:00:00Z.")] = None,
    json: Json = False,
) -> None:
    """Give a permission; every one lets its holder see. Print the grant's id."""
    made = _asked(context, lambda catalog: catalog.access.grant(on, to, permission, until))
    if json:
        output.as_json({"id": made})
    else:
        output.data(made)


@grants.command("revoke")
def revoke_grant(
    context: typer.Context, on: On, grant_id: Annotated[str, typer.Argument(metavar="GRANT", help="The grant's id.")]
) -> None:
    """Take a grant back, at once."""
    _asked(context, lambda catalog: catalog.access.revoke(on, grant_id))
    output.say("revoked")
