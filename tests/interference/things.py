"""The objects of a random world, with all that is theirs alone: files, versions, history, quality."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from catalog.access.audience import PUBLIC, Granted, Permission, grant_token
from catalog.objects import granting
from tests.interference.places import some_end, some_grant
from tests.interference.world import LONG_AGO, WORDS, Thing, World

OBJECTS = 9
VISIBILITIES = ["public", "organization", "project", "private", "private", "embargoed"]
KINDS = ["training-dataset", "training-dataset", "model", "weights", "labels", "ecr-bundle", "job"]
FAILED = ["licence", "outside", "references", "terms", "published-files", "files", "bytes"]
SUBJECT = "urn:x-catalog:scientific-fields:ecology"
TASK = "urn:x-catalog:ml-tasks:image-segmentation"


def objects(world: World) -> None:
    """Make objects, some of them visible."""
    ids = [world.id() for _ in range(OBJECTS)]
    for one in ids:
        granted = []
        for _ in range(world.dice.choice([0, 0, 0, 1, 2])):
            to, permission = some_grant(world)
            granted.append((world.id(), to, permission, None if to == PUBLIC else some_end(world)))
        _object(world, one, ids, granted)


def _object(
    world: World, one: UUID, ids: Sequence[UUID], granted: Sequence[tuple[UUID, str, str, datetime | None]]
) -> None:
    kind, project = world.dice.choice(KINDS), world.dice.choice(world.projects)
    thing = Thing(
        id=one,
        kind=kind,
        project=project,
        name=_name(world, one, kind, project),
        owner=world.dice.choice(world.people),
        visibility=world.dice.choice(VISIBILITIES),
        withdrawn=world.chance(0.12),
        granted=[(to, permission, ends != LONG_AGO) for _, to, permission, ends in granted],
        title=world.words(),
    )
    world.things.append(thing)
    keep = world.sees(thing)
    if keep:
        world.visible.add(one)
    metadata, named = _metadata(world, kind, ids)
    record = record_of(world, thing, metadata)
    tokens = [
        Granted(to if ends is None else grant_token(grant_id), Permission(permission))
        for grant_id, to, permission, ends in granted
    ]
    versions = world.dice.choice([0, 1, 1, 2])
    gone = {number for number in range(1, versions + 1) if world.chance(0.2)}
    there = [number for number in range(1, versions + 1) if number not in gone]
    world.put(
        "object",
        keep=keep,
        id=one,
        kind=kind,
        schema_version=1,
        project=project,
        name=thing.name,
        owner_id=thing.owner,
        revision=4,
        record=record,
        created_at=world.moment(),
        updated_at=world.moment(),
        withdrawn_at=world.moment() if thing.withdrawn else None,
        withdrawal_reason="It was wrong." if thing.withdrawn else None,
        version=there[-1] if there else None,
        relabelled=0,
        **granting.access_of(record, owner_id=thing.owner, project=project, granted=tokens),
    )
    for grant_id, to, permission, ends in granted:
        world.put(
            "object_grant",
            keep=keep,
            id=grant_id,
            object_id=one,
            grantee=to,
            permission=permission,
            expires_at=ends,
            granted_by=thing.owner,
            created_at=LONG_AGO,
        )
        world.note("object grant", f"{one}/grants/{grant_id}")
    for target, bond, pointer in named:
        world.put("reference", keep=keep, subject_id=one, target_id=target, bond=bond, pointer=pointer, former=False)
        world.name(target, keep=keep)
    for concept in filter(None, [*record["subjects"], metadata.get("task")]):
        world.put("object_term", keep=keep, object_id=one, concept=concept)
    _bytes(world, one, keep=keep)
    _history(world, thing, record, versions, gone, keep=keep)


def _name(world: World, one: UUID, kind: str, project: str) -> str | None:
    if kind == "job":
        # Several projects have a job of one key.
        return f"job{sum((other.kind, other.project) == (kind, project) for other in world.things)}"
    return f"n{one.hex[:8]}" if world.chance(0.4) else None


def record_of(world: World, thing: Thing, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of an object, as it is kept."""
    until = {"embargo_until": "2090-01-01T00:00:00Z"} if thing.visibility == "embargoed" else {}
    return {
        "kind": thing.kind,
        "project": thing.project,
        "title": thing.title,
        "description": world.words(),
        "creators": [{"name": "Rivera, Ana", "type": "person"}],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "keywords": [world.dice.choice(WORDS)],
        "subjects": [SUBJECT] if world.chance(0.3) else [],
        "visibility": thing.visibility,
        "metadata": dict(metadata),
        **{name: [] for name in ("titles", "contributors", "identifiers", "funding", "external")},
        "dates": [{"type": "Created", "date": "2024-05-17"}] if world.chance(0.5) else [],
        "custom": {},
        **({"licence": "MIT"} if world.chance(0.5) else {}),
        **({} if thing.name is None else {"name": thing.name}),
        **until,
    }


def _metadata(world: World, kind: str, ids: Sequence[UUID]) -> tuple[dict[str, Any], list[tuple[UUID, str, str]]]:
    one, other = world.dice.sample(list(ids), 2)
    match kind:
        case "weights":
            named = [(one, "IsPartOf", "/metadata/model"), (other, "IsDerivedFrom", "/metadata/trained_on/0")]
            return {"model": str(one), "trained_on": [str(other)]}, named
        case "labels":
            return {"dataset": str(one), "classes": []}, [(one, "Annotates", "/metadata/dataset")]
        case "job":
            return {"program": "segment 1.4"}, []
        case "ecr-bundle":
            address = f"https://example.org/w{world.number}"
            members = [
                {"type": "object", "id": str(one)},
                {"type": "url", "url": address},
                {"type": "object", "id": str(other)},
            ]
            named = [(one, "HasPart", "/metadata/members/0/id"), (other, "HasPart", "/metadata/members/2/id")]
            return {"version": "1", "inputs": [], "members": members, "architectures": []}, named
        case "model":
            return {"task": TASK, "inputs": [], "outputs": [], "runtime": []}, []
    return {"labelled": False, "splits": [], "classes": [], "variables": []}, []


def _bytes(world: World, one: UUID, *, keep: bool) -> None:
    for path in world.dice.sample(["data.csv", "more/data.csv"], world.dice.choice([0, 1, 2])):
        upload, state = world.id(), world.dice.choice(["expected", "available", "available", "mismatched", "missing"])
        key = f"{world.projects[0]}/uploads/{one}/{upload}/{path}"
        told = {"path": path, "size": 3, "sha256": f"{world.dice.getrandbits(256):064x}", "media_type": "text/csv"}
        place = {"backend": "default", "bucket": "none", "key": key}
        there = place | {"store_version": "v1", "etag": "e1"} if state == "available" else {}
        world.put("file", keep=keep, id=world.id(), object_id=one, state=state, **told, **there)
        world.put(
            "upload",
            keep=keep,
            id=upload,
            object_id=one,
            state="complete" if state == "available" else "open",
            principal_id=world.dice.choice(world.people),
            created_at=LONG_AGO,
            expires_at=LONG_AGO,
            **told,
            **place,
        )
        world.note("upload", upload)


def _history(
    world: World, thing: Thing, record: Mapping[str, Any], versions: int, gone: Iterable[int], *, keep: bool
) -> None:
    for number in range(1, versions + 1):
        version, withdrawn = world.id(), number in gone
        world.put(
            "version",
            keep=keep,
            id=version,
            object_id=thing.id,
            number=number,
            label=f"1.{number}" if world.chance(0.5) else None,
            note=None,
            revision=number,
            schema_version=1,
            record={**record, "title": world.words()},
            published_at=world.moment(),
            published_by=world.dice.choice(world.people),
            withdrawn_at=LONG_AGO if withdrawn else None,
            reason="It was wrong." if withdrawn else None,
        )
        world.put(
            "version_file",
            keep=keep,
            version_id=version,
            path="data.csv",
            size=3,
            sha256="ab" * 32,
            media_type="text/csv",
            state=world.dice.choice(["available", "overwritten", "lost"]),
            backend="default",
            bucket="none",
            key=f"{thing.project}/uploads/{thing.id}/{version}/data.csv",
            store_version="v1",
            etag="e1",
        )
    for revision in range(1, 5):
        changed = {"title": {"from": world.words(), "to": world.words()}} if revision > 1 else None
        world.put(
            "audit",
            keep=keep,
            id=world.number * 1_000 + len(world.everything["audit"]) + 1_000_000,
            at=LONG_AGO + timedelta(days=revision),
            object_id=thing.id,
            principal_id=world.dice.choice([None, *world.people]),
            action="register" if revision == 1 else "revise",
            from_revision=revision - 1 or None,
            to_revision=revision,
            changes=changed,
        )
    failed = world.dice.sample(FAILED, world.dice.choice([0, 1, 2, 3]))
    score = world.dice.randrange(101)
    world.put(
        "quality",
        keep=keep,
        object_id=thing.id,
        score=score,
        band="fair",
        passes=not failed,
        failed=failed,
        assessed_at=world.moment(),
    )
