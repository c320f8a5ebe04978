"""What every object says of itself: the common metadata, strict and bounded.

Knows nothing of tables or HTTP. Each kind adds its own small model (`kinds/`); `validation.py` turns every fault into a
pointer and a sentence.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)
from pydantic.config import JsonDict

from catalog.storage import keys

TITLE_CHARS_MAX = 300
DESCRIPTION_CHARS_MAX = 20_000
NAME_CHARS_MAX = 200
CREATORS_MAX = 100
KEYWORDS_MAX = 50
KEYWORD_CHARS_MAX = 100
DATES_MAX = 20
SUBJECTS_MAX = 20
# Labels are shorter, but the URI of a concept may have so many.
TERM_CHARS_MAX = 500
CUSTOM_KEYS_MAX = 100
CUSTOM_CHARS_MAX = 1_000
CUSTOM_VALUES_MAX = 100
# In one request, which is some 300 kB then; more of them are declared by further requests.
FILES_MAX = 1_000
# Of one object. Whoever reads all of it reads all of its files, some 300 bytes each.
OBJECT_FILES_MAX = 50_000
# S3's largest object (AWS, "Amazon S3 multipart upload limits"): one PUT takes 5 GiB, multipart 5 TiB.
FILE_BYTES_MAX = 5 * 1024**4
MEDIA_TYPE_DEFAULT = "application/octet-stream"

EXACT_INTEGER_MAX = 2**53

# Part of an address, so nothing that would have to be escaped there; a project's objects of one kind differ in it.
OBJECT_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,127}$"
# A job has what it was given apart from what it gave back.
JOB_PATH_PATTERN = r"^(input|output)/"
PROJECT_PATTERN = r"^[a-z0-9][a-z0-9-]{1,62}/[a-z0-9][a-z0-9-]{1,62}$"
# RFC 6838, section 4.2: restricted names of type and subtype; parameters are left out on purpose.
MEDIA_TYPE_PATTERN = r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$"
VERSION_LABEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"
CUSTOM_KEY_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
SHA256_PATTERN = r"^[0-9A-Fa-f]{64}$"
# Deliberately loose: only a mail server knows. It keeps out spaces, control characters and missing parts.
EMAIL_PATTERN = r"^[^@\s<>\"]{1,64}@[^@\s<>\"]{1,190}\.[^@\s<>\".]{1,63}$"
# RFC 3339 calendar dates at three precisions, and moments with their zone; datetime itself says whether they exist.
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})")
_DAY_CHARS = len("2024-05-17")
# The prefix may have subdivisions; what follows it is its owner's business (ISO 26324, section 4.1).
_DOI = re.compile(r"(doi:\s*|(https?://)?(dx\.)?doi\.org/)?(?P<doi>10\.[0-9]+(\.[0-9]+)*/.+)", re.IGNORECASE)
_ORCID_BLOCKS = (range(15_000_000, 35_000_001), range(900_000_000_000, 900_100_000_001))
_ROR = re.compile(r"^0[a-hj-km-np-tv-z0-9]{6}[0-9]{2}$")
_ROR_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LAST = (0xFFFE, 0xFFFF)
# Unicode's categories Cc and Cs, but for line breaks and tabs.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
# Unicode, section 23.7. XML 1.0 (section 2.2) has no place for U+FFFE and U+FFFF, and a DOI's record is XML.
_NONCHARACTER = "\ufdd0-\ufdef" + "".join(chr(plane | last) for plane in range(0, 0x110000, 0x10000) for last in _LAST)
_UNPRINTABLE = re.compile(f"[{_CONTROL}]|(?P<nothing>[{_NONCHARACTER}])")
# The first letters of Unicode's categories of what can be seen: letters, marks, numbers, punctuation, symbols.
_SEEN = frozenset("LMNPS")


def printable(text: str) -> str:
    """Refuse control characters but line breaks and tabs, and noncharacters: they break logs, headers and XML."""
    # Nearly every text is: this is told forty times as fast as by the pattern.
    found = None if text.isprintable() else _UNPRINTABLE.search(text)
    if found is not None:
        what = "" if found["nothing"] else "the control character "
        raise ValueError(f"remove {what}U+{ord(found[0]):04X} at place {found.start() + 1}")
    return text


def one_line(text: str) -> str:
    """Refuse line breaks and tabs, what is not printable or shown in another order, and what nobody can see."""
    # All that Python calls printable can be seen, but for the space, and stands where it is kept.
    if text.isprintable() and not text.isspace():
        return text
    if "\n" in text or "\t" in text:
        raise ValueError("must stand on one line")
    reordering = keys.REORDERING.search(text)
    if reordering is not None:
        raise ValueError(
            f"remove U+{ord(reordering[0]):04X} at place {reordering.start() + 1}: it reorders what is shown"
        )
    if text and not any(unicodedata.category(character)[0] in _SEEN for character in printable(text)):
        raise ValueError("write something that can be seen")
    return text


def _orcid(text: str) -> str:
    bare = text.removeprefix("https://").removeprefix("http://").removeprefix("orcid.org/").upper()
    if not re.fullmatch(r"([0-9]{4}-){3}[0-9]{3}[0-9X]", bare):
        raise ValueError("write an ORCID iD as 0000-0002-1825-0097")
    if not _is_orcid(bare.replace("-", "")):
        raise ValueError(f"{bare} is not an ORCID iD: its last digit does not fit the others; check for a typing error")
    return bare


def _is_orcid(characters: str) -> bool:
    # ISO 7064 mod 11-2 over a number from the blocks that ISNI keeps for ORCID (ORCID, "Structure of the ORCID
    # Identifier"). The library that knows it too takes half a second to load, and every process would wait for it.
    rest = 0
    for digit in characters[:-1]:
        rest = (rest + int(digit)) * 2
    fits = "0123456789X"[(12 - rest % 11) % 11] == characters[-1]
    return fits and any(int(characters[:-1]) in block for block in _ORCID_BLOCKS)


def _ror(text: str) -> str:
    bare = text.removeprefix("https://").removeprefix("http://").removeprefix("ror.org/").lower()
    if not _ROR.fullmatch(bare):
        raise ValueError("write a ROR id as 05gq02987 or with ror.org/ before it")
    number = 0
    for character in bare[1:7]:
        number = number * 32 + _ROR_ALPHABET.index(character)
    # ISO 7064 mod 97-10 over the base-32 number (ROR, "ROR identifier pattern").
    if 98 - (number * 100) % 97 != int(bare[7:]):
        raise ValueError(f"{bare} is not a ROR id: its last two digits do not fit; check for a typing error")
    return bare


def bare_doi(text: str) -> str:
    """Return a DOI without what people write before it, in lower case; raises ValueError for what is none."""
    found = _DOI.fullmatch(text.strip())
    if found is None or not found["doi"].isprintable() or " " in found["doi"]:
        raise ValueError("write a DOI as 10.5281/zenodo.1234 or with doi.org/ before it")
    # A DOI is told apart without regard to case (ISO 26324, section 4.2).
    return found["doi"].lower()


@lru_cache(maxsize=2_000)
def licence_of(text: str) -> str:
    """Return a licence as SPDX writes it; raises ValueError for what is none."""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        raise ValueError(
            f"{text!r} is not an SPDX licence id or expression; examples: CC-BY-4.0, MIT, CC0-1.0"
        ) from None


def _moment_or_day(text: str) -> None:
    if _DATE.fullmatch(text):
        year, month, day = ([int(part) for part in text.split("-")] + [1, 1])[:3]
        date(year, month, day)
    elif _MOMENT.fullmatch(text):
        datetime.fromisoformat(text)
    else:
        raise ValueError


def _dated(text: str) -> str:
    parts = text.split("/")
    try:
        for part in parts:
            _moment_or_day(part)
    except ValueError:
        parts = []
    if len(parts) not in {1, 2}:
        raise ValueError("write a date as 2024, 2024-05, 2024-05-17 or 2024-05-17T08:00:00Z, a range as start/end")
    if _runs_backwards(*parts):
        raise ValueError("the range ends before it starts; exchange the two")
    return text


def _runs_backwards(start: str, end: str | None = None) -> bool:
    if end is None:
        return False
    if _MOMENT.fullmatch(start) and _MOMENT.fullmatch(end):
        return datetime.fromisoformat(end) < datetime.fromisoformat(start)
    # To the precision of the coarser one: what begins in May 2024 may end in 2024.
    chars = min(len(start), len(end), _DAY_CHARS)
    return end[:chars] < start[:chars]


def _exact(number: float) -> float:
    # Beyond 2^53 readers of JSON in other languages lose digits (RFC 8259, section 6). A float is such a number too
    # where it is whole, as all are up there: Postgres writes 1e22 as an integer.
    if abs(number) > EXACT_INTEGER_MAX:
        raise ValueError("too large to be read exactly everywhere; write it as a text")
    return number


def _composed(text: Any) -> Any:
    # Before the characters are counted: there are some that become two.
    return unicodedata.normalize("NFC", text) if isinstance(text, str) else text


# The context in which an accepted record is read again: what only a rule of later refuses does no harm there.
ACCEPTED = "accepted"


def _line(text: str, info: ValidationInfo) -> str:
    return text if info.context == ACCEPTED else one_line(text)


def _prose(text: str, info: ValidationInfo) -> str:
    return text if info.context == ACCEPTED else printable(text)


def _lines_broken(text: Any) -> Any:
    # As they are broken on Windows; a description is read everywhere.
    return text.replace("\r\n", "\n") if isinstance(text, str) else text


Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_CHARS_MAX), AfterValidator(_line)
]
Title = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TITLE_CHARS_MAX), AfterValidator(_line)
]
Prose = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=DESCRIPTION_CHARS_MAX),
    AfterValidator(_prose),
    BeforeValidator(_lines_broken),
]
Keyword = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=KEYWORD_CHARS_MAX),
    AfterValidator(one_line),
    BeforeValidator(_composed),
]
Orcid = Annotated[str, AfterValidator(_orcid), Field(examples=["0000-0002-1825-0097"])]
Ror = Annotated[str, AfterValidator(_ror), Field(examples=["05gq02987"])]
Licence = Annotated[
    str, StringConstraints(max_length=NAME_CHARS_MAX), AfterValidator(licence_of), Field(examples=["CC-BY-4.0"])
]
DateText = Annotated[str, StringConstraints(max_length=80), AfterValidator(_dated), Field(examples=["2024-05-17"])]
MediaType = Annotated[str, StringConstraints(to_lower=True, pattern=MEDIA_TYPE_PATTERN)]


def _not_the_applications(project: str) -> str:
    if project.startswith(f"{keys.APPLICATION}/"):
        raise ValueError(f"another organization: {keys.APPLICATION} is the folder of what the catalog keeps for itself")
    return project


Email = Annotated[str, StringConstraints(strip_whitespace=True, pattern=EMAIL_PATTERN), AfterValidator(one_line)]
ObjectName = Annotated[
    str,
    StringConstraints(pattern=OBJECT_NAME_PATTERN),
    Field(
        description="Unique among the objects of its kind in its project; other objects may name it by kind/name.",
        examples=["cloud-unet"],
    ),
]
Project = Annotated[
    str,
    StringConstraints(pattern=PROJECT_PATTERN),
    AfterValidator(_not_the_applications),
    Field(examples=["demo/weather"]),
]
TermText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TERM_CHARS_MAX), AfterValidator(_line)
]
Sha256 = Annotated[str, StringConstraints(to_lower=True, pattern=SHA256_PATTERN)]


def term_of(scheme: str, *, otherwise_text: bool = False) -> Any:
    """Mark a text as a concept of a scheme: sent as URI, notation, label or synonym, and kept as the URI.

    With `otherwise_text` the scheme cannot know them all, and what is no concept is kept as it was written.
    """
    told: JsonDict = {"x-scheme": scheme} | ({"x-scheme-open": True} if otherwise_text else {})
    return Field(json_schema_extra=told)


class Strict(BaseModel):
    """A part of the metadata: nothing unknown, nothing coerced, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DateType(StrEnum):
    """What happened on a date (DataCite Metadata Schema 4.6, appendix "dateType")."""

    ACCEPTED = "Accepted"
    AVAILABLE = "Available"
    COLLECTED = "Collected"
    COPYRIGHTED = "Copyrighted"
    COVERAGE = "Coverage"
    CREATED = "Created"
    ISSUED = "Issued"
    OTHER = "Other"
    SUBMITTED = "Submitted"
    UPDATED = "Updated"
    VALID = "Valid"
    WITHDRAWN = "Withdrawn"


# Whose year people would cite, the first that is there.
YEAR_FROM = (DateType.ISSUED, DateType.CREATED, DateType.COLLECTED)


def dated_year(dates: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the year people would cite: of issue, else of creation, else of collection."""
    first: dict[str, str] = {}
    for dated in dates:
        first.setdefault(dated["type"], dated["date"])
    return next((first[one][:4] for one in YEAR_FROM if one in first), None)


class Affiliation(Strict):
    """The organization a person works for."""

    name: Line
    ror: Ror | None = None


class Creator(Strict):
    """Who made the object: a person or an organization."""

    type: Literal["person", "organization"] = "person"
    name: Line
    orcid: Orcid | None = None
    ror: Ror | None = None
    affiliation: Affiliation | None = None

    @model_validator(mode="after")
    def identifier_fits_type(self) -> Self:
        """Keep ORCID for persons and ROR for organizations."""
        if self.type == "person" and self.ror is not None:
            raise ValueError("a person has an orcid; put the ror into affiliation, or set type to organization")
        if self.type == "organization" and (self.orcid is not None or self.affiliation is not None):
            raise ValueError("an organization has a ror, no orcid and no affiliation; or set type to person")
        return self


class Contact(Strict):
    """Whom to ask."""

    name: Line
    email: Email


class Dated(Strict):
    """A date, or a range of dates, with what happened then."""

    type: DateType
    date: DateText
    information: Annotated[Line | None, Field(description="What the date means, where its type does not say.")] = None


class Point(Strict):
    """A place on Earth, WGS 84, in degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class Box(Strict):
    """A region on Earth, WGS 84, in degrees; west may exceed east across the antimeridian (RFC 7946, section 5.2)."""

    west: float = Field(ge=-180, le=180)
    south: float = Field(ge=-90, le=90)
    east: float = Field(ge=-180, le=180)
    north: float = Field(ge=-90, le=90)

    @model_validator(mode="after")
    def south_below_north(self) -> Self:
        """Refuse a box that is upside down."""
        if self.south > self.north:
            raise ValueError("south lies above north; exchange them")
        return self


class Spatial(Strict):
    """Where the data was taken or holds."""

    place: Line | None = None
    point: Point | None = None
    box: Box | None = None


class Temporal(Strict):
    """When the data was taken or holds; an open end goes on."""

    start: AwareDatetime
    end: AwareDatetime | None = None

    @model_validator(mode="after")
    def start_before_end(self) -> Self:
        """Refuse a range that runs backwards."""
        if self.end is not None and self.end < self.start:
            raise ValueError("end lies before start; exchange them")
        return self


class Coverage(Strict):
    """Space and time that the object speaks of."""

    spatial: Spatial | None = None
    temporal: Temporal | None = None


class Quantity(Strict):
    """A number with its unit."""

    value: float
    unit: Line


CustomText = Annotated[str, StringConstraints(max_length=CUSTOM_CHARS_MAX), AfterValidator(printable)]
CustomNumber = Annotated[int | float, AfterValidator(_exact)]
CustomScalar = bool | CustomNumber | CustomText
CustomKey = Annotated[str, StringConstraints(pattern=CUSTOM_KEY_PATTERN)]
CustomValue = CustomScalar | Annotated[list[CustomScalar], Field(max_length=CUSTOM_VALUES_MAX)] | Quantity


class FileDeclaration(Strict):
    """Bytes that will be, or have been, uploaded for an object."""

    path: Annotated[str, Field(min_length=1, examples=["data/penguins.csv"])]
    size: Annotated[int, Field(ge=0, le=FILE_BYTES_MAX, description="Length in bytes.")]
    sha256: Annotated[Sha256, Field(description="SHA-256 of the bytes, 64 hexadecimal digits.")]
    media_type: MediaType = MEDIA_TYPE_DEFAULT
