"""A lineage as PROV-JSON, and PROV-JSON as statements that can be recorded (W3C Member Submission of 2013).

Taken are entities that are objects of this catalog or have an identifier outside, activities with what they used and
generated, the agents associated with them, derivations and members. What else a document says is told, not taken.
Computes only: fetches nothing, looks nothing up.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from pydantic import TypeAdapter, ValidationError

from catalog.errors import Fault, Invalid, TooLarge
from catalog.objects import validation
from catalog.objects.references import ObjectId
from catalog.provenance import identifiers
from catalog.provenance.graph import Edge, Graph, Node
from catalog.provenance.statements import (
    REVISIONS,
    SUBJECT_IS_EARLIER,
    SUBJECT_IS_LATER,
    ActivityFacts,
    AgentDraft,
    Identifier,
    RelationType,
)

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024
RECORDS_MAX = 2_000

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
_ENDS = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "wasAssociatedWith": ("prov:activity", "prov:agent"),
    "hadMember": ("prov:collection", "prov:entity"),
}
_INFLUENCE = ("prov:influencee", "prov:influencer")
# What is read and not taken, with the reason that the answer gives.
LEFT_OUT = {
    "wasAttributedTo": "who made an object stands in its creators",
    "wasInformedBy": "follows from what one activity generated and the other used",
    "actedOnBehalfOf": "agents have no relations among themselves here",
    "wasInfluencedBy": "say how: by wasDerivedFrom, used, wasGeneratedBy or hadMember",
    "wasStartedBy": "only the time of an activity's start is kept",
    "wasEndedBy": "only the time of an activity's end is kept",
    "wasInvalidatedBy": "an object is withdrawn by DELETE",
    "specializationOf": "say wasDerivedFrom with catalog:relation IsVersionOf",
    "alternateOf": "say wasDerivedFrom with catalog:relation IsVariantFormOf",
    "mentionOf": "bundles are not kept",
    "bundle": "bundles are not kept; send what is inside as a document of its own",
}
SAID_BY_METADATA = "the metadata of an object says it, and says it wherever the object is registered"
_ELEMENTS = ("entity", "activity", "agent")
_SECTIONS = ("prefix", *_ELEMENTS, *_ENDS, *LEFT_OUT)
# How a value says that it is a name.
_NAMES = frozenset({"prov:QUALIFIED_NAME", "xsd:QName", "prov:QualifiedName"})
_object_id: TypeAdapter[str] = TypeAdapter(ObjectId)
_ACTIVITY_TERMS = ("parameters", "software", "softwareVersion", "repository", "commit", "path")

Attributes = Mapping[str, Any]
Found = TypeVar("Found")


# Out


def prov_json_from(graph: Graph, base: str) -> dict[str, Any]:
    """Return a lineage as PROV-JSON; `base` is the catalog's public address without a last slash."""
    written = _Written(base)
    document: dict[str, Any] = {}
    names = {}
    for node in graph.nodes:
        section, names[node.id] = written.name_of(node)
        document.setdefault(section, {})[names[node.id]] = dict(_attributes_of(node))
        if node.withdrawn_at is not None:
            ended = {"prov:entity": names[node.id], "prov:time": node.withdrawn_at.isoformat()}
            document.setdefault("wasInvalidatedBy", {})[f"_:i{len(names)}"] = ended
    for place, edge in enumerate(graph.edges, 1):
        section, record = _record_of(edge, names)
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
        if node.type == "activity":
            return "activity", f"activity:{node.id}"
        if node.state == "hidden":
            return "entity", f"_:{node.id}"
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
    first, second = _ENDS.get(section, _INFLUENCE)
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


# In


@dataclass(frozen=True, slots=True)
class Entity:
    """What a name stands for: an object of this catalog (`target`), something outside, or nothing that we know."""

    pointer: str
    target: str | None = None
    identifier: Identifier | None = None


@dataclass(frozen=True, slots=True)
class End:
    """A place in the document that names an entity."""

    pointer: str
    name: str


@dataclass(frozen=True, slots=True)
class Said:
    """That one entity relates to another."""

    pointer: str
    type: RelationType
    subject: End
    target: End


@dataclass(frozen=True, slots=True)
class Run:
    """An activity with the entities that it used and generated; `iri` tells it from others that did the same."""

    pointer: str
    name: str
    iri: str
    facts: ActivityFacts
    used: list[End] = field(default_factory=list)
    generated: list[End] = field(default_factory=list)


class LeftOut(msgspec.Struct, frozen=True):
    """A part of a document that was not taken, and why."""

    pointer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Statements:
    """What a document says and can be recorded; `left_out` is what cannot."""

    entities: dict[str, Entity]
    said: list[Said]
    runs: list[Run]
    left_out: list[LeftOut]


def statements_from(body: bytes, base: str, *, project: str | None = None) -> Statements:
    """Return what a PROV-JSON document says; raises Invalid with every fault, TooLarge for too many records.

    An entity is an object of this catalog by its address, id, or kind/name; with a project, by its kind and name there,
    wherever the document comes from. `base` is the catalog's public address.
    """
    document = _decoded(body)
    reading = _Reading(base, project)
    reading.prefixes(document)
    reading.sections(document)
    entities = {name: reading.entity(name, *told) for name, told in reading.elements["entity"].items()}
    agents = {
        name: agent
        for name, told in reading.elements["agent"].items()
        if (agent := reading.agent(name, *told)) is not None
    }
    runs, said = reading.relations(entities, agents)
    if reading.faults.count:
        raise reading.faults.refusal("document")
    return Statements(entities, said, runs, reading.left_out)


def _decoded(body: bytes) -> dict[str, Any]:
    # First by the parser that bounds depth and digits; then by the one that sees a key that comes twice.
    document = validation.json_from(body)
    if not isinstance(document, dict):
        raise Invalid(faults=[Fault("", "send one PROV-JSON document: an object")])
    twice: list[str] = []

    def noticed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        told = dict(pairs)
        if len(told) < len(pairs):
            twice.extend(sorted(name for name in told if sum(name == one for one, _ in pairs) > 1))
        return told

    json.loads(body, object_pairs_hook=noticed)
    if twice:
        faults = [Fault("", f"the key {name[:80]!r} stands twice in one object") for name in dict.fromkeys(twice)]
        raise Invalid(faults=faults[: validation.FAULTS_SHOWN_MAX])
    return document


@dataclass(slots=True)
class _Parts:
    """What relations say of an activity."""

    used: list[End] = field(default_factory=list)
    generated: list[End] = field(default_factory=list)
    agents: list[AgentDraft] = field(default_factory=list)


class _Reading:
    """One document as it is read: its prefixes, its faults, what is left out."""

    def __init__(self, base: str, project: str | None) -> None:
        self.faults = validation.Faults()
        self.left_out: list[LeftOut] = []
        self.elements: dict[str, dict[str, tuple[str, Attributes]]] = {name: {} for name in _ELEMENTS}
        self.records: dict[str, list[tuple[str, Attributes]]] = {name: [] for name in _ENDS}
        self._prefixes: dict[str, str] = {}
        self._base = base
        self._project = project

    def fault(self, pointer: str, message: str, suggestion: str | None = None) -> None:
        """Note a fault."""
        self.faults.add([Fault(pointer, message, suggestion)])

    def prefixes(self, document: Mapping[str, Any]) -> None:
        """Read the prefixes; ours and PROV's own cannot be taken for something else."""
        told = document.get("prefix", {})
        if not isinstance(told, dict):
            self.fault("/prefix", "must be an object of prefixes")
            return
        for name, iri in told.items():
            pointer = validation.pointer_to(["prefix", name])
            if not isinstance(iri, str):
                self.fault(pointer, "must be a text, the start of the addresses that the prefix stands for")
            elif name == "prov" and iri != PROV:
                self.fault(pointer, f"prov stands for {PROV}")
            else:
                self._prefixes[name] = iri
        self._prefixes.setdefault("prov", PROV)

    def sections(self, document: Mapping[str, Any]) -> None:
        """Read every section into records."""
        count = 0
        for section, told in document.items():
            if section == "prefix":
                continue
            if section not in _SECTIONS:
                near = get_close_matches(section[:80], _SECTIONS, n=1)
                self.fault(validation.pointer_to([section]), "is no part of PROV-JSON", near[0] if near else None)
            elif not isinstance(told, dict):
                self.fault(f"/{section}", "must be an object of records by their names")
            elif section in LEFT_OUT:
                count += len(told)
                self.left_out += [
                    LeftOut(
                        validation.pointer_to([section, name]),
                        SAID_BY_METADATA if _by_metadata(one) else LEFT_OUT[section],
                    )
                    for name, one in told.items()
                ]
            else:
                count += sum(len(one) if isinstance(one, list) else 1 for one in told.values())
                self._section(section, told)
        if count > RECORDS_MAX:
            raise TooLarge(f"A document has at most {RECORDS_MAX:,} records; this one has {count:,}.")

    def _section(self, section: str, told: Mapping[str, Any]) -> None:
        for name, one in told.items():
            several = one if isinstance(one, list) else [one]
            for place, record in enumerate(several):
                pointer = validation.pointer_to([section, name, *([place] if isinstance(one, list) else [])])
                if not isinstance(record, dict):
                    self.fault(pointer, "must be an object")
                elif section in _ENDS:
                    self.records[section].append((pointer, record))
                else:
                    pointer_before, before = self.elements[section].get(name, (pointer, {}))
                    self.elements[section][name] = pointer_before, {**before, **record}

    def entity(self, name: str, pointer: str, told: Attributes) -> Entity:
        """Return what the name of an entity stands for."""
        said = _text(told.get("catalog:object"))
        if said is not None:
            if _is_object(said):
                return Entity(pointer, said)
            self.fault(f"{pointer}/catalog:object", "name an object by its id or as kind/name")
        if self._project is not None and (named := _text(told.get("catalog:name"))) is not None:
            here = f"{self._project}/{'/'.join(named.split('/')[-2:])}"
            if "/" in named and _is_object(here):
                return Entity(pointer, here)
        written, value = _text(told.get("catalog:identifierType")), _text(told.get("catalog:identifier"))
        if written is not None and value is not None:
            return Entity(pointer, identifier=identifiers.identifier_of(written, value))
        if name.startswith("_:"):
            return Entity(pointer)
        if ":" not in name and _is_object(name):
            return Entity(pointer, name)
        iri = self._iri(pointer, name)
        for start in (f"{self._base}/api/objects/", f"{self._base}/objects/", "urn:uuid:"):
            if iri.startswith(start) and _is_object(iri.removeprefix(start)):
                return Entity(pointer, iri.removeprefix(start))
        return Entity(pointer, identifier=identifiers.identifier_from(iri))

    def agent(self, name: str, pointer: str, told: Attributes) -> AgentDraft | None:
        """Return an agent; None, and told, when the document does not say what it is."""
        iri = "" if name.startswith("_:") else self._iri(pointer, name)
        types = {self._named(one) for one in _several(told.get("prov:type"))}
        identifier = _text(told.get("catalog:identifier"))
        orcid, ror = identifiers.WRITTEN["ORCID"], identifiers.WRITTEN["ROR"]
        kind = next((ours for ours, theirs in AGENTS.items() if theirs.replace("prov:", PROV) in types), None)
        if f"{TERMS}instrument" in types:
            kind = "instrument"
        elif kind is None and iri.startswith(orcid):
            kind = "person"
        elif kind is None and iri.startswith(ror):
            kind = "organization"
        if kind is None:
            reason = "say by prov:type whether it is a prov:Person, prov:Organization or prov:SoftwareAgent"
            self.left_out.append(LeftOut(pointer, reason))
            return None
        facts: dict[str, Any] = {
            "type": kind,
            "name": _text(told.get("prov:label")) or _text(told.get("foaf:name")) or name.rpartition(":")[2],
        }
        if kind == "person":
            facts["orcid"] = identifier or (iri.removeprefix(orcid) if iri.startswith(orcid) else None)
        elif kind == "organization":
            facts["ror"] = identifier or (iri.removeprefix(ror) if iri.startswith(ror) else None)
        elif kind == "instrument":
            facts["identifier"] = identifier
        else:
            facts["version"] = _text(told.get("catalog:version"))
        return self._checked(AgentDraft, facts, pointer)

    def relations(self, entities: dict[str, Entity], agents: Mapping[str, AgentDraft]) -> tuple[list[Run], list[Said]]:
        """Return the activities, and what entities say of each other; adds entities that are only named."""
        parts: dict[str, _Parts] = {}
        said = []
        for section, pointer, told, first, second in self._ended():
            for key, end in zip(_ENDS[section], (first, second), strict=True):
                if key not in {"prov:activity", "prov:agent"} and end.name not in entities:
                    entities[end.name] = self.entity(end.name, end.pointer, {})
            if section == "wasDerivedFrom":
                said.append(self._derivation(pointer, told, first, second))
            elif section == "hadMember":
                said.append(Said(pointer, RelationType.HAS_PART, first, second))
            elif section == "wasAssociatedWith":
                agent = self._associated(second, agents, pointer, told)
                parts.setdefault(first.name, _Parts()).agents += [] if agent is None else [agent]
            elif section == "used":
                parts.setdefault(first.name, _Parts()).used.append(second)
            else:
                parts.setdefault(second.name, _Parts()).generated.append(first)
        return self._runs(parts), said

    def _ended(self) -> Iterator[tuple[str, str, Attributes, End, End]]:
        """Yield every relation that has both ends."""
        for section, records in self.records.items():
            for pointer, told in records:
                first, second = (self._end(section, pointer, told, key) for key in _ENDS[section])
                if _by_metadata(told):
                    self.left_out.append(LeftOut(pointer, SAID_BY_METADATA))
                elif first is not None and second is not None:
                    self._unread(section, pointer, told)
                    yield section, pointer, told, first, second

    def _associated(
        self, end: End, agents: Mapping[str, AgentDraft], pointer: str, told: Attributes
    ) -> AgentDraft | None:
        if end.name not in self.elements["agent"]:
            self.fault(end.pointer, f"there is no agent {end.name[:80]!r} in the document")
        if end.name not in agents:
            return None
        return self._checked(
            AgentDraft, agents[end.name].model_dump() | {"role": _text(told.get("prov:role"))}, pointer
        )

    def _runs(self, parts: Mapping[str, "_Parts"]) -> list[Run]:
        runs = []
        for name in dict.fromkeys([*self.elements["activity"], *parts]):
            pointer, told = self.elements["activity"].get(name, (validation.pointer_to(["activity", name]), {}))
            of = parts.get(name, _Parts())
            iri = name if name.startswith("_:") else self._iri(pointer, name)
            facts = self._facts(name, pointer, told, of.agents)
            if facts is not None:
                runs.append(Run(pointer, name, iri, facts, _once(of.used), _once(of.generated)))
        return runs

    def _end(self, section: str, pointer: str, told: Attributes, key: str) -> End | None:
        value = told.get(key)
        if value is None and section == "wasGeneratedBy" and key == "prov:activity":
            self.left_out.append(LeftOut(pointer, "names no activity"))
            return None
        name = _text(value) if not isinstance(value, list) else None
        if not name:
            self.fault(f"{pointer}/{key}", "must be there and be one name")
            return None
        return End(f"{pointer}/{key}", name)

    def _unread(self, section: str, pointer: str, told: Attributes) -> None:
        read = {*_ENDS[section], "prov:role", "prov:type", "prov:label", "catalog:relation"}
        self.left_out += [
            LeftOut(f"{pointer}{validation.pointer_to([name])}", "is not kept") for name in told if name not in read
        ]

    def _derivation(self, pointer: str, told: Attributes, generated: End, used: End) -> Said:
        named = _text(told.get("catalog:relation"))
        lineage_types = SUBJECT_IS_LATER | SUBJECT_IS_EARLIER
        revised = f"{PROV}Revision" in {self._named(one) for one in _several(told.get("prov:type"))}
        said = RelationType.IS_NEW_VERSION_OF if revised else RelationType.IS_DERIVED_FROM
        if named is not None and named not in lineage_types:
            known = sorted(lineage_types)
            near = get_close_matches(named[:80], known, n=1)
            message = f"a derivation is one of {', '.join(known)}"
            self.fault(f"{pointer}/catalog:relation", message, near[0] if near else None)
        elif named is not None:
            said = RelationType(named)
            if revised and said not in REVISIONS:
                self.fault(f"{pointer}/catalog:relation", f"{named} is no prov:Revision", "IsNewVersionOf")
        if said in SUBJECT_IS_LATER:
            return Said(pointer, said, generated, used)
        return Said(pointer, said, used, generated)

    def _facts(self, name: str, pointer: str, told: Attributes, agents: Iterable[AgentDraft]) -> ActivityFacts | None:
        ours = {one: _text(told.get(f"catalog:{one}")) for one in _ACTIVITY_TERMS}
        read = {"prov:startTime", "prov:endTime", "prov:type", "prov:label", *(f"catalog:{one}" for one in ours)}
        self.left_out += [
            LeftOut(f"{pointer}{validation.pointer_to([one])}", "is not kept") for one in told if one not in read
        ]
        types = [found for one in _several(told.get("prov:type")) if (found := _text(one))]
        facts: dict[str, Any] = {
            "type": (types or ["activity"])[0],
            "label": _text(told.get("prov:label")) or name.rpartition(":")[2],
            "started": _text(told.get("prov:startTime")),
            "ended": _text(told.get("prov:endTime")),
            "agents": [one.model_dump() for one in agents],
        }
        if ours["parameters"] is not None:
            try:
                facts["parameters"] = validation.json_from(ours["parameters"].encode(errors="replace"))
            except Invalid:
                self.fault(f"{pointer}/catalog:parameters", "must be a JSON object, written as a text")
        if ours["software"] is not None:
            facts["software"] = {"name": ours["software"], "version": ours["softwareVersion"]}
        if ours["repository"] is not None or ours["commit"] is not None:
            facts["code"] = {"url": ours["repository"], "commit": ours["commit"], "path": ours["path"]}
        return self._checked(ActivityFacts, facts, pointer)

    def _checked(self, model: type[Found], facts: dict[str, Any], pointer: str) -> Found | None:
        """Return the facts as the model, or note what is wrong with them, where the document says it."""
        validated: Any = model
        try:
            made: Found = validated.model_validate(facts, strict=False)
        except ValidationError as wrong:
            found = validation.Faults()
            found.add_from(wrong, facts, validated)
            for one in found.shown:
                first = one.pointer.split("/")[1] if "/" in one.pointer else ""
                self.fault(f"{pointer}{_SOURCE.get(one.pointer, _SOURCE.get(f'/{first}', ''))}", one.message)
            return None
        return made

    def _named(self, value: Any) -> str:
        """Return a value that is a name as the address it stands for; any other as its text."""
        text = _text(value) or ""
        if isinstance(value, dict) and value.get("type") not in _NAMES:
            return text
        prefix, _, rest = text.partition(":")
        return self._prefixes[prefix] + rest if prefix in self._prefixes else text.replace("catalog:", TERMS, 1)

    def _iri(self, pointer: str, name: str) -> str:
        prefix, colon, rest = name.partition(":")
        if not colon:
            return self._prefixes.get("default", "") + name
        if prefix in self._prefixes:
            return self._prefixes[prefix] + rest
        if prefix in {"urn", "http", "https"}:
            return name
        near = get_close_matches(prefix[:80], self._prefixes, n=1)
        self.fault(pointer, f"the prefix {prefix[:80]!r} is not said under /prefix", near[0] if near else None)
        return name


# Where the document says a fact, by where our models have it.
_SOURCE = {
    "/type": "/prov:type",
    "/label": "/prov:label",
    "/name": "/prov:label",
    "/started": "/prov:startTime",
    "/ended": "/prov:endTime",
    "/parameters": "/catalog:parameters",
    "/software": "/catalog:software",
    "/software/version": "/catalog:softwareVersion",
    "/code": "/catalog:repository",
    "/code/commit": "/catalog:commit",
    "/code/path": "/catalog:path",
    "/orcid": "/catalog:identifier",
    "/ror": "/catalog:identifier",
    "/identifier": "/catalog:identifier",
    "/version": "/catalog:version",
    "/role": "/prov:role",
}


def _is_object(text: str) -> bool:
    try:
        _object_id.validate_python(text)
    except ValidationError:
        return False
    return True


def _by_metadata(record: Any) -> bool:
    return isinstance(record, dict) and "catalog:pointer" in record


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: Any) -> str | None:
    """Return an attribute's value as text, the first of several: plain, or typed or with a language under `$`."""
    for one in _several(value):
        plain = one.get("$") if isinstance(one, dict) else one
        if isinstance(plain, str):
            return plain
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            return str(plain)
    return None


def _once(ends: Iterable[End]) -> list[End]:
    return list({end.name: end for end in reversed(list(ends))}.values())[::-1]
