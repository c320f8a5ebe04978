"""Every kind of question that the database answers, each asked of something in a random world, hidden or not.

What search answers has a test of its own, in tests/search; whole results are asked here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from catalog.api.exports import FORMS as EXPORTS
from catalog.api.provenance import Format
from catalog.curation import queues
from catalog.exchange.formats import FORMATS
from tests.api.conftest import MERGE_PATCH, plain
from tests.interference.world import World

ABSENT = str(UUID(int=7, version=4))


@dataclass(frozen=True)
class Ask:
    """One request; `json` is its body."""

    path: str
    method: str = "GET"
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def some_object(world: World) -> str:
    """Return the id of an object, hidden or not; more often of a visible one, of which there is more to tell."""
    seen = [one.id for one in world.things if one.id in world.visible]
    return str(world.dice.choice(seen if seen and world.chance(0.5) else [one.id for one in world.things]))


def some(world: World, what: str) -> str:
    """Return the id of something else, hidden or not; of nothing where the world has none."""
    return world.dice.choice(world.others.get(what, [ABSENT]))


def some_scope(world: World) -> str:
    """Return an organization or a project, hidden or not, or one that is nowhere."""
    mine = sorted({scope for scope, _ in world.rights})
    return world.dice.choice(
        mine if mine and world.chance(0.5) else [*world.organizations, *world.projects, "none", "none/such"]
    )


def _of_object(*suffixes: str) -> Callable[[World], Ask]:
    return lambda world: Ask(f"/api/objects/{some_object(world)}{world.dice.choice(suffixes)}")


def _page(path: str, *, by_project: bool = False, **more: list[str]) -> Callable[[World], Ask]:
    def asked(world: World) -> Ask:
        told = [f"limit={world.dice.choice([1, 2, 5])}"]
        told += [f"{name}={world.dice.choice(values)}" for name, values in more.items() if world.chance(0.5)]
        if by_project and world.chance(0.7):
            told.append(f"project={world.dice.choice(world.projects)}")
        return Ask(f"{path}?{'&'.join(told)}")

    return asked


def named(world: World) -> Ask:
    """Ask by project, kind and name."""
    one = world.dice.choice([one for one in world.things if one.name] or world.things)
    suffix = world.dice.choice(["", "@1", "/files", "/provenance"])
    return Ask(f"/api/objects/{one.project}/{one.kind}/{one.name or 'none'}{suffix}")


def organization(world: World) -> Ask:
    """Ask for what belongs to an organization or a project."""
    scope = some_scope(world)
    if "/" in scope:
        return Ask(f"/api/projects/{scope}{world.dice.choice(['', '/members', '/quota', '/storages', '/retention'])}")
    what = world.dice.choice(
        [
            *("projects", "members", "groups", "service-accounts", "quota", "storages", "retention"),
            *(
                "backends",
                "backends/default",
                "accounting",
                "discovered",
                "capacity",
                "notices",
                f"backends/{ABSENT}/health",
                f"backends/{ABSENT}",
                f"backends/{ABSENT}/policy",
                "policy?bucket=lab&use=data",
            ),
        ]
    )
    below = world.dice.choice(["", f"/{scope}", *[f"/{scope}/{what}"] * 4])
    return Ask(f"/api/organizations{below}")


def job(world: World) -> Ask:
    """Ask for a job by its key, in one project or in whichever."""
    said = [f"project={world.dice.choice(world.projects)}"] if world.chance(0.5) else []
    what = world.dice.choice(["", "/files", "/files", "/end"])
    if what == "/files":
        said += [f"area={world.dice.choice(['input', 'output'])}"] if world.chance(0.3) else []
    path = f"/api/jobs/job{world.dice.choice([0, 0, 1, 2])}{what}{'?' if said else ''}{'&'.join(said)}"
    if what == "/end":
        return Ask(path, "POST", {"outcome": "failed"}, {"if-match": '"999"'})
    return Ask(path)


def members(world: World) -> Ask:
    """Ask what belongs to a bundle."""
    bundles = [one.id for one in world.things if one.kind == "ecr-bundle"]
    return Ask(f"/api/objects/{world.dice.choice(bundles or [ABSENT])}/members")


def change(world: World) -> Ask:
    """Ask for a change that is refused in any case: it names a revision that never was."""
    stale, at = {"if-match": '"999"'}, f"/api/objects/{some_object(world)}"
    patch = {**stale, "content-type": MERGE_PATCH}
    linked = {"type": "IsDerivedFrom", "target": some_object(world)}
    return world.dice.choice(
        [
            Ask(at, "PATCH", {"title": "Other"}, patch),
            Ask(f"{at}?reason=Tried.", "DELETE", None, stale),
            Ask(f"{at}/relations", "POST", linked, stale),
            Ask(f"{at}/versions", "POST", {}, stale),
            Ask(f"{at}/grants", "POST", {"to": "user:nobody-of-this-name", "permission": "READ"}),
            Ask("/api/uploads", "POST", {"object": some_object(world), "path": "none.csv"}),
            Ask(f"/api/uploads/{some(world, 'upload')}/parts", "POST", {"numbers": [1]}),
        ]
    )


def hidden(world: World) -> list[str]:
    """Return what the caller may not see, and something that is nowhere."""
    return [*(str(one.id) for one in world.things if one.id not in world.visible), ABSENT]


def naming(world: World) -> Ask:
    """Name what may not be seen where something must be named: it is refused as what is not there."""
    one, other = world.dice.choice(hidden(world)), world.dice.choice(hidden(world))
    project = world.dice.choice(world.projects)
    labels = plain(project, kind="labels", metadata={"dataset": one})
    mine = world.dice.choice(sorted(map(str, world.visible)) or [ABSENT])
    derived = {"prov:generatedEntity": one, "prov:usedEntity": other}
    document = {"entity": {one: {}, other: {}}, "wasDerivedFrom": {"_:d": derived}}
    return world.dice.choice(
        [
            Ask("/api/objects", "POST", labels),
            Ask("/api/bulk/objects", "POST", labels, {"content-type": "application/x-ndjson"}),
            Ask("/api/activities", "POST", {"type": "run", "label": "Run", "used": [one], "generated": [other]}),
            Ask(f"/api/objects/{mine}/relations", "POST", {"type": "IsDerivedFrom", "target": one}, {"if-match": "*"}),
            Ask("/api/provenance", "POST", document),
            Ask("/api/curation/edits/preview", "POST", {"select": {"objects": [one]}, "patch": {"licence": "MIT"}}),
        ]
    )


def naming_by_doi(world: World) -> Ask:
    """Name a hidden object by its DOI; the other one is nowhere, so that nothing is ever recorded."""
    known = [one for one in world.others.get("doi", []) if ".v1-" not in one]
    used = [world.dice.choice(known or [ABSENT])]
    return Ask("/api/activities", "POST", {"type": "run", "label": "Run", "used": used, "generated": [ABSENT]})


def preview(world: World) -> Ask:
    """Ask what an edit of many objects would do."""
    select: dict[str, Any] = {"project": world.dice.choice(world.projects), "limit": world.dice.choice([1, 3, 50])}
    if world.chance(0.5):
        select["queue"] = world.dice.choice(list(queues.QUEUES))
    return Ask("/api/curation/edits/preview", "POST", {"select": select, "patch": {"keywords": ["other"]}})


def revoke(world: World) -> Ask:
    """Take back what the caller may not even know of."""
    if world.chance(0.5):
        return Ask(f"/api/grants/{some(world, 'hidden prefix grant')}", "DELETE")
    unseen = [one for one in world.others.get("object grant", []) if UUID(one[:36]) not in world.visible]
    return Ask(f"/api/objects/{world.dice.choice(unseen or [f'{ABSENT}/grants/{ABSENT}'])}", "DELETE")


def export(world: World) -> Ask:
    """Ask for a whole result, in any form, perhaps from some object on."""
    asked = {"q": world.number, "as": world.dice.choice(list(EXPORTS))}
    if world.chance(0.4):
        asked["project"] = world.dice.choice(world.projects)
    if world.chance(0.3):
        asked["after"] = some_object(world)
    return Ask(f"/api/search/export?{urlencode(asked)}")


def store(world: World) -> Ask:
    """Ask for what is told of stores."""
    return Ask(
        world.dice.choice(
            [
                "/api/operations/backends",
                "/api/operations/store/health",
                "/api/curation/fixity",
                "/api/scans?backend=default",
                f"/api/scans?backend={ABSENT}",
                f"/api/scans/{ABSENT}",
            ]
        )
    )


PROVENANCE = [f"/provenance?direction={way}&depth={depth}" for way in ("up", "down", "both") for depth in (1, 2, 9)]
QUESTIONS: dict[str, Callable[[World], Ask]] = {
    "object": _of_object(""),
    "files": _of_object("/files", "/files/data.csv", "/files/none.csv", "/outside"),
    "format": _of_object(*(f"?format={name}" for name in FORMATS)),
    "members": members,
    "job": job,
    "jobs": _page("/api/jobs", by_project=True, state=["open", "ended"], mine=["true"]),
    "quality": _of_object("/quality"),
    "retention": _of_object("/retention"),
    "due": lambda world: Ask(f"/api/retention/report?scope={some_scope(world)}"),
    "provenance": _of_object(*PROVENANCE),
    "provenance written": _of_object(*(f"/provenance?direction=both&format={name}" for name in Format)),
    "impact": _of_object("/impact", "/impact?depth=1"),
    "relations": _of_object("/relations"),
    "agents": _of_object("/agents"),
    "versions": _of_object("/versions", "/versions/1", "/versions/2", "/versions/latest", "/versions/1/diff/2"),
    "version files": _of_object("/versions/1/files/data.csv", "/versions/1?format=datacite"),
    "history": _of_object("/history?limit=2", "/history/2", "/grants"),
    "dois of object": _of_object("/doi", "/doi/preflight", "/doi/preflight?version=1"),
    "named": named,
    "export": export,
    "objects": _page("/api/objects", by_project=True, kind=["model", "labels"], mine=["true"]),
    "queues": lambda _: Ask("/api/curation"),
    "queue": lambda world: _page(f"/api/curation/queues/{world.dice.choice(list(queues.QUEUES))}", by_project=True)(
        world
    ),
    "discovered": lambda world: Ask(f"/api/curation/{world.dice.choice(['discovered', 'unfound'])}"),
    "edits": _page("/api/curation/edits"),
    "edit": lambda world: Ask(f"/api/curation/edits/{some(world, 'edit')}"),
    "dois": _page("/api/dois", attention=["true"], state=["failed", "reserved"]),
    "doi": lambda world: Ask(f"/api/dois/{some(world, 'doi')}"),
    "activity": lambda world: Ask(f"/api/activities/{some(world, 'activity')}"),
    "upload": lambda world: Ask(f"/api/uploads/{some(world, 'upload')}{world.dice.choice(['', '/parts'])}"),
    "organization": organization,
    "store": store,
    "notices": lambda world: Ask(f"/api/organizations/{some_scope(world).partition('/')[0]}/notices"),
    "grants": lambda world: Ask(f"/api/grants?prefix={some_scope(world)}/"),
    "relocations": lambda world: Ask(
        world.dice.choice([f"/api/relocations?scope={some_scope(world)}", f"/api/relocations/{ABSENT}"])
    ),
    "snapshot": lambda world: Ask(f"/api/snapshots/{some(world, 'snapshot')}{world.dice.choice(['', '/history'])}"),
    "terms": lambda world: Ask(
        world.dice.choice(
            [
                "/api/vocabularies",
                "/api/vocabularies/ml-tasks/proposals",
                "/api/concepts?uri=urn:x-catalog:ml-tasks:image-segmentation",
                "/api/kinds",
                "/api/event-types",
            ]
        )
    ),
    "tokens": lambda world: Ask(
        "/api/tokens" + world.dice.choice(["", f"?principal=service:{some(world, 'service account')}"])
    ),
    "audit": lambda world: Ask("/api/audit?limit=2" + world.dice.choice(["", f"&scope={some_scope(world)}"])),
    "for admins": lambda world: Ask(
        world.dice.choice(
            [
                "/api/access-log",
                "/api/operations/queue",
                "/api/operations/queue/parked",
                "/api/operations/notifications/unreadable",
                "/api/service-accounts",
            ]
        )
    ),
    "page": lambda world: Ask(f"/objects/{some_object(world)}{world.dice.choice(['', '', '/versions/1'])}"),
    "landing page": lambda world: Ask(f"/doi/{some(world, 'doi')}"),
    "change": change,
    "naming": naming,
    "naming by DOI": naming_by_doi,
    "preview": preview,
    "revoke": revoke,
    "subscriptions": lambda world: Ask(
        "/api/subscriptions" + world.dice.choice(["", f"/{some(world, 'subscription')}"])
    ),
    "saved searches": lambda world: Ask(
        "/api/saved-searches"
        + world.dice.choice(["", *(f"/{some(world, 'saved search')}{rest}" for rest in ("", "/feed", "/feed?as=json"))])
    ),
}
