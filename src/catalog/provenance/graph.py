"""A lineage as a graph: its nodes, its edges, and how much of an object a node tells.

What a node of a hidden object does not tell, nobody learns from here.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import msgspec

from catalog.objects.reading import Outline


class Direction(StrEnum):
    """Which way to walk from an object."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Node(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An object, activity, agent or outside identifier.

    A hidden one has nothing but a label, which stands for it in this answer alone, and the type if it is no object; a
    withdrawn one is a tombstone.
    """

    id: str
    state: Literal["there", "withdrawn", "hidden", "outside"]
    type: Literal["object", "activity", "agent", "identifier"] | None = None
    kind: str | None = None
    name: str | None = None
    title: str | None = None
    href: str | None = None
    withdrawn_at: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    parameters: dict[str, Any] | None = None
    software: dict[str, Any] | None = None
    code: dict[str, Any] | None = None
    version: str | None = None
    identifier_type: str | None = None
    identifier: str | None = None


class Edge(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A PROV relation: from what came later, or acted, to what it came from, or was acted by.

    `relation` is what was said, in DataCite's words; with a `pointer` it is said by the metadata of the first, there.
    `said_by` is the activity or object in which an agent acted on behalf of another one.
    """

    type: Literal[
        "wasDerivedFrom",
        "wasRevisionOf",
        "used",
        "wasGeneratedBy",
        "wasAssociatedWith",
        "wasAttributedTo",
        "actedOnBehalfOf",
        "wasInformedBy",
        "hadMember",
        "wasInfluencedBy",
    ]
    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    relation: str | None = None
    role: str | None = None
    pointer: str | None = None
    said_by: str | None = None


class Dependents(msgspec.Struct, frozen=True):
    """How many objects that the caller may see depend on the object, and whether visible ones name hidden ones too."""

    visible: int
    hidden: bool


class Graph(msgspec.Struct, frozen=True):
    """The lineage of an object; `complete` when all that may be seen of it is told.

    Else more lies beyond the depth, or within it, and then it is `truncated`: the nearest objects are told.
    """

    object: str
    direction: Direction
    depth: int
    complete: bool
    truncated: bool
    dependents: Dependents | None
    nodes: list[Node]
    edges: list[Edge]


def activity_node(row: Any, **facts: Any) -> Node:
    """Return an activity as a node, with as many of its facts as are told beside what it is called."""
    return Node(
        id=str(row.id),
        state="there",
        type="activity",
        kind=row.type,
        title=row.label,
        href=f"/api/activities/{row.id}",
        **facts,
    )


def shown(object_id: UUID, seen: Mapping[UUID, Outline], number: int) -> Node:
    """Return an object as a node: whole, as a tombstone, or as the hidden one of this number."""
    if object_id not in seen:
        return Node(id=f"hidden-{number}", state="hidden")
    one = seen[object_id]
    if one.withdrawn_at is not None:
        return Node(id=str(object_id), state="withdrawn", type="object", kind=one.kind, withdrawn_at=one.withdrawn_at)
    return Node(
        id=str(object_id),
        state="there",
        type="object",
        kind=one.kind,
        name=None if one.name is None else f"{one.project}/{one.kind}/{one.name}",
        title=one.title,
        href=f"/api/objects/{object_id}",
    )
