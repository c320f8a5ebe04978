"""What can be said of provenance: relation types, identifiers outside, activities and their agents, strict and bounded.

Knows nothing of tables or HTTP.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from catalog.objects.metadata import EXACT_INTEGER_MAX, Line, Orcid, Ror, Strict, Title, printable
from catalog.objects.references import Bond, Git, ObjectId

RELATIONS_MAX = 1_000
ACTIVITY_OBJECTS_MAX = 100
AGENTS_MAX = 50
RESPONSIBILITIES_MAX = 200
IDENTIFIER_CHARS_MAX = 2_000
PARAMETERS_VALUES_MAX = 2_000
PARAMETERS_DEPTH_MAX = 8
PARAMETERS_CHARS_MAX = 50_000
# What Postgres, Python and every reader of RFC 3339 can tell in any time zone.
YEAR_MIN, YEAR_MAX = 1600, 9000


class RelationType(StrEnum):
    """How an object relates to another one (DataCite Metadata Schema 4.6, appendix "relationType")."""

    IS_CITED_BY = "IsCitedBy"
    CITES = "Cites"
    IS_COLLECTED_BY = "IsCollectedBy"
    COLLECTS = "Collects"
    IS_SUPPLEMENT_TO = "IsSupplementTo"
    IS_SUPPLEMENTED_BY = "IsSupplementedBy"
    IS_CONTINUED_BY = "IsContinuedBy"
    CONTINUES = "Continues"
    IS_DESCRIBED_BY = "IsDescribedBy"
    DESCRIBES = "Describes"
    HAS_METADATA = "HasMetadata"
    IS_METADATA_FOR = "IsMetadataFor"
    HAS_VERSION = "HasVersion"
    IS_VERSION_OF = "IsVersionOf"
    IS_NEW_VERSION_OF = "IsNewVersionOf"
    IS_PREVIOUS_VERSION_OF = "IsPreviousVersionOf"
    IS_PART_OF = "IsPartOf"
    HAS_PART = "HasPart"
    IS_PUBLISHED_IN = "IsPublishedIn"
    IS_REFERENCED_BY = "IsReferencedBy"
    REFERENCES = "References"
    IS_DOCUMENTED_BY = "IsDocumentedBy"
    DOCUMENTS = "Documents"
    IS_COMPILED_BY = "IsCompiledBy"
    COMPILES = "Compiles"
    IS_VARIANT_FORM_OF = "IsVariantFormOf"
    IS_ORIGINAL_FORM_OF = "IsOriginalFormOf"
    IS_IDENTICAL_TO = "IsIdenticalTo"
    IS_REVIEWED_BY = "IsReviewedBy"
    REVIEWS = "Reviews"
    IS_DERIVED_FROM = "IsDerivedFrom"
    IS_SOURCE_OF = "IsSourceOf"
    IS_REQUIRED_BY = "IsRequiredBy"
    REQUIRES = "Requires"
    OBSOLETES = "Obsoletes"
    IS_OBSOLETED_BY = "IsObsoletedBy"
    IS_TRANSLATION_OF = "IsTranslationOf"
    HAS_TRANSLATION = "HasTranslation"


# Lineage: the subject came from the target, or the target from the subject. Nothing else takes part in it.
SUBJECT_IS_LATER = frozenset(
    {
        RelationType.IS_DERIVED_FROM,
        RelationType.IS_VERSION_OF,
        RelationType.IS_NEW_VERSION_OF,
        RelationType.IS_VARIANT_FORM_OF,
        RelationType.IS_TRANSLATION_OF,
    }
)
SUBJECT_IS_EARLIER = frozenset(
    {
        RelationType.IS_SOURCE_OF,
        RelationType.HAS_VERSION,
        RelationType.IS_PREVIOUS_VERSION_OF,
        RelationType.IS_ORIGINAL_FORM_OF,
        RelationType.HAS_TRANSLATION,
    }
)
# PROV-DM, section 5.2.2: a revision is a derivation whose result is a revised version of the original.
REVISIONS = frozenset({RelationType.IS_NEW_VERSION_OF, RelationType.IS_PREVIOUS_VERSION_OF})

# How what metadata names stands in PROV: labels come from what they annotate; a bundle is a collection of its members
# (PROV-DM, section 5.6.2); what a thing needs or belongs to has an influence on it (section 5.3.5).
BONDS: Mapping[Bond, Literal["wasDerivedFrom", "hadMember", "wasInfluencedBy"]] = {
    Bond.ANNOTATES: "wasDerivedFrom",
    Bond.IS_DERIVED_FROM: "wasDerivedFrom",
    Bond.HAS_PART: "hadMember",
    Bond.IS_PART_OF: "wasInfluencedBy",
    Bond.REQUIRES: "wasInfluencedBy",
}


class IdentifierType(StrEnum):
    """What kind of identifier names something outside (DataCite 4.6, appendix "relatedIdentifierType")."""

    ARK = "ARK"
    ARXIV = "arXiv"
    BIBCODE = "bibcode"
    DOI = "DOI"
    HANDLE = "Handle"
    ISBN = "ISBN"
    ISSN = "ISSN"
    LSID = "LSID"
    PMID = "PMID"
    PURL = "PURL"
    URL = "URL"
    URN = "URN"


# By which rule of idutils each is recognised, the name of its scheme there, and an example that passes.
_SCHEMES: dict[IdentifierType, tuple[str, str, str]] = {
    IdentifierType.ARK: ("is_ark", "ark", "ark:/12148/btv1b8449691v"),
    IdentifierType.ARXIV: ("is_arxiv", "arxiv", "arXiv:2101.00001"),
    IdentifierType.BIBCODE: ("is_ads", "ads", "ads:2014MNRAS.444.1496E"),
    IdentifierType.DOI: ("is_doi", "doi", "10.5281/zenodo.1234"),
    IdentifierType.HANDLE: ("is_handle", "handle", "20.1000/100"),
    IdentifierType.ISBN: ("is_isbn", "isbn", "978-3-16-148410-0"),
    IdentifierType.ISSN: ("is_issn", "issn", "2049-3630"),
    IdentifierType.LSID: ("is_lsid", "lsid", "urn:lsid:ubio.org:namebank:11815"),
    IdentifierType.PMID: ("is_pmid", "pmid", "12082125"),
    IdentifierType.PURL: ("is_purl", "purl", "https://purl.org/dc/terms/title"),
    IdentifierType.URL: ("is_url", "url", "https://example.org/data"),
    IdentifierType.URN: ("is_urn", "urn", "urn:nbn:de:101:1-201102033592"),
}


class Identifier(Strict):
    """Something outside the catalog, by an identifier that was checked and is kept in its usual form."""

    type: IdentifierType
    # In ASCII, as every one of these types has it; others are percent-encoded by whoever gives them.
    value: Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=IDENTIFIER_CHARS_MAX)]

    @model_validator(mode="after")
    def checked(self) -> Self:
        """Refuse a value that is not of its type, and bring it to the usual form."""
        rule, scheme, example = _SCHEMES[self.type]
        # It takes half a second to load, and few ever name something outside.
        library = import_module("idutils")
        try:
            fits = bool(getattr(library, rule)(self.value))
        except ValueError:  # Some rules of the library convert before they look.
            fits = False
        if not fits:
            raise ValueError(f"{self.value[:80]!r} is not a {self.type} such as {example}")
        usual = str(library.normalize_pid(self.value, scheme))
        # A DOI is told apart without regard to case (ISO 26324, section 4.2): one spelling, so that equals are equal.
        object.__setattr__(self, "value", usual.lower() if self.type == IdentifierType.DOI else usual)
        return self


class RelationDraft(Strict):
    """A relation to record: to an object of this catalog, or to an identifier outside."""

    type: RelationType
    target: ObjectId | None = None
    identifier: Identifier | None = None

    @model_validator(mode="after")
    def one_end(self) -> Self:
        """Keep to exactly one of the two."""
        if (self.target is None) == (self.identifier is None):
            raise ValueError("give either target, an object of this catalog, or identifier, something outside")
        return self


def _told(moment: datetime) -> datetime:
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ValueError(f"the year must lie between {YEAR_MIN} and {YEAR_MAX}")
    return moment.astimezone(UTC)


def _bounded(parameters: dict[str, Any]) -> dict[str, Any]:
    """Refuse parameters that could not be kept, or read again everywhere as they were."""
    waiting: list[tuple[Any, int]] = [(parameters, 0)]
    values = characters = 0
    while waiting:
        at, depth = waiting.pop()
        values += 1
        if depth > PARAMETERS_DEPTH_MAX:
            raise ValueError(f"parameters nest at most {PARAMETERS_DEPTH_MAX} deep")
        if isinstance(at, dict):
            waiting += ((below, depth + 1) for pair in at.items() for below in pair)
        elif isinstance(at, list):
            waiting += ((below, depth + 1) for below in at)
        elif isinstance(at, str):
            characters += len(printable(at))
        elif isinstance(at, int) and abs(at) > EXACT_INTEGER_MAX:
            raise ValueError("a number is too large to be read exactly everywhere; write it as a text")
        elif isinstance(at, float) and not math.isfinite(at):
            raise ValueError("a number is not finite")
        if values > PARAMETERS_VALUES_MAX or characters > PARAMETERS_CHARS_MAX:
            raise ValueError(
                f"parameters have at most {PARAMETERS_VALUES_MAX:,} values and {PARAMETERS_CHARS_MAX:,} characters; "
                "register larger ones as an object, and name it under used"
            )
    return parameters


Moment = Annotated[AwareDatetime, AfterValidator(_told), Field(examples=["2024-05-17T08:00:00Z"])]
Parameters = Annotated[dict[str, Any], AfterValidator(_bounded)]


class Software(Strict):
    """What ran."""

    name: Line
    version: Line | None = None


class AgentName(Strict):
    """Who or what bears responsibility: the same facts are the same agent."""

    type: Literal["person", "organization", "software", "instrument"]
    name: Line
    orcid: Annotated[Orcid | None, Field(description="For a person.")] = None
    ror: Annotated[Ror | None, Field(description="For an organization.")] = None
    version: Annotated[Line | None, Field(description="For software.")] = None
    identifier: Annotated[Line | None, Field(description="For an instrument: its serial number or address.")] = None

    @model_validator(mode="after")
    def facts_fit_type(self) -> Self:
        """Keep each fact to the type of agent that has it."""
        for name, owner in (
            ("orcid", "person"),
            ("ror", "organization"),
            ("version", "software"),
            ("identifier", "instrument"),
        ):
            if getattr(self, name) is not None and self.type != owner:
                raise ValueError(f"only an agent of the type {owner} has {name}; this one is of the type {self.type}")
        return self


class AgentDraft(AgentName):
    """Who or what had a part in an activity, and which."""

    role: Annotated[Line | None, Field(examples=["operator"])] = None


class DelegationDraft(Strict):
    """That an agent acted on behalf of another one, which answers for it."""

    agent: AgentName
    responsible: AgentName


class ResponsibilityDraft(Strict):
    """What an object says of agents: that it is the work of one, or that one acted on behalf of another."""

    type: Literal["wasAttributedTo", "actedOnBehalfOf"]
    agent: AgentName
    role: Annotated[Line | None, Field(description="With wasAttributedTo.", examples=["author"])] = None
    responsible: Annotated[AgentName | None, Field(description="With actedOnBehalfOf: who answers for the agent.")] = (
        None
    )

    @model_validator(mode="after")
    def facts_fit_statement(self) -> Self:
        """Keep each fact to the type that has it."""
        if (self.responsible is not None) != (self.type == "actedOnBehalfOf"):
            raise ValueError("give responsible with actedOnBehalfOf, and with nothing else")
        if self.role is not None and self.type != "wasAttributedTo":
            raise ValueError("only wasAttributedTo has a role")
        return self


def _unrepeated(named: list[str]) -> list[str]:
    if len(set(named)) < len(named):
        raise ValueError("name each object once")
    return named


Named = Annotated[list[ObjectId], Field(max_length=ACTIVITY_OBJECTS_MAX), AfterValidator(_unrepeated)]


class ActivityFacts(Strict):
    """What ran, whatever it used and generated."""

    type: Annotated[Line, Field(examples=["training"])]
    label: Title
    started: Moment | None = None
    ended: Moment | None = None
    parameters: Parameters = {}
    software: Software | None = None
    code: Annotated[Git | None, Field(description="What ran, at one commit.")] = None
    agents: Annotated[list[AgentDraft], Field(max_length=AGENTS_MAX)] = []

    @model_validator(mode="after")
    def started_before_ended(self) -> Self:
        """Refuse an activity that runs backwards."""
        if self.started is not None and self.ended is not None and self.ended < self.started:
            raise ValueError("ended lies before started; exchange them")
        return self


class ActivityDraft(ActivityFacts):
    """An activity to record: what ran, from what, and what came of it."""

    used: Named = []
    generated: Annotated[Named, Field(min_length=1)]
    delegations: Annotated[
        list[DelegationDraft],
        Field(max_length=AGENTS_MAX, description="Who acted on whose behalf, in this activity."),
    ] = []
    informed_by: Annotated[
        list[UUID],
        Field(
            max_length=ACTIVITY_OBJECTS_MAX,
            description="The activities, recorded before, that generated something that this one used.",
        ),
    ] = []
