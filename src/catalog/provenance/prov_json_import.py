"""PROV-JSON as statements that can be recorded.

Taken are entities that are objects of this catalog or have an identifier outside, activities with what they used and
generated and what informed them, agents associated with them, to whom entities are attributed and on whose behalf they
acted, derivations and members. What else a document says is told, not taken.
Computes only: fetches nothing, looks nothing up.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from catalog.errors import Invalid
from catalog.objects import validation
from catalog.objects.references import ObjectId
from catalog.objects.telling import nearest
from catalog.provenance import identifiers
from catalog.provenance.prov_json import AGENTS, ENDS, PROV, SAID_BY, TERMS
from catalog.provenance.prov_json_document import Attributes, Document, End, LeftOut, Record, several, text_of
from catalog.provenance.statements import (
    REVISIONS,
    SUBJECT_IS_EARLIER,
    SUBJECT_IS_LATER,
    ActivityFacts,
    AgentDraft,
    AgentName,
    Identifier,
    RelationType,
)

_object_id: TypeAdapter[str] = TypeAdapter(ObjectId)
_OF_ENTITIES = frozenset({"prov:entity", "prov:generatedEntity", "prov:usedEntity", "prov:collection"})
_ACTIVITY_TERMS = ("parameters", "software", "softwareVersion", "repository", "commit", "path")
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
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Entity:
    """What a name stands for: an object of this catalog (`target`), something outside, or nothing that we know."""

    pointer: str
    target: str | None = None
    identifier: Identifier | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """That one entity relates to another."""

    pointer: str
    type: RelationType
    subject: End
    target: End


@dataclass(frozen=True, slots=True)
class Attributed:
    """That an entity is an agent's work."""

    pointer: str
    entity: End
    agent: AgentDraft


@dataclass(frozen=True, slots=True)
class Delegated:
    """That an agent acted on behalf of another one: in an activity, as an entity says, or neither is said."""

    pointer: str
    agent: AgentName
    responsible: AgentName
    activity: End | None
    entity: End | None


@dataclass(frozen=True, slots=True)
class Informed:
    """That one activity informed another."""

    pointer: str
    informed: End
    informant: End


@dataclass(frozen=True, slots=True)
class Run:
    """An activity with the entities that it used and generated; `iri` tells it from others that did the same."""

    pointer: str
    name: str
    iri: str
    facts: ActivityFacts
    used: list[End] = field(default_factory=list)
    generated: list[End] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Statements:
    """What a document says and can be recorded; `left_out` is what cannot. `activities` are addresses by names."""

    entities: dict[str, Entity]
    said: list[Said]
    attributed: list[Attributed]
    delegated: list[Delegated]
    informed: list[Informed]
    runs: list[Run]
    activities: dict[str, str]
    left_out: list[LeftOut]


def statements_from(body: bytes, base: str, *, project: str | None = None) -> Statements:
    """Return what a PROV-JSON document says; raises Invalid with every fault, TooLarge for too many records.

    An entity is an object of this catalog by its address, id, or kind/name; with a project, by its kind and name there,
    wherever the document comes from. `base` is the catalog's public address.
    """
    document = Document(body)
    reading = _Reading(document, base, project)
    reading.elements()
    told = reading.statements()
    if document.faults.count:
        raise document.faults.refusal("document")
    return told


@dataclass(slots=True)
class _Parts:
    """What relations say of an activity."""

    used: list[End] = field(default_factory=list)
    generated: list[End] = field(default_factory=list)
    agents: list[AgentDraft] = field(default_factory=list)


class _Reading:
    """What a document says of entities, agents and activities; faults and what is left out are noted there."""

    def __init__(self, document: Document, base: str, project: str | None) -> None:
        self._document = document
        self._base = base
        self._project = project
        self._told = Statements({}, [], [], [], [], [], {}, document.left_out)
        self._agents: dict[str, AgentDraft] = {}
        self._parts: dict[str, _Parts] = {}

    def elements(self) -> None:
        """Read the entities and agents that the document describes."""
        for name, told in self._document.elements["entity"].items():
            self._told.entities[name] = self.entity(name, *told)
        for name, told in self._document.elements["agent"].items():
            agent = self.agent(name, *told)
            if agent is not None:
                self._agents[name] = agent

    def entity(self, name: str, pointer: str, told: Attributes) -> Entity:
        """Return what the name of an entity stands for."""
        said = text_of(told.get("catalog:object"))
        if said is not None:
            if _is_object(said):
                return Entity(pointer, said)
            self._document.fault(f"{pointer}/catalog:object", "name an object by its id, as kind/name, or by its DOI")
        if self._project is not None and (named := text_of(told.get("catalog:name"))) is not None:
            here = f"{self._project}/{'/'.join(named.split('/')[-2:])}"
            if "/" in named and _is_object(here):
                return Entity(pointer, here)
        written, value = text_of(told.get("catalog:identifierType")), text_of(told.get("catalog:identifier"))
        if written is not None and value is not None:
            return Entity(pointer, identifier=identifiers.identifier_of(written, value))
        if name.startswith("_:"):
            return Entity(pointer)
        if ":" not in name and _is_object(name):
            doi = identifiers.identifier_of("DOI", name)
            return Entity(pointer, name) if doi is None else Entity(pointer, identifier=doi)
        iri = self._document.iri(pointer, name)
        for start in (f"{self._base}/api/objects/", f"{self._base}/objects/", "urn:uuid:"):
            if iri.startswith(start) and _is_object(iri.removeprefix(start)):
                return Entity(pointer, iri.removeprefix(start))
        return Entity(pointer, identifier=identifiers.identifier_from(iri))

    def agent(self, name: str, pointer: str, told: Attributes) -> AgentDraft | None:
        """Return an agent; None, and told, when the document does not say what it is."""
        iri = "" if name.startswith("_:") else self._document.iri(pointer, name)
        types = {self._document.named(one) for one in several(told.get("prov:type"))}
        identifier = text_of(told.get("catalog:identifier"))
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
            self._document.leave(pointer, reason)
            return None
        facts: dict[str, Any] = {
            "type": kind,
            "name": text_of(told.get("prov:label")) or text_of(told.get("foaf:name")) or name.rpartition(":")[2],
        }
        if kind == "person":
            facts["orcid"] = identifier or (iri.removeprefix(orcid) if iri.startswith(orcid) else None)
        elif kind == "organization":
            facts["ror"] = identifier or (iri.removeprefix(ror) if iri.startswith(ror) else None)
        elif kind == "instrument":
            facts["identifier"] = identifier
        else:
            facts["version"] = text_of(told.get("catalog:version"))
        return self._checked(AgentDraft, facts, pointer)

    def statements(self) -> Statements:
        """Return what the document says; entities that are only named are added."""
        taken: Mapping[str, Callable[[Record], None]] = {
            "used": self._used,
            "wasGeneratedBy": self._generated,
            "wasAssociatedWith": self._associated,
            "wasDerivedFrom": self._derived,
            "hadMember": self._member,
            "wasAttributedTo": self._attributed,
            "actedOnBehalfOf": self._delegated,
            "wasInformedBy": self._informed,
        }
        told = self._told
        for one in self._document.records():
            for key, end in zip(ENDS[one.section], (one.first, one.second), strict=True):
                if key in _OF_ENTITIES:
                    self._mention(end)
            taken[one.section](one)
        named = {end for one in told.informed for end in (one.informed, one.informant)}
        named |= {one.activity for one in told.delegated if one.activity is not None}
        told.activities.update({end.name: self._activity_iri(end.pointer, end.name) for end in named})
        told.runs.extend(self._runs())
        return told

    def _used(self, one: Record) -> None:
        self._parts_of(one.first).used.append(one.second)

    def _generated(self, one: Record) -> None:
        self._parts_of(one.second).generated.append(one.first)

    def _associated(self, one: Record) -> None:
        agent = self._in_role(one)
        self._parts_of(one.first).agents += [] if agent is None else [agent]

    def _member(self, one: Record) -> None:
        self._told.said.append(Said(one.pointer, RelationType.HAS_PART, one.first, one.second))

    def _attributed(self, one: Record) -> None:
        agent = self._in_role(one)
        if agent is not None:
            self._told.attributed.append(Attributed(one.pointer, one.first, agent))

    def _delegated(self, one: Record) -> None:
        agent, responsible = self._agent(one.first), self._agent(one.second)
        activity, entity = (self._document.also(one, key) for key in SAID_BY.values())
        if activity is not None and entity is not None:
            self._document.fault(one.pointer, "an activity or an entity says so; give one of them")
        if entity is not None:
            self._mention(entity)
        if agent is not None and responsible is not None:
            self._told.delegated.append(Delegated(one.pointer, agent, responsible, activity, entity))

    def _informed(self, one: Record) -> None:
        self._told.informed.append(Informed(one.pointer, one.first, one.second))

    def _parts_of(self, activity: End) -> _Parts:
        return self._parts.setdefault(activity.name, _Parts())

    def _mention(self, end: End) -> None:
        if end.name not in self._told.entities:
            self._told.entities[end.name] = self.entity(end.name, end.pointer, {})

    def _activity_iri(self, pointer: str, name: str) -> str:
        return name if name.startswith("_:") else self._document.iri(pointer, name)

    def _agent(self, end: End) -> AgentDraft | None:
        if end.name not in self._document.elements["agent"]:
            self._document.fault(end.pointer, f"there is no agent {end.name[:80]!r} in the document")
        elif end.name not in self._agents:
            self._document.leave(end.pointer, "the agent itself is left out")
        return self._agents.get(end.name)

    def _in_role(self, one: Record) -> AgentDraft | None:
        agent = self._agent(one.second)
        if agent is None:
            return None
        role = {"role": text_of(one.told.get("prov:role"))}
        return self._checked(AgentDraft, agent.model_dump() | role, one.pointer)

    def _runs(self) -> list[Run]:
        runs, parts = [], self._parts
        described = self._document.elements["activity"]
        for name in dict.fromkeys([*described, *parts]):
            pointer, told = described.get(name, (validation.pointer_to(["activity", name]), {}))
            of = parts.get(name, _Parts())
            iri = self._activity_iri(pointer, name)
            facts = self._facts(name, pointer, told, of.agents)
            if facts is not None:
                runs.append(Run(pointer, name, iri, facts, _once(of.used), _once(of.generated)))
        return runs

    def _derived(self, one: Record) -> None:
        pointer, told, generated, used = one.pointer, one.told, one.first, one.second
        named = text_of(told.get("catalog:relation"))
        lineage_types = SUBJECT_IS_LATER | SUBJECT_IS_EARLIER
        revised = f"{PROV}Revision" in {self._document.named(one) for one in several(told.get("prov:type"))}
        said = RelationType.IS_NEW_VERSION_OF if revised else RelationType.IS_DERIVED_FROM
        if named is not None and named not in lineage_types:
            known = sorted(lineage_types)
            near = nearest(named, known)
            message = f"a derivation is one of {', '.join(known)}"
            self._document.fault(f"{pointer}/catalog:relation", message, near)
        elif named is not None:
            said = RelationType(named)
            if revised and said not in REVISIONS:
                self._document.fault(f"{pointer}/catalog:relation", f"{named} is no prov:Revision", "IsNewVersionOf")
        subject, target = (generated, used) if said in SUBJECT_IS_LATER else (used, generated)
        self._told.said.append(Said(pointer, said, subject, target))

    def _facts(self, name: str, pointer: str, told: Attributes, agents: Iterable[AgentDraft]) -> ActivityFacts | None:
        ours = {one: text_of(told.get(f"catalog:{one}")) for one in _ACTIVITY_TERMS}
        read = {"prov:startTime", "prov:endTime", "prov:type", "prov:label", *(f"catalog:{one}" for one in ours)}
        self._document.leave_others(pointer, told, read)
        types = [found for one in several(told.get("prov:type")) if (found := text_of(one))]
        facts: dict[str, Any] = {
            "type": (types or ["activity"])[0],
            "label": text_of(told.get("prov:label")) or name.rpartition(":")[2],
            "started": text_of(told.get("prov:startTime")),
            "ended": text_of(told.get("prov:endTime")),
            "agents": [one.model_dump() for one in agents],
        }
        if ours["parameters"] is not None:
            try:
                facts["parameters"] = validation.json_from(ours["parameters"].encode(errors="replace"))
            except Invalid:
                self._document.fault(f"{pointer}/catalog:parameters", "must be a JSON object, written as a text")
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
                self._document.fault(f"{pointer}{_SOURCE.get(one.pointer, _SOURCE.get(f'/{first}', ''))}", one.message)
            return None
        return made


def _is_object(text: str) -> bool:
    try:
        _object_id.validate_python(text)
    except ValidationError:
        return False
    return True


def _once(ends: Iterable[End]) -> list[End]:
    return list({end.name: end for end in reversed(list(ends))}.values())[::-1]
