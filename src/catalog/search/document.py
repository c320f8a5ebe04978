"""An object as the index sees it: the strict mapping, its analysis, and the projection of an entry into a document.

Pure. Knows nothing of the engine's client, nor where an entry comes from.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

Document: TypeAlias = dict[str, Any]

# What a person types is far below, what a generated archive lists can be far above. Text past these is not searched.
PATHS_CHARS_MAX = 200_000
MEMBERS_CHARS_MAX = 200_000
TERMS_CHARS_MAX = 200_000
# Of its first files by path: whoever looks for a file by its hash mostly has one of few.
HASHES_MAX = 1_000
# A longer name is found by its words and stands in no facet: Lucene refuses a document with a term over 32,766 bytes.
NAME_CHARS_MAX = 1_000


class CreatorProjection(msgspec.Struct, frozen=True):
    """A creator as the index knows one."""

    name: str
    orcid: str | None = None
    ror: str | None = None


class Own(msgspec.Struct, frozen=True):
    """The concepts that an object names itself, without broader ones."""

    concepts: Sequence[str] = ()
    terms: Sequence[str] = ()
    subjects: Sequence[str] = ()
    tasks: Sequence[str] = ()


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an object that the index shall know."""

    id: UUID
    kind: str
    project: str
    revision: int
    readers: Sequence[str]
    title: str
    description: str
    keywords: Sequence[str]
    creators: Sequence[CreatorProjection]
    name: str | None = None
    # DOIs of it and of its versions.
    dois: Sequence[str] = ()
    # What it is called elsewhere.
    identifiers: Sequence[str] = ()
    licence: str | None
    year: int | None
    visibility: str
    created_at: datetime
    updated_at: datetime
    formats: Sequence[str]
    # Of its files that are there.
    stages: Sequence[str] = ()
    member_texts: Sequence[str]
    file_paths: Sequence[str]
    # SHA-256 of its files, how many these are, and how large together, in bytes.
    hashes: Sequence[str] = ()
    files: int = 0
    bytes: int = 0
    state: str
    quality: str | None
    # Who may see that it has labels: the readers of any labels that name it, its own if they are in it.
    label_readers: Sequence[str] = ()
    withdrawn: bool
    # The concepts that describe it and all that are broader: their URIs, and all they are called in any language.
    concepts: Sequence[str] = ()
    terms: Sequence[str] = ()
    subjects: Sequence[str] = ()
    tasks: Sequence[str] = ()
    # The same of those concepts alone that the object names.
    own: "Own" = Own()
    sensors: Sequence[str] = ()
    # Software that it runs on: name, and the versions from here on and below there as texts that sort like versions.
    runtimes: Sequence[tuple[str, str, str]] = ()
    # From when to when it holds; without an end it goes on.
    holds: tuple[datetime, datetime | None] | None = None
    # Where, as GeoJSON or as the engine's envelope.
    place: Sequence[Document] = ()


def document_from(entry: Projection) -> Document:
    """Return the document of an object; a withdrawn one leaves a tombstone that says nothing but its revision."""
    said = _said(entry)
    return said | {"digest": digest_of(said)}


# A checksum is enough: it finds what was altered by mistake, and whoever may write to the index can write this as well.
_DIGEST_BYTES = 16
_in_order = msgspec.json.Encoder(order="deterministic").encode


def digest_of(document: Document) -> str:
    """Return the digest of what a document says, whether it is to be written or comes from the index."""
    said = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.blake2b(_in_order(said), digest_size=_DIGEST_BYTES).hexdigest()


def within_fields(document: Document, fields: Collection[str]) -> Document:
    """Return a document as an index can hold it that knows these fields alone: strict as it is, it refuses others."""
    said = {name: value for name, value in document.items() if name in fields and name != "digest"}
    return said | {"digest": digest_of(said)} if "digest" in fields else said


def _said(entry: Projection) -> Document:
    if entry.withdrawn:
        return {"id": entry.id, "revision": entry.revision, "tombstone": True}
    organization, _, _ = entry.project.partition("/")
    return {
        "id": entry.id,
        "revision": entry.revision,
        "tombstone": False,
        "kind": entry.kind,
        "project": entry.project,
        "organization": organization,
        "readers": entry.readers,
        "label_readers": entry.label_readers,
        "title": entry.title,
        "description": entry.description,
        "keywords": entry.keywords,
        "creators": [creator.name for creator in entry.creators],
        "name": entry.name,
        "doi": entry.dois,
        "identifiers": [*entry.dois, *entry.identifiers, *([entry.name] if entry.name else [])],
        "creator_ids": [known for creator in entry.creators for known in (creator.orcid, creator.ror) if known],
        "licence": entry.licence,
        "year": entry.year,
        "format": entry.formats,
        "stage": entry.stages,
        "members": _within(entry.member_texts, MEMBERS_CHARS_MAX),
        "paths": _within(entry.file_paths, PATHS_CHARS_MAX),
        "hashes": entry.hashes[:HASHES_MAX],
        "files": entry.files,
        "bytes": entry.bytes,
        "concepts": entry.concepts,
        "terms": _within(entry.terms, TERMS_CHARS_MAX),
        "subject": entry.subjects,
        "task": entry.tasks,
        "concepts_own": entry.own.concepts,
        "terms_own": _within(entry.own.terms, TERMS_CHARS_MAX),
        "subject_own": entry.own.subjects,
        "task_own": entry.own.tasks,
        "sensor": entry.sensors,
        "runtime": [{"name": name, "low": low, "high": high} for name, low, high in entry.runtimes],
        "holds": _holds(entry.holds),
        "place": _place(entry.place),
        "visibility": entry.visibility,
        "state": entry.state,
        "quality": entry.quality,
        "created_at": entry.created_at,
        "updated_at": entry.updated_at,
    }


def _place(shapes: Sequence[Document]) -> list[Document]:
    """Return one shape: the engine refuses a document that has several in one field."""
    return [{"type": "geometrycollection", "geometries": list(shapes)}] if shapes[1:] else list(shapes)


def _holds(span: tuple[datetime, datetime | None] | None) -> Document | None:
    if span is None:
        return None
    start, end = span
    held = {"gte": epoch_seconds(start)}
    return held if end is None else held | {"lte": epoch_seconds(end)}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_seconds(moment: datetime) -> int:
    """Return whole seconds since 1970: the engine reads no date before the year 1, which a zone may lead to."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def _within(texts: Iterable[str], chars_max: int) -> list[str]:
    kept, chars = [], 0
    for text in texts:
        chars += len(text)
        if chars > chars_max:
            break
        kept.append(text)
    return kept


# Words are split at punctuation; inside, at case and digits, the parts stand beside the whole, at its position, so that
# phrases go on as written. ERA5-Land is found by era5, land and era; silero_vad.onnx by silero, vad and onnx; ResNet50
# by resnet50, resnet and 50. A question is split at punctuation only: the index holds the other readings already.
_SPLITS: dict[str, Any] = {
    "split": {"type": "word_delimiter_graph", "split_on_case_change": False, "split_on_numerics": False},
    "parts": {
        "type": "pattern_capture",
        "preserve_original": True,
        "patterns": [r"(\p{L}{2,})", r"(\p{Lu}?\p{Ll}{2,})", r"(\p{Lu}{2,})(?=\p{Lu}\p{Ll})", r"(\p{N}+)"],
    },
}


# Plurals that rules for English miss and science uses. They stand before the stemmer, in the index and in questions.
IRREGULAR = {
    "algae": "alga",
    "axes": "axis",
    "criteria": "criterion",
    "fungi": "fungus",
    "genera": "genus",
    "halves": "half",
    "hypotheses": "hypothesis",
    "indices": "index",
    "larvae": "larva",
    "leaves": "leaf",
    "matrices": "matrix",
    "nuclei": "nucleus",
    "phenomena": "phenomenon",
    "spectra": "spectrum",
    "stimuli": "stimulus",
    "strata": "stratum",
    "taxa": "taxon",
    "vertices": "vertex",
    "wolves": "wolf",
}


def _analyzer(*filters: str) -> dict[str, Any]:
    return {"tokenizer": "standard", "filter": ["split", *filters]}


ANALYSIS: dict[str, Any] = {
    "char_filter": {
        # Identifiers are written bare or as links; both mean the same.
        "links_are_identifiers": {"type": "pattern_replace", "pattern": "^https?://[^/]+/", "replacement": ""},
    },
    "filter": {
        **_SPLITS,
        "irregular": {"type": "stemmer_override", "rules": [f"{many} => {one}" for many, one in IRREGULAR.items()]},
        "stem": {"type": "kstem"},
    },
    "analyzer": {
        # `keyword_repeat` keeps each word beside its stem: a beginning* is compared with words as they were written.
        "prose": _analyzer(
            "parts", "asciifolding", "lowercase", "keyword_repeat", "irregular", "stem", "remove_duplicates"
        ),
        "prose_asked": _analyzer("asciifolding", "lowercase", "irregular", "stem"),
        # Names are not stemmed: "Hastings" is nobody called "Hasting".
        "names": _analyzer("parts", "asciifolding", "lowercase", "remove_duplicates"),
        "names_asked": _analyzer("asciifolding", "lowercase"),
    },
    "normalizer": {
        "folded": {"type": "custom", "filter": ["asciifolding", "lowercase"]},
        "identifier": {"type": "custom", "char_filter": ["links_are_identifiers"], "filter": ["lowercase"]},
    },
}

# BM25 without what other documents decide: no rarity of words, and a fixed length where BM25 takes the average. So the
# score of a hit is a function of the question and the hit alone, and nobody learns from it, or from an order, which
# words stand in documents that they may not see. All words must be found: how rare each is would change little.
_FREQUENCY_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75


def _own_words(usual_length: int) -> dict[str, Any]:
    length = f"{1 - _LENGTH_WEIGHT} + {_LENGTH_WEIGHT} * doc.length / {usual_length}.0"
    top = _FREQUENCY_SATURATION + 1
    source = f"return query.boost * {top} * doc.freq / (doc.freq + {_FREQUENCY_SATURATION} * ({length}));"
    return {"type": "scripted", "script": {"source": source}}


SIMILARITY: dict[str, Any] = {"short": _own_words(8), "long": _own_words(100)}

# Facets and reader tokens are counted and compared in every search: their ordinals are built when the index
# refreshes, not by the first search after it.
_FACET = {"type": "keyword", "eager_global_ordinals": True, "ignore_above": NAME_CHARS_MAX}


def _prose(**more: Any) -> dict[str, Any]:
    return {"type": "text", "analyzer": "prose", "search_analyzer": "prose_asked", "similarity": "short", **more}


def _names(**more: Any) -> dict[str, Any]:
    return {"type": "text", "analyzer": "names", "search_analyzer": "names_asked", "similarity": "short", **more}


def _identifier() -> dict[str, Any]:
    return {"type": "keyword", "normalizer": "identifier", "ignore_above": NAME_CHARS_MAX}


# Marking words in a long text is most of a search's time; with offsets in the index it is not analysed again.
_LONG = {"index_options": "offsets"}

MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "id": _identifier(),
        "revision": {"type": "long", "index": False},
        "tombstone": {"type": "boolean"},
        # Of all other fields: read, never asked for.
        "digest": {"type": "keyword", "index": False, "doc_values": False},
        "kind": _FACET,
        "project": _FACET,
        "organization": _FACET,
        # Never shortened, never analysed: a token that is not compared whole would show an object to the wrong people.
        "readers": {"type": "keyword", "eager_global_ordinals": True},
        "label_readers": {"type": "keyword"},
        "title": _prose(fields={"sort": {"type": "keyword", "normalizer": "folded", "ignore_above": NAME_CHARS_MAX}}),
        "description": _prose(**_LONG | {"similarity": "long"}),
        "keywords": _prose(fields={"exact": _FACET}),
        "creators": _names(fields={"exact": _FACET}),
        "creator_ids": _identifier(),
        "name": _identifier(),
        "doi": _identifier(),
        "identifiers": _identifier(),
        "licence": _FACET,
        "year": {"type": "short"},
        "format": _FACET,
        "stage": _FACET,
        # Without norms: an object is no worse an answer for having many files or members.
        "members": _names(norms=False, **_LONG),
        "paths": _names(norms=False, **_LONG),
        "hashes": {"type": "keyword", "normalizer": "folded"},
        "files": {"type": "integer"},
        "bytes": {"type": "long"},
        "concepts": {"type": "keyword"},
        # Without norms, as above: many languages make a concept no worse an answer.
        "terms": _prose(norms=False, **_LONG),
        "subject": _FACET,
        "task": _FACET,
        "concepts_own": {"type": "keyword"},
        "terms_own": _prose(norms=False),
        "subject_own": _FACET,
        "task_own": _FACET,
        "sensor": _FACET,
        # Nested: name and versions of one requirement belong together.
        "runtime": {
            "type": "nested",
            "properties": {
                "name": {"type": "keyword", "normalizer": "folded", "ignore_above": NAME_CHARS_MAX},
                "low": {"type": "keyword"},
                "high": {"type": "keyword"},
            },
        },
        # In seconds since 1970.
        "holds": {"type": "long_range"},
        "place": {"type": "geo_shape"},
        "visibility": {"type": "keyword"},
        "state": _FACET,
        "quality": _FACET,
        "created_at": {"type": "date"},
        "updated_at": {"type": "date"},
    },
}

# Below 10 GB one shard is fastest; a second node, where there is one, holds a copy.
SETTINGS: dict[str, Any] = {"number_of_shards": 1, "auto_expand_replicas": "0-1"}


def _settings_of(shards: int) -> dict[str, Any]:
    return SETTINGS | {"number_of_shards": shards}


def version_of(shards: int) -> str:
    """Return what changes when an index would have to be made anew: with its mapping, and with its shards."""
    told = msgspec.json.encode([MAPPING, ANALYSIS, SIMILARITY, _settings_of(shards)], order="deterministic")
    return hashlib.sha256(told).hexdigest()[:10]


MAPPING_VERSION = version_of(SETTINGS["number_of_shards"])


def index_body(*, refresh_interval: str, shards: int = 1) -> dict[str, Any]:
    """Return the body that creates a concrete index: settings, analysis, mapping and the mapping's version.

    The refresh interval is always written: a shard without one goes idle, and the next search pays for the refresh.
    """
    return {
        "settings": {
            "index": {
                **_settings_of(shards),
                "refresh_interval": refresh_interval,
                "analysis": ANALYSIS,
                "similarity": SIMILARITY,
            }
        },
        "mappings": {"_meta": {"version": version_of(shards)}, **MAPPING},
    }
