"""A SKOS file becomes a vocabulary or every fault, and no file reaches the network, hangs or fills the memory."""

import gzip
import json
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import rdflib

from catalog.errors import Invalid
from catalog.vocabulary import guarding, skos
from catalog.vocabulary.terms import Label, LabelKind, Term, Vocabulary, folded
from tests.vocabulary.files import soil, turtle

BASE = "urn:example:soil"
ATTACK_SECONDS_MAX = 1.0


def worked() -> float:
    """Return the seconds that this process and those it started have worked: a busy machine does not change them."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


# What reading a harmless file takes here, most of which is the start of the process that reads.
_harmless: list[float] = []


@pytest.fixture(autouse=True)
async def _measured() -> None:
    if not _harmless:
        began = worked()
        await guarding.read(soil(BASE).encode(), skos.TURTLE)
        _harmless.append(worked() - began)


async def refused(body: bytes | str, media_type: str = skos.TURTLE) -> Invalid:
    """Return the refusal of a file, which came in time."""
    sent = body.encode() if isinstance(body, str) else body
    began = worked()
    with pytest.raises(Invalid) as caught:
        await guarding.read(sent, media_type)
    assert worked() - began < _harmless[0] + ATTACK_SECONDS_MAX
    return caught.value


async def faults(*concepts: str) -> list[str]:
    return [fault.message for fault in (await refused(turtle(BASE, *concepts))).faults]


def labels(*said: tuple[LabelKind, str, str]) -> tuple[Label, ...]:
    return tuple(sorted(Label(*one) for one in said))


async def test_a_file_becomes_a_vocabulary_with_everything_that_it_says() -> None:
    preferred, alternative = LabelKind.PREFERRED, LabelKind.ALTERNATIVE
    moisture = Term(
        f"{BASE}:moisture",
        labels(
            (LabelKind.NOTATION, "", "SM"),
            (preferred, "en", "Soil moisture"),
            (preferred, "de", "Bodenfeuchte"),
            (alternative, "en", "water content"),
            (alternative, "fr", "humidité du sol"),
            (LabelKind.HIDDEN, "en", "moistrue"),
        ),
        {"en": "How much water the soil holds."},
        broader=(f"{BASE}:soil",),
        related=(f"{BASE}:rain",),
        exact_matches=("https://example.org/moisture",),
    )
    rain = Term(f"{BASE}:rain", labels((preferred, "en", "Precipitation"), (alternative, "en", "rain")))
    soils = Term(f"{BASE}:soil", labels((preferred, "en", "Soil"), (preferred, "de", "Boden")))
    wet = Term(f"{BASE}:wet", labels((preferred, "en", "Wetness")), deprecated=True, replaced_by=f"{BASE}:moisture")

    read = await guarding.read(soil(BASE).encode(), skos.TURTLE)

    assert read == Vocabulary(BASE, "Soil", (moisture, rain, soils, wet), version="1")
    assert [term.label for term in read.terms] == ["Soil moisture", "Precipitation", "Soil", "Wetness"]


@pytest.mark.parametrize(
    ("media_type", "name"), [(skos.N_TRIPLES, "nt"), (skos.RDF_XML, "xml"), (skos.JSON_LD, "json-ld")]
)
async def test_every_syntax_says_the_same(media_type: str, name: str) -> None:
    written = rdflib.Graph().parse(data=soil(BASE), format="turtle").serialize(format=name, encoding="utf-8")

    assert await guarding.read(written, media_type) == await guarding.read(soil(BASE).encode(), skos.TURTLE)


async def test_all_faults_are_told_at_once_with_the_concept() -> None:
    told = await refused(
        turtle(
            BASE,
            'c:a skos:prefLabel "A"@en, "Aleph"@en',
            'c:b skos:prefLabel "B"@en ; skos:altLabel "B"@en ; skos:broader c:nowhere',
            'c:c skos:altLabel "sea"@en ; skos:inScheme <urn:example:other>',
        )
    )
    assert [(fault.pointer, fault.message.partition(" ")[2]) for fault in told.faults] == [
        (f"{BASE}:a", "has several preferred labels in en: 'A', 'Aleph'"),
        (f"{BASE}:b", "has 'B' as preferred and as alternative label in en"),
        (f"{BASE}:b", f"has the broader concept <{BASE}:nowhere>, which is not in this file"),
        (f"{BASE}:c", f"must be in the scheme <{BASE}> and in no other; it is in <urn:example:other>, <{BASE}>"),
        (f"{BASE}:c", "has no preferred label"),
    ]
    assert told.detail == "The vocabulary has 5 faults."


async def test_a_concept_is_not_broader_than_itself_over_any_way() -> None:
    told = await faults(
        'c:a skos:prefLabel "A" ; skos:broader c:b',
        'c:b skos:prefLabel "B" ; skos:broader c:c',
        'c:c skos:prefLabel "C" ; skos:broader c:a',
        'c:d skos:prefLabel "D" ; skos:broader c:a',
    )
    assert told == [f"{BASE}:a is broader than itself: <{BASE}:a> → <{BASE}:b> → <{BASE}:c> → <{BASE}:a>"]


async def test_a_hierarchy_may_be_deeper_than_the_stack() -> None:
    chain = [f'c:n{place} skos:prefLabel "{place}" ; skos:broader c:n{place + 1}' for place in range(3_000)]

    read = await guarding.read(turtle(BASE, *chain, 'c:n3000 skos:prefLabel "top"').encode(), skos.TURTLE)

    assert len(read.terms) == 3_001


async def test_a_replacement_is_not_deprecated_itself() -> None:
    told = await faults(
        'c:a skos:prefLabel "A" ; owl:deprecated true ; dcterms:isReplacedBy c:b',
        'c:b skos:prefLabel "B" ; owl:deprecated true',
        'c:c skos:prefLabel "C" ; dcterms:isReplacedBy c:d',
        'c:d skos:prefLabel "D"',
    )
    assert told == [
        f"{BASE}:a is replaced by <{BASE}:b>, which is deprecated itself",
        f"{BASE}:c has a replacement and is not deprecated",
    ]


async def test_a_concept_is_named_by_an_address_or_a_urn() -> None:
    told = await faults('<ftp://example.org/a> skos:prefLabel "A"')
    assert told == ["ftp://example.org/a is named by neither an http(s) address nor a urn"]


async def test_a_file_holds_one_scheme() -> None:
    other = "<urn:example:other> a skos:ConceptScheme ."
    assert "one skos:ConceptScheme" in (await refused(soil(BASE) + other)).detail
    assert (await refused("<urn:a> <urn:b> <urn:c> .")).detail == "The file holds no skos:Concept."


async def test_what_is_no_turtle_is_refused_with_its_line() -> None:
    assert (await refused("<urn:a> <urn:b> .\n")).detail.startswith("The file is not text/turtle: line 1: ")


def bomb(kind: str) -> tuple[bytes | str, str]:
    """Return a file that means harm, and its media type."""
    rdf = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>&a9;</rdf:RDF>"
    entities = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
    lines = '<urn:a> <urn:b> """' + "x\n" * 5_000_000 + '""" .'
    nested = "[ <urn:p> " * 5_000 + "1" + " ]" * 5_000
    return {
        "entity bomb": (f"<!DOCTYPE x [<!ENTITY a0 'lol'>{entities}]>{rdf}", skos.RDF_XML),
        "file entity": (f"<!DOCTYPE x [<!ENTITY a9 SYSTEM 'file:///etc/hostname'>]>{rdf}", skos.RDF_XML),
        "remote context": (json.dumps({"@context": "https://example.org/c.jsonld"}), skos.JSON_LD),
        "remote import": (json.dumps({"@context": {"@import": "https://example.org/c.jsonld"}}), skos.JSON_LD),
        "owl:imports": (f"<{BASE}> <http://www.w3.org/2002/07/owl#imports> <https://example.org/> .", skos.TURTLE),
        "deep Turtle": (f"<urn:a> <urn:b> {nested} .", skos.TURTLE),
        "deep list": ("<urn:a> <urn:b> " + "(" * 50_000 + ")" * 50_000 + " .", skos.TURTLE),
        "deep JSON": ("[" * 100_000 + "]" * 100_000, skos.JSON_LD),
        "deep XML": ("<a>" * 100_000 + "</a>" * 100_000, skos.RDF_XML),
        "circle of blank nodes": (
            turtle(BASE, 'c:a skos:prefLabel "A" ; skos:broader _:x')
            + "_:x a skos:Concept ; skos:broader _:y . _:y a skos:Concept ; skos:broader _:x .",
            skos.TURTLE,
        ),
        "gzip bomb": (gzip.compress(b"\0" * 50_000_000), skos.TURTLE),
        "huge literal": (f'<urn:a> <urn:b> "{"x" * 20_000_000}" .', skos.TURTLE),
        "huge literal of lines": (lines, skos.TURTLE),
        "huge literal, N-Triples": (f'<urn:a> <urn:b> "{"x" * 5_000_000}" .\n', skos.N_TRIPLES),
        "huge body": (b"#" * (skos.FILE_BYTES_MAX + 1), skos.TURTLE),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("entity bomb", "The file has a DOCTYPE"),
        ("file entity", "The file has a DOCTYPE"),
        ("remote context", "The file names a context elsewhere"),
        ("remote import", "The file names a context elsewhere"),
        ("owl:imports", "owl:imports names another document"),
        ("deep Turtle", "The file is nested more than 32 levels deep."),
        ("deep list", "The file is nested more than 32 levels deep."),
        ("deep JSON", "The file is nested more than 32 levels deep."),
        ("deep XML", "The file is nested more than 32 levels deep."),
        ("circle of blank nodes", f"<{BASE}:a> is linked to a concept without a URI"),
        ("gzip bomb", "The file is compressed"),
        ("huge literal", "A text has more than 20,000 characters."),
        ("huge literal of lines", "A text has more than 20,000 characters."),
        ("huge literal, N-Triples", "A text has more than 20,000 characters."),
        ("huge body", "A vocabulary has at most 67,108,864 bytes."),
    ],
)
async def test_a_file_that_means_harm_is_refused_within_a_second(kind: str, told: str) -> None:
    refusal = await refused(*bomb(kind))

    assert (refusal.detail.startswith(told), len(refusal.detail) < 300) == (True, True), refusal.detail


async def test_many_labels_of_one_concept_are_refused() -> None:
    many = ", ".join(f'"{place}"@en' for place in range(skos.LABELS_MAX + 1))
    told = await refused(turtle(BASE, f'c:a skos:prefLabel "A" ; skos:altLabel {many}'))
    assert told.detail == f"<{BASE}:a> has more than {skos.LABELS_MAX} labels."


async def test_reading_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skos, "PARSE_SECONDS_MAX", 0.2)

    told = await refused("".join(f'<urn:a> <urn:b> "{place}" .\n' for place in range(200_000)))

    assert "took more than 0.2 s" in told.detail


@contextmanager
def listener() -> Generator[tuple[str, list[object]]]:
    """A server that notes who connects."""
    met: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def note() -> None:
            while True:
                try:
                    connection, peer = server.accept()
                except OSError:
                    return
                met.append(peer)
                connection.close()

        thread = threading.Thread(target=note, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x", met
        time.sleep(0.1)
        server.shutdown(socket.SHUT_RDWR)
        thread.join(1)


async def test_no_file_makes_the_reader_call_anybody() -> None:
    with listener() as (address, met):
        for body, media_type in [
            (json.dumps({"@context": address, "@graph": []}), skos.JSON_LD),
            (json.dumps({"a": [{"@context": [{}, address]}]}), skos.JSON_LD),
            (json.dumps({"@context": {"@version": 1.1, "x": {"@id": "urn:x", "@context": address}}}), skos.JSON_LD),
            (f"<!DOCTYPE r SYSTEM '{address}'><r/>", skos.RDF_XML),
            (f"<!DOCTYPE r [<!ENTITY % e SYSTEM '{address}'> %e;]><r/>", skos.RDF_XML),
            (f"<> <http://www.w3.org/2002/07/owl#imports> <{address}> .", skos.TURTLE),
            (f"@base <{address}> . <{address}> a <{address}> .", skos.TURTLE),
        ]:
            await refused(body, media_type)
    assert met == []


def test_the_reading_process_can_open_neither_a_socket_nor_a_file() -> None:
    tried = (
        "from catalog.vocabulary import skos; import socket; skos.confine()\n"
        "for attempt in (socket.socket, lambda: open('/etc/hostname')):\n"
        "    try: attempt()\n"
        "    except OSError as refused: print(refused.errno)\n"
        "    else: print('opened')\n"
        "try: bytearray(2 << 30)\n"
        "except MemoryError: print('no memory')\n"
    )
    told = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=True)
    # EMFILE: too many open files.
    assert told.stdout.split("\n") == ["24", "24", "no memory", ""]


def test_texts_are_compared_without_case_accents_and_doubled_spaces() -> None:
    assert folded("  Humidité  du SOL ") == folded("humidite du sol") == "humidite du sol"
    assert folded("Straße") == "strasse"
