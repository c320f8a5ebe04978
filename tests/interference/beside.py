"""What stands beside objects in a random world: DOIs, snapshots, edits, proposals; husks in place of what is hidden."""

from uuid import NAMESPACE_OID, UUID, uuid5

from catalog.access.audience import group_token
from catalog.doi import names
from catalog.doi.names import Subject
from tests.interference.things import record_of
from tests.interference.world import LONG_AGO, Thing, World

# Where rows of something visible name what may be hidden.
NAMING = {
    "relation": ("target_id", "later_id", "earlier_id"),
    "involvement": ("object_id",),
    "communication": ("informant_id",),
}


def dois(world: World) -> None:
    """Give some objects and versions DOIs, in any state."""
    for one in world.things:
        for version in (None, 1):
            if not world.chance(0.25):
                continue
            state = world.dice.choice(["reserved", "registering", "findable", "failed", "hidden"])
            told = state in {"findable", "hidden"}
            # What a registry has made public is known to everybody.
            keep = told or one.id in world.visible
            doi = names.doi_of(world.doi_prefix, Subject(one.id, version))
            errors = [{"pointer": "/creators", "message": world.words()}] if state == "failed" else None
            registered = {
                "titles": [{"title": world.words()}],
                "creators": [{"name": "Rivera, Ana"}],
                "publisher": {"name": "Science Catalog"},
                "publicationYear": 2026,
            }
            world.put(
                "doi",
                keep=keep,
                doi=doi,
                object_id=one.id,
                version=version,
                state=state,
                principal_id=world.dice.choice(world.people),
                created_at=world.moment(),
                changed_at=world.moment(),
                attempts=2 if state == "failed" else 0,
                reason=world.words() if state == "failed" else None,
                errors=errors,
                registered=registered if told else None,
            )
            world.name(one.id, keep=keep)
            world.note("doi", doi)


def snapshots(world: World) -> None:
    """Freeze some objects, which were public once."""
    for _ in range(2):
        taken, members = world.id(), world.dice.sample(world.things, 4)
        world.put(
            "snapshot",
            keep=True,
            id=taken,
            record={"title": world.words(), "description": "", "creators": [{"name": "Rivera, Ana"}]},
            question={"q": "soil"},
            taken_at=world.moment(),
            principal_id=world.dice.choice(world.people),
            members=len(members),
            digest="ab" * 32,
        )
        for position, one in enumerate(members):
            told = {"revision": world.dice.choice([3, 4]), "version": None, "kind": one.kind, "title": one.title}
            world.put(
                "snapshot_member",
                keep=True,
                snapshot_id=taken,
                position=position,
                object_id=one.id,
                digest="cd" * 32,
                **told,
            )
        world.note("snapshot", taken)


def edits(world: World) -> None:
    """Let the caller and another one have edited some objects."""
    for _ in range(3):
        made, by = world.id(), world.dice.choice(world.people[:2])
        mine = by == world.caller
        world.put("edit", keep=mine, id=made, principal_id=by, patch={"licence": "MIT"}, made_at=world.moment())
        for one in world.dice.sample(world.things, 3):
            world.put(
                "edited_object",
                keep=mine and one.id in world.visible,
                edit_id=made,
                object_id=one.id,
                from_revision=1,
                to_revision=2,
                changes={"licence": {"from": None, "to": "MIT"}},
                undone=False,
            )
        world.note("edit", made)


def others(world: World) -> None:
    """Add what is for those who look after the whole catalog, and what is said of no object."""
    for place in range(2):
        by = world.dice.choice(world.people)
        world.put(
            "term_proposal",
            keep=by == world.caller,
            id=world.id(),
            scheme="ml-tasks",
            label=f"Task {world.number} {place}",
            language="en",
            folded=f"task {world.number} {place}",
            definition=world.words(),
            broader=None,
            reason=world.words(),
            state="open",
            proposed_by=by,
            proposed_at=world.moment(),
        )
    project = world.dice.choice(world.projects)
    world.put(
        "discovered_file",
        keep=False,
        id=world.id(),
        backend="default",
        bucket="none",
        key=f"{project}/found.csv",
        project=project,
        size=3,
        etag="e1",
        media_type="text/csv",
        modified_at=LONG_AGO,
    )
    world.put(
        "outside_address",
        keep=True,
        address=f"https://example.org/w{world.number}",
        state="unreachable",
        checked_at=LONG_AGO,
    )
    world.put(
        "issued",
        keep=False,
        at=LONG_AGO,
        request_id="r1",
        what="download",
        object_id=world.things[0].id,
        paths=["data.csv"],
        expires_at=LONG_AGO,
    )


def saved_searches(world: World) -> None:
    """Let the caller and another one have saved a search, and have been told of everything while they saw it."""
    for by in world.people[:2]:
        saved, mine = world.id(), by == world.caller
        world.put(
            "saved_search",
            keep=mine,
            id=saved,
            owner_id=by,
            name=f"Search {world.number}",
            question={"q": "soil"},
            channel="feed",
            rhythm="at_once",
            asked_at=LONG_AGO,
            created_at=LONG_AGO,
            told_at=LONG_AGO,
            secret_id=world.id(),
        )
        for one in world.things:
            world.put(
                "saved_alert",
                keep=mine and one.id in world.visible,
                search_id=saved,
                object_id=one.id,
                matched_at=LONG_AGO,
                waiting=False,
                seen_at=world.moment(),
            )
        world.note("saved search", saved)


def subscriptions(world: World) -> None:
    """Let the caller and another one be told of everything, which has not always arrived."""
    for by in world.people[:2]:
        # Not of the world's dice: what is made after it stays as it was.
        made = uuid5(NAMESPACE_OID, f"subscription {world.number} {by}")
        world.put(
            "subscription",
            keep=by == world.caller,
            id=made,
            owner_id=by,
            channel="webhook",
            address="https://hooks.example.com/all",
            secret_id=made,
            created_at=LONG_AGO,
            fault="The receiver answered 500, where 200 to 299 is wanted.",
            stopped_at=LONG_AGO,
        )
        world.note("subscription", made)


def husks(world: World) -> None:
    """Put something else where a visible thing names a hidden one; of another id, unless that id may be known."""
    # Descriptions say whom they name, and DOIs of which object they are.
    known = {row["target_id"] for row in world.kept["reference"]} | {row["object_id"] for row in world.kept["doi"]}
    husks = {one: one if one in known else world.id() for one in sorted(world.named - world.visible)}
    for one in world.things:
        if one.id in husks:
            _husk(world, one, husks[one.id])
    told = {row["id"]: row for row in world.everything["activity"]}
    there = {row["id"] for row in world.kept["activity"]}
    for act in sorted(world.telling - there):
        husks[act] = world.id()
        other = {"id": husks[act], "label": "A husk", "type": "husk", "parameters": {}}
        world.kept["activity"].append(told[act] | other)
    for table, columns in NAMING.items():
        world.kept[table] = [
            row | {name: husks.get(row[name], row[name]) for name in columns} for row in world.kept[table]
        ]


def _husk(world: World, one: Thing, husk_id: UUID) -> None:
    withdrawn = world.chance(0.5)
    owner = world.people[-1] if world.people[-1] != one.owner else world.people[-2]
    husk = Thing(husk_id, "binary", "husks/all", None, owner, "private", withdrawn, [], "A husk")
    world.kept["object"].append(
        {
            "id": husk_id,
            "kind": husk.kind,
            "schema_version": 2,
            "project": husk.project,
            "name": None,
            "owner_id": husk.owner,
            "revision": 77,
            "record": record_of(world, husk, {}),
            "created_at": world.moment(),
            "updated_at": world.moment(),
            "withdrawn_at": world.moment() if withdrawn else None,
            "withdrawal_reason": None,
            "version": None,
            "relabelled": 9,
            "readers": ["user:husk"],
            "writers": ["user:husk"],
        }
    )


def prune(world: World) -> None:
    """Leave groups and organizations out that nothing names to the caller."""
    told = {row["grantee"] for row in world.kept["object_grant"]} | {row["member"] for row in world.kept["membership"]}
    told |= world.tokens
    world.kept["principal_group"] = [
        row
        for row in world.kept["principal_group"]
        if group_token(row["id"]) in told or world.looks_after(row["organization"])
    ]
    groups = {row["id"] for row in world.kept["principal_group"]}
    world.kept["group_member"] = [row for row in world.kept["group_member"] if row["group_id"] in groups]
    # An object that is seen shows its project, and what that is called.
    shown = {one.project for one in world.things if one.id in world.visible} | {
        one["name"] for one in world.kept["project"]
    }
    world.kept["project"] = [row for row in world.everything["project"] if row["name"] in shown]
    there = {row["organization"] for row in [*world.kept["principal_group"], *world.kept["project"]]}
    there |= {at.partition("/")[0] for at, _ in world.rights}
    world.kept["organization"] = [row for row in world.kept["organization"] if row["name"] in there]
