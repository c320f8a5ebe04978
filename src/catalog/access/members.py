"""Organizations, their projects and groups, and who has which role there. Runs in the caller's transaction.

Members and grantees are written `user:NAME`, `service:NAME` or `group:ORGANIZATION/NAME`; what is kept is their
audience token, so a name that is given away takes nothing along.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit
from catalog.access.audience import (
    LOOKS_AFTER_ALL,
    PUBLIC,
    RANK,
    Role,
    group_token,
    organization_of,
    user_token,
)
from catalog.access.callers import Caller, PrincipalKind
from catalog.access.principals import Principal
from catalog.access.scopes import Scope
from catalog.database import timestamp_column
from catalog.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from catalog.storage.keys import APPLICATION


class Organization(SQLModel, table=True):
    """Who owns projects."""

    name: str = Field(sa_type=sa.Text, primary_key=True)
    title: str | None = Field(default=None, sa_type=sa.Text)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class Project(SQLModel, table=True):
    """A study: `<organization>/<project>`."""

    name: str = Field(sa_type=sa.Text, primary_key=True)
    organization: str = Field(sa_type=sa.Text, foreign_key="organization.name", index=True)
    title: str | None = Field(default=None, sa_type=sa.Text)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class Group(SQLModel, table=True):
    """Principals of an organization who are given roles and grants together."""

    __tablename__ = "principal_group"
    __table_args__ = (sa.UniqueConstraint("organization", "name"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    organization: str = Field(sa_type=sa.Text, foreign_key="organization.name")
    name: str = Field(sa_type=sa.Text)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class GroupMember(SQLModel, table=True):
    """That a principal belongs to a group."""

    __tablename__ = "group_member"

    group_id: UUID = Field(foreign_key="principal_group.id", primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id", primary_key=True, index=True)


class Membership(SQLModel, table=True):
    """The role of a user or a group in an organization, or in one of its projects."""

    # An audience token, of a user or of a group.
    member: str = Field(sa_type=sa.Text, primary_key=True)
    # `<organization>` or `<organization>/<project>`.
    scope: str = Field(sa_type=sa.Text, primary_key=True, index=True)
    role: str = Field(sa_type=sa.Text)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_organizations = SQLModel.metadata.tables["organization"]
_projects = SQLModel.metadata.tables["project"]
_groups = SQLModel.metadata.tables[str(Group.__tablename__)]
_group_members = SQLModel.metadata.tables[str(GroupMember.__tablename__)]
_memberships = SQLModel.metadata.tables["membership"]
_principals = SQLModel.metadata.tables[str(Principal.__tablename__)]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,62}", re.ASCII)
_NAME_RULE = "2 to 63 small letters, digits and dashes, beginning with a letter or digit"


@dataclass(frozen=True, slots=True)
class ScopeView:
    """An organization or a project, and the caller's role there if it has one."""

    name: str
    title: str | None
    role: Role | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member of an organization or a project, as people write it, and its role there."""

    member: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group, and the names of who belongs to it."""

    name: str
    members: Sequence[str]
    created_at: datetime


async def organizations(session: AsyncSession, caller: Caller) -> list[ScopeView]:
    """Return the organizations in which the caller has a role, or all for those who look after the whole catalog."""
    caller.must_be_known()
    statement = sa.select(_organizations).order_by(_organizations.c.name)
    if caller.role not in LOOKS_AFTER_ALL:
        statement = statement.where(_organizations.c.name.in_(caller.organizations))
    return [_scope(row, caller) for row in await session.execute(statement)]


async def projects(session: AsyncSession, organization: str, caller: Caller) -> list[ScopeView]:
    """Return the projects of an organization in which the caller has a role; raises NotFound where it has none."""
    await must_be_there(session, organization, caller)
    statement = sa.select(_projects).where(_projects.c.organization == organization).order_by(_projects.c.name)
    every = [_scope(row, caller) for row in await session.execute(statement)]
    return every if caller.role in LOOKS_AFTER_ALL else [one for one in every if one.role is not None]


def _scope(row: sa.Row[tuple[object, ...]], caller: Caller) -> ScopeView:
    return ScopeView(row.name, row.title, caller.role_in(row.name), row.created_at)


async def create_organization(session: AsyncSession, name: str, title: str | None, *, caller: Caller) -> None:
    """Make an organization; raises Forbidden unless by an admin of the whole catalog, Invalid, Conflict."""
    caller.must_administer_all()
    if _NAME.fullmatch(name) is None:
        raise Invalid("This is no name of an organization.", faults=[Fault("/name", f"a name has {_NAME_RULE}")])
    if name == APPLICATION:
        reason = "another name: this one is the folder of what the catalog keeps for itself"
        raise Invalid("This is no name of an organization.", faults=[Fault("/name", reason)])
    made = await session.execute(
        insert(_organizations).values(name=name, title=title).on_conflict_do_nothing().returning(_organizations.c.name)
    )
    if made.one_or_none() is None:
        raise Conflict(f"There is an organization {name} already.")
    await audit.note(session, caller.actor, "make organization", f"organization:{name}", scope=name)


async def create_project(session: AsyncSession, name: str, title: str | None, *, caller: Caller) -> None:
    """Make a project, written organization/project; raises NotFound, Forbidden unless by an admin there, Conflict."""
    organization, _, last = name.partition("/")
    if _NAME.fullmatch(last) is None or _NAME.fullmatch(organization) is None:
        raise Invalid("This is no name of a project.", faults=[Fault("/name", f"each part has {_NAME_RULE}")])
    await must_be_there(session, organization, caller)
    if caller.role_in(organization) is not Role.ADMIN:
        raise Forbidden(f"Projects of {organization} are made by its admins.")
    made = await session.execute(
        insert(_projects)
        .values(name=name, organization=organization, title=title)
        .on_conflict_do_nothing()
        .returning(_projects.c.name)
    )
    if made.one_or_none() is None:
        raise Conflict(f"There is a project {name} already.")
    await audit.note(session, caller.actor, "make project", f"project:{name}", scope=name)


async def ensure(session: AsyncSession, names: Iterable[str]) -> None:
    """Let projects come to be with their first objects, for those who may register anywhere."""
    wanted = sorted(set(names))
    if not wanted:
        return
    # The most frequent case first: they are there, and nothing is written.
    there = set((await session.execute(sa.select(_projects.c.name).where(_projects.c.name.in_(wanted)))).scalars())
    for name in wanted:
        if name not in there:
            organization = organization_of(name)
            await session.execute(insert(_organizations).values(name=organization).on_conflict_do_nothing())
            new = insert(_projects).values(name=name, organization=organization)
            await session.execute(new.on_conflict_do_nothing())


async def members_of(session: AsyncSession, scope: str, *, caller: Caller) -> list[MemberView]:
    """Return who has which role in exactly this organization or project; raises NotFound, Forbidden."""
    await _must_look_after(session, scope, caller)
    rows = (
        await session.execute(
            sa.select(_memberships).where(_memberships.c.scope == scope).order_by(_memberships.c.created_at)
        )
    ).all()
    names = await names_of(session, [row.member for row in rows])
    return [MemberView(names[row.member], Role(row.role), row.created_at) for row in rows]


async def set_role(session: AsyncSession, scope: str, member: str, role: Role, *, caller: Caller) -> None:
    """Give a user or a group a role in an organization or a project, or another one.

    Raises NotFound, Invalid for a member that is not there, Forbidden for a role above the caller's own, given or
    taken.
    """
    own = await _must_look_after(session, scope, caller)
    token = await token_named(session, member, "/member")
    held = await _held(session, scope, token)
    for touched in filter(None, (role, held)):
        _must_not_be_above(touched, own, scope, caller)
    if held is role:
        return
    put = insert(_memberships).values(member=token, scope=scope, role=role.value)
    await session.execute(put.on_conflict_do_update(index_elements=["member", "scope"], set_={"role": role.value}))
    before = None if held is None else {"role": held.value}
    await audit.note(session, caller.actor, "give role", member, scope=scope, before=before, after={"role": role.value})


async def remove_member(session: AsyncSession, scope: str, member: str, *, caller: Caller) -> None:
    """Take a user's or a group's role in an organization or a project; raises NotFound, Forbidden."""
    own = await _must_look_after(session, scope, caller)
    token = await token_named(session, member, "/member")
    held = await _held(session, scope, token)
    if held is None:
        raise NotFound(f"{member} has no role in {scope}.")
    _must_not_be_above(held, own, scope, caller)
    await session.execute(_memberships.delete().where(_memberships.c.member == token, _memberships.c.scope == scope))
    await audit.note(session, caller.actor, "take role", member, scope=scope, before={"role": held.value})


def _must_not_be_above(role: Role, own: Role, scope: str, caller: Caller) -> None:
    if RANK[role] > RANK[own]:
        raise Forbidden(f"You are {own} in {scope}: you can neither make nor unmake its {role}s.")
    if role is Role.ADMIN:
        caller.must_have(Scope.ADMIN)


async def _held(session: AsyncSession, scope: str, token: str) -> Role | None:
    found = await session.execute(
        sa.select(_memberships.c.role).where(_memberships.c.scope == scope, _memberships.c.member == token)
    )
    role = found.scalar_one_or_none()
    return None if role is None else Role(role)


async def groups(session: AsyncSession, organization: str, *, caller: Caller) -> list[GroupView]:
    """Return the groups of an organization with their members; raises NotFound, Forbidden."""
    await _must_look_after(session, organization, caller)
    rows = await session.execute(
        sa.select(
            _groups.c.name,
            sa.func.array_agg(sa.func.coalesce(_principals.c.name, "")).label("members"),
            _groups.c.created_at,
        )
        .outerjoin(_group_members, _group_members.c.group_id == _groups.c.id)
        .outerjoin(_principals, _principals.c.id == _group_members.c.principal_id)
        .where(_groups.c.organization == organization)
        .group_by(_groups.c.id)
        .order_by(_groups.c.name)
    )
    return [GroupView(row.name, sorted(filter(None, row.members)), row.created_at) for row in rows]


async def create_group(session: AsyncSession, organization: str, name: str, *, caller: Caller) -> None:
    """Make a group in an organization; raises NotFound, Forbidden, Invalid, Conflict."""
    await _must_look_after(session, organization, caller)
    if _NAME.fullmatch(name) is None:
        raise Invalid("This is no name of a group.", faults=[Fault("/name", f"a name has {_NAME_RULE}")])
    made = await session.execute(
        insert(_groups)
        .values(id=uuid7(), organization=organization, name=name)
        .on_conflict_do_nothing()
        .returning(_groups.c.id)
    )
    if made.one_or_none() is None:
        raise Conflict(f"{organization} has a group {name} already.")
    await audit.note(session, caller.actor, "make group", f"group:{organization}/{name}", scope=organization)


async def put_into_group(session: AsyncSession, organization: str, group: str, user: str, *, caller: Caller) -> None:
    """Let a user belong to a group; raises NotFound, Forbidden where the group has a role above the caller's own."""
    group_id = await _group_of_lesser_rank(session, organization, group, caller)
    principal_id = await _principal(session, user)
    put = insert(_group_members).values(group_id=group_id, principal_id=principal_id).on_conflict_do_nothing()
    if (await session.execute(put.returning(_group_members.c.group_id))).one_or_none() is not None:
        after = {"member": user}
        subject = f"group:{organization}/{group}"
        await audit.note(session, caller.actor, "put into group", subject, scope=organization, after=after)


async def take_from_group(session: AsyncSession, organization: str, group: str, user: str, *, caller: Caller) -> None:
    """Let a user belong to a group no more; raises NotFound, Forbidden."""
    group_id = await _group_of_lesser_rank(session, organization, group, caller)
    principal_id = await _principal(session, user)
    gone = await session.execute(
        _group_members.delete()
        .where(_group_members.c.group_id == group_id, _group_members.c.principal_id == principal_id)
        .returning(_group_members.c.group_id)
    )
    if gone.one_or_none() is None:
        raise NotFound(f"{user} does not belong to {organization}/{group}.")
    subject, before = f"group:{organization}/{group}", {"member": user}
    await audit.note(session, caller.actor, "take from group", subject, scope=organization, before=before)


async def _group_of_lesser_rank(session: AsyncSession, organization: str, group: str, caller: Caller) -> UUID:
    own = await _must_look_after(session, organization, caller)
    group_id = await _group(session, f"{organization}/{group}")
    roles = await session.execute(sa.select(_memberships.c.role).where(_memberships.c.member == group_token(group_id)))
    held = {Role(role) for role in roles.scalars()}
    if any(RANK[role] > RANK[own] for role in held):
        raise Forbidden(f"{organization}/{group} has a role above yours: only those who have it too may change it.")
    if Role.ADMIN in held:
        caller.must_have(Scope.ADMIN)
    return group_id


async def token_named(session: AsyncSession, name: str, pointer: str) -> str:
    """Return the audience token of `user:NAME`, `service:NAME` or `group:ORG/NAME`; raises Invalid for anything else.

    A service account's token is that of its principal, as a user's is.
    """
    kind, _, rest = name.partition(":")
    try:
        if kind in list(PrincipalKind):
            return user_token(await _principal(session, rest, PrincipalKind(kind)))
        if kind == "group":
            return group_token(await _group(session, rest))
    except NotFound as absent:
        raise Invalid("The request names somebody who is not there.", faults=[Fault(pointer, absent.detail)]) from None
    raise Invalid(
        "The request names nobody.",
        faults=[Fault(pointer, f"write user:NAME, service:NAME or group:ORGANIZATION/NAME, not {name[:80]!r}")],
    )


async def names_of(session: AsyncSession, tokens: Sequence[str]) -> dict[str, str]:
    """Return how people write each of these audience tokens."""
    names = {PUBLIC: PUBLIC}
    ids = {
        kind: [token.partition(":")[2] for token in tokens if token.startswith(f"{kind}:")]
        for kind in ("user", "group")
    }
    if ids["user"]:
        rows = await session.execute(
            sa.select(_principals.c.id, _principals.c.kind, _principals.c.name).where(
                _principals.c.id.in_(map(UUID, ids["user"]))
            )
        )
        names |= {user_token(row.id): f"{row.kind}:{row.name}" for row in rows}
    if ids["group"]:
        rows = await session.execute(
            sa.select(_groups.c.id, _groups.c.organization, _groups.c.name).where(
                _groups.c.id.in_(map(UUID, ids["group"]))
            )
        )
        names |= {group_token(row.id): f"group:{row.organization}/{row.name}" for row in rows}
    return names


async def _principal(session: AsyncSession, name: str, kind: PrincipalKind | None = None) -> UUID:
    found = await session.execute(sa.select(_principals.c.id, _principals.c.kind).where(_principals.c.name == name))
    row = found.one_or_none()
    if row is None:
        raise NotFound(f"There is no {'service account' if kind == PrincipalKind.SERVICE else 'user'} {name[:80]!r}.")
    if kind is not None and row.kind != kind:
        raise NotFound(f"{name} is written {row.kind}:{name}.")
    return UUID(str(row.id))


async def _group(session: AsyncSession, name: str) -> UUID:
    organization, _, group = name.partition("/")
    found = (
        await session.execute(
            sa.select(_groups.c.id).where(_groups.c.organization == organization, _groups.c.name == group)
        )
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no group {name[:130]!r}.")
    return UUID(str(found))


async def must_be_there(session: AsyncSession, organization: str, caller: Caller) -> None:
    """Raise NotFound for an organization that is not there, and for one in which the caller has no role, alike."""
    caller.must_be_known()
    if caller.role in LOOKS_AFTER_ALL or organization in caller.organizations:
        there = await session.execute(sa.select(_organizations.c.name).where(_organizations.c.name == organization))
        if there.one_or_none() is not None:
            return
    raise NotFound(f"There is no organization {organization[:80]!r} that you may see.")


async def must_administer(
    session: AsyncSession, scope: str, *, caller: Caller, what: str, projects_too: bool = False
) -> None:
    """Raise unless the caller is an admin of an organization or project; NotFound where it has no role.

    `what` begins the sentence that says whose business it is; `projects_too` lets admins of any project of an
    organization pass.
    """
    role = await role_of_member(session, scope, caller)
    if role is Role.ADMIN:
        return
    of_a_project = any(role is Role.ADMIN and organization_of(one) == scope for one, role in caller.rights)
    if not (projects_too and of_a_project):
        raise Forbidden(f"{what} the business of the admins of {scope}.")


async def role_of_member(session: AsyncSession, scope: str, caller: Caller) -> Role | None:
    """Return the caller's role in an organization or a project, None with one in some of its projects alone.

    Raises NotFound where it has none at all, and where there is no such scope, alike.
    """
    await must_be_there(session, organization_of(scope), caller)
    role = caller.role_in(scope)
    if "/" in scope:
        there = await session.execute(sa.select(_projects.c.name).where(_projects.c.name == scope))
        if there.one_or_none() is None or role is None:
            raise NotFound(f"There is no project {scope[:130]!r} that you may see.")
    return role


async def _must_look_after(session: AsyncSession, scope: str, caller: Caller) -> Role:
    """Return the caller's role; raises NotFound where it has none, Forbidden for less than a curator's."""
    role = await role_of_member(session, scope, caller)
    if role is None or role not in LOOKS_AFTER_ALL:
        raise Forbidden(f"Who belongs to {scope} is the business of its admins and curators.")
    return role
