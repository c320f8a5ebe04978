"""A lineage in PROV-O (W3C Recommendation of 2013), as Turtle or JSON-LD.

Computes only; serialising a large graph takes a moment, so whoever answers requests does it in a thread.
"""

from typing import Any

import msgspec
from rdflib import RDF, RDFS, XSD, BNode, Graph, Literal, Namespace, URIRef
from rdflib.namespace import DCAT, DCTERMS, SDO
from rdflib.term import Node as Term

from catalog.provenance import identifiers
from catalog.provenance.graph import Edge, Node
from catalog.provenance.graph import Graph as Lineage

PROV = Namespace("http://www.w3.org/ns/prov#")
_AGENTS = {"person": PROV.Person, "organization": PROV.Organization, "software": PROV.SoftwareAgent}


def prov_o(graph: Lineage, base: str, *, written: str) -> bytes:
    """Return the lineage, `written` as turtle or json-ld; `base` is the catalog's public address without a last slash.

    Hidden objects are blank nodes.
    """
    triples = Graph()
    triples.bind("prov", PROV)
    triples.bind("dcterms", DCTERMS)
    triples.bind("schema", SDO)
    triples.bind("dcat", DCAT)
    names = {node.id: _uri(node, base) for node in graph.nodes}
    for node in graph.nodes:
        _describe(triples, names[node.id], node)
    activities = {node.id for node in graph.nodes if node.type == "activity"}
    for edge in graph.edges:
        _connect(triples, names, edge)
        if edge.said_by in activities:
            delegation = _qualified(triples, names[edge.source], names[edge.target], "Delegation")
            triples.add((delegation, PROV.hadActivity, names[edge.said_by]))
    told: bytes = triples.serialize(format=written, encoding="utf-8")
    return told


def _uri(node: Node, base: str) -> Term:
    if node.state == "hidden":
        return BNode(node.id)
    if node.type == "object":
        return URIRef(f"{base}/api/objects/{node.id}")
    if node.type == "activity":
        return URIRef(f"{base}/api/activities/{node.id}")
    if node.identifier is not None and node.identifier_type is not None:
        return URIRef(identifiers.iri_from(node.identifier_type, node.identifier))
    return URIRef(f"urn:uuid:{node.id}")


def _describe(triples: Graph, name: Term, node: Node) -> None:
    types = {"activity": PROV.Activity, "agent": PROV.Agent}
    triples.add((name, RDF.type, types.get(node.type or "", PROV.Entity)))
    if node.type == "agent" and node.kind in _AGENTS:
        triples.add((name, RDF.type, _AGENTS[node.kind]))
    if node.title is not None:
        triples.add((name, RDFS.label, Literal(node.title)))
    if node.kind is not None:
        triples.add((name, DCTERMS.type, Literal(node.kind)))
    if node.identifier is not None:
        triples.add((name, DCTERMS.identifier, Literal(node.identifier)))
    for said, moment in (
        (PROV.startedAtTime, node.started),
        (PROV.endedAtTime, node.ended),
        (PROV.invalidatedAtTime, node.withdrawn_at),
    ):
        if moment is not None:
            triples.add((name, said, Literal(moment.isoformat(), datatype=XSD.dateTime)))
    if node.type == "activity":
        _ran(triples, name, node)
    elif node.version is not None:
        triples.add((name, SDO.softwareVersion, Literal(node.version)))


def _ran(triples: Graph, activity: Term, node: Node) -> None:
    """Tell parameters, software and code in schema.org's words: PROV-O has none for them."""
    for parameter, value in (node.parameters or {}).items():
        said = BNode()
        triples.add((activity, SDO.additionalProperty, said))
        triples.add((said, RDF.type, SDO.PropertyValue))
        triples.add((said, SDO.name, Literal(parameter)))
        triples.add((said, SDO.value, _literal(value)))
    if node.software is not None:
        software = BNode()
        triples.add((activity, PROV.wasAssociatedWith, software))
        triples.add((software, RDF.type, PROV.SoftwareAgent))
        triples.add((software, RDFS.label, Literal(node.software["name"])))
        if node.software.get("version") is not None:
            triples.add((software, SDO.softwareVersion, Literal(node.software["version"])))
    if node.code is not None:
        code = BNode()
        triples.add((activity, PROV.used, code))
        for kind in (PROV.Entity, PROV.Plan, SDO.SoftwareSourceCode):
            triples.add((code, RDF.type, kind))
        triples.add((code, SDO.codeRepository, URIRef(node.code["url"])))
        # A commit is the version that names the same bytes for ever.
        triples.add((code, SDO.version, Literal(node.code["commit"])))
        if node.code.get("path") is not None:
            triples.add((code, SDO.name, Literal(node.code["path"])))


def _literal(value: Any) -> Literal:
    if isinstance(value, str | int | float):
        return Literal(value)
    # RDF 1.1 has no other literal for what nests (JSON-LD 1.1, section 10.2).
    return Literal(msgspec.json.encode(value, order="deterministic").decode(), datatype=RDF.JSON)


def _connect(triples: Graph, names: dict[str, Term], edge: Edge) -> None:
    source, target = names[edge.source], names[edge.target]
    triples.add((source, PROV[edge.type], target))
    if edge.type == "wasAssociatedWith" and edge.role is not None:
        association = _qualified(triples, source, target, "Association")
        _play(triples, association, PROV.hadRole, edge.role)
    elif edge.type == "wasAttributedTo" and edge.role is not None:
        # PROV-O's hadRole is for what involves an activity; W3C's DCAT has one for attributions.
        _play(triples, _qualified(triples, source, target, "Attribution"), DCAT.hadRole, edge.role)


def _qualified(triples: Graph, source: Term, target: Term, kind: str) -> BNode:
    """Return what says more of how an agent is responsible."""
    qualified = BNode()
    triples.add((source, PROV[f"qualified{kind}"], qualified))
    triples.add((qualified, RDF.type, PROV[kind]))
    triples.add((qualified, PROV.agent, target))
    return qualified


def _play(triples: Graph, qualified: BNode, had_role: URIRef, label: str) -> None:
    role = BNode()
    triples.add((qualified, had_role, role))
    triples.add((role, RDF.type, PROV.Role))
    triples.add((role, RDFS.label, Literal(label)))
