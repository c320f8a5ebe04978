"""Relations, activities, lineage over HTTP: what is recorded, what is refused, and what nobody learns."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx2
import pytest
import rdflib

from catalog.access.audience import Role
from catalog.access.principals import Caller
from catalog.engines import Engines
from catalog.objects import kinds
from catalog.provenance import circles, recording
from catalog.provenance import impact as counting
from catalog.provenance import lineage as walking
from catalog.provenance.graph import Direction
from catalog.provenance.prov_json_document import SAID_BY_METADATA
from catalog.provenance.statements import ActivityDraft, RelationDraft
from tests.api.conftest import BECAUSE, Draft, patch, read, register
from tests.api.problems import invalid, not_found, problem_of, simple
from tests.api.truth import history, rows
from tests.conftest import Clients

pytestmark = pytest.mark.usefixtures("noise")

ABSENT = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
REFUSED = "The request names objects that are not there."


async def made(client: httpx2.AsyncClient, draft: Draft, **said: Any) -> str:
    """Register an object and return its id."""
    object_id: str = (await register(client, draft | said))["id"]
    return object_id


async def relate(
    client: httpx2.AsyncClient, subject: str, said: str, target: str, if_match: str | None = "*"
) -> httpx2.Response:
    """Record a relation to an object."""
    headers = {} if if_match is None else {"If-Match": if_match}
    body = {"type": said, "target": target}
    return await client.post(f"/api/objects/{subject}/relations", json=body, headers=headers)


async def related(client: httpx2.AsyncClient, subject: str, said: str, target: str) -> dict[str, Any]:
    """Record a relation that has no faults."""
    answer = await relate(client, subject, said, target)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def acted(client: httpx2.AsyncClient, used: list[str], generated: list[str], **said: Any) -> dict[str, Any]:
    """Record an activity that has no faults."""
    body = {"type": "training", "label": "Run", "used": used, "generated": generated} | said
    answer = await client.post("/api/activities", json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def lineage(client: httpx2.AsyncClient, object_id: str, **asked: Any) -> dict[str, Any]:
    """Read the provenance of an object."""
    answer = await client.get(f"/api/objects/{object_id}/provenance", params=asked)
    assert answer.status_code == 200, answer.text
    graph: dict[str, Any] = answer.json()
    return graph


def edges(graph: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the edges of a graph in short."""
    return [(edge["from"], edge["type"], edge["to"]) for edge in graph["edges"]]


def there(object_id: str, draft: Draft, **said: Any) -> dict[str, Any]:
    """Return an object as a node."""
    return {
        "id": object_id,
        "state": "there",
        "type": "object",
        "kind": draft["kind"],
        "title": draft["title"],
        "href": f"/api/objects/{object_id}",
    } | said


async def test_a_relation_is_recorded_as_a_change_of_its_subject(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    subject, target = await made(clients.ingest, draft), await made(clients.ingest, draft, title="Raw soil")

    answer = await relate(clients.ingest, subject, "IsDerivedFrom", target, if_match='"1"')

    told = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (201, '"2"')
    assert told == {
        "id": told["id"],
        "type": "IsDerivedFrom",
        "target": there(target, draft, title="Raw soil"),
        "identifier": None,
        "recorded_by": "ingest",
        "recorded_at": told["recorded_at"],
    }
    listed = await clients.ingest.get(f"/api/objects/{subject}/relations")
    assert (listed.json(), listed.headers["etag"]) == ({"items": [told]}, '"2"')
    assert (await history(engines, subject))[1:] == [("ingest", "relate", 1, 2, {"relation": told["id"]})]
    assert (await read(clients.ingest, target))["revision"] == 1


async def test_a_change_of_relations_is_queued_for_the_index(clients: Clients, engines: Engines, draft: Draft) -> None:
    subject, target = await made(clients.ingest, draft), await made(clients.ingest, draft)
    caller = await _caller(engines, "ingest")

    async with engines.database.transaction() as session:
        await recording.relate(
            session,
            UUID(subject),
            RelationDraft.model_validate_json(f'{{"type": "Cites", "target": "{target}"}}'),
            caller=caller,
            revisions=None,
        )
        found = await session.connection()
        queued = (
            await found.exec_driver_sql("SELECT subject FROM queue WHERE topic = 'index' AND subject = %s", (subject,))
        ).scalars()
        assert list(queued) == [subject]


async def test_a_relation_is_taken_back_once(clients: Clients, engines: Engines, draft: Draft) -> None:
    subject, target = await made(clients.ingest, draft), await made(clients.ingest, draft)
    relation = (await related(clients.ingest, subject, "Cites", target))["id"]
    address = f"/api/objects/{subject}/relations/{relation}"

    gone = await clients.ingest.delete(address, headers={"If-Match": '"2"'})

    assert (gone.status_code, gone.headers["etag"]) == (204, '"3"')
    assert (await clients.ingest.get(f"/api/objects/{subject}/relations")).json() == {"items": []}
    assert (await history(engines, subject))[-1] == ("ingest", "unrelate", 2, 3, {"relation": relation})
    again = await clients.ingest.delete(address, headers={"If-Match": "*"})
    assert problem_of(again) == not_found(f"The object has no relation {relation}.")


async def test_relations_need_the_revision_they_start_from(clients: Clients, draft: Draft) -> None:
    subject, target = await made(clients.ingest, draft), await made(clients.ingest, draft)

    without, stale = [await relate(clients.ingest, subject, "Cites", target, tag) for tag in (None, '"7"')]

    assert (without.status_code, stale.status_code) == (428, 412)
    assert (await clients.ingest.get(f"/api/objects/{subject}/relations")).json() == {"items": []}


async def test_targets_that_are_absent_hidden_or_withdrawn_are_refused_alike(clients: Clients, draft: Draft) -> None:
    subject, withdrawn = await made(clients.ingest, draft), await made(clients.ingest, draft)
    hidden = await made(clients.other, draft)
    await clients.ingest.delete(f"/api/objects/{withdrawn}", params=BECAUSE, headers={"If-Match": "*"})

    refused = [problem_of(await relate(clients.ingest, subject, "Cites", one)) for one in (ABSENT, hidden, withdrawn)]

    told = simple("unprocessable", "Contradicts what is recorded", 422, REFUSED)
    assert refused == [
        told | {"errors": [{"pointer": "/target", "message": f"there is no object {one} that you may see"}]}
        for one in (ABSENT, hidden, withdrawn)
    ]


async def test_only_who_may_change_an_object_speaks_for_it(clients: Clients, draft: Draft) -> None:
    subject = await made(clients.ingest, draft, visibility="public")
    theirs = await made(clients.other, draft, visibility="public")

    foreign = await relate(clients.other, subject, "Cites", theirs)
    reader = await relate(clients.reader, subject, "Cites", theirs)
    nobody = await relate(clients.anonymous, subject, "Cites", theirs)
    acting = await clients.other.post(
        "/api/activities", json={"type": "run", "label": "Run", "generated": [theirs, subject]}
    )

    assert [one.status_code for one in (foreign, reader, nobody, acting)] == [403, 403, 401, 403]
    assert (await read(clients.ingest, subject))["revision"] == 1
    assert (await read(clients.other, theirs))["revision"] == 1


async def test_an_identifier_outside_is_checked_and_kept_in_its_usual_form(clients: Clients, draft: Draft) -> None:
    subject = await made(clients.ingest, draft)

    async def outside(kind: str, value: str) -> httpx2.Response:
        body = {"type": "IsDerivedFrom", "identifier": {"type": kind, "value": value}}
        return await clients.ingest.post(f"/api/objects/{subject}/relations", json=body, headers={"If-Match": "*"})

    kept = [
        (await outside(*one)).json()["identifier"]
        for one in (("DOI", "https://doi.org/10.5281/ZENODO.77"), ("URL", "https://example.org/a"))
    ]

    assert kept == [{"type": "DOI", "value": "10.5281/zenodo.77"}, {"type": "URL", "value": "https://example.org/a"}]
    assert problem_of(await outside("ISBN", "978-3-16-148410-1")) == invalid(
        ("/identifier", "'978-3-16-148410-1' is not a ISBN such as 978-3-16-148410-0")
    )
    assert (await outside("DOI", "doi:10.5281/zenodo.77")).status_code == 409
    graph = await lineage(clients.ingest, subject)
    assert edges(graph) == [
        (subject, "wasDerivedFrom", "DOI:10.5281/zenodo.77"),
        (subject, "wasDerivedFrom", "URL:https://example.org/a"),
    ]


async def test_an_unknown_relation_type_is_refused_with_the_nearest(clients: Clients, draft: Draft) -> None:
    subject = await made(clients.ingest, draft)

    told = problem_of(await relate(clients.ingest, subject, "IsDerivedfrom", ABSENT))

    assert [(fault["pointer"], fault["suggestion"]) for fault in told["errors"]] == [("/type", "IsDerivedFrom")]


async def test_an_activity_is_answered_as_it_was_recorded(clients: Clients, engines: Engines, draft: Draft) -> None:
    data, model = await made(clients.ingest, draft), await made(clients.ingest, draft, title="Trained")
    said = {
        "type": "training",
        "label": "Third run",
        "started": "2024-05-17T08:00:00Z",
        "ended": "2024-05-17T11:30:00Z",
        "parameters": {"epochs": 40, "rate": 0.001, "layers": [3, {"width": 64}]},
        "software": {"name": "PyTorch", "version": "2.3.0"},
        "code": {"url": "https://git.example.org/a.git", "commit": "9f" * 20, "path": None},
        "agents": [
            {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097", "role": "operator"},
            {"type": "organization", "name": "Argonne", "ror": "05gvnxz63"},
            {"type": "software", "name": "scheduler", "version": "4"},
            {"type": "instrument", "name": "Sky camera", "identifier": "SN-17"},
        ],
        "delegations": [
            {
                "agent": {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"},
                "responsible": {"type": "organization", "name": "Argonne", "ror": "05gvnxz63"},
            }
        ],
    }
    before = await acted(clients.ingest, [], [await made(clients.ingest, draft)], label="Second run")

    told = await acted(clients.ingest, [data], [model], **said, informed_by=[before["id"]])

    assert told == said | {
        "informed_by": [
            {
                "id": before["id"],
                "state": "there",
                "type": "activity",
                "kind": "training",
                "title": "Second run",
                "href": f"/api/activities/{before['id']}",
            }
        ],
        "id": told["id"],
        "used": [there(data, draft)],
        "generated": [there(model, draft, title="Trained")],
        "recorded_by": "ingest",
        "recorded_at": told["recorded_at"],
    }
    assert (await clients.ingest.get(f"/api/activities/{told['id']}")).json() == told
    assert (await history(engines, model))[-1] == ("ingest", "generated", 1, 2, {"activity": told["id"]})
    assert (await read(clients.ingest, data))["revision"] == 1


async def test_the_same_activity_sent_again_with_its_key_is_recorded_once(clients: Clients, draft: Draft) -> None:
    model = await made(clients.ingest, draft)
    body = {"type": "run", "label": "Run", "generated": [model]}

    first, again = [
        await clients.ingest.post("/api/activities", json=body, headers={"Idempotency-Key": model}) for _ in range(2)
    ]

    assert (first.status_code, again.json()) == (201, first.json())
    assert (await read(clients.ingest, model))["revision"] == 2


async def test_what_is_wrong_with_an_activity_is_told_at_once(clients: Clients, draft: Draft) -> None:
    model = await made(clients.ingest, draft)
    body = {
        "type": "run",
        "label": "Run",
        "started": "2024-05-17T08:00:00Z",
        "parameters": {"deep": [[[[[[[[[1]]]]]]]]]},
        "agents": [{"type": "person", "name": "Ana", "orcid": "0000-0002-1825-0098"}],
        "generated": [model],
    }

    told = problem_of(await clients.ingest.post("/api/activities", json=body))
    absent = problem_of(
        await clients.ingest.post(
            "/api/activities", json={"type": "run", "label": "Run", "used": [ABSENT], "generated": [model]}
        )
    )

    assert [fault["pointer"] for fault in told["errors"]] == ["/parameters", "/agents/0/orcid"]
    assert [fault["pointer"] for fault in absent["errors"]] == ["/used/0"]


async def test_lineage_goes_up_and_down_over_relations_and_activities(clients: Clients, draft: Draft) -> None:
    raw, data, model, newer = [await made(clients.ingest, draft, title=title) for title in "ABCD"]
    await related(clients.ingest, raw, "IsSourceOf", data)
    run = await acted(
        clients.ingest,
        [data],
        [model],
        agents=[{"type": "person", "name": "Rivera, Ana", "role": "operator"}],
    )
    await related(clients.ingest, newer, "IsNewVersionOf", model)
    await related(clients.ingest, newer, "Cites", raw)

    up = await lineage(clients.ingest, newer)
    down = await lineage(clients.ingest, raw, direction="down")
    near = await lineage(clients.ingest, newer, depth=2)
    both = await lineage(clients.ingest, data, direction="both", depth=1)

    (agent,) = [node["id"] for node in up["nodes"] if node.get("type") == "agent"]
    chain = [
        (data, "wasDerivedFrom", raw),
        (newer, "wasRevisionOf", model),
        (run["id"], "used", data),
        (model, "wasGeneratedBy", run["id"]),
        (run["id"], "wasAssociatedWith", agent),
    ]
    assert edges(up) == edges(down) == chain
    assert {node["id"] for node in up["nodes"]} == {raw, data, model, newer, run["id"], agent}
    assert [up["complete"], down["complete"], near["complete"], both["complete"]] == [True, True, False, False]
    assert (up["dependents"], down["dependents"]) == (None, {"visible": 3, "hidden": False})
    assert edges(near) == chain[1:]
    assert edges(both) == [chain[0], *chain[2:]]


async def test_a_hidden_source_is_a_label_and_a_withdrawn_one_a_tombstone(clients: Clients, draft: Draft) -> None:
    hidden = await made(clients.ingest, draft, title="Secret", visibility="public")
    withdrawn = await made(clients.ingest, draft, title="Wrong", visibility="public")
    older = await made(clients.ingest, draft, title="Older", visibility="public")
    shown = await made(clients.ingest, draft, title="Shown", visibility="public")
    await related(clients.ingest, hidden, "IsDerivedFrom", older)
    await related(clients.ingest, withdrawn, "IsDerivedFrom", older)
    for source in (hidden, withdrawn):
        await related(clients.ingest, shown, "IsDerivedFrom", source)
    run = await acted(clients.ingest, [hidden], [shown])
    assert (await patch(clients.ingest, hidden, {"visibility": "private"})).status_code == 200
    await clients.ingest.delete(f"/api/objects/{withdrawn}", params=BECAUSE, headers={"If-Match": "*"})

    graph = await lineage(clients.anonymous, shown)

    by_id = {node["id"]: node for node in graph["nodes"]}
    tombstone = by_id[withdrawn]
    assert by_id["hidden-1"] == {"id": "hidden-1", "state": "hidden"}
    assert tombstone == {
        "id": withdrawn,
        "state": "withdrawn",
        "type": "object",
        "kind": draft["kind"],
        "withdrawn_at": tombstone["withdrawn_at"],
    }
    # What the hidden one came from is its own business; what the withdrawn one came from was public, and stays so.
    assert edges(graph) == [
        (withdrawn, "wasDerivedFrom", older),
        (shown, "wasDerivedFrom", "hidden-1"),
        (shown, "wasDerivedFrom", withdrawn),
        (run["id"], "used", "hidden-1"),
        (shown, "wasGeneratedBy", run["id"]),
    ]
    told = [
        (await clients.anonymous.get(f"/api/objects/{shown}/{part}", params=asked)).text
        for part, asked in (("provenance", {"direction": "both"}), ("relations", {}))
    ] + [(await clients.anonymous.get(f"/api/activities/{run['id']}")).text]
    assert [secret for secret in (hidden, "Secret") for text in told if secret in text] == []


async def test_what_is_hidden_changes_no_byte_of_an_answer(clients: Clients, draft: Draft) -> None:
    shown = await made(clients.ingest, draft, visibility="public")
    named = await made(clients.other, draft, visibility="public")
    before = await made(clients.other, draft, visibility="public")
    await related(clients.ingest, shown, "IsDerivedFrom", named)
    await patch(clients.other, named, {"visibility": "private"})

    async def answers() -> list[bytes]:
        asked = [f"/api/objects/{shown}/provenance?direction={way}" for way in ("up", "down", "both")]
        asked += [f"/api/objects/{before}/provenance?direction=down", f"/api/objects/{shown}/relations"]
        found = [await clients.anonymous.get(path) for path in asked]
        assert [one.status_code for one in found] == [200] * len(asked)
        return [one.content for one in found]

    one_world = await answers()
    # In the other world the hidden object says more of itself, and a hidden object came from each of the shown ones.
    await patch(clients.other, named, {"title": "Another title", "keywords": ["secret"]})
    await related(clients.other, named, "IsDerivedFrom", before)
    child = await made(clients.other, draft, title="Hidden child")
    await related(clients.other, child, "IsDerivedFrom", shown)
    await acted(clients.other, [shown, before], [child])

    assert await answers() == one_world
    told = await lineage(clients.curator, shown, direction="down")
    assert told["dependents"] == {"visible": 1, "hidden": False}


@pytest.mark.req("SAGE-STORAGE-26")
# rdflib's own reader of JSON-LD uses what rdflib has deprecated.
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
async def test_lineage_is_told_in_prov_o_and_answers_questions_there(clients: Clients, draft: Draft) -> None:
    data, hidden, model = [
        await made(clients.ingest, draft, title=title, visibility="public") for title in ("Data", "Secret", "Model")
    ]
    person = {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097", "role": "operator"}
    run = await acted(clients.ingest, [data, hidden], [model], started="2024-05-17T08:00:00Z", agents=[person])
    await related(clients.ingest, model, "IsNewVersionOf", data)
    await patch(clients.ingest, hidden, {"visibility": "private"})
    address = f"/api/objects/{model}/provenance"

    by_query = await clients.anonymous.get(address, params={"format": "turtle"})
    by_header = await clients.anonymous.get(address, headers={"Accept": "application/ld+json, text/turtle;q=0.5"})

    assert [one.headers["content-type"].split(";")[0] for one in (by_query, by_header)] == [
        "text/turtle",
        "application/ld+json",
    ]
    base = clients.live.url
    for text, written in ((by_query.text, "turtle"), (by_header.text, "json-ld")):
        graph = rdflib.Graph().parse(data=text, format=written)
        asked = """
            PREFIX prov: <http://www.w3.org/ns/prov#>
            PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
            SELECT ?model ?data ?title ?who ?role ?began WHERE {
                ?model a prov:Entity ; prov:wasGeneratedBy ?run ; prov:wasRevisionOf ?data .
                ?run a prov:Activity ; prov:used ?data ; prov:startedAtTime ?began ;
                    prov:wasAssociatedWith ?who ;
                    prov:qualifiedAssociation [ prov:agent ?who ; prov:hadRole [ rdfs:label ?role ] ] .
                ?data rdfs:label ?title . ?who a prov:Person .
            }"""
        found = [[str(term) for term in row] for row in graph.query(asked)]
        assert found == [
            [
                f"{base}/api/objects/{model}",
                f"{base}/api/objects/{data}",
                "Data",
                "https://orcid.org/0000-0002-1825-0097",
                "operator",
                "2024-05-17T08:00:00+00:00",
            ]
        ]
        used = set(graph.objects(rdflib.URIRef(f"{base}/api/activities/{run['id']}"), rdflib.PROV.used))
        (blank,) = [one for one in used if isinstance(one, rdflib.BNode)]
        assert list(graph.predicate_objects(blank)) == [(rdflib.RDF.type, rdflib.PROV.Entity)]
        assert (hidden in text, "Secret" in text) == (False, False)


@pytest.mark.req("SAGE-STORAGE-26")
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("written", "media_type"), [("turtle", "turtle"), ("json-ld", "json-ld")])
async def test_parameters_software_and_commit_are_told_in_rdf(
    clients: Clients, draft: Draft, written: str, media_type: str
) -> None:
    model = await made(clients.ingest, draft)
    parameters = {"epochs": 40, "rate": 0.5, "mode": "fast", "quick": True, "layers": [3, {"width": 64}], "none": None}
    run = await acted(
        clients.ingest,
        [],
        [model],
        parameters=parameters,
        software={"name": "PyTorch", "version": "2.3.0"},
        code={"url": "https://git.example.org/a.git", "commit": "9f" * 20, "path": "train.py"},
    )

    answer = await clients.ingest.get(f"/api/objects/{model}/provenance", params={"format": written})

    graph = rdflib.Graph().parse(data=answer.text, format=media_type)
    activity = rdflib.URIRef(f"{clients.live.url}/api/activities/{run['id']}")
    asked = """
        PREFIX prov: <http://www.w3.org/ns/prov#>
        PREFIX schema: <https://schema.org/>
        PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
        SELECT ?name ?version ?url ?commit ?path WHERE {
            ?run prov:wasAssociatedWith [ a prov:SoftwareAgent ; rdfs:label ?name ; schema:softwareVersion ?version ] ;
                prov:used [ a prov:Plan ; schema:codeRepository ?url ; schema:version ?commit ; schema:name ?path ]
        }"""
    found = graph.query(asked, initBindings={"run": activity})
    assert [[str(term) for term in row] for row in found] == [
        ["PyTorch", "2.3.0", "https://git.example.org/a.git", "9f" * 20, "train.py"]
    ]
    told = {
        str(graph.value(one, rdflib.SDO.name)): graph.value(one, rdflib.SDO.value)
        for one in graph.objects(activity, rdflib.SDO.additionalProperty)
    }
    plain = {"epochs": 40, "rate": 0.5, "mode": "fast", "quick": True}
    assert {name: told[name].toPython() for name in plain} == plain
    # Turtle keeps the text of what nests, JSON-LD the value: both say it is JSON.
    assert [told[name].datatype for name in ("layers", "none")] == [rdflib.RDF.JSON] * 2
    assert '"width":64' in str(told["layers"]).replace(" ", "")


async def test_a_hidden_activity_is_absent(clients: Clients, draft: Draft) -> None:
    hidden = await made(clients.other, draft)
    run = await acted(clients.other, [], [hidden])

    answer = await clients.ingest.get(f"/api/activities/{run['id']}")
    absent = await clients.ingest.get(f"/api/activities/{ABSENT}")

    assert problem_of(answer) == not_found(f"There is no activity {run['id']} that you may see.")
    assert problem_of(absent) == not_found(f"There is no activity {ABSENT} that you may see.")


async def test_a_circle_is_refused_and_named(clients: Clients, draft: Draft) -> None:
    first, second, third, fourth = [await made(clients.ingest, draft) for _ in range(4)]
    await related(clients.ingest, second, "IsDerivedFrom", first)
    await acted(clients.ingest, [second], [third])
    await related(clients.ingest, fourth, "IsNewVersionOf", third)

    closing = [
        await relate(clients.ingest, first, "IsDerivedFrom", fourth),
        await relate(clients.ingest, fourth, "IsSourceOf", first),
        await clients.ingest.post(
            "/api/activities", json={"type": "run", "label": "Run", "used": [fourth], "generated": [first]}
        ),
    ]
    itself = await relate(clients.ingest, first, "IsVersionOf", first)
    open_still = await relate(clients.ingest, fourth, "IsDerivedFrom", first)

    circle = f"{first} → {second} → {third} → {fourth} → {first}"
    refused = simple(
        "conflict",
        "In conflict with the present state",
        409,
        f"This would close a circle, in which each object came from the one before it: {circle}.",
    )
    assert [problem_of(answer) for answer in closing] == [refused] * 3
    assert problem_of(itself)["detail"] == f"This would close a circle: {first} → {first}."
    assert open_still.status_code == 201


async def test_a_circle_through_hidden_objects_names_only_those_that_may_be_seen(
    clients: Clients, draft: Draft
) -> None:
    mine = await made(clients.ingest, draft, visibility="public")
    hidden = await made(clients.other, draft, title="Secret")
    theirs = await made(clients.other, draft, visibility="public")
    await related(clients.other, hidden, "IsDerivedFrom", mine)
    await related(clients.other, theirs, "IsDerivedFrom", hidden)

    answer = await relate(clients.ingest, mine, "IsDerivedFrom", theirs)

    circle = f"{mine} → an object hidden from you → {theirs} → {mine}"
    assert problem_of(answer)["detail"].endswith(f": {circle}.")


async def test_a_circle_of_which_two_transactions_close_half_each_is_refused(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    first, second, third = [UUID(await made(clients.ingest, draft)) for _ in range(3)]
    await related(clients.ingest, str(third), "IsDerivedFrom", str(second))
    caller = await _caller(engines, "ingest")

    async def acting() -> None:
        body = f'{{"type": "run", "label": "Run", "used": ["{third}"], "generated": ["{first}"]}}'
        async with engines.database.transaction() as session:
            await recording.record_activity(session, ActivityDraft.model_validate_json(body), caller=caller)

    async with engines.database.transaction() as session:
        said = RelationDraft.model_validate_json(f'{{"type": "IsDerivedFrom", "target": "{first}"}}')
        await recording.relate(session, second, said, caller=caller, revisions=None)
        other = asyncio.create_task(acting())
        await asyncio.sleep(0.3)
        # It waits until this transaction has ended: neither sees what the other has not committed.
        assert not other.done()

    with pytest.raises(circles.Cycle, match=f"{first} → {second} → {third} → {first}"):
        await other
    kept = await rows(engines, "SELECT count(*) FROM involvement WHERE object_id = :id", id=first)
    assert kept == [{"count": 0}]


async def test_two_that_cite_each_other_at_once_both_may(clients: Clients, draft: Draft) -> None:
    for _ in range(5):
        one, other = await made(clients.ingest, draft), await made(clients.ingest, draft)

        answers = await asyncio.gather(
            relate(clients.ingest, one, "Cites", other), relate(clients.ingest, other, "Cites", one)
        )

        assert [answer.status_code for answer in answers] == [201, 201]


async def test_a_depth_beyond_the_limit_is_refused_and_told(clients: Clients, draft: Draft) -> None:
    source = await made(clients.ingest, draft)

    too_deep = problem_of(await clients.ingest.get(f"/api/objects/{source}/provenance?depth={walking.DEPTH_MAX + 1}"))
    wrong = problem_of(await clients.ingest.get(f"/api/objects/{source}/provenance?direction=sideways"))

    assert [(fault["pointer"], fault["message"]) for fault in too_deep["errors"]] == [
        ("/depth", f"must be at most {walking.DEPTH_MAX}")
    ]
    assert [fault["pointer"] for fault in wrong["errors"]] == ["/direction"]


async def test_a_lineage_too_wide_to_be_told_tells_the_nearest_and_that_there_is_more(
    clients: Clients, draft: Draft, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await made(clients.ingest, draft)
    children = [await made(clients.ingest, draft) for _ in range(4)]
    for child in children:
        await related(clients.ingest, child, "IsDerivedFrom", source)
    await related(clients.ingest, await made(clients.ingest, draft), "IsDerivedFrom", children[0])
    caller = await _caller(engines, "ingest")
    monkeypatch.setattr(walking, "NODES_MAX", 4)
    monkeypatch.setattr(counting, "COUNTED_MAX", 3)

    async with engines.database.transaction() as session:
        asked = {"direction": Direction.DOWN, "depth": 5}
        graph = await walking.graph_of(session, UUID(source), caller.audience, **asked)
        impact = await counting.impact_of(session, UUID(source), caller.audience, depth=5)

    assert (graph.complete, graph.truncated) == (False, True)
    assert [node.id for node in graph.nodes] == [source, *children[:3]]
    assert [(edge.source, edge.target) for edge in graph.edges] == [(child, source) for child in children[:3]]
    assert (impact.complete, impact.truncated, impact.total, impact.direct) == (False, True, 3, 3)


async def of_kind(client: httpx2.AsyncClient, kind: str, draft: Draft, **metadata: Any) -> str:
    """Register the example of a kind, with other objects named; return its id."""
    example = kinds.known()[kind].example
    said = {**example["metadata"], **metadata}
    if kind == "ecr-bundle":
        said["members"] = [{"type": "object", "id": one} for one in metadata["members"]]
    body = {
        **example,
        "project": draft["project"],
        "title": kind,
        "metadata": said,
        "files": [],
        "visibility": "public",
    }
    return await made(client, body)


@pytest.mark.req("SAGE-STORAGE-14", "SAGE-STORAGE-24")
async def test_what_metadata_names_is_part_of_lineage_and_says_where_it_is_said(clients: Clients, draft: Draft) -> None:
    ingest = clients.ingest
    data, model, other = [await made(ingest, draft | {"visibility": "public"}, title=title) for title in "ABC"]
    model = await of_kind(ingest, "model", draft)
    labels = await of_kind(ingest, "labels", draft, dataset=data)
    weights = await of_kind(ingest, "weights", draft, model=model, trained_on=[other, data])
    binary = await of_kind(ingest, "binary", draft, built_from=[weights])
    bundle = await of_kind(ingest, "ecr-bundle", draft, members=[binary, weights])
    trigger = await of_kind(ingest, "trigger-app", draft, starts=[bundle])

    up = await lineage(clients.anonymous, trigger)
    down = await lineage(clients.anonymous, data, direction="down")

    said = {(edge["from"], edge["type"], edge["to"]): (edge["relation"], edge["pointer"]) for edge in up["edges"]}
    assert said == {
        (trigger, "wasInfluencedBy", bundle): ("Requires", "/metadata/starts/0"),
        (bundle, "hadMember", binary): ("HasPart", "/metadata/members/0/id"),
        (bundle, "hadMember", weights): ("HasPart", "/metadata/members/1/id"),
        (binary, "wasDerivedFrom", weights): ("IsDerivedFrom", "/metadata/built_from/0"),
        (weights, "wasInfluencedBy", model): ("IsPartOf", "/metadata/model"),
        (weights, "wasDerivedFrom", other): ("IsDerivedFrom", "/metadata/trained_on/0"),
        (weights, "wasDerivedFrom", data): ("IsDerivedFrom", "/metadata/trained_on/1"),
    }
    assert {(one, kind) for one, kind, target in edges(down) if target == data} == {
        (labels, "wasDerivedFrom"),
        (weights, "wasDerivedFrom"),
    }
    assert down["dependents"] == {"visible": 5, "hidden": False}
    impact = (await clients.anonymous.get(f"/api/objects/{data}/impact")).json()
    nearest = impact.pop("nearest")
    assert impact == {
        "object": data,
        "depth": walking.DEPTH_MAX,
        "complete": True,
        "truncated": False,
        "total": 5,
        "direct": 2,
        "hidden": False,
        "kinds": [{"kind": one, "count": 1} for one in ("binary", "ecr-bundle", "labels", "trigger-app", "weights")],
    }
    assert [node["id"] for node in nearest] == [labels, weights, binary, bundle, trigger]
    # As in metadata nobody records twice: an import of what metadata says leaves it to the metadata.
    document = (await ingest.get(f"/api/objects/{trigger}/provenance?format=prov-json")).json()
    again = (await ingest.post("/api/provenance", json=document)).json()
    assert (again["relations_recorded"], {one["reason"] for one in again["left_out"]}) == (0, {SAID_BY_METADATA})


async def test_metadata_that_names_another_object_moves_the_lineage_with_it(clients: Clients, draft: Draft) -> None:
    first, second = [await made(clients.ingest, draft, visibility="public") for _ in range(2)]
    labels = await of_kind(clients.ingest, "labels", draft, dataset=first)
    bulk = json.dumps(
        {**kinds.known()["labels"].example, "project": draft["project"], "metadata": {"dataset": second}, "files": []}
    )
    answer = await clients.ingest.post(
        "/api/bulk/objects", content=bulk.encode(), headers={"Content-Type": "application/x-ndjson"}
    )
    in_bulk = json.loads(answer.text.splitlines()[0])["id"]

    moved = await patch(clients.ingest, labels, {"metadata": {"dataset": second}})

    assert moved.status_code == 200
    assert edges(await lineage(clients.ingest, first, direction="both")) == []
    assert edges(await lineage(clients.ingest, second, direction="down")) == [
        (one, "wasDerivedFrom", second) for one in sorted((labels, in_bulk))
    ]
    back = await patch(clients.ingest, labels, {"metadata": {"dataset": first}})
    assert (back.status_code, edges(await lineage(clients.ingest, labels))) == (
        200,
        [(labels, "wasDerivedFrom", first)],
    )


async def test_what_hidden_metadata_names_changes_no_byte_of_an_answer(clients: Clients, draft: Draft) -> None:
    data = await made(clients.ingest, draft, visibility="public")
    secret = await made(clients.ingest, draft, title="Secret", visibility="public")
    public = await of_kind(clients.ingest, "labels", draft, dataset=secret)
    assert (await patch(clients.ingest, secret, {"visibility": "private"})).status_code == 200

    async def answers() -> list[bytes]:
        paths = [f"{data}/provenance?direction=both", f"{data}/impact", f"{public}/provenance?direction=both"]
        return [(await clients.anonymous.get(f"/api/objects/{path}")).content for path in paths]

    before = await answers()
    hidden = await of_kind(clients.ingest, "labels", draft, dataset=data)
    # It was public for a moment; what counts is who may see it now.
    assert (await patch(clients.ingest, hidden, {"visibility": "private"})).status_code == 200

    assert await answers() == before
    graph = await lineage(clients.anonymous, public)
    assert edges(graph) == [(public, "wasDerivedFrom", "hidden-1")]
    mine = (await clients.ingest.get(f"/api/objects/{data}/impact")).json()
    assert (mine["total"], (await clients.anonymous.get(f"/api/objects/{data}/impact")).json()["total"]) == (1, 0)


async def test_a_derivation_against_what_metadata_says_closes_a_circle(clients: Clients, draft: Draft) -> None:
    data = await made(clients.ingest, draft, visibility="public")
    labels = await of_kind(clients.ingest, "labels", draft, dataset=data)

    related = await relate(clients.ingest, data, "IsDerivedFrom", labels)
    document = {"wasDerivedFrom": {"_:1": {"prov:generatedEntity": data, "prov:usedEntity": labels}}}
    imported = await clients.ingest.post("/api/provenance", json=document)

    assert [related.status_code, imported.status_code] == [409, 409]
    assert all(
        f"{data} → {labels} → {data}" in one.text or f"{labels} → {data} → {labels}" in one.text
        for one in (related, imported)
    )


async def _caller(engines: Engines, name: str) -> Caller:
    (row,) = await rows(engines, "SELECT id, name, role FROM principal WHERE name = :name", name=name)
    return Caller(row["id"], row["name"], Role(row["role"]))
