"""The one compiler: principal -> audience -> SQL condition and search filter.

Every object carries `readers`, the audience tokens that may see it, and `writers`, those that may change it, derived
here and nowhere else; `readers` is written to its row and its document alike. A caller belongs to a set of tokens; both
conditions ask whether the two sets meet. So search and item access cannot disagree.

What may change without anybody touching the object (a role, a group's members, a grant that ends by itself) is decided
by the tokens of the caller, which are read anew for every request; what belongs to the object is in its readers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

PUBLIC = "public"


class Visibility(StrEnum):
    """Who may see an object, beside its owner, those who look after its project, and those it was granted to."""

    PUBLIC = "public"
    ORGANIZATION = "organization"
    PROJECT = "project"
    PRIVATE = "private"
    EMBARGOED = "embargoed"


class Role(StrEnum):
    """What a principal is for: in the whole catalog, in an organization, or in a project."""

    ADMIN = "admin"
    CURATOR = "curator"
    INGEST = "ingest"
    READER = "reader"


class Permission(StrEnum):
    """What a grant gives; each lets its holder see the object, since what cannot be seen cannot be named."""

    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"
    FULL_CONTROL = "FULL_CONTROL"


# Who may do what beyond reading. Curators and admins look after every object; ingest services after their own.
REGISTERS = frozenset({Role.ADMIN, Role.CURATOR, Role.INGEST})
LOOKS_AFTER_ALL = frozenset({Role.ADMIN, Role.CURATOR})
# What no one may give away without having it: nobody makes anybody more than they are.
RANK = {Role.READER: 0, Role.INGEST: 0, Role.CURATOR: 1, Role.ADMIN: 2}
# Who has several roles has the one that may most.
STRONGEST_FIRST = (Role.ADMIN, Role.CURATOR, Role.INGEST, Role.READER)
WRITES = frozenset({Permission.WRITE, Permission.FULL_CONTROL})


def user_token(principal_id: UUID) -> str:
    """Return the token that stands for one principal."""
    return f"user:{principal_id}"


def group_token(group_id: UUID) -> str:
    """Return the token that stands for the members of a group."""
    return f"group:{group_id}"


def grant_token(grant_id: UUID) -> str:
    """Return the token of a grant that ends by itself: its holders have it until then."""
    return f"grant:{grant_id}"


def reading_all(scope: str) -> str:
    """Return the token of those who see everything in an organization or a project, private objects included."""
    return f"read:{scope}"


def writing_all(scope: str) -> str:
    """Return the token of those who may change everything in an organization or a project."""
    return f"write:{scope}"


def organization_of(scope: str) -> str:
    """Return the organization of a scope, which is itself or `<organization>/<project>`."""
    return scope.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Granted:
    """To whom an object was granted, and what."""

    token: str
    permission: Permission


def readers_of(*, visibility: str, owner_id: UUID, project: str, granted: Iterable[Granted] = ()) -> list[str]:
    """Return the tokens that may see an object; an embargoed one is private until its embargo has ended."""
    organization = organization_of(project)
    readers = [user_token(owner_id), reading_all(organization), reading_all(project)]
    match visibility:
        case Visibility.PUBLIC:
            readers.append(PUBLIC)
        case Visibility.ORGANIZATION:
            readers.append(f"org:{organization}")
        case Visibility.PROJECT:
            readers += [f"project:{project}", f"projects:{organization}"]
    return sorted({*readers, *(one.token for one in granted)})


def writers_of(*, owner_id: UUID, project: str, granted: Iterable[Granted] = ()) -> list[str]:
    """Return the tokens that may change an object."""
    writers = {user_token(owner_id), writing_all(organization_of(project)), writing_all(project)}
    return sorted(writers | {one.token for one in granted if one.permission in WRITES})


def strongest(held: Iterable[Role]) -> Role | None:
    """Return the role that may most of those that somebody has; None without any."""
    roles = set(held)
    return next((role for role in STRONGEST_FIRST if role in roles), None)


def tokens_of(role: Role, scope: str) -> list[str]:
    """Return the tokens that a role in an organization or a project gives; an ingest service sees only its own."""
    if role is Role.INGEST:
        return []
    tokens = [f"org:{organization_of(scope)}", f"project:{scope}" if "/" in scope else f"projects:{scope}"]
    return [*tokens, reading_all(scope), writing_all(scope)] if role in LOOKS_AFTER_ALL else tokens


# Each object has the tokens of its project and organization among its readers and writers: they tell where it lies.
_PLACED = ("read", "write", "read_acp", "write_acp")


@dataclass(frozen=True, slots=True)
class Audience:
    """The tokens a caller belongs to, or `everything` for those who look after the whole catalog.

    With `within`, an organization or a project, they count for what lies there alone, and elsewhere only those that
    everybody has, `anywhere`.
    """

    tokens: frozenset[str]
    everything: bool = False
    within: str | None = None
    anywhere: frozenset[str] = frozenset({PUBLIC})

    @property
    def sorted_tokens(self) -> list[str]:
        """The tokens in one order, so that equal audiences make equal statements and filters."""
        return sorted(self.tokens)

    @property
    def certain_tokens(self) -> list[str]:
        """Those of the tokens that suffice by themselves, wherever what they are compared with lies."""
        if self.within is None:
            return self.sorted_tokens
        return sorted(self.tokens & {*self.anywhere, *self._marks})

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The parameters of `sql_condition`, by name."""
        if self.within is None:
            return {"audience": self.sorted_tokens}
        return {"audience": self.sorted_tokens, "within": self._marks, "anywhere": self._anywhere}

    @property
    def _marks(self) -> list[str]:
        return [f"{kind}:{self.within}" for kind in _PLACED]

    @property
    def _anywhere(self) -> list[str]:
        return sorted(self.tokens & self.anywhere)

    def sql_condition(self, readers: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """Return the condition under which a row with this `readers` column may be seen."""
        if self.everything:
            return sa.true()
        meets = {
            name: readers.op("&&")(sa.bindparam(name, tokens, type_=ARRAY(sa.Text)))
            for name, tokens in self.parameters.items()
        }
        if self.within is None:
            return meets["audience"]
        return sa.or_(meets["anywhere"], sa.and_(meets["audience"], meets["within"]))

    def search_filter(self) -> dict[str, Any]:
        """Return the filter under which a document with a `readers` field may be seen."""
        if self.everything:
            return {"match_all": {}}
        meets = {name: {"terms": {"readers": tokens}} for name, tokens in self.parameters.items()}
        if self.within is None:
            return meets["audience"]
        here = {"bool": {"filter": [meets["audience"], meets["within"]]}}
        return {"bool": {"should": [meets["anywhere"], here]}}

    def includes(self, tokens: Sequence[str]) -> bool:
        """Whether one of these tokens, an object's readers or writers, is the caller's."""
        if self.everything:
            return True
        if self.within is None or not set(self._anywhere).isdisjoint(tokens):
            return not self.tokens.isdisjoint(tokens)
        return not self.tokens.isdisjoint(tokens) and not set(self._marks).isdisjoint(tokens)


ANONYMOUS = Audience(frozenset({PUBLIC}))
