"""What credits an object beside its creators: contributors, funding, its publisher, other titles and identifiers.

Each is a property of DataCite's schema (4.6, sections 3, 4, 7, 11, 19), under the words that this catalog has for it.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from catalog.objects.metadata import Creator, Line, Ror, Strict, Title, bare_doi, one_line
from catalog.objects.references import URL_CHARS_MAX

CONTRIBUTORS_MAX = 200
FUNDING_MAX = 50
TITLES_MAX = 20
IDENTIFIERS_MAX = 50
IDENTIFIER_CHARS_MAX = 500


Doi = Annotated[
    str,
    StringConstraints(max_length=IDENTIFIER_CHARS_MAX),
    AfterValidator(bare_doi),
    Field(examples=["10.5281/zenodo.1"]),
]
# BCP 47, the form of a tag; whether there is such a language only a registry knows.
ADDRESS_PATTERN = r"^https?://[^\s/?#@]+([/?#]\S*)?$"
LANGUAGE_PATTERN = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$"
Language = Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN), Field(examples=["en", "pt-BR"])]
IdentifierText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=IDENTIFIER_CHARS_MAX),
    AfterValidator(one_line),
]
Address = Annotated[str, StringConstraints(max_length=URL_CHARS_MAX, pattern=ADDRESS_PATTERN)]


class TitleType(StrEnum):
    """What another title is to the first one (DataCite 4.6, appendix "titleType")."""

    ALTERNATIVE = "AlternativeTitle"
    SUBTITLE = "Subtitle"
    TRANSLATED = "TranslatedTitle"
    OTHER = "Other"


class Contribution(StrEnum):
    """What somebody did who is not a creator (DataCite 4.6, appendix "contributorType")."""

    CONTACT_PERSON = "ContactPerson"
    DATA_COLLECTOR = "DataCollector"
    DATA_CURATOR = "DataCurator"
    DATA_MANAGER = "DataManager"
    DISTRIBUTOR = "Distributor"
    EDITOR = "Editor"
    HOSTING_INSTITUTION = "HostingInstitution"
    PRODUCER = "Producer"
    PROJECT_LEADER = "ProjectLeader"
    PROJECT_MANAGER = "ProjectManager"
    PROJECT_MEMBER = "ProjectMember"
    REGISTRATION_AGENCY = "RegistrationAgency"
    REGISTRATION_AUTHORITY = "RegistrationAuthority"
    RELATED_PERSON = "RelatedPerson"
    RESEARCHER = "Researcher"
    RESEARCH_GROUP = "ResearchGroup"
    RIGHTS_HOLDER = "RightsHolder"
    SPONSOR = "Sponsor"
    SUPERVISOR = "Supervisor"
    TRANSLATOR = "Translator"
    WORK_PACKAGE_LEADER = "WorkPackageLeader"
    OTHER = "Other"


class Contributor(Creator):
    """Who had a part in the object without having made it: a person or an organization."""

    contribution: Annotated[Contribution, Field(strict=False)]


class Publisher(Strict):
    """Who makes the object available and is named in its citation."""

    name: Line
    ror: Ror | None = None


class OtherTitle(Strict):
    """A title beside the first one: a subtitle, a translation, another name."""

    title: Title
    type: Annotated[TitleType, Field(strict=False)] = TitleType.ALTERNATIVE
    language: Language | None = None


class Funding(Strict):
    """Who paid for the work, and under which award."""

    funder: Line
    ror: Ror | None = None
    doi: Annotated[Doi | None, Field(description="The funder in the Crossref Funder Registry.")] = None
    award: Annotated[Line | None, Field(description="The number of the award.")] = None
    title: Title | None = None
    url: Address | None = None


class OtherIdentifier(Strict):
    """What the same object is called elsewhere, such as a DOI or an accession number."""

    type: Annotated[Line, Field(examples=["DOI", "Local accession number"])]
    value: IdentifierText

    @model_validator(mode="after")
    def checked(self) -> Self:
        """Hold a DOI to what a DOI is."""
        if self.type.upper() == "DOI":
            object.__setattr__(self, "value", bare_doi(self.value))
        return self
