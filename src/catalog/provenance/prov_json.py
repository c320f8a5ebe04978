"""A lineage as PROV-JSON (W3C Member Submission of 2013), and the words in which documents go out and come in."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from catalog.provenance import identifiers
from catalog.provenance.graph import Edge, Graph, Node

PROV = "http://www.w3.org/ns/prov#"
# What PROV has no word for: kind, name, parameters, software, code.
TERMS = "urn:catalog:terms:"
AGENTS = {"person": "prov:Person", "organization": "prov:Organization", "software": "prov:SoftwareAgent"}
_PREFIXES = {
    "prov": PROV,
    "catalog": TERMS,
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "doi": "https://doi.org/",
}
# The two ends of each relation that is taken, in the order of PROV-DM.
ENDS = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "hadMember": ("prov:collection", "prov:entity"),
    "wasAttributedTo": ("prov:entity", "prov:agent"),
    "actedOnBehalfOf": ("prov:delegate", "prov:responsible"),
    "wasInformedBy": ("prov:informed", "prov:informant"),
}
# In which activity an agent acted on behalf of another one; PROV has no word for the entity that says so.
SAID_BY = {"activity": "prov:activity", "entity": "catalog:entity"}
_INFLUENCE = ("prov:influencee", "prov:influencer")


def prov_json_from(graph: Graph, base: str) -> dict[str, Any]:
    """Return a lineage as PROV-JSON; `base` is the catalog's public address without a last slash."""
    written = _Written(base)
    document: dict[str, Any] = {}
    names = {}
    sections = {}
    for node in graph.nodes:
        section, names[node.id] = written.name_of(node)
        sections[node.id] = section
        document.setdefault(section, {})[names[node.id]] = dict(_attributes_of(node))
        if node.withdrawn_at is not None:
            ended = {"prov:entity": names[node.id], "prov:time": node.withdrawn_at.isoformat()}
            document.setdefault("wasInvalidatedBy", {})[f"_:i{len(names)}"] = ended
    for place, edge in enumerate(graph.edges, 1):
        section, record = _record_of(edge, names)
        if edge.said_by is not None:
            record[SAID_BY[sections[edge.said_by]]] = names[edge.said_by]
        document.setdefault(section, {})[f"_:r{place}"] = record
    return {"prefix": written.prefixes, **document}


class _Written:
    """Names of things, and the prefixes they need."""

    def __init__(self, base: str) -> None:
        self.prefixes = {
            **_PREFIXES,
            "object": f"{base}/api/objects/",
            "activity": f"{base}/api/activities/",
        }

    def name_of(self, node: Node) -> tuple[str, str]:
        """Return in which section a thing stands, and under which name."""
        if node.type == "agent":
            return "agent", self._of(f"urn:uuid:{node.id}")
        if node.state == "hidden":
            return ("activity" if node.type == "activity" else "entity"), f"_:{node.id}"
        if node.type == "activity":
            return "activity", f"activity:{node.id}"
        if node.identifier is not None and node.identifier_type is not None:
            return "entity", self._of(identifiers.iri_from(node.identifier_type, node.identifier))
        return "entity", f"object:{node.id}"

    def _of(self, iri: str) -> str:
        doi = self.prefixes["doi"]
        if iri.startswith(doi):
            return f"doi:{iri.removeprefix(doi)}"
        # A prefix of each scheme writes any address as a name that expands to itself.
        scheme = iri.partition(":")[0]
        self.prefixes[scheme] = f"{scheme}:"
        return iri


def _attributes_of(node: Node) -> Iterator[tuple[str, Any]]:
    if node.title is not None:
        yield "prov:label", node.title
    if node.type == "activity":
        if node.kind is not None:
            yield "prov:type", node.kind
    elif node.type == "agent":
        known = AGENTS.get(node.kind or "")
        yield "prov:type", {"$": known or f"catalog:{node.kind}", "type": "prov:QUALIFIED_NAME"}
    elif node.kind is not None:
        yield "catalog:kind", node.kind
    software, code = node.software or {}, node.code or {}
    told = {
        "prov:startTime": None if node.started is None else node.started.isoformat(),
        "prov:endTime": None if node.ended is None else node.ended.isoformat(),
        "catalog:name": node.name,
        "catalog:version": node.version,
        "catalog:identifierType": node.identifier_type,
        "catalog:identifier": node.identifier,
        # Attributes of PROV-JSON have plain values: what nests is told as the text that JSON is.
        "catalog:parameters": None if not node.parameters else _json_text(node.parameters),
        "catalog:software": software.get("name"),
        "catalog:softwareVersion": software.get("version"),
        "catalog:repository": code.get("url"),
        "catalog:commit": code.get("commit"),
        "catalog:path": code.get("path"),
    }
    yield from ((name, value) for name, value in told.items() if value is not None)


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _record_of(edge: Edge, names: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    revised = edge.type == "wasRevisionOf"
    section = "wasDerivedFrom" if revised else edge.type
    first, second = ENDS.get(section, _INFLUENCE)
    record: dict[str, Any] = {first: names[edge.source], second: names[edge.target]}
    if revised:
        record["prov:type"] = {"$": "prov:Revision", "type": "prov:QUALIFIED_NAME"}
    if edge.relation is not None:
        record["catalog:relation"] = edge.relation
    if edge.pointer is not None:
        record["catalog:pointer"] = edge.pointer
    if edge.role is not None:
        record["prov:role"] = edge.role
    return section, record
