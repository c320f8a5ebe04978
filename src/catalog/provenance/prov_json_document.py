"""A PROV-JSON document as it is read: prefixes, elements, the relations that are taken, and what is left out.

Every fault is noted with its place. Computes only: fetches nothing, looks nothing up.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from catalog.errors import Fault, Invalid, TooLarge
from catalog.objects import validation
from catalog.objects.telling import nearest
from catalog.provenance import identifiers
from catalog.provenance.prov_json import ENDS, PROV, SAID_BY, TERMS

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024
RECORDS_MAX = 2_000

# What is read and not taken, with the reason that the answer gives.
LEFT_OUT = {
    "wasInfluencedBy": "say how: by wasDerivedFrom, used, wasGeneratedBy or hadMember",
    "wasStartedBy": "only the time of an activity's start is kept",
    "wasEndedBy": "only the time of an activity's end is kept",
    "wasInvalidatedBy": "an object is withdrawn by DELETE",
    "specializationOf": "say wasDerivedFrom with catalog:relation IsVersionOf",
    "alternateOf": "say wasDerivedFrom with catalog:relation IsVariantFormOf",
    "mentionOf": "bundles are not kept",
    "bundle": "bundles are not kept; send what is inside as a document of its own",
}
SAID_BY_METADATA = "the metadata of an object says it, and says it wherever the object is registered"
_ELEMENTS = ("entity", "activity", "agent")
_SECTIONS = ("prefix", *_ELEMENTS, *ENDS, *LEFT_OUT)
# What is read of each relation beside its ends.
_KEPT = {
    "wasAttributedTo": ("prov:role",),
    "actedOnBehalfOf": tuple(SAID_BY.values()),
    "wasInformedBy": (),
}
_KEPT_OF_OTHERS = ("prov:role", "prov:type", "prov:label", "catalog:relation")
# How a value says that it is a name.
_NAMES = frozenset({"prov:QUALIFIED_NAME", "xsd:QName", "prov:QualifiedName"})

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """A place in the document that names an entity, activity or agent."""

    pointer: str
    name: str


class LeftOut(msgspec.Struct, frozen=True):
    """A part of a document that was not taken, and why."""

    pointer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A relation of the document that has both ends, in the order of PROV-DM."""

    section: str
    pointer: str
    told: Attributes
    first: End
    second: End


class Document:
    """One document: its elements by section and name, its faults so far, what is left out so far."""

    def __init__(self, body: bytes) -> None:
        """Read the body; raises Invalid for what is no document at all, TooLarge for too many records."""
        self.faults = validation.Faults()
        self.left_out: list[LeftOut] = []
        self.elements: dict[str, dict[str, tuple[str, Attributes]]] = {name: {} for name in _ELEMENTS}
        self._records: dict[str, list[tuple[str, Attributes]]] = {name: [] for name in ENDS}
        self._prefixes: dict[str, str] = {}
        document = _decoded(body)
        self._read_prefixes(document)
        self._read_sections(document)

    def fault(self, pointer: str, message: str, suggestion: str | None = None) -> None:
        """Note a fault."""
        self.faults.add([Fault(pointer, message, suggestion)])

    def leave(self, pointer: str, reason: str) -> None:
        """Note that a part is not taken."""
        self.left_out.append(LeftOut(pointer, reason))

    def leave_others(self, pointer: str, told: Attributes, kept: Collection[str]) -> None:
        """Note that attributes are not taken, all but those that are kept."""
        for name in told:
            if name not in kept:
                self.leave(f"{pointer}{validation.pointer_to([name])}", "is not kept")

    def records(self) -> Iterator[Record]:
        """Yield every relation that has both ends."""
        for section, records in self._records.items():
            for pointer, told in records:
                first, second = (self._end(section, pointer, told, key) for key in ENDS[section])
                if _by_metadata(told):
                    self.leave(pointer, SAID_BY_METADATA)
                elif first is not None and second is not None:
                    self.leave_others(pointer, told, {*ENDS[section], *_KEPT.get(section, _KEPT_OF_OTHERS)})
                    yield Record(section, pointer, told, first, second)

    def also(self, record: Record, key: str) -> End | None:
        """Return what a relation names beside its ends, if it does."""
        name = text_of(record.told.get(key))
        return End(f"{record.pointer}/{key}", name) if name else None

    def named(self, value: Any) -> str:
        """Return a value that is a name as the address it stands for; any other as its text."""
        text = text_of(value) or ""
        if isinstance(value, dict) and value.get("type") not in _NAMES:
            return text
        prefix, _, rest = text.partition(":")
        return self._prefixes[prefix] + rest if prefix in self._prefixes else text.replace("catalog:", TERMS, 1)

    def iri(self, pointer: str, name: str) -> str:
        """Return the address that a name stands for; one of an unknown prefix is a fault."""
        prefix, colon, rest = name.partition(":")
        if not colon:
            return self._prefixes.get("default", "") + name
        if prefix in self._prefixes:
            return self._prefixes[prefix] + rest
        if prefix in {"urn", "http", "https"}:
            return name
        near = nearest(prefix, self._prefixes)
        self.fault(pointer, f"the prefix {prefix[:80]!r} is not said under /prefix", near)
        return name

    def _read_prefixes(self, document: Mapping[str, Any]) -> None:
        """Read the prefixes; ours and PROV's own cannot be taken for something else."""
        told = document.get("prefix", {})
        if not isinstance(told, dict):
            self.fault("/prefix", "must be an object of prefixes")
            return
        for name, iri in told.items():
            pointer = validation.pointer_to(["prefix", name])
            if not isinstance(iri, str):
                self.fault(pointer, "must be a text, the start of the addresses that the prefix stands for")
            elif name == "prov" and iri != PROV:
                self.fault(pointer, f"prov stands for {PROV}")
            else:
                self._prefixes[name] = iri
        self._prefixes.setdefault("prov", PROV)
        self._prefixes.setdefault("doi", identifiers.WRITTEN["DOI"])

    def _read_sections(self, document: Mapping[str, Any]) -> None:
        """Read every section into records."""
        count = 0
        for section, told in document.items():
            if section == "prefix":
                continue
            if section not in _SECTIONS:
                near = nearest(section, _SECTIONS)
                self.fault(validation.pointer_to([section]), "is no part of PROV-JSON", near)
            elif not isinstance(told, dict):
                self.fault(f"/{section}", "must be an object of records by their names")
            elif section in LEFT_OUT:
                count += len(told)
                self.left_out += [
                    LeftOut(
                        validation.pointer_to([section, name]),
                        SAID_BY_METADATA if _by_metadata(one) else LEFT_OUT[section],
                    )
                    for name, one in told.items()
                ]
            else:
                count += sum(len(one) if isinstance(one, list) else 1 for one in told.values())
                self._section(section, told)
        if count > RECORDS_MAX:
            raise TooLarge(f"A document has at most {RECORDS_MAX:,} records; this one has {count:,}.")

    def _section(self, section: str, told: Mapping[str, Any]) -> None:
        for name, one in told.items():
            several = one if isinstance(one, list) else [one]
            for place, record in enumerate(several):
                pointer = validation.pointer_to([section, name, *([place] if isinstance(one, list) else [])])
                if not isinstance(record, dict):
                    self.fault(pointer, "must be an object")
                elif section in ENDS:
                    self._records[section].append((pointer, record))
                else:
                    pointer_before, before = self.elements[section].get(name, (pointer, {}))
                    self.elements[section][name] = pointer_before, {**before, **record}

    def _end(self, section: str, pointer: str, told: Attributes, key: str) -> End | None:
        value = told.get(key)
        if value is None and section == "wasGeneratedBy" and key == "prov:activity":
            self.leave(pointer, "names no activity")
            return None
        name = text_of(value) if not isinstance(value, list) else None
        if not name:
            self.fault(f"{pointer}/{key}", "must be there and be one name")
            return None
        return End(f"{pointer}/{key}", name)


def _decoded(body: bytes) -> dict[str, Any]:
    document = validation.json_from(body)
    if not isinstance(document, dict):
        raise Invalid(faults=[Fault("", "send one PROV-JSON document: an object")])
    return document


def _by_metadata(record: Any) -> bool:
    return isinstance(record, dict) and "catalog:pointer" in record


def several(value: Any) -> Sequence[Any]:
    """Return the values of an attribute."""
    return value if isinstance(value, list) else [] if value is None else [value]


def text_of(value: Any) -> str | None:
    """Return an attribute's value as text, the first of several: plain, or typed or with a language under `$`."""
    for one in several(value):
        plain = one.get("$") if isinstance(one, dict) else one
        if isinstance(plain, str):
            return plain
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            return str(plain)
    return None
