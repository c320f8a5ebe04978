"""Whose work objects are, on whose behalf agents acted, which activities informed which: said, told, hidden, kept."""

import json
from typing import Any

import httpx2
import pytest
import rdflib

from catalog.provenance.statements import RESPONSIBILITIES_MAX
from tests.api.conftest import Draft, patch, read
from tests.api.problems import not_found, problem_of
from tests.api.test_prov_json import exported, imported, made, mapped, sent
from tests.api.test_provenance import ABSENT, acted, lineage, related
from tests.api.truth import history
from tests.conftest import Clients, Engines

pytestmark = pytest.mark.usefixtures("noise")

ANA = {"type": "person", "name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}
LAB = {"type": "organization", "name": "Argonne", "ror": "05gvnxz63"}
BOT = {"type": "software", "name": "scheduler", "version": "4"}
# As a PROV-JSON document describes them.
AGENTS = {
    "x:ana": {
        "prov:type": {"$": "prov:Person", "type": "prov:QUALIFIED_NAME"},
        "prov:label": "Rivera, Ana",
        "catalog:identifier": "0000-0002-1825-0097",
    },
    "x:lab": {
        "prov:type": {"$": "prov:Organization", "type": "prov:QUALIFIED_NAME"},
        "prov:label": "Argonne",
        "catalog:identifier": "05gvnxz63",
    },
    "x:bot": {
        "prov:type": {"$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME"},
        "prov:label": "scheduler",
        "catalog:version": "4",
    },
}


async def say(client: httpx2.AsyncClient, object_id: str, if_match: str | None = "*", **said: Any) -> httpx2.Response:
    """Have an object say something of an agent."""
    headers = {} if if_match is None else {"If-Match": if_match}
    return await client.post(f"/api/objects/{object_id}/agents", json=said, headers=headers)


async def attributed(client: httpx2.AsyncClient, object_id: str, agent: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Attribute an object to an agent, without faults."""
    answer = await say(client, object_id, type="wasAttributedTo", agent=agent, **said)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def delegated(client: httpx2.AsyncClient, object_id: str, agent: Any, responsible: Any) -> None:
    """Say at an object that an agent acted on behalf of another one, without faults."""
    answer = await say(client, object_id, type="actedOnBehalfOf", agent=agent, responsible=responsible)
    assert answer.status_code == 201, answer.text


def told_of(graph: dict[str, Any]) -> list[tuple[str, str, str, str | None, str | None]]:
    """Return what a graph tells of agents and of activities among themselves, with titles in place of ids."""
    titles = {node["id"]: node.get("title", node["id"]) for node in graph["nodes"]}
    return [
        (titles[edge["from"]], edge["type"], titles[edge["to"]], edge.get("role"), titles.get(edge.get("said_by", "")))
        for edge in graph["edges"]
        if edge["type"] in {"wasAttributedTo", "actedOnBehalfOf", "wasInformedBy"}
    ]


async def test_an_object_says_whose_work_it_is_and_takes_it_back(
    clients: Clients, engines: Engines, draft: Draft
) -> None:
    data = await made(clients.ingest, draft)

    author = await attributed(clients.ingest, data, ANA, role="author")
    behalf = (await say(clients.ingest, data, type="actedOnBehalfOf", agent=ANA, responsible=LAB)).json()
    again = await say(clients.ingest, data, type="wasAttributedTo", agent=ANA, role="author")

    assert author == {
        "id": author["id"],
        "type": "wasAttributedTo",
        "agent": ANA,
        "role": "author",
        "responsible": None,
        "recorded_by": "ingest",
        "recorded_at": author["recorded_at"],
    }
    assert (behalf["agent"], behalf["responsible"], behalf["role"]) == (ANA, LAB, None)
    assert again.status_code == 409
    listed = await clients.ingest.get(f"/api/objects/{data}/agents")
    assert (listed.json(), listed.headers["etag"]) == ({"items": [author, behalf]}, '"3"')
    gone = [
        await clients.ingest.delete(f"/api/objects/{data}/agents/{author['id']}", headers={"If-Match": "*"})
        for _ in range(2)
    ]
    assert [one.status_code for one in gone] == [204, 404]
    assert (await clients.ingest.get(f"/api/objects/{data}/agents")).json() == {"items": [behalf]}
    assert (await history(engines, data))[1:] == [
        ("ingest", "name agent", 1, 2, {"agents": [author["id"]]}),
        ("ingest", "name agent", 2, 3, {"agents": [behalf["id"]]}),
        ("ingest", "unname agent", 3, 4, {"agents": [author["id"]]}),
    ]


async def test_statements_of_agents_are_checked_and_only_who_may_change_an_object_makes_them(
    clients: Clients, draft: Draft
) -> None:
    mine, theirs = await made(clients.ingest, draft), await made(clients.other, draft, visibility="public")
    hidden = await made(clients.other, draft)

    wrong = [
        problem_of(await say(clients.ingest, mine, **said))["errors"]
        for said in (
            {"type": "wasAttributedTo", "agent": ANA | {"orcid": "0000-0002-1825-0098"}},
            {"type": "actedOnBehalfOf", "agent": ANA},
            {"type": "wasAttributedTo", "agent": ANA, "responsible": LAB},
            {"type": "actedOnBehalfOf", "agent": ANA, "responsible": LAB, "role": "author"},
            {"type": "wasattributedto", "agent": {"type": "person"}},
        )
    ]
    statuses = [
        (await say(client, one, if_match, type="wasAttributedTo", agent=ANA)).status_code
        for client, one, if_match in (
            (clients.anonymous, mine, "*"),
            (clients.ingest, theirs, "*"),
            (clients.ingest, hidden, "*"),
            (clients.ingest, mine, None),
            (clients.ingest, mine, '"7"'),
        )
    ]

    assert [[fault["pointer"] for fault in faults] for faults in wrong] == [
        ["/agent/orcid"],
        [""],
        [""],
        [""],
        ["/type", "/agent/name"],
    ]
    assert statuses == [401, 403, 404, 428, 412]
    assert problem_of(await clients.ingest.get(f"/api/objects/{hidden}/agents")) == not_found(
        f"There is no object {hidden} that you may see."
    )
    assert (await read(clients.ingest, mine))["revision"] == 1


async def test_what_an_activity_names_must_be_there(clients: Clients, draft: Draft) -> None:
    model = await made(clients.ingest, draft)
    secret = await acted(clients.other, [], [await made(clients.other, draft)])
    shown = await acted(clients.ingest, [], [model])
    body = {"type": "run", "label": "Run", "used": [], "generated": [model]}

    told = problem_of(
        await clients.ingest.post(
            "/api/activities", json=body | {"informed_by": [ABSENT, secret["id"], shown["id"], shown["id"]]}
        )
    )

    assert told["status"] == 422
    assert {fault["pointer"]: fault["message"] for fault in told["errors"]} == {
        "/informed_by/0": f"there is no activity {ABSENT} that you may see",
        "/informed_by/1": f"there is no activity {secret['id']} that you may see",
        "/informed_by/3": f"names the activity {shown['id']} a second time",
    }
    assert (await read(clients.ingest, model))["revision"] == 2


@pytest.mark.req("SAGE-STORAGE-26")
async def test_lineage_tells_of_agents_and_of_activities_up_and_down(clients: Clients, draft: Draft) -> None:
    raw, data, model, aside = [
        await made(clients.ingest, draft, title=title) for title in ("Raw", "Data", "Model", "Aside")
    ]
    scan = await acted(clients.ingest, [], [aside], label="Scan")
    clean = await acted(clients.ingest, [raw], [data], label="Clean", informed_by=[scan["id"]])
    await acted(
        clients.ingest,
        [data],
        [model],
        label="Train",
        informed_by=[clean["id"]],
        delegations=[{"agent": BOT, "responsible": ANA}, {"agent": ANA, "responsible": LAB}],
    )
    await attributed(clients.ingest, model, ANA, role="author")
    await attributed(clients.ingest, data, LAB)
    await delegated(clients.ingest, model, ANA, LAB)

    up = await lineage(clients.ingest, model)
    down = await lineage(clients.ingest, raw, direction="down")
    beside = await lineage(clients.ingest, aside, direction="both")

    said = [
        ("scheduler", "actedOnBehalfOf", "Rivera, Ana", None, "Train"),
        ("Rivera, Ana", "actedOnBehalfOf", "Argonne", None, "Train"),
        ("Data", "wasAttributedTo", "Argonne", None, None),
        ("Model", "wasAttributedTo", "Rivera, Ana", "author", None),
        ("Rivera, Ana", "actedOnBehalfOf", "Argonne", None, "Model"),
        ("Train", "wasInformedBy", "Clean", None, None),
    ]
    informed = ("Clean", "wasInformedBy", "Scan", None, None)
    assert sorted(told_of(up), key=str) == sorted([*said, informed], key=str)
    # What informed the first activity is not what came of the raw data.
    assert told_of(down) == said
    # The activity that made it informed nobody whom the walk down met: it used nothing.
    assert told_of(beside) == []
    scanned = next(node for node in up["nodes"] if node["id"] == scan["id"])
    assert (scanned["type"], scanned["title"], scanned["href"]) == ("activity", "Scan", f"/api/activities/{scan['id']}")


async def test_what_informed_an_activity_and_is_hidden_is_a_label(clients: Clients, draft: Draft) -> None:
    secret = await made(clients.ingest, draft, title="Secret", visibility="public")
    model = await made(clients.ingest, draft, title="Model", visibility="public")
    hidden = await acted(clients.ingest, [], [secret], label="Secret run", agents=[BOT])
    run = await acted(clients.ingest, [], [model], label="Run", informed_by=[hidden["id"]])
    await attributed(clients.ingest, secret, BOT)
    await patch(clients.ingest, secret, {"visibility": "private"})

    graph = await lineage(clients.anonymous, model)
    activity = (await clients.anonymous.get(f"/api/activities/{run['id']}")).json()
    document = await exported(clients.anonymous, model)
    turtle = (await clients.anonymous.get(f"/api/objects/{model}/provenance", params={"format": "turtle"})).text

    label = {"id": "hidden-1", "state": "hidden", "type": "activity"}
    assert label in graph["nodes"]
    assert told_of(graph) == [("Run", "wasInformedBy", "hidden-1", None, None)]
    assert activity["informed_by"] == [label]
    assert (document["activity"]["_:hidden-1"], "_:hidden-1" in document["entity"]) == ({}, False)
    parsed = rdflib.Graph().parse(data=turtle, format="turtle")
    (blank,) = parsed.objects(None, rdflib.PROV.wasInformedBy)
    assert list(parsed.predicate_objects(blank)) == [(rdflib.RDF.type, rdflib.PROV.Activity)]
    told = json.dumps([graph, activity, document]) + turtle
    assert [word for word in ("Secret", hidden["id"], secret, "scheduler") if word in told] == []
    assert (await imported(clients.ingest, document))["statements_recorded"] == 0


async def test_what_hidden_objects_say_of_agents_changes_no_byte_of_an_answer(clients: Clients, draft: Draft) -> None:
    shown = await made(clients.ingest, draft, visibility="public")
    await attributed(clients.ingest, shown, ANA)
    hidden, source = await made(clients.other, draft), await made(clients.other, draft, visibility="public")
    result = await made(clients.ingest, draft, visibility="public")
    run = await acted(clients.ingest, [shown, source], [result], agents=[ANA])
    await related(clients.ingest, shown, "IsDerivedFrom", source)
    await patch(clients.other, source, {"visibility": "private"})

    async def answers() -> list[bytes]:
        asked = [f"/api/objects/{shown}/provenance?direction={way}" for way in ("up", "down", "both")]
        found = [await clients.anonymous.get(path) for path in [*asked, f"/api/objects/{shown}/agents"]]
        assert [one.status_code for one in found] == [200] * 4
        return [one.content for one in found]

    before = await answers()
    # The same agent acts for somebody in secret.
    await delegated(clients.other, hidden, ANA, LAB)
    await attributed(clients.other, source, LAB)
    await delegated(clients.other, source, ANA, LAB)
    await acted(
        clients.other,
        [],
        [hidden],
        agents=[ANA],
        delegations=[{"agent": ANA, "responsible": LAB}],
        informed_by=[run["id"]],
    )

    assert await answers() == before
    assert b"Argonne" not in b"".join(before)
    told = await lineage(clients.other, hidden)
    assert ("Rivera, Ana", "actedOnBehalfOf", "Argonne", None, draft["title"]) in told_of(told)


@pytest.mark.req("SAGE-STORAGE-26")
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.parametrize("written", ["turtle", "json-ld"])
async def test_prov_o_tells_of_agents_and_of_activities(clients: Clients, draft: Draft, written: str) -> None:
    data, model = [await made(clients.ingest, draft, title=title) for title in ("Data", "Model")]
    first = await acted(clients.ingest, [], [data])
    run = await acted(
        clients.ingest,
        [data],
        [model],
        informed_by=[first["id"]],
        delegations=[{"agent": ANA, "responsible": LAB}],
    )
    await attributed(clients.ingest, model, ANA, role="author")

    answer = await clients.ingest.get(f"/api/objects/{model}/provenance", params={"format": written})

    graph = rdflib.Graph().parse(data=answer.text, format=written)
    found = graph.query(
        """
        PREFIX prov: <http://www.w3.org/ns/prov#>
        PREFIX dcat: <http://www.w3.org/ns/dcat#>
        PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
        SELECT ?model ?who ?role ?lab ?run ?first WHERE {
            ?model prov:wasAttributedTo ?who ;
                prov:qualifiedAttribution [ a prov:Attribution ; prov:agent ?who ; dcat:hadRole [ rdfs:label ?role ] ] .
            ?who a prov:Agent, prov:Person ; prov:actedOnBehalfOf ?lab ;
                prov:qualifiedDelegation [ a prov:Delegation ; prov:agent ?lab ; prov:hadActivity ?run ] .
            ?lab a prov:Agent, prov:Organization .
            ?run prov:wasInformedBy ?first . ?first a prov:Activity .
        }"""
    )
    base = f"{clients.live.url}/api"
    assert [[str(term) for term in row] for row in found] == [
        [
            f"{base}/objects/{model}",
            "https://orcid.org/0000-0002-1825-0097",
            "author",
            "https://ror.org/05gvnxz63",
            f"{base}/activities/{run['id']}",
            f"{base}/activities/{first['id']}",
        ]
    ]


@pytest.mark.req("SAGE-STORAGE-26")
async def test_a_document_says_it_once_and_it_goes_out_and_in_elsewhere_as_it_was(
    clients: Clients, draft: Draft
) -> None:
    projects = draft["project"], f"{draft['project']}-b"
    ids = [
        [await made(clients.ingest, draft, project=project, name=name) for name in ("data", "model")]
        for project in projects
    ]
    data, model = ids[0]
    document = {
        "prefix": {"x": "urn:example:"},
        "agent": AGENTS,
        "activity": {"x:clean": {"prov:label": "Clean"}, "x:train": {"prov:label": "Train"}},
        "wasGeneratedBy": {
            "_:1": {"prov:entity": data, "prov:activity": "x:clean"},
            "_:2": {"prov:entity": model, "prov:activity": "x:train"},
        },
        "used": {"_:3": {"prov:activity": "x:train", "prov:entity": data}},
        "wasAssociatedWith": {"_:4": {"prov:activity": "x:clean", "prov:agent": "x:bot"}},
        "wasInformedBy": {"_:5": {"prov:informed": "x:train", "prov:informant": "x:clean"}},
        "wasAttributedTo": {
            "_:6": {"prov:entity": model, "prov:agent": "x:ana", "prov:role": "author"},
            "_:7": {"prov:entity": model, "prov:agent": "x:lab"},
        },
        "actedOnBehalfOf": {
            "_:8": {"prov:delegate": "x:ana", "prov:responsible": "x:lab", "prov:activity": "x:train"},
            # Of no activity: what the agent does, it does for her.
            "_:9": {"prov:delegate": "x:bot", "prov:responsible": "x:ana"},
        },
    }

    first, again = [await imported(clients.ingest, document) for _ in range(2)]
    there = await exported(clients.ingest, model, direction="both")
    own = await imported(clients.ingest, there)
    elsewhere, twice = [await imported(clients.ingest, there, project=projects[1]) for _ in range(2)]
    here = await exported(clients.ingest, ids[1][1], direction="both")

    names = {name: told["prov:label"] for part in ("agent", "activity") for name, told in there[part].items()}
    names |= {f"object:{data}": "data", f"object:{model}": "model"}
    told = {
        section: sorted(
            ({key: names.get(value, value) for key, value in one.items()} for one in there[section].values()), key=str
        )
        for section in ("wasAttributedTo", "actedOnBehalfOf", "wasInformedBy")
    }
    assert told == {
        "wasAttributedTo": [
            {"prov:entity": "model", "prov:agent": "Argonne"},
            {"prov:entity": "model", "prov:agent": "Rivera, Ana", "prov:role": "author"},
        ],
        "actedOnBehalfOf": [
            {"prov:delegate": "Rivera, Ana", "prov:responsible": "Argonne", "prov:activity": "Train"},
            {"prov:delegate": "scheduler", "prov:responsible": "Rivera, Ana", "catalog:entity": "data"},
        ],
        "wasInformedBy": [{"prov:informed": "Train", "prov:informant": "Clean"}],
    }
    assert mapped(here, projects[1]) == mapped(there, projects[0])
    counted = [(one["statements_recorded"], one["statements_unchanged"]) for one in (first, again, elsewhere, twice)]
    assert counted == [(5, 0), (0, 5), (5, 0), (0, 5)]
    assert [one["changed"] for one in (again, own, twice)] == [[], [], []]
    assert [one["left_out"] for one in (first, again, own, elsewhere, twice)] == [[]] * 5
    assert [(await read(clients.ingest, one))["revision"] for one in ids[0]] == [2, 2]


async def test_a_document_adds_to_an_activity_that_is_there(clients: Clients, engines: Engines, draft: Draft) -> None:
    data, model = [await made(clients.ingest, draft) for _ in range(2)]
    runs = {
        "prefix": {"x": "urn:example:"},
        "agent": AGENTS,
        "wasGeneratedBy": {
            "_:1": {"prov:entity": data, "prov:activity": "x:clean"},
            "_:2": {"prov:entity": model, "prov:activity": "x:train"},
        },
    }
    told = await imported(clients.ingest, runs)

    more = await imported(
        clients.ingest,
        runs
        | {
            "wasInformedBy": {"_:3": {"prov:informed": "x:train", "prov:informant": "x:clean"}},
            "actedOnBehalfOf": {
                "_:4": {"prov:delegate": "x:ana", "prov:responsible": "x:lab", "prov:activity": "x:train"}
            },
        },
    )

    assert [one | {"recorded": False} for one in told["activities"]] == more["activities"]
    assert (more["statements_recorded"], more["changed"]) == (2, [model])
    run = next(one["id"] for one in told["activities"] if one["name"] == "x:train")
    assert (await history(engines, model))[-1][-1] == {"relations": [], "activities": [run]}


async def test_what_cannot_be_said_of_agents_is_left_out_with_its_reason(clients: Clients, draft: Draft) -> None:
    model = await made(clients.ingest, draft)
    document = {
        "prefix": {"x": "urn:example:"},
        "agent": AGENTS,
        "activity": {"x:none": {}},
        "wasGeneratedBy": {"_:1": {"prov:entity": model, "prov:activity": "x:run"}},
        "wasAttributedTo": {
            "_:2": {"prov:entity": "x:elsewhere", "prov:agent": "x:ana"},
            "_:3": {"prov:entity": model, "prov:agent": "x:ana", "prov:type": "x:Writing"},
        },
        "actedOnBehalfOf": {
            "_:4": {"prov:delegate": "x:bot", "prov:responsible": "x:lab"},
            "_:5": {"prov:delegate": "x:bot", "prov:responsible": "x:lab", "prov:activity": "x:none"},
            "_:6": {"prov:delegate": "x:bot", "prov:responsible": "x:lab", "catalog:entity": "x:elsewhere"},
        },
        "wasInformedBy": {
            "_:7": {"prov:informed": "x:run", "prov:informant": "x:run"},
            "_:8": {"prov:informed": "x:run", "prov:informant": "x:none"},
            "_:9": {"prov:informed": "x:none", "prov:informant": "x:run"},
        },
    }

    told = await imported(clients.ingest, document)

    assert told["statements_recorded"] == 1
    assert {one["pointer"]: one["reason"] for one in told["left_out"]} == {
        "/activity/x:none": "it generated no object of this catalog",
        "/wasAttributedTo/_:2": "only objects of this catalog are attributed to somebody",
        "/wasAttributedTo/_:3/prov:type": "is not kept",
        "/actedOnBehalfOf/_:4": "the agent has no part in what is recorded here",
        "/actedOnBehalfOf/_:5": "say by wasGeneratedBy what the activity generated here",
        "/actedOnBehalfOf/_:6/catalog:entity": "is no object of this catalog",
        "/wasInformedBy/_:7": "an activity does not inform itself",
        "/wasInformedBy/_:8": "the informant generated no object of this catalog",
        "/wasInformedBy/_:9": "say by wasGeneratedBy what the informed activity generated here",
    }


async def test_faults_of_agents_in_a_document_are_told_at_once_and_others_speak_for_themselves(
    clients: Clients, draft: Draft
) -> None:
    mine, theirs = await made(clients.ingest, draft), await made(clients.other, draft, visibility="public")
    faulty = {
        "prefix": {"x": "urn:example:"},
        "agent": AGENTS,
        "wasAttributedTo": {"_:1": {"prov:entity": mine, "prov:agent": "x:nobody"}, "_:2": {"prov:agent": "x:ana"}},
        "actedOnBehalfOf": {
            "_:3": {"prov:delegate": "x:ana"},
            "_:4": {
                "prov:delegate": "x:ana",
                "prov:responsible": "x:lab",
                "prov:activity": "_:run",
                "catalog:entity": mine,
            },
        },
        "wasInformedBy": {"_:5": {"prov:informed": "y:run", "prov:informant": "_:run"}},
    }
    for_others = {
        "prefix": {"x": "urn:example:"},
        "agent": AGENTS,
        "wasAttributedTo": {
            "_:1": {"prov:entity": theirs, "prov:agent": "x:ana"},
            "_:2": {"prov:entity": mine, "prov:agent": "x:ana"},
        },
    }

    wrong, refused = problem_of(await sent(clients.ingest, faulty)), problem_of(await sent(clients.ingest, for_others))

    assert (wrong["status"], {fault["pointer"] for fault in wrong["errors"]}) == (
        400,
        {
            "/wasAttributedTo/_:1/prov:agent",
            "/wasAttributedTo/_:2/prov:entity",
            "/actedOnBehalfOf/_:3/prov:responsible",
            "/actedOnBehalfOf/_:4",
            "/wasInformedBy/_:5/prov:informed",
        },
    )
    assert (refused["status"], [fault["pointer"] for fault in refused["errors"]]) == (403, ["/wasAttributedTo/_:1"])
    assert (await clients.ingest.get(f"/api/objects/{mine}/agents")).json() == {"items": []}


async def test_an_object_says_so_much_of_agents_and_no_more(clients: Clients, draft: Draft) -> None:
    model = await made(clients.ingest, draft)
    people = {
        f"x:{number}": {"prov:type": AGENTS["x:ana"]["prov:type"], "prov:label": f"Person {number}"}
        for number in range(RESPONSIBILITIES_MAX + 1)
    }
    said = {f"_:{name}": {"prov:entity": model, "prov:agent": name} for name in people}
    most = dict(list(said.items())[:RESPONSIBILITIES_MAX])
    document = {"prefix": {"x": "urn:example:"}, "agent": people, "wasAttributedTo": said}

    refused = await sent(clients.ingest, document)
    taken = await imported(clients.ingest, document | {"wasAttributedTo": most})
    one_more = await say(clients.ingest, model, type="wasAttributedTo", agent=ANA)

    assert (refused.status_code, "at most 200 things of agents" in refused.text) == (413, True)
    assert taken["statements_recorded"] == RESPONSIBILITIES_MAX
    assert one_more.status_code == 413
