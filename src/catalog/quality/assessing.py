"""From facts to a report: every check with its reason, a score, and whether the record passes. Pure.

Indicators are those of the RDA FAIR Data Maturity Model (2020), named by the principle they belong to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from catalog.errors import Fault
from catalog.objects import describing, reading
from catalog.objects.describing import Use
from catalog.objects.kinds import Metadata
from catalog.objects.metadata import MEDIA_TYPE_DEFAULT
from catalog.objects.reading import Entry
from catalog.objects.references import Outside, Reference
from catalog.objects.tables import FileState, FrozenState
from catalog.outside.tables import BROKEN, Look

# A shorter one rarely says what is in it, how it came about and what it is good for.
DESCRIPTION_CHARS_WANTED = 80
# What must hold counts as much as so many things that should.
REQUIRED_WEIGHT = 3
LISTED_MAX = 5

# From these scores on; below the last a record is poor.
GOOD_FROM, FAIR_FROM, EXCELLENT_FROM = 70, 50, 90
# Kinds that measure or hold something of a time and a place.
SENSED = frozenset({"sensor-data", "sensor-blob", "calibration"})


class Group(StrEnum):
    """What a check is about."""

    DESCRIPTION = "description"
    REUSE = "reuse"
    FILES = "files"
    REFERENCES = "references"
    PROVENANCE = "provenance"
    CITATION = "citation"


class Level(StrEnum):
    """What a check decides: whether a record passes, or only how good it is."""

    REQUIRED = "required"
    WANTED = "wanted"


class Band(StrEnum):
    """A score in a word, as the facet counts it."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class Told:
    """An object, and what it says, read once."""

    entry: Entry
    metadata: Metadata
    references: Sequence[Reference]
    outside: Sequence[Outside]
    terms: Sequence[Use]


def told(entry: Entry) -> Told:
    """Return what an object says; raises whatever a row raises that no verb has written."""
    metadata = reading.metadata_of(entry)
    terms = describing.uses(reading.kind_of(entry), entry.record)
    return Told(entry, metadata, list(metadata.references()), reading.outside_of(entry), terms)


@dataclass(frozen=True, slots=True)
class Facts:
    """What an object says, and what others know of it."""

    told: Told
    looks: Mapping[str, Look]
    # Objects that it names and that were withdrawn.
    withdrawn: frozenset[UUID]
    # Published files that are not as they were published: version, path, state.
    disturbed: Sequence[tuple[int, str, str]]
    has_lineage: bool
    # What it says where terms belong and is none, or none any more, or is one by now and a text still.
    wrong_terms: Sequence[Fault]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `faults` say where it fails and how to mend it, none when it holds."""

    name: str
    group: Group
    level: Level
    fair: str | None
    promise: str
    faults: Sequence[Fault]

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Report:
    """All that was looked at; `empty` are fields of the kind that say nothing, of `fields` in all."""

    checks: Sequence[Check]
    fields: int
    empty: Sequence[str]

    @property
    def passes(self) -> bool:
        """Whether everything that must hold does."""
        return all(check.passed for check in self.checks if check.level is Level.REQUIRED)

    @property
    def failed(self) -> list[str]:
        """The names of what does not hold."""
        return [check.name for check in self.checks if not check.passed]

    @property
    def score(self) -> int:
        """The share of what holds in percent, by weight."""
        total = sum(map(_weight, self.checks))
        return round(100 * sum(_weight(check) for check in self.checks if check.passed) / total)

    @property
    def band(self) -> Band:
        """The score in a word; a record that does not pass is at most fair."""
        score = self.score if self.passes else min(self.score, GOOD_FROM - 1)
        if score >= EXCELLENT_FROM:
            return Band.EXCELLENT
        return Band.GOOD if score >= GOOD_FROM else Band.FAIR if score >= FAIR_FROM else Band.POOR


def _weight(check: Check) -> int:
    return REQUIRED_WEIGHT if check.level is Level.REQUIRED else 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one check is made; without `applies` it is made for every object."""

    name: str
    group: Group
    level: Level
    fair: str | None
    promise: str
    faults: Callable[[Facts], Iterator[Fault]]
    applies: Callable[[Facts], bool] | None = None


def assess(facts: Facts) -> Report:
    """Return the report of an object that is not withdrawn."""
    metadata = facts.told.metadata
    checks = [
        Check(rule.name, rule.group, rule.level, rule.fair, rule.promise, list(rule.faults(facts)))
        for rule in RULES
        if rule.applies is None or rule.applies(facts)
    ]
    fields = list(type(metadata).model_fields)
    empty = [name for name in fields if getattr(metadata, name) in (None, [], {}, "")]
    return Report(checks, len(fields), empty)


def _description(facts: Facts) -> Iterator[Fault]:
    chars = len(facts.told.entry.record["description"])
    if chars < DESCRIPTION_CHARS_WANTED:
        yield Fault(
            "/description",
            f"has {chars} characters; at least {DESCRIPTION_CHARS_WANTED} say what it is",
            "tell what is in it, how it came about and what it is good for",
        )


def _keywords(facts: Facts) -> Iterator[Fault]:
    if not facts.told.entry.record["keywords"]:
        yield Fault("/keywords", "there is none", "add words by which others would look for it")


def _creators(facts: Facts) -> Iterator[Fault]:
    creators = facts.told.entry.record["creators"]
    if not any(creator.get("orcid") or creator.get("ror") for creator in creators):
        yield Fault(
            "/creators", "none of them has an identifier", "add the ORCID iD of a person, the ROR of an organization"
        )


def _licence(facts: Facts) -> Iterator[Fault]:
    if not facts.told.entry.record.get("licence"):
        yield Fault("/licence", "none is stated: nobody knows what they may do", "state an SPDX id, such as CC-BY-4.0")


def _terms(facts: Facts) -> Iterator[Fault]:
    yield from facts.wrong_terms[:LISTED_MAX]
    if len(facts.wrong_terms) > LISTED_MAX:
        yield Fault("", f"and {len(facts.wrong_terms) - LISTED_MAX} more are no terms")


def _dates(facts: Facts) -> Iterator[Fault]:
    if facts.told.entry.year is None:
        yield Fault(
            "/dates", "no date of issue, creation or collection", "add one, such as {type: Created, date: 2024}"
        )


def _coverage(facts: Facts) -> Iterator[Fault]:
    coverage = facts.told.entry.record.get("coverage") or {}
    if not coverage.get("spatial"):
        yield Fault("/coverage/spatial", "it is not said where it was measured", "add a point, a region or a place")
    if not coverage.get("temporal") and "valid" not in facts.told.entry.record["metadata"]:
        yield Fault("/coverage/temporal", "it is not said when it was measured", "add start and end")


def _bytes(facts: Facts) -> Iterator[Fault]:
    entry = facts.told.entry
    if not (entry.files or facts.told.outside or facts.told.references):
        yield Fault(
            "/files", "it has no bytes, and names none elsewhere", "declare files, or say in external where they are"
        )


def _arrived(facts: Facts) -> Iterator[Fault]:
    waiting = [(place, file) for place, file in enumerate(facts.told.entry.files) if file.state != FileState.AVAILABLE]
    for place, file in waiting[:LISTED_MAX]:
        how = {FileState.EXPECTED: "upload it", FileState.MISMATCHED: "upload what was declared, or declare it anew"}
        yield Fault(
            f"/files/{place}", f"the bytes of {file.path!r} are {file.state}", how.get(file.state, "upload it again")
        )
    if len(waiting) > LISTED_MAX:
        yield Fault("/files", f"and {len(waiting) - LISTED_MAX} more are not available")


def _undisturbed(facts: Facts) -> Iterator[Fault]:
    for number, path, state in facts.disturbed[:LISTED_MAX]:
        told = "other bytes lie under its key" if state == FrozenState.OVERWRITTEN else "the store has lost it"
        yield Fault(
            "/files", f"{path!r} of version {number}: {told}", "find out who wrote there; restore it from a copy"
        )


def _typed(facts: Facts) -> Iterator[Fault]:
    for place, file in enumerate(facts.told.entry.files[:LISTED_MAX]):
        if file.media_type == MEDIA_TYPE_DEFAULT and "." in file.path:
            yield Fault(
                f"/files/{place}/media_type", f"{file.path!r} says only that it is bytes", "declare its media type"
            )


def _reachable(facts: Facts) -> Iterator[Fault]:
    for one in facts.told.outside:
        look = facts.looks.get(one.address)
        if look is not None and look.state in BROKEN:
            yield Fault(
                one.pointer, f"{one.address} is {look.state}: {look.reason or 'no answer'}", "name where it is now"
            )


def _there(facts: Facts) -> Iterator[Fault]:
    for reference in facts.told.references:
        if reference.id in facts.withdrawn:
            yield Fault(reference.pointer, f"the object {reference.target} was withdrawn", "name what takes its place")


def _pinned(facts: Facts) -> Iterator[Fault]:
    yield from facts.told.metadata.warnings()


def _origin(facts: Facts) -> Iterator[Fault]:
    if not facts.has_lineage:
        yield Fault("", "nothing is said of where it came from", "add a relation, or the activity that made it")


def _published(facts: Facts) -> Iterator[Fault]:
    if facts.told.entry.version is None:
        yield Fault("", "no version is published: what is cited may change", "publish it when it is ready")


def _has_files(facts: Facts) -> bool:
    return bool(facts.told.entry.files)


def _names_outside(facts: Facts) -> bool:
    return bool(facts.told.outside)


def _has_terms(facts: Facts) -> bool:
    return bool(facts.told.terms)


def _is_sensed(facts: Facts) -> bool:
    return facts.told.entry.kind in SENSED


def _names_objects(facts: Facts) -> bool:
    return bool(facts.told.references)


def _is_published(facts: Facts) -> bool:
    return facts.told.entry.version is not None


_MUST, _SHOULD = Level.REQUIRED, Level.WANTED
RULES: tuple[_Rule, ...] = (
    _Rule("description", Group.DESCRIPTION, _SHOULD, "F2", "It is described in some sentences.", _description),
    _Rule("keywords", Group.DESCRIPTION, _SHOULD, "F2", "It has keywords.", _keywords),
    _Rule("creators", Group.DESCRIPTION, _SHOULD, "F2", "A creator has an identifier.", _creators),
    _Rule(
        "terms",
        Group.DESCRIPTION,
        _SHOULD,
        "I2",
        "What is said by terms is said by terms of today.",
        _terms,
        _has_terms,
    ),
    _Rule("dates", Group.DESCRIPTION, _SHOULD, "R1", "It is said when it was made.", _dates),
    _Rule("coverage", Group.DESCRIPTION, _SHOULD, "R1", "It is said where and when it holds.", _coverage, _is_sensed),
    _Rule("licence", Group.REUSE, _MUST, "R1.1", "A licence is stated.", _licence),
    _Rule("bytes", Group.FILES, _MUST, "F3", "It has bytes, or says where they are.", _bytes),
    _Rule("files", Group.FILES, _MUST, "A1", "All declared bytes are there as declared.", _arrived, _has_files),
    _Rule("published-files", Group.FILES, _MUST, "A2", "Published bytes are untouched.", _undisturbed, _is_published),
    _Rule("media-types", Group.FILES, _SHOULD, "I1", "Files say what they are.", _typed, _has_files),
    _Rule("outside", Group.REFERENCES, _MUST, "A1", "What lies outside answers.", _reachable, _names_outside),
    _Rule("references", Group.REFERENCES, _MUST, "I3", "Objects that it names are there.", _there, _names_objects),
    _Rule("pinned", Group.REFERENCES, _SHOULD, "I3", "What it names cannot become something else.", _pinned),
    _Rule("origin", Group.PROVENANCE, _SHOULD, "R1.2", "It is said where it came from.", _origin),
    _Rule("published", Group.CITATION, _SHOULD, "F1", "A version is published.", _published),
)


def outcome(report: Report) -> dict[str, Any]:
    """Return what is kept of a report."""
    return {"score": report.score, "band": report.band, "passes": report.passes, "failed": report.failed}
