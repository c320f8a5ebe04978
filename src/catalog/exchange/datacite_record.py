"""DataCite's JSON as others write it: lenient in form, strict in what is mandatory (Metadata Schema 4.6, section 2.1).

What is not listed here has no place in our description.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

# What nobody's record needs, and what a body of two megabytes could hold to keep us busy.
ITEMS_MAX = 2_000
_YEAR = re.compile(r"[0-9]{4}")

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _none_if_blank(value: Any) -> Any:
    return None if value == {} or (isinstance(value, str) and not value.strip()) else value


def _list(value: Any) -> Any:
    # Some writers leave a list out, some write null, some write the one item alone.
    if value is None or value in ({}, ""):
        return []
    return [value] if isinstance(value, dict | str) else value


Perhaps = Annotated[Text | None, BeforeValidator(_none_if_blank)]


class RecordPart(BaseModel):
    """A part of a record."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, coerce_numbers_to_str=True)


class NameIdentifier(RecordPart):
    """Who a name belongs to."""

    name_identifier: Said
    name_identifier_scheme: Text = ""


class Affiliation(RecordPart):
    """Where somebody works; older records have the name alone."""

    name: Said
    affiliation_identifier: Perhaps = None
    affiliation_identifier_scheme: Perhaps = None


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Party(RecordPart):
    """A creator or contributor."""

    name: Said
    name_type: Perhaps = None
    given_name: Perhaps = None
    family_name: Perhaps = None
    name_identifiers: Annotated[list[NameIdentifier], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    affiliation: Annotated[
        list[Annotated[Affiliation, BeforeValidator(_named)]], BeforeValidator(_list), Field(max_length=ITEMS_MAX)
    ] = []

    @property
    def whole_name(self) -> str:
        """The name, as family and given name where the record tells them apart and the name itself does not."""
        if "," in self.name or not (self.family_name and self.given_name):
            return " ".join(self.name.split())
        return f"{self.family_name}, {self.given_name}"


class ContributorPart(Party):
    """A contributor."""

    contributor_type: Said


class TitlePart(RecordPart):
    """A title."""

    title: Said
    title_type: Perhaps = None
    lang: Perhaps = None


class PublisherPart(RecordPart):
    """Who makes it available; records before 4.5 have the name alone."""

    name: Said
    publisher_identifier: Perhaps = None


class Subject(RecordPart):
    """A keyword, or a term of a scheme."""

    subject: Text
    subject_scheme: Perhaps = None
    scheme_uri: Perhaps = None
    value_uri: Perhaps = None
    classification_code: Perhaps = None


class DatePart(RecordPart):
    """A date."""

    date: Text
    date_type: Text
    date_information: Perhaps = None


class Types(RecordPart):
    """What it is."""

    resource_type_general: Said


class IdentifierPart(RecordPart):
    """An identifier of the record, as older JSON has it."""

    identifier: Text
    identifier_type: Text


class AlternateIdentifier(RecordPart):
    """An identifier of the record elsewhere."""

    alternate_identifier: Text
    alternate_identifier_type: Text


class RelatedIdentifier(RecordPart):
    """Something that the record is related to."""

    related_identifier: Text
    related_identifier_type: Text = ""
    relation_type: Text = ""


class Rights(RecordPart):
    """A licence, or what somebody wrote in its place."""

    rights: Perhaps = None
    rights_uri: Perhaps = None
    rights_identifier: Perhaps = None


class DescriptionPart(RecordPart):
    """A text about it."""

    description: Text
    description_type: Text = ""


class PointPart(RecordPart):
    """A place."""

    point_latitude: float
    point_longitude: float


class BoxPart(RecordPart):
    """A region."""

    west_bound_longitude: float
    east_bound_longitude: float
    south_bound_latitude: float
    north_bound_latitude: float


class GeoLocation(RecordPart):
    """Where it was gathered."""

    geo_location_place: Perhaps = None
    geo_location_point: Annotated[PointPart | None, BeforeValidator(_none_if_blank)] = None
    geo_location_box: Annotated[BoxPart | None, BeforeValidator(_none_if_blank)] = None
    geo_location_polygon: Any = None


class FundingReference(RecordPart):
    """Who paid."""

    funder_name: Said
    funder_identifier: Perhaps = None
    funder_identifier_type: Perhaps = None
    award_number: Perhaps = None
    award_uri: Perhaps = None
    award_title: Perhaps = None


def _year(text: str) -> str:
    if not _YEAR.fullmatch(text):
        raise ValueError("write the year with four digits")
    return text


class Record(RecordPart):
    """A record: the mandatory properties must be there and say something."""

    creators: Annotated[list[Party], BeforeValidator(_list), Field(min_length=1, max_length=ITEMS_MAX)]
    titles: Annotated[list[TitlePart], BeforeValidator(_list), Field(min_length=1, max_length=ITEMS_MAX)]
    publisher: Annotated[PublisherPart, BeforeValidator(_named)]
    publication_year: Annotated[Text, AfterValidator(_year)]
    types: Types
    doi: Perhaps = None
    language: Perhaps = None
    subjects: Annotated[list[Subject], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    contributors: Annotated[list[ContributorPart], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    dates: Annotated[list[DatePart], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    identifiers: Annotated[list[IdentifierPart], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    alternate_identifiers: Annotated[
        list[AlternateIdentifier], BeforeValidator(_list), Field(max_length=ITEMS_MAX)
    ] = []
    related_identifiers: Annotated[list[RelatedIdentifier], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    rights_list: Annotated[list[Rights], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    descriptions: Annotated[list[DescriptionPart], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    geo_locations: Annotated[list[GeoLocation], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
    funding_references: Annotated[list[FundingReference], BeforeValidator(_list), Field(max_length=ITEMS_MAX)] = []
