"""What can be asked of objects by name: in the search box as `name:value`, in filters of CQL2, and told as a list.

Pure. One table, which the box, the filters and `GET /api/fields` read alike; where the index keeps a field is known
here and in the mapping, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from catalog.objects import describing
from catalog.storage.keys import Stage


class Type(StrEnum):
    """What the values of a field are, and with that what can be asked of it."""

    # Texts: found by their words.
    TEXT = "text"
    # Names and identifiers: compared whole, or by how they begin.
    NAME = "name"
    # URIs of concepts, or what these are called.
    CONCEPT = "concept"
    INTEGER = "integer"
    # RFC 3339: a moment, a day, a month or a year.
    DATE = "date"
    # From a moment to another: asked for what overlaps.
    PERIOD = "period"
    # Points and regions on Earth, WGS 84 in degrees: asked for what they meet.
    PLACE = "place"
    # yes or no.
    ANSWER = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: `exact` is where the index compares it whole, `words` where by its words; one of them is there."""

    name: str
    type: Type
    description: str
    examples: tuple[str, ...]
    exact: str | None = None
    words: str | None = None
    # Written otherwise in upper and lower case, it is the same.
    folded: bool = False
    # Nobody means another value by writing it in other case, though the index keeps it as it is written.
    any_case: bool = False
    # All values that there are, where these are few.
    values: tuple[str, ...] = ()
    # The vocabulary whose concepts it takes.
    scheme: str | None = None

    @property
    def operators(self) -> tuple[str, ...]:
        """What CQL2 may ask of it (OGC 21-065r2)."""
        match self.type:
            case Type.TEXT:
                return ("=", "<>", "in", "isNull") if self.exact is None else ("=", "<>", "in", "like", "isNull")
            case Type.NAME:
                return ("=", "<>", "in", "like", "isNull", "a_overlaps", "a_contains")
            case Type.CONCEPT:
                return ("=", "<>", "in", "isNull", "a_overlaps", "a_contains")
            case Type.INTEGER | Type.DATE:
                return ("=", "<>", "<", "<=", ">", ">=", "between", "in", "isNull")
            case Type.PERIOD:
                return ("t_intersects", "isNull")
            case Type.PLACE:
                return ("s_intersects", "isNull")
            case Type.ANSWER:
                return ("=", "<>", "in")


def _text(name: str, description: str, *examples: str, exact: str | None = None, words: str | None = None) -> Field:
    return Field(
        name=name,
        type=Type.TEXT,
        description=description,
        examples=examples,
        exact=exact,
        words=words or name,
        folded=exact is not None,
    )


# Where the index keeps a field is mostly under its own name.
_SAME = ""


def _name(
    name: str,
    description: str,
    *examples: str,
    exact: str | None = _SAME,
    words: str | None = None,
    folded: bool = False,
    any_case: bool = False,
    values: tuple[str, ...] = (),
) -> Field:
    return Field(
        name=name,
        type=Type.NAME,
        description=description,
        examples=examples,
        exact=name if exact == _SAME else exact,
        words=words,
        folded=folded,
        any_case=any_case,
        values=values,
    )


def _number(name: str, description: str, *examples: str, type: Type = Type.INTEGER) -> Field:  # ruff: ignore[A002]
    return Field(name=name, type=type, description=description, examples=examples, exact=name)


HAS_LABELS = "has_labels"
YES_OR_NO = ("yes", "no")
PERIOD, PLACE = "time", "place"

_ALL = (
    _text("title", "What the object is called.", "title:penguins", 'title:"size measurements"', exact="title.sort"),
    _text("description", "Words of the description.", "description:precipitation"),
    _name(
        "keyword",
        "Chosen by people for it to be found by.",
        "keyword:weather",
        exact="keywords.exact",
        words="keywords",
    ),
    _name(
        "creator", "Who made it.", "creator:horst", 'creator:"Horst, Allison"', exact="creators.exact", words="creators"
    ),
    _name(
        "creator_id", "ORCID or ROR of a creator.", "creator_id:0000-0002-1825-0097", exact="creator_ids", folded=True
    ),
    _name("kind", "What the object is.", "kind:model"),
    _name("project", "The project, written org/project.", "project:palmer-lter/penguins"),
    _name("organization", "The organization.", "organization:demo"),
    _name("licence", "The licence, an SPDX expression.", "licence:CC0-1.0", "licence:CC*", any_case=True),
    _name("format", "The media type of one of its files.", "format:text/csv", "format:image/*"),
    _name(
        "stage",
        "How far the bytes of one of its files have come, as the file's place in the bucket tells.",
        "stage:harmonized",
        values=tuple(Stage),
    ),
    _name("state", "Whether a version was published.", "state:draft", "state:published", values=("draft", "published")),
    _name("quality", "How good the record is.", "quality:good", values=("excellent", "good", "fair", "poor")),
    _name(
        "visibility",
        "Who may see it.",
        "visibility:private",
        values=("public", "organization", "project", "private", "embargoed"),
    ),
    _name("sensor", "The id of a sensor that it comes from, or is for.", "sensor:IU.ULN.00.LH1"),
    Field(
        name="subject",
        type=Type.CONCEPT,
        description="A scientific field, or a broader one.",
        examples=("subject:seismology",),
        exact="subject",
        scheme=describing.SUBJECTS,
    ),
    Field(
        name="task",
        type=Type.CONCEPT,
        description="What it is for, or a broader task.",
        examples=('task:"audio processing"',),
        exact="task",
        scheme=describing.TASKS,
    ),
    Field(
        name=HAS_LABELS,
        type=Type.ANSWER,
        description="Whether a data set has labels that you may see.",
        examples=("has_labels:yes",),
        values=YES_OR_NO,
    ),
    _name("id", "The object's id.", "id:0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f", folded=True),
    _name("name", "Its name in the project.", "name:palmer-penguins"),
    _name(
        "doi",
        "A DOI of it or of one of its versions, made here or elsewhere.",
        "doi:10.5072/abcd",
        "doi:*",
        folded=True,
    ),
    _name("identifier", "What it is called elsewhere.", "identifier:GSE1234", exact="identifiers", folded=True),
    _name("sha256", "The SHA-256 of one of its files, or how it begins.", "sha256:f204db2c*", exact="hashes"),
    _name("file", "Names and folders of its files.", "file:penguins.csv", exact=None, words="paths"),
    _number("year", "The year of issue, creation or collection.", "year:2020", "year:2020..2024", "year:>=2020"),
    _number("files", "How many files it has.", "files:>0"),
    _number("bytes", "How large its files are together, in bytes.", "bytes:>1000000"),
    _number("created_at", "When it was registered.", "created_at:2026-11", "created_at:>=2026-01-01", type=Type.DATE),
    _number("updated_at", "When it was changed last.", "updated_at:>2026-11-01T12:00:00Z", type=Type.DATE),
    Field(
        name=PERIOD,
        type=Type.PERIOD,
        description="When it holds or was taken: a calibration's validity, else its coverage.",
        examples=("time:2009-08", "time:2009-01-01..2010-01-01"),
        exact="holds",
    ),
    Field(
        name=PLACE,
        type=Type.PLACE,
        description="Where it was taken or holds: west,south,east,north in degrees.",
        examples=("place:9.5,47.5,13.8,50.5",),
        exact="place",
    ),
)

FIELDS: Mapping[str, Field] = MappingProxyType({one.name: one for one in _ALL})
