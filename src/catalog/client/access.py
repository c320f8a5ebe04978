"""Who may see and change what: organizations, projects, groups, roles, and grants."""

from typing import Literal, TypedDict
from urllib.parse import quote

from catalog.client.catalog import Catalog

RoleName = Literal["admin", "curator", "ingest", "reader"]
PermissionName = Literal["READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"]


class Scope(TypedDict):
    """An organization or a project, with one's own role there."""

    name: str
    title: str | None
    role: RoleName | None
    created_at: str


class RoleHolder(TypedDict):
    """A user or a group, and the role there."""

    member: str
    role: RoleName
    created_at: str


class Group(TypedDict):
    """A group and who belongs to it."""

    name: str
    members: list[str]
    created_at: str


class Grant(TypedDict):
    """A permission that somebody was given."""

    id: str
    to: str
    permission: PermissionName
    expires_at: str | None
    granted_by: str
    created_at: str


def organizations(catalog: Catalog) -> list[Scope]:
    """Return the organizations in which one has a role."""
    return _items(catalog, "/api/organizations")


def create_organization(catalog: Catalog, name: str, title: str | None = None) -> None:
    """Make an organization; for admins of the whole catalog."""
    catalog.connection.send("POST", "/api/organizations", body={"name": name, "title": title})


def projects(catalog: Catalog, organization: str) -> list[Scope]:
    """Return the projects of an organization in which one has a role."""
    return _items(catalog, f"{_organization(organization)}/projects")


def create_project(catalog: Catalog, name: str, title: str | None = None) -> None:
    """Make a project, written organization/project."""
    organization, _, project = name.partition("/")
    body = {"name": project, "title": title}
    catalog.connection.send("POST", f"{_organization(organization)}/projects", body=body)


def members(catalog: Catalog, scope: str) -> list[RoleHolder]:
    """Return who has which role in exactly this organization or project."""
    return _items(catalog, _members(scope))


def give_role(catalog: Catalog, scope: str, member: str, role: str) -> None:
    """Give `user:NAME` or `group:ORGANIZATION/NAME` a role."""
    catalog.connection.send("PUT", _members(scope), body={"member": member, "role": role}, repeatable=True)


def take_role(catalog: Catalog, scope: str, member: str) -> None:
    """Take the role that a member has in exactly this organization or project."""
    catalog.connection.send("DELETE", _members(scope), parameters=[("member", member)])


def groups(catalog: Catalog, organization: str) -> list[Group]:
    """Return the groups of an organization."""
    return _items(catalog, f"{_organization(organization)}/groups")


def create_group(catalog: Catalog, name: str) -> None:
    """Make a group, written organization/group."""
    organization, _, group = name.partition("/")
    catalog.connection.send("POST", f"{_organization(organization)}/groups", body={"name": group})


def put_into_group(catalog: Catalog, name: str, user: str) -> None:
    """Put a user into a group, written organization/group."""
    catalog.connection.send("PUT", _in_group(name, user), repeatable=True)


def take_from_group(catalog: Catalog, name: str, user: str) -> None:
    """Take a user out of a group, written organization/group."""
    catalog.connection.send("DELETE", _in_group(name, user))


def grants(catalog: Catalog, on: str) -> list[Grant]:
    """Return what was granted on an object by its id, or on a prefix, which ends in a slash."""
    if on.endswith("/"):
        found: list[Grant] = catalog.connection.json("GET", "/api/grants", parameters=[("prefix", on)])["items"]
        return found
    return _items(catalog, _grants(on))


def grant(catalog: Catalog, on: str, to: str, permission: str, until: str | None = None) -> str:
    """Give a permission on an object or a prefix; returns the grant's id. The same again only moves its end."""
    body = {"to": to, "permission": permission, "expires_at": until}
    prefix = {"prefix": on} if on.endswith("/") else {}
    place = "/api/grants" if prefix else _grants(on)
    made: str = catalog.connection.json("POST", place, body=body | prefix, repeatable=True)["id"]
    return made


def revoke(catalog: Catalog, on: str, grant_id: str) -> None:
    """Take a grant back, at once."""
    place = "/api/grants" if on.endswith("/") else _grants(on)
    catalog.connection.send("DELETE", f"{place}/{quote(grant_id, safe='')}")


def _items(catalog: Catalog, path: str) -> list:  # type: ignore[type-arg]  # Whose items they are, the caller says.
    found: list = catalog.connection.json("GET", path, repeatable=True)["items"]  # type: ignore[type-arg]  # As above.
    return found


def _organization(name: str) -> str:
    return f"/api/organizations/{quote(name, safe='')}"


def _members(scope: str) -> str:
    organization, slash, project = scope.partition("/")
    if not slash:
        return f"{_organization(organization)}/members"
    return f"/api/projects/{quote(organization, safe='')}/{quote(project, safe='')}/members"


def _in_group(name: str, user: str) -> str:
    organization, _, group = name.partition("/")
    return f"{_organization(organization)}/groups/{quote(group, safe='')}/members/{quote(user, safe='')}"


def _grants(object_id: str) -> str:
    return f"/api/objects/{quote(object_id, safe='')}/grants"
