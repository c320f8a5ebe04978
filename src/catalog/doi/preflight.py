"""What stands between a work and its DOI, all of it at once and before anything is reserved.

Pure. The faults point into the object's description where it can be mended, and each says how.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from catalog.errors import Fault
from catalog.exchange import datacite
from catalog.exchange.work import Work
from catalog.objects.metadata import Orcid, Ror, bare_doi

_doi: TypeAdapter[str] = TypeAdapter(Annotated[str, AfterValidator(bare_doi)])
_orcid: TypeAdapter[str] = TypeAdapter(Orcid)
_ror: TypeAdapter[str] = TypeAdapter(Ror)
_YEAR = re.compile(r"[1-9][0-9]{3}")
# What people write where they have nothing to say.
_EMPTY_WORDS = frozenset({"untitled", "unknown", "test", "todo", "tbd", "n/a", "none", "title", "-", "."})
_DATE_TYPES_WITHOUT_MEANING = frozenset({"Other"})


def faults_of(work: Work, *, public: bool, published: bool) -> list[Fault]:
    """Return what keeps a work from having a findable DOI (DataCite 4.6, section 2.1: the mandatory properties)."""
    return [*_standing(public=public, published=published), *_missing(work)]


def advice_on(work: Work) -> list[Fault]:
    """Return what DataCite recommends and the work does not say (4.6, section 2.2)."""
    record = work.record
    recommended = {
        "description": "say what it is: an abstract is what people find it by",
        "keywords": "give some keywords",
        "dates": "say when it was issued, created or collected; without a date the year is that of the registration",
    }
    return [Fault(f"/{name}", message) for name, message in recommended.items() if not record.get(name)]


def _standing(*, public: bool, published: bool) -> Iterator[Fault]:
    if not public:
        yield Fault("/visibility", "a DOI leads everybody here: make the object public first", "public")
    if not published:
        yield Fault("/versions", "a DOI names what does not change: publish a version first")


def _missing(work: Work) -> Iterator[Fault]:
    record = work.record
    title = str(record.get("title") or "").strip()
    if not title or title.lower() in _EMPTY_WORDS:
        yield Fault("/title", "a title is mandatory, and says what this is")
    yield from _parties(record, "creators", mandatory=True)
    yield from _parties(record, "contributors", mandatory=False)
    if not work.published_by.strip():
        yield Fault("/publisher", "a publisher is mandatory: say who makes this available")
    if not _YEAR.fullmatch(work.year):
        yield Fault("/dates", f"the year of publication is {work.year!r}; it has four digits, such as 2024")
    if datacite.resource_type_of(work) is None:
        yield Fault("/kind", f"DataCite has no general type of resource for the kind {work.kind!r}")
    for place, one in enumerate(_items(record, "identifiers")):
        if str(one.get("type")).upper() == "DOI" and not _fits(_doi, one.get("value")):
            yield Fault(f"/identifiers/{place}/value", "is not a DOI such as 10.5281/zenodo.1234")
    for place, one in enumerate(_items(record, "dates")):
        if one.get("type") in _DATE_TYPES_WITHOUT_MEANING and not one.get("information"):
            yield Fault(f"/dates/{place}/information", "a date of the type Other says in information what happened")


def _parties(record: Mapping[str, Any], group: str, *, mandatory: bool) -> Iterator[Fault]:
    parties = _items(record, group)
    if mandatory and not parties:
        yield Fault(f"/{group}", "a creator is mandatory")
    for place, one in enumerate(parties):
        pointer = f"/{group}/{place}"
        if not str(one.get("name") or "").strip():
            yield Fault(f"{pointer}/name", "a name is mandatory")
        if one.get("orcid") and not _fits(_orcid, one["orcid"]):
            yield Fault(f"{pointer}/orcid", "is not an ORCID iD: its last digit does not fit the others")
        if one.get("ror") and not _fits(_ror, one["ror"]):
            yield Fault(f"{pointer}/ror", "is not a ROR id: its last two digits do not fit")


def _fits(kind: TypeAdapter[str], text: Any) -> bool:
    try:
        kind.validate_python(str(text))
    except ValidationError:
        return False
    return True


def _items(record: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    held = record.get(name) or ()
    return [one for one in held if isinstance(one, Mapping)]
