"""A scheme as Turtle, concept by concept: what `skos` reads, written so that it reads the same again."""

import re
from collections.abc import Iterable, Iterator

from catalog.vocabulary.looking_up import ConceptView, SchemeView

_PREFIXES = (
    "@prefix dcterms: <http://purl.org/dc/terms/> .\n"
    "@prefix owl: <http://www.w3.org/2002/07/owl#> .\n"
    "@prefix skos: <http://www.w3.org/2004/02/skos/core#> .\n"
)
_SAID = " ;\n"
_LABELS = {
    "preferred": "skos:prefLabel",
    "alternative": "skos:altLabel",
    "hidden": "skos:hiddenLabel",
    "notation": "skos:notation",
}
# Turtle, section 6.4: what an IRI and a text may not hold as it is.
_NOT_IN_IRI = re.compile(r"[\x00-\x20<>\"{}|^`\\]")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NOT_IN_TEXT = re.compile(r'[\\"\n\r\t]')
_ADDRESS = re.compile(r"(https?://|urn:)\S+")


def scheme_text(scheme: SchemeView) -> str:
    """Return the beginning of the file: prefixes, and what is said of the scheme itself."""
    said = [f"{_iri(scheme.uri)} a skos:ConceptScheme", f"    dcterms:title {_text(scheme.title)}"]
    if scheme.description:
        said.append(f"    dcterms:description {_text(scheme.description)}")
    for predicate, value in (("dcterms:license", scheme.licence), ("dcterms:source", scheme.source)):
        if value is not None:
            said.append(f"    {predicate} {_iri(value) if _ADDRESS.fullmatch(value) else _text(value)}")
    if scheme.version is not None:
        said.append(f"    owl:versionInfo {_text(scheme.version)}")
    return f"{_PREFIXES}\n{_SAID.join(said)} .\n"


def concept_text(concept: ConceptView, scheme_uri: str) -> str:
    """Return one concept with all that is kept of it; narrower ones say themselves what is broader."""
    said = [f"{_iri(concept.uri)} a skos:Concept", f"    skos:inScheme {_iri(scheme_uri)}"]
    said += _links(concept)
    for kind, predicate in _LABELS.items():
        texts = [_text(text, language) for one, language, text in concept.labels if one == kind]
        if texts:
            said.append(f"    {predicate} {', '.join(texts)}")
    if concept.definitions:
        texts = [_text(text, language) for language, text in sorted(concept.definitions.items())]
        said.append(f"    skos:definition {', '.join(texts)}")
    return f"\n{_SAID.join(said)} .\n"


def _links(concept: ConceptView) -> Iterator[str]:
    ends: dict[str, Iterable[str]] = {
        "skos:broader": concept.broader,
        "skos:related": concept.related,
        "skos:exactMatch": concept.exact_matches,
        "dcterms:isReplacedBy": [] if concept.replaced_by is None else [concept.replaced_by],
    }
    for predicate, uris in ends.items():
        if uris:
            yield f"    {predicate} {', '.join(map(_iri, uris))}"
    if concept.deprecated:
        yield "    owl:deprecated true"


def _iri(uri: str) -> str:
    escaped = _NOT_IN_IRI.sub(lambda found: f"\\u{ord(found[0]):04X}", uri)
    return f"<{escaped}>"


def _text(text: str, language: str = "") -> str:
    escaped = _NOT_IN_TEXT.sub(lambda found: _ESCAPES[found[0]], text)
    return f'"{escaped}"{f"@{language}" if language else ""}'
