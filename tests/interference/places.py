"""Who acts in a random world, where, in which roles, and what was granted below prefixes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from catalog.access import principals
from catalog.access.audience import PUBLIC, Permission, group_token, organization_of, user_token
from tests.interference.world import LONG_AGO, World

PEOPLE = 4
ROLES = ["reader", "reader", "ingest", "curator", "admin"]
SEES_GRANTS = {"READ_ACP", "WRITE_ACP", "FULL_CONTROL"}


def people(world: World) -> None:
    """Let some people be, of whom the first asks, or nobody does."""
    if world.chance(0.85):
        world.token = f"{principals.TOKEN_MARK}{world.dice.getrandbits(256):064x}"
    for place in range(PEOPLE):
        person = world.id()
        world.people.append(person)
        role = world.dice.choice(["reader", "reader", "ingest"])
        world.put("principal", keep=True, id=person, name=f"p{world.number}-{place}", role=role, created_at=LONG_AGO)
    if world.token is not None:
        world.caller = world.people[0]
        _token(world, world.caller, principals.digest_of(world.token), keep=True)
    _token(world, world.people[1], world.dice.randbytes(32), keep=False)
    world.tokens = {"public"} | ({user_token(world.caller)} if world.caller else set())


def _token(world: World, holder: UUID, digest: bytes, *, keep: bool) -> None:
    # Used later than now: then its use is not noted, and both worlds stay as they are.
    told = {"hint": "cat_xxxx", "created_at": LONG_AGO, "last_used_at": datetime.now(UTC) + timedelta(days=30)}
    world.put("token", keep=keep, id=world.id(), principal_id=holder, digest=digest, **told)


def service_accounts(world: World) -> None:
    """Give each organization a service account with a token, and a trail of who changed who may do what."""
    for place, organization in enumerate(world.organizations):
        mine = (organization, "admin") in world.rights
        account, name = world.id(), f"s{world.number}-{place}"
        told = {"role": "reader", "kind": "service", "organization": organization, "created_at": LONG_AGO}
        world.put("principal", keep=mine, id=account, name=name, **told)
        _token(world, account, world.dice.randbytes(32), keep=mine)
        world.note("service account", name)
    for place, scope in enumerate([*world.organizations, *world.projects]):
        world.put(
            "access_change",
            keep="admin" in world.roles_in(scope),
            id=world.number * 10 + place + 1_000_000,
            at=world.moment(),
            principal_id=world.people[0],
            via="api",
            action="grant",
            scope=scope,
            subject="user:somebody",
            after={"permission": "READ"},
        )


def organizations(world: World) -> None:
    """Make two organizations with projects, groups and members."""
    one, other = world.organizations = [f"w{world.number}a", f"w{world.number}b"]
    world.projects = [f"{one}/soil", f"{one}/soil2", f"{one}/air", f"{other}/soil"]
    groups = _groups(world)
    given = _roles(world)
    for name in world.organizations:
        world.put("organization", keep=True, name=name, title=world.words(), created_at=LONG_AGO)
    for name in world.projects:
        told = {"name": name, "organization": organization_of(name), "title": world.words(), "created_at": LONG_AGO}
        world.put("project", keep=bool(world.roles_in(name)), **told)
    for organization, name, group, within in groups:
        world.put("principal_group", keep=True, id=group, organization=organization, name=name, created_at=LONG_AGO)
        for person in within:
            keep = person == world.caller or world.looks_after(organization)
            world.put("group_member", keep=keep, group_id=group, principal_id=person)
    for token, scope, role in given:
        keep = token in world.tokens or world.looks_after(scope)
        world.put("membership", keep=keep, member=token, scope=scope, role=role, created_at=world.moment())


def _groups(world: World) -> list[tuple[str, str, UUID, list[UUID]]]:
    made = []
    for organization in world.organizations:
        for name in ("team", "crew"):
            group = world.id()
            world.groups.append(group)
            within = [person for person in world.people if world.chance(0.3)]
            if world.caller in within:
                world.tokens.add(group_token(group))
            made.append((organization, name, group, within))
    return made


def _roles(world: World) -> list[tuple[str, str, str]]:
    given = [
        (token, scope, world.dice.choice(ROLES))
        for scope in [*world.organizations, *world.projects]
        for token in grantees(world)
        if world.chance(0.12)
    ]
    world.rights = {(scope, role) for token, scope, role in given if token in world.tokens}
    return given


def grantees(world: World) -> list[str]:
    """Return to whom something may be given, beside everybody."""
    return [*map(user_token, world.people), *map(group_token, world.groups)]


def some_end(world: World) -> datetime | None:
    """Return when a grant ends: never, later, or it has ended."""
    return world.dice.choice([None, datetime.now(UTC) + timedelta(days=30), LONG_AGO])


def some_grant(world: World) -> tuple[str, str]:
    """Return to whom something is granted, and what."""
    to = world.dice.choice([PUBLIC, *grantees(world)])
    return to, "READ" if to == PUBLIC else world.dice.choice(list(Permission)).value


def grants_below(world: World) -> None:
    """Grant some prefixes, some of them to everybody."""
    given = [
        (scope, *some_grant(world), some_end(world))
        for scope in [*world.organizations, *world.projects]
        if world.chance(0.25)
    ]
    world.below = {(scope, held) for scope, to, held, ends in given if to in world.tokens and ends != LONG_AGO}
    for scope, to, permission, ends in given:
        lists = world.looks_after(scope) or any(
            at in {scope, organization_of(scope)} and held in SEES_GRANTS for at, held in world.below
        )
        made = world.id()
        world.put(
            "object_grant",
            keep=ends != LONG_AGO and (to in world.tokens or lists),
            id=made,
            prefix=f"{scope}/",
            grantee=to,
            permission=permission,
            expires_at=ends,
            granted_by=world.people[-1],
            created_at=LONG_AGO,
        )
        if not lists and to not in world.tokens:
            world.note("hidden prefix grant", made)
