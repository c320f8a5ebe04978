"""Who may see and change what: organizations, projects, groups, roles, and grants."""

from typing import Literal, TypedDict

from catalog.client.calls import C, Call, Room, items, member, nothing, quoted, request, said

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


class Access(Room[C]):
    """Organizations and projects, and who has which role and permission in them."""

    @request
    def organizations(self) -> Call[list[Scope]]:
        """Return the organizations in which one has a role."""
        return items("/api/organizations")

    @request
    def create_organization(self, name: str, title: str | None = None) -> Call[None]:
        """Make an organization; for admins of the whole catalog."""
        return Call("POST", "/api/organizations", body={"name": name, "title": title}, read=nothing)

    @request
    def projects(self, organization: str) -> Call[list[Scope]]:
        """Return the projects of an organization in which one has a role."""
        return items(f"{_organization(organization)}/projects")

    @request
    def create_project(self, name: str, title: str | None = None) -> Call[None]:
        """Make a project, written organization/project."""
        organization, _, project = name.partition("/")
        body = {"name": project, "title": title}
        return Call("POST", f"{_organization(organization)}/projects", body=body, read=nothing)

    @request
    def members(self, scope: str) -> Call[list[RoleHolder]]:
        """Return who has which role in exactly this organization or project."""
        return items(_members(scope))

    @request
    def give_role(self, scope: str, holder: str, role: str) -> Call[None]:
        """Give `user:NAME` or `group:ORGANIZATION/NAME` a role."""
        return Call("PUT", _members(scope), body={"member": holder, "role": role}, repeatable=True, read=nothing)

    @request
    def take_role(self, scope: str, holder: str) -> Call[None]:
        """Take the role that a member has in exactly this organization or project."""
        return Call("DELETE", _members(scope), said(member=holder), read=nothing)

    @request
    def groups(self, organization: str) -> Call[list[Group]]:
        """Return the groups of an organization."""
        return items(f"{_organization(organization)}/groups")

    @request
    def create_group(self, name: str) -> Call[None]:
        """Make a group, written organization/group."""
        organization, _, group = name.partition("/")
        return Call("POST", f"{_organization(organization)}/groups", body={"name": group}, read=nothing)

    @request
    def put_into_group(self, name: str, user: str) -> Call[None]:
        """Put a user into a group, written organization/group."""
        return Call("PUT", _in_group(name, user), repeatable=True, read=nothing)

    @request
    def take_from_group(self, name: str, user: str) -> Call[None]:
        """Take a user out of a group, written organization/group."""
        return Call("DELETE", _in_group(name, user), read=nothing)

    @request
    def grants(self, on: str) -> Call[list[Grant]]:
        """Return what was granted on an object by its id, or on a prefix, which ends in a slash."""
        return items("/api/grants", said(prefix=on)) if on.endswith("/") else items(_grants(on))

    @request
    def grant(self, on: str, to: str, permission: str, until: str | None = None) -> Call[str]:
        """Give a permission on an object or a prefix; returns the grant's id. The same again only moves its end."""
        body = {"to": to, "permission": permission, "expires_at": until}
        prefix = {"prefix": on} if on.endswith("/") else {}
        place = "/api/grants" if prefix else _grants(on)
        return Call("POST", place, body=body | prefix, repeatable=True, read=member("id"))

    @request
    def revoke(self, on: str, grant_id: str) -> Call[None]:
        """Take a grant back, at once."""
        place = "/api/grants" if on.endswith("/") else _grants(on)
        return Call("DELETE", f"{place}/{quoted(grant_id)}", read=nothing)


def _organization(name: str) -> str:
    return f"/api/organizations/{quoted(name)}"


def _members(scope: str) -> str:
    organization, slash, project = scope.partition("/")
    if not slash:
        return f"{_organization(organization)}/members"
    return f"/api/projects/{quoted(organization)}/{quoted(project)}/members"


def _in_group(name: str, user: str) -> str:
    organization, _, group = name.partition("/")
    return f"{_organization(organization)}/groups/{quoted(group)}/members/{quoted(user)}"


def _grants(object_id: str) -> str:
    return f"/api/objects/{quoted(object_id)}/grants"
