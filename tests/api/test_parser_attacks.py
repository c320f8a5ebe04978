"""Documents made to hurt whoever reads them: refused at once on every way in, with no step outside."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncGenerator
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import plain, register
from tests.conftest import Clients
from tests.loopback import listening

# What the machine that runs these tests may be late by, above the second that a refusal takes at most.
REFUSED_SECONDS_MAX = 5.0

TURTLE, XML, JSON_LD = "text/turtle", "application/rdf+xml", "application/ld+json"
DATACITE_JSON, DATACITE_XML = "application/vnd.datacite.datacite+json", "application/vnd.datacite.datacite+xml"
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE bomb [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]>"
)
RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:skos="http://www.w3.org/2004/02/skos/core#">'
KERNEL = '<resource xmlns="http://datacite.org/schema/kernel-4">'
DEEP = 100_000
IMPORT = "/api/imports/datacite?project=attack/tests&kind=training-dataset&contact_email=a@example.org"


@pytest.fixture
async def canary() -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that nobody has any reason to call, and what was sent to it."""
    calls: list[bytes] = []

    async def called(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        calls.append(await reader.read(1_000))

    async with listening(called) as port:
        yield f"http://127.0.0.1:{port}", calls


def attacks(outside: str) -> dict[str, tuple[str, str, str, bytes]]:
    """Return method, address, media type and body of each attack by its name."""
    scheme = f"/api/vocabularies/attack-{uuid4().hex[:8]}"
    external = f'<!DOCTYPE x [<!ENTITY x SYSTEM "{outside}/entity"><!ENTITY f SYSTEM "file:///etc/hostname">]>'
    nested = "[" * DEEP + "]" * DEEP
    nested_object = '{"a":' * DEEP + "1" + "}" * DEEP
    context = {
        "@context": f"{outside}/context",
        "@id": "urn:x-test:a",
        "@type": "http://www.w3.org/2004/02/skos/core#Concept",
    }
    circle = "_:a <urn:p> _:b . _:b <urn:p> _:a ." * 1_000 + "[ <urn:p> " * 2_000 + "1" + " ]" * 2_000 + " ."
    vocabulary = {
        "an entity bomb": (XML, f"{BOMB}{RDF}<skos:Concept>&a11;</skos:Concept></rdf:RDF>"),
        "an outside entity": (XML, f"{external}{RDF}<skos:Concept>&x;&f;</skos:Concept></rdf:RDF>"),
        "an outside schema": (XML, f'<!DOCTYPE rdf SYSTEM "{outside}/dtd">{RDF}</rdf:RDF>'),
        "elements in elements": (XML, RDF + "<skos:Concept>" * DEEP),
        "a remote context": (JSON_LD, json.dumps(context)),
        "lists in lists": (JSON_LD, nested),
        "objects in objects": (JSON_LD, nested_object),
        "blank nodes in circles": (TURTLE, circle),
        "lists in lists of Turtle": (TURTLE, "<urn:a> <urn:p> " + "( " * DEEP),
    }
    record = {
        "an entity bomb": (DATACITE_XML, f"{BOMB}{KERNEL}<publisher>&a11;</publisher></resource>"),
        "an outside entity": (DATACITE_XML, f"{external}{KERNEL}<publisher>&x;&f;</publisher></resource>"),
        "elements in elements": (DATACITE_XML, KERNEL + "<titles>" * DEEP),
        "lists in lists": (DATACITE_JSON, f'{{"titles": {nested}}}'),
        "objects in objects": (DATACITE_JSON, nested_object),
    }
    plainly = {
        "lists in lists": ("application/json", nested),
        "objects in objects": ("application/json", nested_object),
    }
    told: dict[str, tuple[str, str, str, bytes]] = {}
    for name, (media_type, body) in vocabulary.items():
        told[f"vocabulary: {name}"] = ("PUT", scheme, media_type, body.encode())
    for name, (media_type, body) in record.items():
        address = IMPORT
        told[f"record: {name}"] = ("POST", address, media_type, body.encode())
    for name, (media_type, body) in plainly.items():
        for address in ("/api/objects", "/api/provenance", "/api/activities", "/api/search"):
            told[f"{address}: {name}"] = ("POST", address, media_type, body.encode())
        told[f"bulk: {name}"] = ("POST", "/api/bulk/objects", "application/x-ndjson", body.encode())
    for method, address, media_type in (
        ("PUT", scheme, TURTLE),
        ("POST", IMPORT, DATACITE_XML),
        ("POST", "/api/provenance", "application/json"),
        ("POST", "/api/bulk/objects", "application/x-ndjson"),
        ("POST", "/api/objects", "application/json"),
    ):
        told[f"{address}: a gzip bomb"] = (method, address, media_type, gzip.compress(b"\0" * 10_000_000))
    return told


async def test_every_way_in_refuses_what_is_made_to_hurt_and_goes_nowhere_for_it(
    clients: Clients, canary: tuple[str, list[bytes]]
) -> None:
    outside, calls = canary
    outcomes: dict[str, str] = {}
    started = time.monotonic()
    address = f"/api/vocabularies/harmless-{uuid4().hex[:8]}"
    harmless = await clients.curator.put(address, content="<urn:a> <urn:b> 1 .", headers={"Content-Type": TURTLE})
    # Most of it is the start of the process that reads.
    allowed = time.monotonic() - started + REFUSED_SECONDS_MAX
    assert harmless.status_code == 400, harmless.text
    for name, (method, address, media_type, body) in attacks(outside).items():
        headers = {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if "gzip" in name else {})
        started = time.monotonic()
        answer = await clients.curator.request(method, address, content=body, headers=headers)
        took = time.monotonic() - started
        told = answer.text
        # A bulk answers its stream with 200, and each row with what becomes of it.
        refused = answer.status_code in {400, 413, 415, 422} or (
            name.startswith("bulk") and answer.status_code == 200 and '"failed"' in told and '"created"' not in told
        )
        if "query has faults" in told or not refused or took > allowed or "root" in told:
            outcomes[name] = f"{answer.status_code} after {took:.1f} s: {told[:200]}"

    assert outcomes == {}
    assert calls == []


async def test_others_are_answered_while_attacks_are_read(clients: Clients, canary: tuple[str, list[bytes]]) -> None:
    object_id = (await register(clients.ingest, plain("attack/tests")))["id"]
    over = asyncio.Event()
    waits: list[float] = []

    async def asking() -> None:
        while not over.is_set():
            started = time.monotonic()
            answer = await clients.ingest.get(f"/api/objects/{object_id}")
            assert answer.status_code == 200
            waits.append(time.monotonic() - started)

    async def attacking(client: httpx2.AsyncClient) -> None:
        for name, (method, address, media_type, body) in attacks(canary[0]).items():
            headers = {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if "gzip" in name else {})
            await client.request(method, address, content=body, headers=headers)

    asked = asyncio.create_task(asking())
    await asyncio.gather(*(attacking(client) for client in (clients.curator, clients.admin)))
    over.set()
    await asked

    assert len(waits) > 20
    # A parser that held the loop would hold them all for as long as it reads.
    assert max(waits) < REFUSED_SECONDS_MAX
