"""Who sent a request, and what they may see and do by it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from catalog.access.audience import (
    ANONYMOUS,
    LOOKS_AFTER_ALL,
    REGISTERS,
    Audience,
    Role,
    organization_of,
    strongest,
    tokens_of,
    user_token,
)
from catalog.access.audit import Actor
from catalog.access.scopes import Held, Scope, rights_in
from catalog.errors import Forbidden, InsufficientScope, Unauthenticated


class PrincipalKind(StrEnum):
    """Whether somebody acts or something does; people write it before the name, as `user:ana`."""

    USER = "user"
    SERVICE = "service"


class Caller:
    """Who sent this request: a principal, or nobody in particular.

    `role` counts in the whole catalog, `rights` in organizations and projects: pairs of such a scope and a role there.
    `tokens` are what else the caller belongs to: groups, and grants that do not stand in the objects' own readers.
    `opened` are those that everybody has, nobody in particular included: of what was granted to all below a prefix.
    `held` is the token of ours that came with the request; what it is not good for, the caller may not do by it.
    `audience` is what the caller may see, `changes` what it may change of that.
    """

    __slots__ = ("audience", "changes", "held", "id", "kind", "last_used_at", "name", "rights", "role")

    def __init__(
        self,
        principal_id: UUID | None,
        name: str,
        role: Role | None,
        *,
        rights: frozenset[tuple[str, Role]] = frozenset(),
        tokens: frozenset[str] = frozenset(),
        opened: frozenset[str] = frozenset(),
        kind: PrincipalKind = PrincipalKind.USER,
        held: Held | None = None,
        last_used_at: datetime | None = None,
    ) -> None:
        self.id = principal_id
        self.name = name
        self.kind = kind
        self.held = held
        self.last_used_at = last_used_at
        self.role, self.rights = (role, rights) if self.place is None else rights_in(self.place, role, rights)
        self.changes = ANONYMOUS
        anywhere = ANONYMOUS.tokens | opened
        self.audience = Audience(anywhere, anywhere=anywhere)
        if principal_id is not None:
            by_right = {token for scope, given in self.rights for token in tokens_of(given, scope)}
            own = {user_token(principal_id)} | tokens | anywhere
            everything = self.role in LOOKS_AFTER_ALL
            by_role = Audience(frozenset(own | by_right), everything=everything, within=self.place, anywhere=anywhere)
            by_itself = Audience(frozenset(own), within=self.place, anywhere=anywhere)
            # What is to be changed has to be seen.
            self.audience = by_role if self.has(Scope.READ) or self.has(Scope.CURATE) else by_itself
            self.changes = by_role if self.has(Scope.CURATE) else by_itself

    @property
    def place(self) -> str | None:
        """The organization or project in which alone the caller's token counts."""
        return None if self.held is None else self.held.place

    @property
    def actor(self) -> Actor:
        """Who is told to have made what this caller changes."""
        return Actor(self.id, None if self.held is None else self.held.id)

    def has(self, scope: Scope) -> bool:
        """Whether what the caller came with is good for this; a login and a provider's token are good for all."""
        return self.held is None or scope in self.held.scopes

    def must_have(self, scope: Scope) -> None:
        """Raise InsufficientScope unless what the caller came with is good for this."""
        if not self.has(scope):
            raise InsufficientScope(scope)

    def __repr__(self) -> str:
        """Name the caller."""
        return f"Caller({self.name})"

    def __eq__(self, other: object) -> bool:
        """Whether both are the same principal with the same rights."""
        return isinstance(other, Caller) and self._told() == other._told()

    def __hash__(self) -> int:
        """Fit the equality."""
        return hash(self._told())

    def _told(self) -> tuple[object, ...]:
        return self.id, self.name, self.kind, self.role, self.rights, self.audience, self.held

    def may_register(self, project: str | None = None) -> bool:
        """Whether this caller may register objects in a project, or in any at all."""
        if self.role in REGISTERS:
            return True
        scopes = {scope for scope, role in self.rights if role in REGISTERS}
        return bool(scopes) if project is None else not scopes.isdisjoint({project, organization_of(project)})

    def must_register(self, project: str | None = None) -> UUID:
        """Return the principal's id; raises Unauthenticated for nobody, Forbidden for those who may not register."""
        principal_id = self.must_be_known()
        if not self.may_register(project):
            if project is not None and self.may_register():
                raise Forbidden(
                    f"You may not register in {project}: ask an admin of {organization_of(project)} for the role "
                    "ingest there."
                )
            raise Forbidden("Your token may only read; registering needs the role ingest, curator or admin.")
        return principal_id

    def must_be_known(self) -> UUID:
        """Return the principal's id; raises Unauthenticated for nobody."""
        if self.id is None:
            raise Unauthenticated("This needs a bearer token; send it as `Authorization: Bearer <token>`.")
        return self.id

    def must_look_after_all(self) -> UUID:
        """Return the principal's id; raises unless it is a curator or admin of the whole catalog."""
        principal_id = self.must_be_known()
        if self.role not in LOOKS_AFTER_ALL:
            raise Forbidden("This needs the role curator or admin.")
        return principal_id

    def must_administer_all(self) -> UUID:
        """Return the principal's id; raises unless it is an admin of the whole catalog."""
        principal_id = self.must_be_known()
        if self.role is not Role.ADMIN:
            raise Forbidden("This is for admins of the whole catalog.")
        return principal_id

    def may_change(self, writers: Sequence[str]) -> bool:
        """Whether this caller may change an object that these tokens may change."""
        return self.changes.includes(writers)

    def must_have_to_change(self, writers: Sequence[str]) -> None:
        """Raise InsufficientScope where this caller might change such an object with another token of its own."""
        if self.audience.includes(writers):
            self.must_have(Scope.CURATE)

    def may_act_for(self, principal_id: UUID) -> bool:
        """Whether this caller may change what belongs to a principal and lies in no project."""
        if self.place is not None:
            return False
        return self.id == principal_id or (self.role in LOOKS_AFTER_ALL and self.has(Scope.CURATE))

    def role_in(self, scope: str) -> Role | None:
        """Return the role that may most of those that this caller has in an organization or a project.

        A role in the whole catalog is one there only for those who look after all of it.
        """
        held = [role for one, role in self.rights if one in {scope, organization_of(scope)}]
        return strongest([*held, self.role] if self.role in LOOKS_AFTER_ALL else held)

    @property
    def administers_all(self) -> bool:
        """Whether this caller is an admin of the whole catalog."""
        return self.role is Role.ADMIN

    @property
    def organizations(self) -> set[str]:
        """The organizations in which this caller has a role, or in a project of which."""
        return {organization_of(scope) for scope, _ in self.rights}


# Nobody in particular, seeing what is public by itself and nothing that was granted.
NOBODY = Caller(None, "anonymous", None)
