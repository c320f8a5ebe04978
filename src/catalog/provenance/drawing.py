"""Drawing what was found as nodes and edges."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

from catalog.objects.reading import Outline
from catalog.objects.references import Bond
from catalog.provenance.graph import Dependents, Edge, Node, activity_node, shown
from catalog.provenance.statements import BONDS, REVISIONS, SUBJECT_IS_LATER, RelationType
from catalog.provenance.tables import Way


class Drawing:
    """Nodes and edges in the order in which visible things name them, so that nothing hidden decides the order."""

    def __init__(self, seen: Mapping[UUID, Outline]) -> None:
        self._seen = seen
        self._labels: dict[UUID, str] = {}
        self._hidden = 0
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def object(self, object_id: UUID) -> str:
        """Return the id under which an object stands in the answer."""
        if object_id not in self._labels:
            self._hidden += object_id not in self._seen
            node = shown(object_id, self._seen, self._hidden)
            self._labels[object_id] = node.id
            self.nodes[node.id] = node
        return self._labels[object_id]

    def relation(self, row: Any) -> None:
        """Draw a relation that is part of lineage."""
        said = RelationType(row.type)
        if row.identifier is None:
            later, earlier = self.object(row.later_id), self.object(row.earlier_id)
        else:
            outside = f"{row.identifier_type}:{row.identifier}"
            self.nodes.setdefault(
                outside,
                Node(
                    id=outside,
                    state="outside",
                    type="identifier",
                    identifier_type=row.identifier_type,
                    identifier=row.identifier,
                ),
            )
            subject = self.object(row.subject_id)
            later, earlier = (subject, outside) if said in SUBJECT_IS_LATER else (outside, subject)
        kind: Literal["wasDerivedFrom", "wasRevisionOf"] = "wasRevisionOf" if said in REVISIONS else "wasDerivedFrom"
        self.edges.append(Edge(type=kind, source=later, target=earlier, relation=said))

    def reference(self, row: Any) -> None:
        """Draw what metadata names."""
        bond = Bond(row.bond)
        source, target = self.object(row.subject_id), self.object(row.target_id)
        self.edges.append(Edge(type=BONDS[bond], source=source, target=target, relation=bond, pointer=row.pointer))

    def activity(self, row: Any) -> None:
        """Draw an activity."""
        self.nodes[str(row.id)] = activity_node(
            row,
            started=row.started_at,
            ended=row.ended_at,
            parameters=row.parameters or None,
            software=row.software,
            code=row.code,
        )

    def involvement(self, row: Any) -> None:
        """Draw what an activity used or generated."""
        activity, involved = str(row.activity_id), self.object(row.object_id)
        if row.way == Way.USED:
            self.edges.append(Edge(type="used", source=activity, target=involved))
        else:
            self.edges.append(Edge(type="wasGeneratedBy", source=involved, target=activity))

    def agent(self, row: Any) -> None:
        """Draw an agent."""
        self.nodes[str(row.id)] = Node(
            id=str(row.id),
            state="there",
            type="agent",
            kind=row.type,
            title=row.name,
            version=row.version,
            identifier_type={"person": "ORCID", "organization": "ROR"}.get(row.type) if row.identifier else None,
            identifier=row.identifier,
        )

    def association(self, row: Any) -> None:
        """Draw an agent's part in an activity."""
        self.agent(row)
        self.edges.append(
            Edge(type="wasAssociatedWith", source=str(row.activity_id), target=str(row.id), role=row.role)
        )

    def responsibility(self, row: Any) -> None:
        """Draw what an object says of an agent that was drawn."""
        said_by, agent = self.object(row.object_id), str(row.agent_id)
        if row.responsible_id is None:
            self.edges.append(Edge(type="wasAttributedTo", source=said_by, target=agent, role=row.role))
        else:
            self._delegation(row, said_by)

    def delegation(self, row: Any) -> None:
        """Draw on whose behalf an agent acted in an activity; both were drawn."""
        self._delegation(row, str(row.activity_id))

    def _delegation(self, row: Any, said_by: str) -> None:
        agent, responsible = str(row.agent_id), str(row.responsible_id)
        self.edges.append(Edge(type="actedOnBehalfOf", source=agent, target=responsible, said_by=said_by))

    def communication(self, row: Any) -> None:
        """Draw which activity informed another; what was not drawn before is hidden."""
        informed, informant = self._activity(row.informed_id), self._activity(row.informant_id)
        self.edges.append(Edge(type="wasInformedBy", source=informed, target=informant))

    def _activity(self, activity_id: UUID) -> str:
        if str(activity_id) in self.nodes:
            return str(activity_id)
        if activity_id not in self._labels:
            self._hidden += 1
            node = Node(id=f"hidden-{self._hidden}", state="hidden", type="activity")
            self._labels[activity_id] = node.id
            self.nodes[node.id] = node
        return self._labels[activity_id]

    def count(self, dependents: Iterable[UUID]) -> Dependents:
        """Return how many of these may be seen and are there, and whether there are hidden ones among them."""
        ids = list(dependents)
        there = [one for one in ids if one in self._seen and self._seen[one].withdrawn_at is None]
        return Dependents(visible=len(there), hidden=any(one not in self._seen for one in ids))
