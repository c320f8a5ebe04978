"""Who says what a document tells of agents, and which activities informed which: computed, not recorded.

An attribution is said by its object, a delegation by the activity or object that the document names. Where it names
neither, PROV means whatever the agent did: then every object says it that is the work of the agent, or of an activity
in which the agent had a part. So it is told to those who may see these, and to nobody else.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from catalog.errors import TooLarge
from catalog.provenance import agents
from catalog.provenance.agents import Key
from catalog.provenance.prov_json_document import LeftOut
from catalog.provenance.prov_json_import import Delegated, Statements
from catalog.provenance.responsibility import AgentStatement
from catalog.provenance.statements import AgentName, DelegationDraft, Identifier

# Of agents, in one document: what is said in general is said by many objects.
SAID_MAX = 10_000


@dataclass(slots=True)
class Spoken:
    """What objects and activities shall say, each thing once; activities are by their names in the document."""

    objects: dict[tuple[UUID, Key, str | None, Key | None], AgentStatement] = field(default_factory=dict)
    delegations: dict[str, dict[tuple[Key, Key], DelegationDraft]] = field(default_factory=dict)
    informants: dict[str, dict[str, None]] = field(default_factory=dict)
    # Where the document makes an object say so.
    places: dict[UUID, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How much is said."""
        return len(self.objects) + sum(
            len(said) for of_activities in (self.delegations, self.informants) for said in of_activities.values()
        )

    def say(self, pointer: str, said: AgentStatement) -> None:
        """Have an object say something; raises TooLarge for more than a document may have said."""
        responsible = None if said.responsible is None else agents.key_of(said.responsible)
        self.objects[said.object_id, agents.key_of(said.agent), said.role, responsible] = said
        self.places.setdefault(said.object_id, pointer)
        if len(self.objects) > SAID_MAX:
            raise TooLarge(
                f"A document says at most {SAID_MAX:,} things of agents, counted for each object; name the activity or "
                "catalog:entity of what holds for few of them."
            )


def spoken(
    told: Statements,
    ids: Mapping[str, UUID | Identifier],
    generated: Mapping[str, Sequence[UUID]],
    known: Collection[str],
    left_out: list[LeftOut],
) -> Spoken:
    """Return what objects and activities shall say of agents and of each other.

    `ids` are the objects of the document, `generated` what each activity generated that is recorded, `known` all
    activities that the document may name: those, and others that the caller may see.
    """
    found = Spoken()
    for one in told.attributed:
        object_id = ids.get(one.entity.name)
        if isinstance(object_id, UUID):
            found.say(one.pointer, AgentStatement(object_id, one.agent, one.agent.role))
        else:
            left_out.append(LeftOut(one.pointer, "only objects of this catalog are attributed to somebody"))
    _communicate(told, generated, known, left_out, found)
    general = []
    for said in told.delegated:
        if said.activity is not None and said.activity.name in generated:
            draft = DelegationDraft.model_construct(agent=said.agent, responsible=said.responsible)
            keys = agents.key_of(said.agent), agents.key_of(said.responsible)
            found.delegations.setdefault(said.activity.name, {})[keys] = draft
        elif said.activity is not None:
            left_out.append(LeftOut(said.pointer, "say by wasGeneratedBy what the activity generated here"))
        elif said.entity is not None:
            object_id = ids.get(said.entity.name)
            if isinstance(object_id, UUID):
                found.say(said.pointer, AgentStatement(object_id, said.agent, responsible=said.responsible))
            else:
                left_out.append(LeftOut(f"{said.pointer}/catalog:entity", "is no object of this catalog"))
        else:
            general.append(said)
    _generalise(told, general, generated, left_out, found)
    return found


def _communicate(
    told: Statements,
    generated: Mapping[str, Sequence[UUID]],
    known: Collection[str],
    left_out: list[LeftOut],
    found: Spoken,
) -> None:
    for one in told.informed:
        if one.informed.name == one.informant.name:
            left_out.append(LeftOut(one.pointer, "an activity does not inform itself"))
        elif one.informed.name not in generated:
            left_out.append(LeftOut(one.pointer, "say by wasGeneratedBy what the informed activity generated here"))
        elif one.informant.name not in known:
            left_out.append(LeftOut(one.pointer, "the informant generated no object of this catalog"))
        else:
            found.informants.setdefault(one.informed.name, {})[one.informant.name] = None


def _generalise(
    told: Statements,
    general: Sequence[Delegated],
    generated: Mapping[str, Sequence[UUID]],
    left_out: list[LeftOut],
    found: Spoken,
) -> None:
    """Have each object say on whose behalf the agents acted that had a part in it, and they in turn."""
    parts: dict[UUID, set[Key]] = {}
    for said in found.objects.values():
        parts.setdefault(said.object_id, set()).update(_keys(said.agent, said.responsible))
    for run in told.runs:
        acting = {agents.key_of(one) for one in run.facts.agents}
        for pair in found.delegations.get(run.name, ()):
            acting.update(pair)
        for object_id in generated.get(run.name, ()):
            parts.setdefault(object_id, set()).update(acting)
    by_agent: dict[Key, list[Delegated]] = {}
    for one in general:
        by_agent.setdefault(agents.key_of(one.agent), []).append(one)
    used: set[str] = set()
    for object_id, keys in parts.items():
        for one in _reached(keys, by_agent):
            used.add(one.pointer)
            found.say(one.pointer, AgentStatement(object_id, one.agent, responsible=one.responsible))
    left_out += [
        LeftOut(one.pointer, "the agent has no part in what is recorded here")
        for one in general
        if one.pointer not in used
    ]


def _reached(keys: Collection[Key], by_agent: Mapping[Key, Sequence[Delegated]]) -> Iterable[Delegated]:
    """Yield what is said in general of these agents, and of those on whose behalf they acted."""
    waiting, seen = sorted(keys, key=str), set(keys)
    for key in waiting:
        for one in by_agent.get(key, ()):
            yield one
            responsible = agents.key_of(one.responsible)
            if responsible not in seen:
                seen.add(responsible)
                waiting.append(responsible)


def _keys(*named: AgentName | None) -> set[Key]:
    return {agents.key_of(one) for one in named if one is not None}
