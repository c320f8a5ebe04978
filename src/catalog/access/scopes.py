"""What a token is good for: at most what its principal may do, at most what its scopes say, and only in its place.

Scopes stand beside each other, none holds another: a token to register alone reads nothing.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from catalog.access.audience import LOOKS_AFTER_ALL, REGISTERS, Role, organization_of


class Scope(StrEnum):
    """What a token may be used for."""

    READ = "read"
    REGISTER = "register"
    CURATE = "curate"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
# An organization, or a project of one.
PLACE = re.compile(r"[a-z0-9][a-z0-9-]{1,62}(/[a-z0-9][a-z0-9-]{1,62})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Held:
    """The token of ours that a caller came with; `place` is the organization or project that it counts in, if one."""

    id: UUID
    scopes: frozenset[Scope]
    place: str | None
    ends_at: datetime | None


def in_order(scopes: Collection[str]) -> list[Scope]:
    """Return scopes in the order in which they are told."""
    return [scope for scope in Scope if scope.value in scopes]


def lies_in(scope: str, place: str) -> bool:
    """Whether an organization or a project is that place, or a project of it."""
    return scope == place or organization_of(scope) == place


def rights_in(
    place: str, role: Role | None, rights: Collection[tuple[str, Role]]
) -> tuple[Role | None, frozenset[tuple[str, Role]]]:
    """Return the role and the rights of a principal as far as they count in one place alone."""
    # A role in an organization counts in its projects, so in this one too.
    held = {(scope if lies_in(scope, place) else place, one) for scope, one in rights if _touch(scope, place)}
    if role in REGISTERS | LOOKS_AFTER_ALL:
        assert role is not None  # ruff: ignore[S101] - said on the line above.
        held.add((place, role))
    return None if role is None else Role.READER, frozenset(held)


def _touch(scope: str, place: str) -> bool:
    return lies_in(scope, place) or lies_in(place, scope)
