"""SKOS in Turtle, N-Triples, RDF/XML and JSON-LD: from bytes to a vocabulary, or to every fault at once.

The only importer of rdflib. Nothing here is kept as a graph: triples are sorted into concepts as they come, so that a
large file needs little memory. Run as a program, this is the process without network and files that `guarding` starts.
"""

import io
import re
import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from xml.parsers import expat
from xml.sax.xmlreader import InputSource

import msgspec
import rdflib
from rdflib.namespace import DCTERMS, OWL, RDF, SKOS
from rdflib.plugins.parsers import jsonld, notation3, ntriples, rdfxml
from rdflib.plugins.stores.memory import Memory

from catalog.vocabulary.terms import Label, LabelKind, Term, Vocabulary, Wrong

TURTLE, N_TRIPLES, RDF_XML, JSON_LD = (
    "text/turtle",
    "application/n-triples",
    "application/rdf+xml",
    "application/ld+json",
)
MEDIA_TYPES = (TURTLE, N_TRIPLES, RDF_XML, JSON_LD)

# 100,000 concepts with two labels, a definition and a broader concept are 40 MB of Turtle.
FILE_BYTES_MAX = 64 * 1024 * 1024
CONCEPTS_MAX = 200_000
LABELS_MAX = 200
LABEL_CHARS_MAX = 300
TEXT_CHARS_MAX = 20_000
URI_CHARS_MAX = 500
# A text written with \u escapes, and two URIs.
TRIPLE_BYTES_MAX = 10 * TEXT_CHARS_MAX
LINKS_MAX = 500
NESTING_MAX = 32
FAULTS_SHOWN_MAX = 100
PARSE_MEMORY_BYTES_MAX = 1024**3
PARSE_SECONDS_MAX = 90

_URI = re.compile(r"^(https?://[^\s<>\"{}|\\^`]+|urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[^\s<>\"{}|\\^`]+)$")
_JSON_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

_LABELS = {
    SKOS.prefLabel: LabelKind.PREFERRED,
    SKOS.altLabel: LabelKind.ALTERNATIVE,
    SKOS.hiddenLabel: LabelKind.HIDDEN,
    SKOS.notation: LabelKind.NOTATION,
}
_TITLES = (DCTERMS.title, SKOS.prefLabel, rdflib.RDFS.label, rdflib.DC.title)
_SAID_OF_SCHEMES = {
    DCTERMS.description: "description",
    SKOS.definition: "description",
    DCTERMS.license: "licence",
    DCTERMS.source: "source",
    OWL.versionInfo: "version",
    DCTERMS.hasVersion: "version",
}


class Refused(Exception):
    """The file is not read further; the text says why."""


class Read(msgspec.Struct, frozen=True):
    """What became of a file: a vocabulary, or what is wrong with it; `more` faults beyond those that are listed."""

    vocabulary: Vocabulary | None = None
    wrong: list[Wrong] = []
    more: int = 0


class _Concept:
    __slots__ = ("definitions", "deprecated", "labels", "links", "named", "replaced_by", "schemes")

    def __init__(self) -> None:
        self.named = False
        self.labels: set[Label] = set()
        self.definitions: dict[str, str] = {}
        self.links: dict[str, set[str]] = {}
        self.schemes: set[str] = set()
        self.deprecated = False
        self.replaced_by: set[str] = set()


class _Sorting(Memory):
    """Takes triples as a store would, and keeps of each what a vocabulary has a place for."""

    def __init__(self) -> None:
        super().__init__()
        self.concepts: dict[str, _Concept] = defaultdict(_Concept)
        self.schemes: dict[str, dict[str, str]] = {}
        self.scheme_uris: set[str] = set()
        self.nameless = 0
        self.count = 0

    def add(self, triple: Any, context: Any = None, quoted: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - a store's.
        """Sort one triple in."""
        subject, predicate, value = triple
        if predicate == OWL.imports:
            raise Refused("owl:imports names another document, and nothing is fetched here; put all into one file.")
        _measure(subject, predicate, value)
        if isinstance(subject, rdflib.BNode):
            self.nameless += predicate == RDF.type and value == SKOS.Concept
            return
        uri = str(subject)
        if predicate in _LABELS:
            self._label(uri, _LABELS[predicate], value)
        elif predicate in _LINKS:
            self._link(uri, _LINKS[predicate], value)
        elif predicate in _TAKEN:
            _TAKEN[predicate](self, uri, value)
        if len(self.concepts) > CONCEPTS_MAX * 2:
            raise _too_many()
        self._say(uri, predicate, value)

    def _label(self, uri: str, kind: LabelKind, value: Any) -> None:
        labels = self.concepts[uri].labels
        labels.add(Label(kind, (getattr(value, "language", None) or "").lower(), _text(value)))
        if len(labels) > LABELS_MAX:
            raise Refused(f"<{uri[:80]}> has more than {LABELS_MAX} labels.")

    def _define(self, uri: str, value: Any) -> None:
        # A definition may be a resource with texts of its own (SKOS Reference, section 7.4); there is no place for it.
        if isinstance(value, rdflib.Literal):
            self.concepts[uri].definitions.setdefault((value.language or "").lower(), _text(value))

    def _belong(self, uri: str, value: Any) -> None:
        self.concepts[uri].schemes.add(str(value))

    def _top(self, uri: str, value: Any) -> None:
        self._belong(str(value), uri)

    def _deprecate(self, uri: str, value: Any) -> None:
        self.concepts[uri].deprecated = str(value).lower() in {"true", "1"}

    def _replace(self, uri: str, value: Any) -> None:
        self.concepts[uri].replaced_by.add(str(value))

    def _type(self, uri: str, value: Any) -> None:
        if value == SKOS.Concept:
            concept = self.concepts[uri]
            self.count += not concept.named
            concept.named = True
            if self.count > CONCEPTS_MAX:
                raise _too_many()
        elif value == SKOS.ConceptScheme:
            self.scheme_uris.add(uri)

    def _link(self, uri: str, way: tuple[str, bool], value: Any) -> None:
        name, turned = way
        if isinstance(value, rdflib.BNode):
            raise Refused(f"<{uri[:80]}> is linked to a concept without a URI (a blank node); give it one.")
        start, end = (str(value), uri) if turned else (uri, str(value))
        links = self.concepts[start].links.setdefault(name, set())
        links.add(end)
        if len(links) > LINKS_MAX:
            raise Refused(f"<{start[:80]}> has more than {LINKS_MAX} {name} concepts.")

    def _say(self, uri: str, predicate: Any, value: Any) -> None:
        # Few subjects have any of these, and concepts have a label alone.
        if predicate in _SAID_OF_SCHEMES or predicate in _TITLES:
            if predicate == SKOS.prefLabel and uri not in self.scheme_uris:
                return
            name = "title" if predicate in _TITLES else _SAID_OF_SCHEMES[predicate]
            if uri in self.scheme_uris or uri in self.schemes or predicate != SKOS.definition:
                said = self.schemes.setdefault(uri, {})
                english = (getattr(value, "language", None) or "en").startswith("en")
                if english or name not in said:
                    said[name] = _text(value)


_TAKEN: dict[Any, Callable[[_Sorting, str, Any], None]] = {
    RDF.type: _Sorting._type,  # ruff: ignore[SLF001] - the table of this class.
    SKOS.definition: _Sorting._define,  # ruff: ignore[SLF001] - as above.
    SKOS.inScheme: _Sorting._belong,  # ruff: ignore[SLF001] - as above.
    SKOS.topConceptOf: _Sorting._belong,  # ruff: ignore[SLF001] - as above.
    SKOS.hasTopConcept: _Sorting._top,  # ruff: ignore[SLF001] - as above.
    OWL.deprecated: _Sorting._deprecate,  # ruff: ignore[SLF001] - as above.
    DCTERMS.isReplacedBy: _Sorting._replace,
}
_LINKS = {
    SKOS.broader: ("broader", False),
    SKOS.narrower: ("broader", True),
    SKOS.related: ("related", False),
    SKOS.exactMatch: ("exact_matches", False),
}


def _too_many() -> Refused:
    return Refused(f"The file has more than {CONCEPTS_MAX:,} concepts.")


def _text(value: Any) -> str:
    return " ".join(str(value).split()) if len(value) <= LABEL_CHARS_MAX else str(value).strip()


def _measure(*values: Any) -> None:
    for value in values:
        if isinstance(value, rdflib.Literal):
            if len(value) > TEXT_CHARS_MAX:
                raise _too_long()
        elif len(value) > URI_CHARS_MAX:
            raise Refused(f"A URI has more than {URI_CHARS_MAX} characters: {str(value)[:60]}…")


def _too_long() -> Refused:
    return Refused(f"A text has more than {TEXT_CHARS_MAX:,} characters.")


class _Turtle(notation3.SinkParser):
    """rdflib's parser, which knows no limits, with two."""

    depth = 0

    def node(self, argstr: str, i: int, res: Any, subjectAlready: Any = None) -> int:  # noqa: N803 - rdflib's name.
        """Read a node, which may hold others."""
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise _too_deep()
        try:
            return super().node(argstr, i, res, subjectAlready)
        finally:
            self.depth -= 1

    def strconst(self, argstr: str, i: int, delim: str) -> tuple[int, str]:
        """Read a text, whose end must be near before it is looked at character by character."""
        if argstr.find(delim, i, i + TEXT_CHARS_MAX * 2) < 0:
            raise _too_long()
        return super().strconst(argstr, i, delim)


def _too_deep() -> Refused:
    return Refused(f"The file is nested more than {NESTING_MAX} levels deep.")


def read(body: bytes, media_type: str) -> Read:
    """Return the vocabulary that a file holds, or everything that is wrong with it. Computes and does nothing else."""
    try:
        sorted_in = _parsed(body, media_type)
        return _judged(sorted_in)
    except Refused as refused:
        return Read(wrong=[Wrong("", str(refused))])


def _parsed(body: bytes, media_type: str) -> _Sorting:
    refused = refusal(body, media_type)
    if refused is not None:
        raise Refused(refused)
    sorting = _Sorting()
    graph = rdflib.Graph(store=sorting, bind_namespaces="none")
    parse = {TURTLE: _parse_turtle, N_TRIPLES: _parse_n_triples, RDF_XML: _parse_xml, JSON_LD: _parse_json_ld}[
        media_type
    ]
    try:
        parse(body, graph)
    except Refused:
        raise
    except RecursionError:
        raise _too_deep() from None
    except MemoryError:
        raise Refused(f"Reading the file takes more than {PARSE_MEMORY_BYTES_MAX >> 20} MiB of memory.") from None
    except Exception as fault:  # ruff: ignore[BLE001] - rdflib's parsers raise whatever they meet.
        raise Refused(f"The file is not {media_type}: {_told(fault)}") from None
    return sorting


def _told(fault: Exception) -> str:
    if isinstance(fault, notation3.BadSyntax):
        return f"line {fault.lines + 1}: {fault._why}."  # ruff: ignore[SLF001] - its text would quote the whole file.
    return " ".join(str(fault).split())[:200] or type(fault).__name__


def refusal(body: bytes, media_type: str) -> str | None:
    """Return why a file is not even looked at, or None. Cheap: the door asks before it starts a process."""
    if media_type not in MEDIA_TYPES:
        return f"A vocabulary is sent as {', '.join(MEDIA_TYPES)}, not {media_type[:80] or 'without a media type'}."
    if len(body) > FILE_BYTES_MAX:
        return f"A vocabulary has at most {FILE_BYTES_MAX:,} bytes."
    if body[:2] == b"\x1f\x8b" or body[:4] in {b"PK\x03\x04", b"BZh9", b"\xfd7zX", b"\x28\xb5\x2f\xfd"}:
        return "The file is compressed; send it unpacked."
    if b"\x00" in body[:1_000]:
        return "The file is not text in UTF-8."
    return None


def _parse_turtle(body: bytes, graph: rdflib.Graph) -> None:
    parser = _Turtle(notation3.RDFSink(graph), baseURI="urn:base:", turtle=True)
    parser.loadBuf(body)


def _parse_n_triples(body: bytes, graph: rdflib.Graph) -> None:
    # A line is a triple, and the parser takes ever longer for one that is long.
    if max(map(len, body.splitlines())) > TRIPLE_BYTES_MAX:
        raise _too_long()
    sink: Any = ntriples.NTGraphSink(graph)
    ntriples.W3CNTriplesParser(sink).parse(io.StringIO(body.decode("utf-8-sig")))


def _parse_xml(body: bytes, graph: rdflib.Graph) -> None:
    _look_through_xml(body)
    source: Any = InputSource()
    source.setByteStream(io.BytesIO(body))
    source.setPublicId("urn:base:")
    source.setSystemId("urn:base:")
    source.getPublicId = lambda: "urn:base:"
    rdfxml.RDFXMLParser().parse(source, graph)  # type: ignore[no-untyped-call]  # rdflib's.


def _look_through_xml(body: bytes) -> None:
    """Refuse a DOCTYPE (where entities come from) and deep nesting, before anything is made of the elements."""
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: Any) -> None:
        raise Refused("The file has a DOCTYPE, which may define entities and name other files; leave it out.")

    def down(*_: Any) -> None:
        nonlocal depth
        depth += 1
        if depth > NESTING_MAX:
            raise _too_deep()

    def up(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = down
    parser.EndElementHandler = up
    parser.Parse(body, True)  # noqa: FBT003 - expat takes it by place.


def _parse_json_ld(body: bytes, graph: rdflib.Graph) -> None:
    depth = 0
    for mark in _JSON_MARKS.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(mark[0], 0)
        if depth > NESTING_MAX:
            raise _too_deep()
    document = msgspec.json.decode(body)
    _refuse_remote_contexts(document)
    # Without a store of its own the parser would wrap ours.
    jsonld.to_rdf(document, rdflib.Dataset(store=graph.store, default_union=True), base="urn:base:")


def _refuse_remote_contexts(value: Any) -> None:
    if isinstance(value, list):
        for inner in value:
            _refuse_remote_contexts(inner)
    elif isinstance(value, dict):
        context = value.get("@context")
        contexts = context if isinstance(context, list) else [context]
        if "@import" in value or any(isinstance(one, str) for one in contexts):
            raise Refused(
                "The file names a context elsewhere, and nothing is fetched here; write the @context into it."
            )
        for inner in value.values():
            _refuse_remote_contexts(inner)


def _judged(found: _Sorting) -> Read:
    if found.nameless:
        raise Refused(f"{found.nameless} concepts have no URI (they are blank nodes); give each one.")
    concepts = {uri: concept for uri, concept in found.concepts.items() if concept.named}
    if not concepts:
        raise Refused("The file holds no skos:Concept.")
    named = {uri for concept in concepts.values() for uri in concept.schemes}
    schemes = found.scheme_uris or named
    if len(schemes) != 1:
        told = ", ".join(f"<{uri[:80]}>" for uri in sorted(schemes)[:3]) or "none"
        raise Refused(f"A file holds one skos:ConceptScheme, to which all its concepts belong; this one has {told}.")
    (scheme,) = schemes
    wrong = [*_wrong_uri(scheme)]
    for uri, concept in concepts.items():
        wrong += _wrong(uri, concept, scheme, concepts)
    wrong += _circles(concepts)
    if wrong:
        return Read(wrong=wrong[:FAULTS_SHOWN_MAX], more=max(0, len(wrong) - FAULTS_SHOWN_MAX))
    said = found.schemes.get(scheme, {})
    # A scheme's label stands where concepts keep theirs, when its type came after it.
    labels = [label.text for label in sorted(found.concepts[scheme].labels)] if scheme in found.concepts else []
    title = said.get("title") or next(iter(labels), scheme)
    terms = tuple(_term(uri, concepts[uri]) for uri in sorted(concepts))
    known = {name: said[name] for name in ("description", "licence", "source", "version") if name in said}
    return Read(Vocabulary(scheme, title[:LABEL_CHARS_MAX], terms, **known))


def _wrong_uri(uri: str) -> Iterator[Wrong]:
    if not _URI.fullmatch(uri):
        yield Wrong(uri, "is named by neither an http(s) address nor a urn")


def _wrong(uri: str, concept: _Concept, scheme: str, concepts: dict[str, _Concept]) -> Iterator[Wrong]:
    yield from _wrong_uri(uri)
    if concept.schemes != {scheme}:
        others = ", ".join(f"<{one[:80]}>" for one in sorted(concept.schemes)) or "none"
        yield Wrong(uri, f"must be in the scheme <{scheme}> and in no other; it is in {others}")
    yield from _wrong_labels(uri, concept)
    for broader in sorted(concept.links.get("broader", ())):
        if broader not in concepts:
            yield Wrong(uri, f"has the broader concept <{broader[:80]}>, which is not in this file")
    if len(concept.replaced_by) > 1:
        yield Wrong(uri, "is replaced by several concepts; name one")
    for replacement in concept.replaced_by:
        # One that is elsewhere is looked up where the file is imported.
        if replacement in concepts and concepts[replacement].deprecated:
            yield Wrong(uri, f"is replaced by <{replacement[:80]}>, which is deprecated itself")
        elif not concept.deprecated:
            yield Wrong(uri, "has a replacement and is not deprecated")


def _wrong_labels(uri: str, concept: _Concept) -> Iterator[Wrong]:
    preferred: dict[str, str] = {}
    for label in sorted(concept.labels):
        if not label.text:
            yield Wrong(uri, "has an empty label")
        elif len(label.text) > LABEL_CHARS_MAX:
            yield Wrong(uri, f"has a label of more than {LABEL_CHARS_MAX} characters")
        elif "\x00" in label.text:
            yield Wrong(uri, "has a label with a NUL character")
    for label in sorted(one for one in concept.labels if one.kind == LabelKind.PREFERRED):
        if label.language in preferred:
            yield Wrong(
                uri,
                f"has several preferred labels in {_language(label)}: {preferred[label.language]!r}, {label.text!r}",
            )
        preferred[label.language] = label.text
    if not preferred:
        yield Wrong(uri, "has no preferred label")
    for label in concept.labels:
        if label.kind in {LabelKind.ALTERNATIVE, LabelKind.HIDDEN} and preferred.get(label.language) == label.text:
            yield Wrong(uri, f"has {label.text!r} as preferred and as {label.kind} label in {_language(label)}")


def _language(label: Label) -> str:
    return label.language or "no language"


def _circles(concepts: dict[str, _Concept]) -> Iterator[Wrong]:
    """Find each concept from which the way up comes back to itself, without recursion: hierarchies may be deep."""
    done: set[str] = set()
    for start, concept in concepts.items():
        if start in done:
            continue
        way: dict[str, Iterator[str]] = {start: iter(sorted(concept.links.get("broader", ())))}
        while way:
            at, above = next(reversed(way.items()))
            following = next(above, None)
            if following is None:
                done.add(at)
                del way[at]
            elif following in way:
                circle = [*list(way)[list(way).index(following) :], following]
                yield Wrong(following, "is broader than itself: " + " → ".join(f"<{uri[:80]}>" for uri in circle[:6]))
            elif following not in done and following in concepts:
                way[following] = iter(sorted(concepts[following].links.get("broader", ())))


def _term(uri: str, concept: _Concept) -> Term:
    links = {name: tuple(sorted(ends)) for name, ends in concept.links.items()}
    return Term(
        uri,
        tuple(sorted(concept.labels)),
        dict(sorted(concept.definitions.items())),
        deprecated=concept.deprecated,
        replaced_by=next(iter(concept.replaced_by), None),
        **links,
    )


def confine() -> None:
    """Give up, for good, what reading needs not: new files and sockets, memory and time beyond the limits."""
    limits: list[tuple[int, int]] = [
        (resource.RLIMIT_AS, PARSE_MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, PARSE_SECONDS_MAX),
        (resource.RLIMIT_CORE, 0),
        # Standard input, output and error are 0, 1 and 2: whatever would be opened has no number left.
        (resource.RLIMIT_NOFILE, 3),
    ]
    for limit, most in limits:
        # Not every system has each of them; the others hold.
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


_SMALLEST = {
    TURTLE: b'<urn:a> <urn:b> """c"""@en, [ <urn:b> (1) ] .',
    N_TRIPLES: b'<urn:a> <urn:b> "c"@en .\n',
    RDF_XML: f'<r:RDF xmlns:r="{RDF}"><r:Bag r:about="urn:a"><r:value>c</r:value></r:Bag></r:RDF>'.encode(),
    JSON_LD: b'{"@context": {"b": "urn:b"}, "@id": "urn:a", "b": ["c", {"@value": "d", "@language": "en"}]}',
}


def main(media_type: str) -> None:
    """Read a file from standard input and write what became of it to standard output."""
    body = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    # Parsers and codecs load parts of themselves when they are first used, which is too late afterwards.
    read(_SMALLEST[media_type], media_type)
    confine()
    outcome = read(body, media_type)
    del body
    write: Callable[[bytes], int] = sys.stdout.buffer.write
    write(msgspec.msgpack.encode(outcome))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
