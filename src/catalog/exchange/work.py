"""What is described to others: an object, one of its versions, or a snapshot, as every format needs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from catalog.objects import kinds
from catalog.objects.metadata import dated_year
from catalog.vocabulary.looking_up import Named
from catalog.vocabulary.terms import folded

SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Genre:
    """What formats of others call a kind: DataCite's general type, schema.org's, RIS's and CSL's."""

    datacite: str
    schema_org: str
    ris: str
    csl: str


_DATA = Genre("Dataset", "Dataset", "DATA", "dataset")
_SOFTWARE = Genre("Software", "SoftwareSourceCode", "COMP", "software")
# DataCite 4.6, appendix "resourceTypeGeneral". A kind that is added and not listed here is called "Other".
GENRES: Mapping[str, Genre] = MappingProxyType(
    {
        "binary": Genre("Software", "SoftwareApplication", "COMP", "software"),
        "calibration": _DATA,
        "decoder-plugin": _SOFTWARE,
        "docker-image": Genre("Software", "SoftwareApplication", "COMP", "software"),
        "dockerfile": _SOFTWARE,
        "ecr-bundle": Genre("Collection", "Collection", "AGGR", "collection"),
        "edge-code": _SOFTWARE,
        "job": Genre("Workflow", "CreativeWork", "GEN", "document"),
        "labels": _DATA,
        "model": Genre("Model", "CreativeWork", "GEN", "document"),
        "sensor-blob": _DATA,
        "sensor-data": _DATA,
        SNAPSHOT: Genre("Collection", "Collection", "AGGR", "collection"),
        "training-dataset": _DATA,
        "trigger-app": _SOFTWARE,
        "weights": Genre("Model", "CreativeWork", "GEN", "document"),
    }
)
_OTHER = Genre("Other", "CreativeWork", "GEN", "document")


@dataclass(frozen=True, slots=True)
class Part:
    """A file, by what formats tell of it."""

    path: str
    size: int
    sha256: str
    media_type: str
    address: str


@dataclass(frozen=True, slots=True)
class Related:
    """Something that the work is related to, in DataCite's words for both types."""

    relation: str
    identifier_type: str
    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is described; `record` is the description as it is kept, `publisher` who is named where it names nobody."""

    id: str
    kind: str
    record: Mapping[str, Any]
    address: str
    publisher: str
    registered_at: datetime
    doi: str | None = None
    # Whether the DOI leads anywhere: those of a registry of our own do not.
    resolves: bool = True
    version: str | None = None
    revision: int | None = None
    files: Sequence[Part] = ()
    related: Sequence[Related] = ()
    # What the work's subjects are called, in their order.
    concepts: Sequence[Named] = ()

    @property
    def keywords(self) -> Sequence[str]:
        """The keywords, without those that a concept says already."""
        said = {folded(one.label) for one in self.concepts}
        return [word for word in self.record.get("keywords") or () if folded(word) not in said]

    @property
    def words(self) -> Sequence[str]:
        """What it is about, in words alone: the keywords, then what its concepts are called."""
        return [*self.keywords, *(one.label for one in self.concepts)]

    @property
    def title(self) -> str:
        """The title."""
        return str(self.record["title"])

    @property
    def creators(self) -> Sequence[Mapping[str, Any]]:
        """Who made it, in their order."""
        creators: Sequence[Mapping[str, Any]] = self.record["creators"]
        return creators

    @property
    def year(self) -> str:
        """The year of issue, else of creation, else of collection, else of registration."""
        return dated_year(self.record.get("dates") or ()) or f"{self.registered_at:%Y}"

    @property
    def published_by(self) -> str:
        """Who makes it available."""
        return str((self.record.get("publisher") or {}).get("name") or self.publisher)

    @property
    def kind_title(self) -> str:
        """What people call its kind."""
        kind = kinds.known().get(self.kind)
        return kind.title if kind else self.kind.replace("-", " ").capitalize()

    @property
    def genre(self) -> Genre:
        """What other formats call its kind."""
        return GENRES.get(self.kind, _OTHER)

    @property
    def link(self) -> str:
        """The address to cite: of the DOI where it leads here, else of the page."""
        return f"https://doi.org/{self.doi}" if self.doi and self.resolves else self.address


def family_and_given(party: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the two parts of a person's name; none where only the owner could tell which is which."""
    family, comma, given = (part.strip() for part in str(party["name"]).partition(","))
    if party.get("type", "person") != "person" or not comma or not family or not given:
        return None
    return family, given
