"""What an object of any kind says of itself, put together from the common parts.

Each kind adds its own small model (`kinds/`) as `metadata`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, ValidationInfo

from catalog.access.audience import Visibility
from catalog.objects.attribution import (
    CONTRIBUTORS_MAX,
    FUNDING_MAX,
    IDENTIFIERS_MAX,
    TITLES_MAX,
    Contributor,
    Funding,
    Language,
    OtherIdentifier,
    OtherTitle,
    Publisher,
)
from catalog.objects.metadata import (
    CREATORS_MAX,
    CUSTOM_KEYS_MAX,
    DATES_MAX,
    KEYWORDS_MAX,
    SUBJECTS_MAX,
    Contact,
    Coverage,
    Creator,
    CustomKey,
    CustomValue,
    Dated,
    DateType,
    Keyword,
    Licence,
    ObjectName,
    Project,
    Prose,
    Strict,
    TermText,
    Title,
    term_of,
)
from catalog.objects.references import External, Outside, outside_external

EXTERNAL_MAX = 50


def _unrepeated(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _embargoed(until: datetime | None, told: ValidationInfo) -> datetime | None:
    # Nothing to compare with where the visibility itself is wrong.
    visibility = told.data.get("visibility")
    if visibility is Visibility.EMBARGOED and until is None:
        raise ValueError("say until when it is embargoed, such as 2027-01-31T00:00:00Z, or choose another visibility")
    if visibility not in {None, Visibility.EMBARGOED} and until is not None:
        raise ValueError('leave this out (null), or make the visibility "embargoed"')
    return until


class Description(Strict):
    """What every kind of object says of itself; `metadata` holds what only its kind says."""

    kind: Annotated[str, Field(max_length=64)]
    project: Project
    name: ObjectName | None = None
    title: Title
    description: Prose = ""
    creators: Annotated[list[Creator], Field(min_length=1, max_length=CREATORS_MAX)]
    contact: Contact
    contributors: Annotated[list[Contributor], Field(max_length=CONTRIBUTORS_MAX)] = []
    publisher: Annotated[Publisher | None, Field(description="Left out: this catalog.")] = None
    titles: Annotated[
        list[OtherTitle], Field(max_length=TITLES_MAX, description="Titles beside the first: subtitles, translations.")
    ] = []
    language: Annotated[Language | None, Field(description="The language of the object, as BCP 47 writes it.")] = None
    funding: Annotated[list[Funding], Field(max_length=FUNDING_MAX)] = []
    identifiers: Annotated[
        list[OtherIdentifier], Field(max_length=IDENTIFIERS_MAX, description="What it is called elsewhere.")
    ] = []
    keywords: Annotated[list[Keyword], Field(max_length=KEYWORDS_MAX), AfterValidator(_unrepeated)] = []
    subjects: Annotated[
        list[Annotated[TermText, term_of("scientific-fields")]],
        Field(max_length=SUBJECTS_MAX, description="The scientific fields it belongs to."),
        AfterValidator(_unrepeated),
    ] = []
    licence: Licence | None = None
    visibility: Annotated[Visibility, Field(strict=False)] = Visibility.PRIVATE
    embargo_until: Annotated[
        AwareDatetime | None,
        Field(strict=False, validate_default=True, description="When an embargoed object becomes public by itself."),
        AfterValidator(_embargoed),
    ] = None
    dates: Annotated[list[Dated], Field(max_length=DATES_MAX)] = []
    coverage: Coverage | None = None
    external: Annotated[
        list[External],
        Field(max_length=EXTERNAL_MAX, description="Where the object's bytes or sources are, outside the catalog."),
    ] = []
    # Pydantic tells the keys' pattern and leaves open what other keys there may be: none.
    custom: Annotated[
        dict[CustomKey, CustomValue],
        Field(max_length=CUSTOM_KEYS_MAX, json_schema_extra={"additionalProperties": False}),
    ] = {}
    metadata: Any

    def year(self) -> int | None:
        """Return the year people would cite: of issue, else of creation, else of collection; none when not said."""
        for wanted in (DateType.ISSUED, DateType.CREATED, DateType.COLLECTED):
            for dated in self.dates:
                if dated.type == wanted:
                    return int(dated.date[:4])
        return None

    def outside(self) -> Iterator[Outside]:
        """Name every address outside the catalog at which something of this object is."""
        yield from outside_external(self.external)
        yield from self.metadata.outside()
