"""What the objects of a random world say of each other and of agents, and the activities that made them."""

from uuid import UUID

from catalog.provenance import recording
from catalog.provenance.statements import RelationType
from tests.interference.world import World

RELATIONS = [
    RelationType.IS_DERIVED_FROM,
    RelationType.IS_SOURCE_OF,
    RelationType.IS_NEW_VERSION_OF,
    RelationType.REFERENCES,
]


def _agent(world: World, *, keep: bool) -> UUID:
    """Return an agent, perhaps one of which something was said before."""
    if not world.agents or world.chance(0.5):
        title = f"Agent {len(world.agents)} of {world.number}"
        told = {"id": world.id(), "type": "software", "name": title, "identifier": None, "version": "1"}
        world.agents.append(told)
        world.everything["agent"].append(told)
    one = world.dice.choice(world.agents)
    if keep and one not in world.kept["agent"]:
        world.kept["agent"].append(one)
    found: UUID = one["id"]
    return found


def statements(world: World) -> None:
    """Let objects say something of each other and of agents."""
    said = set()
    for position in range(14):
        subject, target = world.dice.sample(world.things, 2)
        kind = world.dice.choice(RELATIONS)
        keep = subject.id in world.visible
        if (subject.id, kind, target.id) in said:
            continue
        said.add((subject.id, kind, target.id))
        later, earlier = recording.lineage_of(kind, subject.id, target.id)
        outside = world.chance(0.15)
        world.put(
            "relation",
            keep=keep,
            id=world.id(),
            subject_id=subject.id,
            type=kind.value,
            target_id=None if outside else target.id,
            identifier_type="URL" if outside else None,
            identifier=f"https://example.org/{position}" if outside else None,
            later_id=None if outside else later,
            earlier_id=None if outside else earlier,
            position=position,
            principal_id=world.dice.choice(world.people),
            created_at=world.moment(),
        )
        world.name(target.id, keep=keep and not outside)
    for position, one in enumerate(world.dice.sample(world.things, k=6)):
        keep = one.id in world.visible
        agent, responsible = _agent(world, keep=keep), _agent(world, keep=keep)
        other = responsible if responsible != agent and world.chance(0.4) else None
        world.put(
            "responsibility",
            keep=keep,
            id=world.id(),
            object_id=one.id,
            agent_id=agent,
            responsible_id=other,
            role=f"role {position}" if other is None else None,
            position=position,
            principal_id=world.dice.choice(world.people),
            created_at=world.moment(),
        )


def activities(world: World) -> None:
    """Let activities use some objects and generate others, and inform each other."""
    acts: list[tuple[UUID, bool]] = []
    for _ in range(4):
        involved = world.dice.sample(world.things, 4)
        used, generated = involved[: world.dice.choice([0, 1, 2])], involved[2 : 2 + world.dice.choice([1, 2])]
        keep = any(one.id in world.visible for one in generated)
        act = world.id()
        _act(world, act, keep=keep)
        for way, several in (("used", used), ("generated", generated)):
            for position, one in enumerate(several):
                world.put("involvement", keep=keep, activity_id=act, way=way, object_id=one.id, position=position)
        world.name(*(one.id for one in [*used, *generated]), keep=keep)
        agent, other = _agent(world, keep=keep), _agent(world, keep=keep)
        world.put("association", keep=keep, activity_id=act, position=0, agent_id=agent, role="operator")
        if agent != other:
            told = {"agent_id": agent, "responsible_id": other, "position": 0}
            world.put("delegation", keep=keep, activity_id=act, **told)
        for place, (informant, there) in enumerate(acts):
            if world.chance(0.4):
                world.put("communication", keep=keep, informed_id=act, informant_id=informant, position=place)
                if keep and not there:
                    world.telling.add(informant)
        acts.append((act, keep))
        world.note("activity", act)


def _act(world: World, act: UUID, *, keep: bool) -> None:
    world.put(
        "activity",
        keep=keep,
        id=act,
        type="training",
        label=world.words(),
        started_at=world.moment(),
        ended_at=None,
        parameters={"seed": world.dice.randrange(100)},
        software=None,
        code=None,
        principal_id=world.dice.choice(world.people),
        created_at=world.moment(),
    )
