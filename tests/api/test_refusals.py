"""What cannot be done is answered with what to do instead, and leaves nothing behind."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa
from litestar import get

from catalog.api.app import create_app
from catalog.api.problems import HELP, STATUS, slug
from catalog.api.requests import BODY_BYTES_MAX
from catalog.cli.operating import HEAD_BYTES_MAX
from catalog.engines import Engines
from catalog.objects import kinds
from tests.api.conftest import MERGE_PATCH, Draft, patch, plain, read, register
from tests.api.leaving import nothing_is_left_by
from tests.api.problems import UNKNOWN_TOKEN, invalid, not_found, problem_of, simple
from tests.conftest import Clients, Live, eventually

pytestmark = pytest.mark.usefixtures("noise")

JSON = {"Content-Type": "application/json"}
GOOD = plain("api/refused")
FILE = {"path": "a.csv", "size": 1, "sha256": "a1" * 32}
WRONG_ORCID = "0000-0002-1825-0098 is not an ORCID iD: its last digit does not fit the others; check for a typing error"
KNOWN_KINDS = ", ".join(kinds.known())
MISSING_ID = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"


@dataclass(frozen=True)
class Bad:
    """A request that is refused, and the whole answer to it."""

    told: dict[str, Any]
    method: str = "POST"
    address: str = "/api/objects"
    body: bytes | Draft | None = None
    by: str = "ingest"
    headers: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)


def query_faults(*faults: Any) -> dict[str, Any]:
    return invalid(*faults, detail="The query has faults.")


def broken(what: str) -> dict[str, Any]:
    return invalid(("", f"not JSON: {what}"), detail=f"The body is not JSON: {what}.")


BAD: dict[str, Bad] = {
    "an unknown kind": Bad(
        invalid(("/kind", f"there is no kind 'trainig-dataset'; the kinds are {KNOWN_KINDS}", "training-dataset")),
        body=GOOD | {"kind": "trainig-dataset"},
    ),
    "an unknown field": Bad(
        invalid(("/keyword", "there is no field 'keyword' here", "keywords")), body=GOOD | {"keyword": ["soil"]}
    ),
    "a wrong ORCID": Bad(
        invalid(
            (
                "/creators/0/orcid",
                WRONG_ORCID,
            )
        ),
        body=GOOD | {"creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0098"}]},
    ),
    "no contact": Bad(
        invalid(("/contact", "contact is required")), body={name: GOOD[name] for name in GOOD if name != "contact"}
    ),
    "many faults": Bad(
        invalid(
            ("/project", "write it as demo/weather: twice 2 to 63 of a to z, 0 to 9 and hyphen, no hyphen first"),
            ("/title", "string should have at least 1 character"),
            ("/metadata/labelled", "must be true or false"),
            ("/files/0/size", "must be at least 0"),
            ("/files/0/path", "write the path from the object's own root, without . and .. parts"),
        ),
        body=GOOD
        | {
            "project": "API",
            "title": " ",
            "metadata": {"labelled": "no"},
            "files": [FILE | {"path": "../a", "size": -1}],
        },
    ),
    "a NUL character where a pattern would let it through": Bad(
        invalid(("/contact/email", "remove the control character U+0000 at place 2")),
        body=GOOD | {"contact": {"name": "Ana", "email": "a\0@example.org"}},
    ),
    "a NUL character in an address": Bad(
        invalid(("/metadata/members/0/url", "remove the control character U+0000 at place 19")),
        body=GOOD
        | {
            "kind": "ecr-bundle",
            "metadata": {"version": "1", "members": [{"type": "url", "url": "https://a.example/\0c"}]},
        },
    ),
    "an unknown field beside the address of a member": Bad(
        invalid(("/metadata/members/0/rol", "there is no field 'rol' here", "role")),
        body=GOOD
        | {
            "kind": "ecr-bundle",
            "metadata": {"version": "1", "members": [{"type": "url", "url": "https://a.example/c", "rol": "manual"}]},
        },
    ),
    "an absent member": Bad(
        simple(
            "unprocessable",
            "Contradicts what is recorded",
            422,
            "The request names objects that are not there or do not fit.",
        )
        | {
            "errors": [
                {"pointer": "/metadata/members/0/id", "message": f"there is no object {MISSING_ID} that you may see"}
            ]
        },
        body=GOOD
        | {"kind": "ecr-bundle", "metadata": {"version": "1", "members": [{"type": "object", "id": MISSING_ID}]}},
    ),
    "broken JSON": Bad(broken("EOF while parsing a value at line 1 column 9"), body=b'{"kind": ', headers=JSON),
    "an empty body": Bad(broken("EOF while parsing a value at line 1 column 0"), body=b"", headers=JSON),
    "a body that is no text": Bad(
        broken("invalid unicode code point at line 1 column 3"), body=b'{"\xff": 1}', headers=JSON
    ),
    "a text that is no text where the kind stands": Bad(
        broken("invalid unicode code point at line 1 column 11"), body=b'{"kind": "\xff"}', headers=JSON
    ),
    "an object that is nested too deep": Bad(
        broken("recursion limit exceeded at line 1 column 224"),
        body=b'{"kind": "model", "x": ' + b"[" * 20_000,
        headers=JSON,
    ),
    "a body that is nested too deep": Bad(
        broken("recursion limit exceeded at line 1 column 202"), body=b"[" * 100_000, headers=JSON
    ),
    "a list where an object belongs": Bad(
        invalid(
            ("", "send one JSON object that describes what you register"),
            detail="The request has faults; each is listed with its place.",
        ),
        body=b"[]",
        headers=JSON,
    ),
    "a body over the limit": Bad(
        simple("too-large", "Too large", 413, "A body here has at most 2,097,152 bytes."),
        body=json.dumps(GOOD | {"description": "x" * BODY_BYTES_MAX}).encode(),
        headers=JSON,
    ),
    "a wrong content type": Bad(
        simple(
            "unsupported",
            "Unsupported media type",
            415,
            "Send the body as Content-Type: application/json, not application/xml.",
        ),
        body=json.dumps(GOOD).encode(),
        headers={"Content-Type": "application/xml"},
    ),
    "no content type": Bad(
        simple(
            "unsupported",
            "Unsupported media type",
            415,
            "Send the body as Content-Type: application/json, not without one.",
        ),
        body=json.dumps(GOOD).encode(),
    ),
    "a compressed body": Bad(
        simple("unsupported", "Unsupported media type", 415, "Send the body without Content-Encoding."),
        body=gzip.compress(json.dumps(GOOD).encode()),
        headers=JSON | {"Content-Encoding": "gzip"},
    ),
    "an Idempotency-Key with a space": Bad(
        invalid(("/Idempotency-Key", "1 to 200 visible ASCII characters"), detail="The Idempotency-Key is not usable."),
        body=GOOD,
        headers={"Idempotency-Key": "a b"},
    ),
    "an unknown token": Bad(
        UNKNOWN_TOKEN,
        body=GOOD,
        headers={"Authorization": "Bearer cat_unknown"},
        answered={"www-authenticate": 'Bearer realm="catalog", error="invalid_token"'},
    ),
    "another scheme than Bearer": Bad(
        simple("unauthenticated", "Who are you?", 401, "Send the token as `Authorization: Bearer <token>`."),
        body=GOOD,
        headers={"Authorization": "Basic YTpi"},
        answered={"www-authenticate": 'Bearer realm="catalog", error="invalid_token"'},
    ),
    "a limit of nothing": Bad(query_faults(("/limit", "must be at least 1")), "GET", "/api/objects?limit=0"),
    "a limit over the largest": Bad(query_faults(("/limit", "must be at most 100")), "GET", "/api/objects?limit=101"),
    "a limit that is no number": Bad(
        query_faults(("/limit", "must be a whole number")),
        "GET",
        "/api/search?limit=ten",
    ),
    "an unknown query parameter": Bad(
        query_faults(("/limti", "there is no field 'limti' here", "limit")), "GET", "/api/objects?limti=10"
    ),
    "a query parameter given twice": Bad(
        query_faults(("/limit", "give this parameter once")), "GET", "/api/objects?limit=1&limit=2"
    ),
    "a parameter where there is none": Bad(
        query_faults(("/at", "there is no field 'at' here")),
        "GET",
        f"/api/objects/{MISSING_ID}/versions?at=2026-05-01",
    ),
    "a parameter of a registration": Bad(
        query_faults(("/dry", "there is no field 'dry' here")), address="/api/objects?dry=true", body=GOOD
    ),
    "a listing of an unknown kind": Bad(
        query_faults(("/kind", f"there is no kind 'modle'; the kinds are {KNOWN_KINDS}", "model")),
        "GET",
        "/api/objects?kind=modle",
    ),
    "an unknown route": Bad(not_found("There is nothing at this address."), "GET", "/api/object"),
    "an address with spaces": Bad(
        not_found(f"'a b' is not an id; ids look like {MISSING_ID}."), "GET", "/api/objects/a%20b"
    ),
    "an unknown kind's address": Bad(
        not_found(f"There is no kind 'modle'; the kinds are {KNOWN_KINDS}."), "GET", "/api/kinds/modle"
    ),
    "a wrong method": Bad(
        simple("http", "Method not allowed", 405, "PUT is not possible here; this address takes GET, HEAD, POST."),
        "PUT",
        body=GOOD,
        answered={"allow": "GET, HEAD, OPTIONS, POST"},
    ),
    "a wrong method where only one is right": Bad(
        simple("http", "Method not allowed", 405, "DELETE is not possible here; this address takes POST."),
        "DELETE",
        "/api/uploads",
        answered={"allow": "OPTIONS, POST"},
    ),
    "a ticket for nothing": Bad(
        invalid(
            ("/object", "input should be a valid UUID, invalid character: found `x` at 0"),
            ("/path", "string should have at least 1 character"),
        ),
        address="/api/uploads",
        body={"object": "x", "path": ""},
    ),
    "the queue for an ingest service": Bad(
        simple("forbidden", "Not allowed", 403, "This needs the role curator or admin."),
        "GET",
        "/api/operations/queue",
    ),
}


@pytest.mark.req("MWM-SADD-25")
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_answered_with_how_to_mend_it_and_leaves_nothing(
    clients: Clients, engines: Engines, name: str
) -> None:
    bad = BAD[name]
    sent: dict[str, Any] = {"content": bad.body} if isinstance(bad.body, bytes) else {"json": bad.body}

    answer = await nothing_is_left_by(
        engines,
        lambda: getattr(clients, bad.by).request(
            bad.method, bad.address, headers=bad.headers, **({} if bad.body is None else sent)
        ),
    )

    assert problem_of(answer) == bad.told
    assert {header: answer.headers.get(header) for header in bad.answered} == bad.answered


@pytest.mark.parametrize("name", kinds.known())
async def test_no_text_of_any_kind_may_hold_what_the_database_cannot_keep(clients: Clients, name: str) -> None:
    example = json.loads(json.dumps(dict(kinds.known()[name].example)))

    for place, spoiled in spoilings(example):
        answer = await clients.ingest.post("/api/objects", json=spoiled)
        assert (place, answer.status_code) == (place, 400)
        assert place in {fault["pointer"] for fault in problem_of(answer)["errors"]}


def spoilings(value: Any, pointer: str = "") -> list[tuple[str, Any]]:
    """Return the value once for each text in it, with a NUL put there, and the pointer to the place."""
    if isinstance(value, str):
        return [(pointer, value[:1] + "\0" + value[1:])]
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    spoiled = []
    for name, below in inside:
        for place, changed in spoilings(below, f"{pointer}/{name}"):
            whole = dict(value) if isinstance(value, dict) else list(value)
            whole[name] = changed
            spoiled.append((place, whole))
    return spoiled


QUESTION: dict[str, Any] = {
    "q": "soil moisture",
    "kind": ["model"],
    "licence": ["MIT"],
    "subject": ["https://example.org/soil"],
    "runtime": ["pytorch>=2.1"],
    "created_at": ["2026"],
    "bbox": "1,2,3,4",
    "time": "2009-08",
    "filter": {"op": "=", "args": [{"property": "title"}, "soil"]},
}


@pytest.mark.parametrize("address", ["/api/search", "/api/search/export", "/api/saved-searches"])
async def test_no_text_of_a_question_may_hold_what_the_database_cannot_look_for(clients: Clients, address: str) -> None:
    saved = address == "/api/saved-searches"

    for place, spoiled in spoilings({"query": QUESTION, "name": "Soil"} if saved else QUESTION):
        answer = await clients.reader.post(address, json=spoiled)
        assert (place, answer.status_code) == (place, 400)
        assert place in {fault["pointer"] for fault in problem_of(answer)["errors"]}


async def test_a_nul_in_a_patch_or_in_the_path_of_a_file_is_refused(clients: Clients, project: str) -> None:
    object_id = (await register(clients.ingest, plain(project)))["id"]

    patched = await patch(clients.ingest, object_id, {"contact": {"email": "a\0@example.org"}})
    removed = await clients.ingest.delete(f"/api/objects/{object_id}/files/a%00b", headers={"If-Match": "*"})
    fetched = await clients.ingest.get(f"/api/objects/{object_id}/files/a%00b")

    assert problem_of(patched) == invalid(("/contact/email", "remove the control character U+0000 at place 2"))
    assert problem_of(removed) == not_found("There is nothing at this address.")
    assert fetched.status_code == 404


async def test_no_parameter_and_no_part_of_a_path_may_hold_what_the_database_cannot_look_for(clients: Clients) -> None:
    document = (await clients.admin.get("/schema/openapi.json")).json()
    asked = []
    for path, item in document["paths"].items():
        for parameter in item.get("get", {}).get("parameters", []):
            filled = dict.fromkeys(re.findall(r"\{(\w+)\}", path), str(uuid4()))
            if parameter["in"] == "path":
                asked.append(path.format(**filled | {parameter["name"]: "a%00b"}))
            elif parameter["in"] == "query":
                asked.append(f"{path.format(**filled)}?{parameter['name']}=a%00b")

    answers = {address: (await clients.admin.get(address)).status_code for address in asked}

    assert len(answers) > 200
    # No route is asked for with what else it needs: some say that first.
    assert {address: status for address, status in answers.items() if status not in {400, 401, 403, 404}} == {}


async def test_no_text_of_an_order_may_hold_what_the_database_cannot_keep(clients: Clients) -> None:
    place = "/api/operations/queue/parked/retry"
    orders = ((place, "topic"), (place, "reason"), ("/api/tokens", "label"), ("/api/tokens", "principal"))

    told = [problem_of(await clients.admin.post(at, json={name: "a\0b"})) for at, name in orders]

    fault = "remove the control character U+0000 at place 2"
    assert [one["status"] for one in told] == [400] * len(orders)
    # What else an order lacks is told beside it.
    assert all(
        {"pointer": f"/{name}", "message": fault} in one["errors"] for one, (_, name) in zip(told, orders, strict=True)
    )


async def test_a_fault_inside_a_list_of_files_has_its_place_and_the_object_stays_as_it_was(
    clients: Clients, engines: Engines, project: str
) -> None:
    object_id = (await register(clients.ingest, plain(project, files=[FILE])))["id"]

    async def declared(body: Any, **headers: str) -> dict[str, Any]:
        return problem_of(await clients.ingest.post(f"/api/objects/{object_id}/files", json=body, headers=headers))

    async def tried() -> list[dict[str, Any]]:
        more = {"files": [FILE | {"path": "b"}]}
        return [
            await declared({"files": wrong}, **{"If-Match": "*"}),
            await declared({"files": []}, **{"If-Match": "*"}),
            await declared(more),
            await declared(more, **{"If-Match": '"9"'}),
        ]

    wrong = [FILE, FILE, FILE | {"path": "b", "sha256": "no", "media_type": "text"}, FILE | {"path": "c\\d"}]
    told, none, without, outdated = await nothing_is_left_by(engines, tried)
    assert told == invalid(
        ("/files/2/sha256", "write the 64 hexadecimal digits of the SHA-256"),
        (
            "/files/2/media_type",
            "write type and subtype without parameters, such as text/csv",
        ),
        ("/files/1/path", "the same path stands at /files/0 already; paths are unique in an object"),
        ("/files/3/path", "join folders with /, not with the backslash at place 2"),
    )
    assert none == invalid(("/files", "declare at least one file"))
    assert (without["status"], outdated["status"]) == (428, 412)


async def test_a_registration_has_at_most_a_thousand_files_and_an_object_fifty_thousand(
    clients: Clients, engines: Engines, project: str
) -> None:
    files = [FILE | {"path": f"{number:04}.csv"} for number in range(1_001)]
    object_id = (await register(clients.ingest, plain(project, files=files[:1000])))["id"]
    headers = {"If-Match": "*"}
    async with engines.database.transaction() as session:
        await session.execute(
            sa.text(
                "INSERT INTO file (id, object_id, path, size, sha256, media_type, state) SELECT gen_random_uuid(),"
                " CAST(:id AS uuid), 'more/' || n, 1, :sha256, 'text/csv', 'expected' FROM generate_series(1, 49000) n"
            ),
            {"id": object_id, "sha256": FILE["sha256"]},
        )

    at_once = await clients.ingest.post("/api/objects", json=plain(project, files=files))
    later = await clients.ingest.post(f"/api/objects/{object_id}/files", json={"files": files[-1:]}, headers=headers)

    assert problem_of(at_once) == invalid(("/files", "list should have at most 1000 items after validation, not 1001"))
    assert problem_of(later) == simple(
        "too-large", "Too large", 413, "An object has at most 50,000 files; this one would have 50,001."
    )
    assert (await read(clients.ingest, object_id))["files_total"] == 50_000


@pytest.mark.parametrize("asking", ["GET /api/search", "POST /api/search", "GET /api/objects", "POST /api/objects"])
async def test_of_thousands_of_faults_the_first_are_told_and_all_are_counted(clients: Clients, asking: str) -> None:
    method, address = asking.split()
    count = 1_500
    unknown = {f"a{number}": "" for number in range(count)}
    sent: dict[str, Any] = {"params": unknown} if method == "GET" else {"json": unknown}
    required = 6 if asking == "POST /api/objects" else 0

    answer = await clients.ingest.request(method, address, **sent)

    told = problem_of(answer)
    what = "query" if method == "GET" else "request"
    assert told["detail"] == f"There are {count + required} faults in the {what}; the first 100 are listed."
    assert (len(told["errors"]), len(answer.content) < 20_000) == (100, True)


async def test_a_parameter_given_thousands_of_times_is_told_a_hundred_times(clients: Clients) -> None:
    answer = await clients.anonymous.get(f"/api/objects?{'limit=1&' * 2_000}")

    told = problem_of(answer)
    assert (len(told["errors"]), told["detail"]) == (
        100,
        "There are 1999 faults in the query; the first 100 are listed.",
    )


@pytest.mark.parametrize("address", ["/api/nowhere", "/api/objects/x", "/nowhere"])
@pytest.mark.parametrize("host", ["a:b", "a:99999999", "a:-1", "[", ""])
async def test_a_malformed_host_is_no_fault_of_ours(clients: Clients, host: str, address: str) -> None:
    answer = await clients.anonymous.get(address, headers={"Host": host})

    assert answer.status_code in {400, 404}
    page = address == "/nowhere" and answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html" if page else "application/problem+json")


async def test_a_listing_continues_and_a_key_is_known_whatever_the_host(clients: Clients, draft: Draft) -> None:
    odd = {"Host": "a:b"}
    key = {"Idempotency-Key": draft["project"]}
    first = await register(clients.ingest, draft, **key)

    again = await clients.ingest.post("/api/objects", json=draft, headers=odd | key)
    listed = await clients.ingest.get("/api/objects", params={"limit": 1}, headers=odd)

    assert (again.status_code, again.json()["id"]) == (201, first["id"])
    assert listed.headers["link"].startswith("</api/objects?limit=1&cursor=")


# Limits that hold before a body is in


async def answer_head(live: Live, head: list[str], chunks: AsyncIterator[bytes]) -> tuple[str, dict[str, Any]]:
    """Send a request over a bare connection; return the status line and the problem, whatever was still to be sent."""
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    named = [*head, f"Host: {host}", f"Authorization: Bearer {live.tokens['ingest']}", "Content-Type: application/json"]
    writer.write("\r\n".join([*named, "", ""]).encode())

    async def send() -> None:
        async for chunk in chunks:
            writer.write(chunk)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(10):
            status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            (length,) = [int(one.split(":")[1]) for one in fields if one.lower().startswith("content-length")]
            return status, json.loads(await reader.readexactly(length))
    finally:
        sending.cancel()
        writer.close()


async def test_a_body_declared_too_long_is_refused_before_it_is_sent(live: Live) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b"{"

    status, told = await answer_head(live, ["POST /api/objects HTTP/1.1", "Content-Length: 10000000000"], nothing())

    assert status == "HTTP/1.1 413 Request Entity Too Large"
    assert (told["type"], told["detail"]) == ("/problems/too-large", "A body here has at most 2,097,152 bytes.")


@pytest.mark.parametrize("part", [b"GET /livez HTTP/1.1\r\nX-Filler: ", b"GET /"], ids=["header", "address"])
async def test_headers_without_end_are_not_held(live: Live, part: bytes) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = len(part)
    writer.write(part)
    with suppress(ConnectionError):
        # Until the server hangs up; what lies in the sockets between counts as sent.
        while sent < 100 * HEAD_BYTES_MAX and not reader.at_eof():
            writer.write(b"a" * HEAD_BYTES_MAX)
            await asyncio.wait_for(writer.drain(), 10)
            sent += HEAD_BYTES_MAX
            await asyncio.sleep(0.01)
    writer.close()

    assert sent < 100 * HEAD_BYTES_MAX


async def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_long(live: Live) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 65_536 + 1):
            yield b"10000\r\n" + b" " * 65_536 + b"\r\n"
        # The end never comes: an answer must not wait for it.
        await asyncio.Event().wait()

    status, told = await answer_head(live, ["POST /api/objects HTTP/1.1", "Transfer-Encoding: chunked"], endless())

    assert status == "HTTP/1.1 413 Request Entity Too Large"
    assert told["type"] == "/problems/too-large"


async def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(
    clients: Clients, live: Live, draft: Draft
) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    mark = f"hangs-up-{draft['project'].removeprefix('api/')}"
    _, writer = await asyncio.open_connection(host, int(port))
    head = ["POST /api/objects HTTP/1.1", f"Host: {host}", f"X-Request-Id: {mark}", "Content-Length: 1000"]
    token = f"Authorization: Bearer {live.tokens['ingest']}"
    writer.write("\r\n".join([*head, token, "Content-Type: application/json", "", "{"]).encode())
    await writer.drain()
    writer.close()

    async def logged() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in live.log("api").splitlines() if mark in line]
        return lines if lines and lines[-1]["event"] == "request" else []

    (line,) = await eventually(logged)
    assert (line["level"], line["status"]) == ("info", 400)
    assert (await register(clients.ingest, draft))["revision"] == 1


# The frame


async def test_every_problem_type_has_a_page_that_explains_it(clients: Clients) -> None:
    named = {slug(kind) for kind in STATUS} | {"internal", "http"}

    pages = {name: await clients.anonymous.get(f"/problems/{name}") for name in named}

    assert {name: page.text for name, page in pages.items()} == {name: f"{HELP[name]}\n" for name in HELP}
    nothing = await clients.anonymous.get("/problems/nothing")
    assert problem_of(nothing) == not_found("There is no problem type 'nothing'.")


async def test_a_request_id_of_the_caller_is_kept_where_it_is_harmless(clients: Clients) -> None:
    async def named(sent: str) -> str:
        answer = await clients.anonymous.get("/api/objects/none", headers={"X-Request-Id": sent})
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        return answer.headers["x-request-id"]

    assert await named("run-17.a_b") == "run-17.a_b"
    for odd in ("a b", "a" * 65, "<script>", ""):
        assert await named(odd) != odd


@pytest.mark.req("MWM-SADD-28")
async def test_a_fault_of_ours_is_a_problem_with_the_request_id_and_nothing_of_the_inside(
    live: Live, capfd: pytest.CaptureFixture[str]
) -> None:
    @get("/boom", include_in_schema=False, sync_to_thread=False)
    def explode() -> str:
        raise RuntimeError("the secret inside")

    app: Any = create_app(live.settings, [explode])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://catalog") as client:
        answer = await client.get("/boom")

    assert problem_of(answer) == simple(
        "internal",
        "A fault of ours",
        500,
        "Something unexpected happened; it is logged under the request id.",
    )
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    logged = capfd.readouterr()
    assert answer.headers["x-request-id"] in logged.out + logged.err
    assert "the secret inside" in logged.out + logged.err


async def test_what_was_refused_can_be_mended_and_sent_again(clients: Clients, draft: Draft) -> None:
    refused = await clients.ingest.post("/api/objects", json=draft | {"licence": "mit licence"})
    (fault,) = problem_of(refused)["errors"]

    assert fault == {
        "pointer": "/licence",
        "message": "'mit licence' is not an SPDX licence id or expression; examples: CC-BY-4.0, MIT, CC0-1.0",
    }
    assert (await register(clients.ingest, draft | {"licence": "mit"}))["licence"] == "MIT"
    headers = {"If-Match": "*", "Content-Type": f"{MERGE_PATCH}; charset=utf-8"}
    mended = await clients.ingest.patch("/api/objects/none", content=b"{}", headers=headers)
    assert mended.status_code == 404
