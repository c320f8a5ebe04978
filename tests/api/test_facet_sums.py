"""Facets add up to what is there: five hundred questions of nine callers, against counting by SQL.

Who may see what is decided here anew, from memberships, grants and visibilities as they stand in their tables: neither
the readers of an object nor the audience of a caller is asked.
"""

# ruff: noqa: S608 - statements are made of the names that stand here.

import asyncio
import contextlib
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx2
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.search.facets import FACET_VALUES
from tests.api.conftest import BECAUSE, plain
from tests.api.people import People
from tests.conftest import Sized, eventually

QUESTIONS, QUESTIONS_LONG = 150, 500
OBJECTS = 240
WORDS = ("granite", "basalt", "marble", "quartz")
# More than a facet shows, some far more frequent than others.
CREATORS = [f"Person {number:02}" for number in range(40)]
KEYWORDS = [f"kw{number:02}" for number in range(30)]
LICENCES = ("MIT", "CC0-1.0", "CC-BY-4.0")
YEARS = (1998, 2007, 2019, 2024)
FORMATS = ("text/csv", "image/png", "application/x-netcdf")
SIZES = (0, 999, 1000, 10**6 - 1, 10**6, 10**12, 3 * 10**12)
FIELDS = "urn:x-catalog:scientific-fields:"
SUBJECTS = tuple(FIELDS + name for name in ("seismology", "volcanology", "oceanography", "ecology", "earth-sciences"))
# Which levels of that vocabulary are asked for: the topmost concepts, or those below one.
LEVELS = (None, f"{FIELDS}natural-sciences", f"{FIELDS}earth-sciences", f"{FIELDS}geophysics", f"{FIELDS}seismology")
VISIBILITIES = ("public", "organization", "project", "private", "embargoed")

# What an object has of each facet.
VALUES: dict[str, str] = {
    "kind": "ARRAY[kind]",
    "project": "ARRAY[project]",
    "organization": "ARRAY[split_part(project, '/', 1)]",
    "licence": "array_remove(ARRAY[record->>'licence'], NULL)",
    "year": "ARRAY(SELECT left(one->>'date', 4) FROM jsonb_array_elements(record->'dates') AS one)",
    "creator": "ARRAY(SELECT DISTINCT one->>'name' FROM jsonb_array_elements(record->'creators') AS one)",
    "keyword": "ARRAY(SELECT DISTINCT jsonb_array_elements_text(record->'keywords'))",
    "format": "ARRAY(SELECT DISTINCT media_type FROM file WHERE file.object_id = object.id)",
    # What an object names, and all that is broader.
    "subject": """ARRAY(
        WITH RECURSIVE way (uri) AS (
            SELECT concept FROM object_term WHERE object_id = object.id
            UNION SELECT broad FROM way JOIN concept USING (uri), unnest(broader) AS broad)
        SELECT uri FROM way JOIN concept USING (uri) WHERE scheme = 'scientific-fields')""",
    "state": "ARRAY[CASE WHEN version IS NULL THEN 'draft' ELSE 'published' END]",
    "created_at": "ARRAY[to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM')]",
    "bytes": """ARRAY(
        SELECT CASE WHEN size < 1000 THEN '..999' WHEN size < 1000000 THEN '1000..999999'
            WHEN size < 1000000000 THEN '1000000..999999999' WHEN size < 1000000000000 THEN '1000000000..999999999999'
            ELSE '1000000000000..' END
        FROM (SELECT coalesce(sum(size), 0) AS size FROM file WHERE file.object_id = object.id) AS files)""",
}
ONE_EACH = ("kind", "project", "organization", "licence", "year", "state", "created_at", "bytes")
# In the order of their values; all others by how frequent they are.
IN_ORDER = {"created_at": "value", "bytes": "length(substring(value from '^[0-9]*'))"}

# docs/access.md, rule by rule.
SEEN = """
    SELECT object.* FROM object
    LEFT JOIN principal AS me ON me.name = %(who)s
    WHERE withdrawn_at IS NULL AND split_part(project, '/', 1) = %(organization)s AND (
        record->>'visibility' = 'public'
        OR owner_id = me.id
        OR me.role IN ('curator', 'admin')
        OR EXISTS (
            SELECT FROM membership WHERE member = 'user:' || me.id AND (
                role IN ('curator', 'admin') AND scope IN (project, split_part(project, '/', 1))
                OR role <> 'ingest' AND record->>'visibility' = 'project'
                    AND scope IN (project, split_part(project, '/', 1))
                OR role <> 'ingest' AND record->>'visibility' = 'organization'
                    AND split_part(scope, '/', 1) = split_part(project, '/', 1)))
        OR EXISTS (
            SELECT FROM object_grant WHERE grantee IN ('user:' || me.id, 'public') AND (
                object_id = object.id OR starts_with(project || '/', prefix))))
"""


class Asked(NamedTuple):
    """A question: who asks, for which words, narrowed to what, and which facets are counted."""

    who: str
    words: list[str]
    chosen: dict[str, list[str]]
    facets: list[str]
    # Whether fields are counted as a tree, and below which one.
    tree: bool = False
    below: str | None = None


def some_draft(dice: random.Random, project: str) -> dict[str, Any]:
    visibility = dice.choice(VISIBILITIES)
    until = {"embargo_until": (datetime.now(UTC) + timedelta(days=30)).isoformat()} if visibility == "embargoed" else {}
    dated = {"dates": [{"type": "Issued", "date": str(dice.choice(YEARS))}]} if dice.random() < 0.8 else {}
    licence = {"licence": dice.choice(LICENCES)} if dice.random() < 0.7 else {}
    kind, metadata = dice.choice(
        [("training-dataset", {"labelled": False}), ("model", {}), ("sensor-blob", {"sensor": {"id": "W023"}})]
    )
    return plain(
        project,
        kind=kind,
        metadata=metadata,
        title=" ".join(dice.sample(WORDS, dice.randint(1, 3))),
        visibility=visibility,
        creators=[
            {"name": name}
            for name in sorted({CREATORS[int(39 * dice.random() ** 2)] for _ in range(dice.randint(1, 3))})
        ],
        keywords=sorted({KEYWORDS[int(29 * dice.random() ** 2)] for _ in range(dice.randint(0, 3))}),
        files=[
            {
                "path": f"{number}.bin",
                "size": dice.choice(SIZES),
                "sha256": f"{dice.getrandbits(256):064x}",
                "media_type": dice.choice(FORMATS),
            }
            for number in range(dice.randint(0, 2))
        ],
        **dated,
        **licence,
        **until,
    )


async def brought(client: httpx2.AsyncClient, drafts: list[dict[str, Any]]) -> list[str]:
    answer = await client.post(
        "/api/bulk/objects",
        content="".join(json.dumps(one) + "\n" for one in drafts),
        headers={"content-type": "application/x-ndjson"},
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert {line["status"] for line in lines} == {"created"}, [line for line in lines if line["status"] != "created"][
        :3
    ]
    return [line["id"] for line in lines]


async def crowd(people: People) -> dict[str, httpx2.AsyncClient]:
    """Fill two projects with objects, and return everybody who may see some of them."""
    dice, admin = random.Random(20261121), people.clients.admin  # noqa: S311 - the same each time.
    soil, air = f"{people.organization}/soil", f"{people.organization}/air"
    await admin.post(f"/api/organizations/{people.organization}/projects", json={"name": "air"})
    asking = {
        "anonymous": people.clients.anonymous,
        "service-soil": await people.member("service-soil", "ingest", scope=soil),
        "service-air": await people.member("service-air", "ingest", scope=air),
        "reader-soil": await people.member("reader-soil", "reader", scope=soil),
        "reader-all": await people.member("reader-all", "reader", scope=people.organization),
        "curator-air": await people.member("curator-air", "curator", scope=air),
        "friend": await people.person("friend"),
        "friend-air": await people.person("friend-air"),
        "stranger": await people.person("stranger"),
    }
    halves = {asking["service-soil"]: soil, asking["service-air"]: air}
    concepts = random.Random(20261122)  # noqa: S311 - as above.
    for owner, project in halves.items():
        drafts = [some_draft(dice, project) for _ in range(OBJECTS // 2)]
        for draft in drafts:
            draft["subjects"] = concepts.sample(SUBJECTS, concepts.randint(0, 2))
        ids = await brought(owner, drafts)
        for one in dice.sample(ids, 12):
            to = dice.choice([f"user:{people.names['friend']}"] * 3 + ["public"])
            made = await owner.post(f"/api/objects/{one}/grants", json={"to": to, "permission": "READ"})
            assert made.status_code == 201, made.text
        for one in ids[::9]:
            gone = await owner.delete(f"/api/objects/{one}", params=BECAUSE, headers={"If-Match": "*"})
            assert gone.status_code == 204, gone.text
    below = {"prefix": f"{air}/", "to": f"user:{people.names['friend-air']}", "permission": "READ"}
    made = await admin.post("/api/grants", json=below)
    assert made.status_code == 201, made.text
    return asking


def counted(connection: psycopg.Connection[Any], asked: Asked, said: dict[str, Any]) -> dict[str, Any]:
    """Return the total and the facets of a question as SQL counts them."""
    words = " AND ".join([f"record->>'title' ~ '\\m{word}\\M'" for word in asked.words] or ["true"])
    columns = ", ".join(f"{how} AS {name}" for name, how in VALUES.items())
    told = f"told AS (SELECT {columns} FROM seen AS object WHERE {words})"

    def chosen(but: str | None = None) -> str:
        return " AND ".join([f"{name} && %(chosen_{name})s" for name in asked.chosen if name != but] or ["true"])

    def rows(select: str) -> list[tuple[Any, ...]]:
        values = {f"chosen_{name}": values for name, values in asked.chosen.items()}
        statement = f"WITH seen AS ({SEEN}), {told} {select}"
        return connection.execute(statement.encode(), said | values).fetchall()

    facets = {}
    for name in asked.facets:
        order = IN_ORDER.get(name, 'count(*) DESC, value COLLATE "C"')
        values = f"SELECT value, count(*) FROM told, unnest({name}) AS value"
        counts = rows(f"{values} WHERE {chosen(name)} GROUP BY 1 ORDER BY {order}")
        [(missing,)] = rows(f"SELECT count(*) FROM told WHERE {chosen(name)} AND cardinality({name}) = 0")
        rest = sum(count for _, count in counts[FACET_VALUES:])
        facets[name] = (counts[:FACET_VALUES], rest, missing)
    if asked.tree:
        among = "SELECT uri FROM concept WHERE scheme = 'scientific-fields' AND broader = '{}'"
        if asked.below is not None:
            among = f"SELECT uri FROM concept WHERE broader @> ARRAY['{asked.below}']"
        under = "true" if asked.below is None else f"'{asked.below}' = ANY (subject)"
        values = f"SELECT value, count(*) FROM told, unnest(subject) AS value WHERE value IN ({among})"
        counts = rows(f'{values} AND {chosen("subject")} GROUP BY 1 ORDER BY count(*) DESC, value COLLATE "C"')
        others = f"SELECT count(*) FROM told WHERE {chosen('subject')} AND {under}"
        [(missing,)] = rows(f"{others} AND NOT subject && ARRAY({among})")
        [(above,)] = rows(others)
        facets["subject"] = (counts, 0, missing, *([] if asked.below is None else [(asked.below, above)]))
    [(total,)] = rows(f"SELECT count(*) FROM told WHERE {chosen()}")
    return {"total": total, "facets": facets}


def answered(client: httpx2.Client, asked: Asked, organization: str) -> dict[str, Any]:
    """Return the same as the catalog answers."""
    params: dict[str, Any] = {"q": " ".join(asked.words), "similar": False, "limit": 1, "facet": asked.facets}
    params |= {"tree": ["subject"] if asked.tree else [], "below": [asked.below] if asked.tree and asked.below else []}
    # The world is shared: a filter that no facet counts keeps to this test's part of it.
    answer = client.get("/api/search", params=params | asked.chosen | {"filter": f"organization = '{organization}'"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    facets = {
        name: (
            [(str(one["value"]), one["count"]) for one in facet["buckets"]],
            facet["rest"],
            facet["missing"],
            *((one["value"], one["count"]) for one in facet.get("above", [])[-1:]),
        )
        for name, facet in found["facets"].items()
    }
    return {"total": found["total"], "facets": facets}


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_facets_and_totals_are_for_everybody_what_counting_by_sql_gives(people: People, sized: Sized) -> None:
    asking = await crowd(people)
    organization, live = people.organization, people.clients.live
    known = {
        "kind": ["training-dataset", "model", "sensor-blob"],
        "project": [f"{organization}/soil", f"{organization}/air"],
        "licence": list(LICENCES),
        "year": list(map(str, YEARS)),
        "creator": CREATORS[:12],
        "keyword": KEYWORDS[:8],
        "format": list(FORMATS),
        "subject": [*SUBJECTS, f"{FIELDS}geophysics", f"{FIELDS}natural-sciences"],
        "bytes": ["..999", "1000..999999", "1000000..999999999", "1000000000000.."],
    }
    questions = st.builds(
        Asked,
        st.sampled_from(sorted(asking)),
        st.lists(st.sampled_from(WORDS), max_size=2, unique=True),
        st.sets(st.sampled_from(sorted(known)), max_size=3).flatmap(
            lambda names: st.fixed_dictionaries(
                {name: st.lists(st.sampled_from(known[name]), min_size=1, max_size=3, unique=True) for name in names}
            )
        ),
        st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6, unique=True),
        st.booleans(),
        st.sampled_from(LEVELS),
    )

    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(psycopg.connect(str(live.settings.database_url), autocommit=True))
        clients = {
            who: opened.enter_context(
                httpx2.Client(base_url=live.url, headers=client.headers, timeout=30, trust_env=False)
            )
            for who, client in asking.items()
        }

        def both(asked: Asked) -> tuple[dict[str, Any], dict[str, Any]]:
            said = {"who": people.names.get(asked.who), "organization": organization}
            return answered(clients[asked.who], asked, organization), counted(connection, asked, said)

        async def indexed() -> bool:
            return all(one == other for one, other in [both(Asked(who, [], {}, ["kind"])) for who in asking])

        await eventually(indexed)
        totals = {who: both(Asked(who, [], {}, []))[0]["total"] for who in asking}
        # Whoever asks sees something, and hardly two the same.
        assert min(totals.values()) > 0
        assert len(set(totals.values())) >= len(asking) - 2, totals

        @settings(max_examples=sized(QUESTIONS, long=QUESTIONS_LONG), deadline=None, derandomize=True, database=None)
        @given(questions)
        def agree(asked: Asked) -> None:
            found, sql = both(asked)
            assert found == sql
            for name, (buckets, rest, missing, *_) in found["facets"].items():
                if name in ONE_EACH and name not in asked.chosen:
                    assert sum(count for _, count in buckets) + rest + missing == found["total"]

        await asyncio.to_thread(agree)
