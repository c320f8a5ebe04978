"""Random worlds as rows, each twice: with everything, and as if what one caller may not see had never been made.

Who sees what is decided here a second time, in the words of docs/access.md: nothing of the catalog's own rule is asked.
What a visible thing names, and is hidden, is in the second world a husk: another thing, of which nothing is the same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

LOOKS_AFTER = {"curator", "admin"}
WORDS = ["soil", "moisture", "cloud", "cover", "bird", "song", "weather", "radar"]
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

Rows = dict[str, list[dict[str, Any]]]
# A table's rows need those of tables that stand before it.
TABLES = (
    "organization",
    "principal",
    "token",
    "project",
    "principal_group",
    "group_member",
    "membership",
    "object",
    "object_grant",
    "object_term",
    "reference",
    "file",
    "upload",
    "version",
    "version_file",
    "audit",
    "quality",
    "relation",
    "agent",
    "responsibility",
    "activity",
    "involvement",
    "association",
    "delegation",
    "communication",
    "snapshot",
    "snapshot_member",
    "doi",
    "edit",
    "edited_object",
    "term_proposal",
    "discovered_file",
    "outside_address",
    "issued",
    "access_change",
    "saved_search",
    "saved_alert",
    "subscription",
)


@dataclass(frozen=True)
class Thing:
    """An object, with what decides who sees it."""

    id: UUID
    kind: str
    project: str
    name: str | None
    owner: UUID
    visibility: str
    withdrawn: bool
    # Whom it was granted to, what, and whether the grant still holds.
    granted: Sequence[tuple[str, str, bool]]
    title: str

    @property
    def scopes(self) -> set[str]:
        """The organization and the project in which it lies."""
        return {self.project.partition("/")[0], self.project}


@dataclass
class World:
    """Rows of the full world, rows of the one without what the caller may not see, and what there is to ask for."""

    number: int
    dice: random.Random
    doi_prefix: str
    everything: Rows = field(default_factory=lambda: {name: [] for name in TABLES})
    kept: Rows = field(default_factory=lambda: {name: [] for name in TABLES})
    # Those who act; the first of them asks, or nobody does.
    people: list[UUID] = field(default_factory=list)
    token: str | None = None
    caller: UUID | None = None
    tokens: set[str] = field(default_factory=set)
    rights: set[tuple[str, str]] = field(default_factory=set)
    # What the caller was granted below prefixes, and holds: scope and permission.
    below: set[tuple[str, str]] = field(default_factory=set)
    organizations: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    groups: list[UUID] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    visible: set[UUID] = field(default_factory=set)
    # Ids of what there is beside objects, by what it is.
    others: dict[str, list[str]] = field(default_factory=dict)
    # What visible things name, and so has to be there in some way.
    named: set[UUID] = field(default_factory=set)
    agents: list[dict[str, Any]] = field(default_factory=list)
    # Hidden activities that visible ones name.
    telling: set[UUID] = field(default_factory=set)

    def id(self) -> UUID:
        """Return an id that nothing else has."""
        return UUID(int=self.dice.getrandbits(128), version=4)

    def words(self) -> str:
        """Return some words, and the number of the world."""
        return " ".join([*self.dice.choices(WORDS, k=3), str(self.number)])

    def chance(self, share: float) -> bool:
        """Whether it happens, so often of a hundred times."""
        return self.dice.random() < share

    def moment(self) -> datetime:
        """Return some time of the past."""
        return LONG_AGO + timedelta(minutes=self.dice.randrange(100_000))

    def put(self, table: str, *, keep: bool, **values: Any) -> None:
        """Add a row to the full world, and to the other one where it is kept."""
        self.everything[table].append(values)
        if keep:
            self.kept[table].append(values)

    def note(self, what: str, which: object) -> None:
        """Remember what there is to ask for, hidden or not."""
        self.others.setdefault(what, []).append(str(which))

    # Who sees what, as docs/access.md has it.

    def roles_in(self, scope: str) -> set[str]:
        """Return the roles that the caller has in an organization or a project; one in an organization counts below."""
        return {role for at, role in self.rights if at in {scope, scope.partition("/")[0]}}

    def looks_after(self, scope: str) -> bool:
        """Whether the caller is a curator or admin there."""
        return bool(self.roles_in(scope) & LOOKS_AFTER)

    def belongs(self, scope: str) -> bool:
        """Whether the caller is a member of an organization, or of any of its projects; or of this project."""
        held = {(at, role) for at, role in self.rights if role != "ingest"}
        if "/" in scope:
            return any(at in {scope, scope.partition("/")[0]} for at, _ in held)
        return any(at.partition("/")[0] == scope for at, _ in held)

    def sees(self, one: Thing) -> bool:
        """Whether the caller may see an object."""
        organization = one.project.partition("/")[0]
        by_visibility = {
            "public": True,
            "organization": self.belongs(organization),
            "project": self.belongs(one.project),
        }
        return (
            by_visibility.get(one.visibility, False)
            or one.owner == self.caller
            or self.looks_after(one.project)
            or any(scope in one.scopes for scope, _ in self.below)
            or any(to in self.tokens and holds for to, _, holds in one.granted)
        )

    def name(self, *targets: UUID, keep: bool) -> None:
        """Remember what something that is kept names."""
        if keep:
            self.named.update(targets)


async def write(session: AsyncSession, worlds: Sequence[Rows]) -> None:
    """Write the rows of many worlds, in the order of the tables."""
    for name in TABLES:
        table = SQLModel.metadata.tables[name]
        rows = [row for world in worlds for row in world[name]]
        # Rows of one statement have the same columns.
        shapes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows:
            shapes.setdefault(tuple(sorted(row)), []).append(row)
        for several in shapes.values():
            for at in range(0, len(several), 500):
                await session.execute(sa.insert(table), several[at : at + 500])
