"""DataCite's XML (kernel 4, and 2.2 and 3 as far as they agree) as DataCite's JSON attributes, and back.

Read with expat, which asks no network and no file; a document type, and so every entity, is refused before it is used.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from catalog.errors import Fault, Invalid
from catalog.exchange import datacite_import
from catalog.exchange.datacite import SCHEMA
from catalog.exchange.datacite_import import Imported

DEPTH_MAX = 16
ELEMENTS_MAX = 20_000
ATTRIBUTES_MAX = 20
_NAMESPACE = re.compile(r"http://datacite\.org/schema/kernel-[234]([.][0-9])?")
_SEPARATOR = " "
# XML 1.0, section 2.2, has no place for these. They are refused now; what was recorded before may have them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_LANG = "http://www.w3.org/XML/1998/namespace lang"


@dataclass(slots=True)
class Element:
    """An element: its name without namespace, its attributes, the text in it, the elements in it."""

    name: str
    attributes: dict[str, str]
    texts: list[str] = field(default_factory=list)
    children: list["Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text with the lines it is broken into."""
        return "".join(self.texts).strip()

    def all(self, name: str) -> list["Element"]:
        """Return the elements of that name right below."""
        return [child for child in self.children if child.name == name]

    def one(self, name: str) -> "Element | None":
        """Return the first element of that name right below."""
        return next(iter(self.all(name)), None)

    def text_of(self, name: str) -> str | None:
        """Return the text of the first element of that name right below."""
        child = self.one(name)
        return None if child is None else child.text

    def below(self, *names: str) -> list["Element"]:
        """Return the elements at the end of a path."""
        found = [self]
        for name in names:
            found = [child for one in found for child in one.all(name)]
        return found


class _Reader:
    """Builds the tree, and refuses what no record has."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def read(self, body: bytes) -> Element:
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(body, True)  # ruff: ignore[FBT003] - expat's own signature.
        except expat.ExpatError as broken:
            raise _refused(f"not XML: {expat.ErrorString(broken.code)}, line {broken.lineno}") from None
        except (LookupError, ValueError):
            raise _refused("not XML in an encoding that is known here; send UTF-8") from None
        if self.root is None:
            raise _refused("not XML: there is no element")
        return self.root

    def _doctype(self, *_: Any) -> None:
        raise _refused("a document type declaration is not read; remove it")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX or len(attributes) > ATTRIBUTES_MAX:
            raise _refused(
                f"a record has at most {ELEMENTS_MAX:,} elements, {DEPTH_MAX} deep, each of {ATTRIBUTES_MAX} attributes"
            )
        namespace, _, local = name.rpartition(_SEPARATOR)
        if not self._open and (local != "resource" or not _NAMESPACE.fullmatch(namespace)):
            raise _refused(f'not a DataCite record: it begins with <resource xmlns="{SCHEMA}">')
        element = Element(local, {("lang" if key == _XML_LANG else key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        if local == "br" and self._open:
            self._open[-1].texts.append("\n")
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].texts.append(text)


def _refused(why: str) -> Invalid:
    return Invalid("The DataCite record has faults.", faults=[Fault("", why)])


def description_from(body: bytes) -> Imported:
    """Return what a record in DataCite's XML says; raises Invalid with every fault.

    Places are told as in DataCite's JSON: `/creators/0/name` is the name of the first creator.
    """
    attributes, repeated = attributes_from(body)
    taken = datacite_import.description_of(attributes)
    taken.left_out += repeated
    return taken


# Where one thing stands in the record, although a writer may have put several: the first is read.
_SINGLE = {
    "identifier": "/doi",
    "publisher": "/publisher",
    "publicationYear": "/publicationYear",
    "resourceType": "/types",
    "language": "/language",
}


def attributes_from(body: bytes) -> tuple[dict[str, Any], list[Fault]]:
    """Return a record's attributes as DataCite's JSON has them, and what stood there twice; raises Invalid."""
    root = _Reader().read(body)
    _refuse_mixed_creators(root)
    repeated = [
        Fault(pointer, "stands there more than once; the first is kept")
        for name, pointer in _SINGLE.items()
        if len(root.all(name)) > 1
    ]
    identifier = root.one("identifier")
    publisher = root.one("publisher")
    kind = root.one("resourceType")
    attributes: dict[str, Any] = {
        "doi": identifier.text if identifier is not None else None,
        "creators": [_party(one, "creatorName") for one in root.below("creators", "creator")],
        "titles": [
            {"title": one.text, **_named(one, titleType="titleType", lang="lang")}
            for one in root.below("titles", "title")
        ],
        "publicationYear": root.text_of("publicationYear"),
        "language": root.text_of("language"),
        "subjects": [
            {
                "subject": one.text,
                **_named(
                    one,
                    subjectScheme="subjectScheme",
                    schemeUri="schemeURI",
                    valueUri="valueURI",
                    classificationCode="classificationCode",
                ),
            }
            for one in root.below("subjects", "subject")
        ],
        "contributors": [
            _party(one, "contributorName") | _named(one, contributorType="contributorType")
            for one in root.below("contributors", "contributor")
        ],
        "dates": [
            {"date": one.text, **_named(one, dateType="dateType", dateInformation="dateInformation")}
            for one in root.below("dates", "date")
        ],
        "alternateIdentifiers": [
            {"alternateIdentifier": one.text, "alternateIdentifierType": one.attributes.get(name, "")}
            for name, one in _alternates(root)
        ],
        "relatedIdentifiers": [
            {
                "relatedIdentifier": one.text,
                **_named(one, relatedIdentifierType="relatedIdentifierType", relationType="relationType"),
            }
            for one in root.below("relatedIdentifiers", "relatedIdentifier")
        ],
        "rightsList": [
            {"rights": one.text, **_named(one, rightsUri="rightsURI", rightsIdentifier="rightsIdentifier")}
            for one in [*root.below("rightsList", "rights"), *root.all("rights")]
        ],
        "descriptions": [
            {"description": _lines(one.text), **_named(one, descriptionType="descriptionType")}
            for one in root.below("descriptions", "description")
        ],
        "geoLocations": [_place(one) for one in root.below("geoLocations", "geoLocation")],
        "fundingReferences": [_funding(one) for one in root.below("fundingReferences", "fundingReference")],
        "sizes": [one.text for one in root.below("sizes", "size")],
        "formats": [one.text for one in root.below("formats", "format")],
        "version": root.text_of("version"),
        "relatedItems": [one.name for one in root.below("relatedItems", "relatedItem")],
    }
    if publisher is not None:
        attributes["publisher"] = {
            "name": publisher.text,
            **_named(publisher, publisherIdentifier="publisherIdentifier"),
        }
    if kind is not None:
        attributes["types"] = {"resourceType": kind.text, **_named(kind, resourceTypeGeneral="resourceTypeGeneral")}
    return {name: value for name, value in attributes.items() if value not in (None, [])}, repeated


def _refuse_mixed_creators(root: Element) -> None:
    faults = [
        Fault(f"/creators/{place}/name", "one creator has one name; write a creator for each person")
        for place, one in enumerate(root.below("creators", "creator"))
        if len(one.all("creatorName")) > 1
    ]
    if faults:
        raise Invalid("The DataCite record has faults.", faults=faults[:100])


def _named(element: Element, **names: str) -> dict[str, str]:
    """Return attributes that are there, under the names that the JSON has for them."""
    return {ours: element.attributes[theirs] for ours, theirs in names.items() if theirs in element.attributes}


def _lines(text: str) -> str:
    # Broken for the width of a page; a break that is meant is an element, and stands there as one.
    return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()


def _party(element: Element, name: str) -> dict[str, Any]:
    named = element.one(name)
    told: dict[str, Any] = {
        "givenName": element.text_of("givenName"),
        "familyName": element.text_of("familyName"),
        "nameIdentifiers": [
            {"nameIdentifier": one.text, **_named(one, nameIdentifierScheme="nameIdentifierScheme")}
            for one in element.all("nameIdentifier")
            if one.text
        ],
        "affiliation": [
            {
                "name": one.text,
                **_named(
                    one,
                    affiliationIdentifier="affiliationIdentifier",
                    affiliationIdentifierScheme="affiliationIdentifierScheme",
                ),
            }
            for one in element.all("affiliation")
            if one.text
        ],
    }
    if named is not None:
        told |= {"name": named.text, **_named(named, nameType="nameType")}
    return {key: value for key, value in told.items() if value not in (None, [])}


def _alternates(root: Element) -> Iterator[tuple[str, Element]]:
    for one in root.below("alternateIdentifiers", "alternateIdentifier"):
        yield "alternateIdentifierType", one


def _place(element: Element) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if element.text_of("geoLocationPlace"):
        told["geoLocationPlace"] = element.text_of("geoLocationPlace")
    for name, fields in (
        ("geoLocationPoint", ("pointLatitude", "pointLongitude")),
        (
            "geoLocationBox",
            ("westBoundLongitude", "eastBoundLongitude", "southBoundLatitude", "northBoundLatitude"),
        ),
    ):
        found = element.one(name)
        if found is not None:
            told[name] = {one: found.text_of(one) for one in fields} if found.children else _numbers(found.text, fields)
    if element.one("geoLocationPolygon") is not None:
        told["geoLocationPolygon"] = True
    return told


def _numbers(text: str, fields: Sequence[str]) -> dict[str, str]:
    """Read numbers in a row, as records before kernel 4 have them: latitude first, a box from south-west."""
    numbers = text.split()
    if len(fields) == len(numbers) == len(("latitude", "longitude")):
        return dict(zip(fields, numbers, strict=True))
    south_west_north_east = ("southBoundLatitude", "westBoundLongitude", "northBoundLatitude", "eastBoundLongitude")
    return dict(zip(south_west_north_east, numbers, strict=False))


def _funding(element: Element) -> dict[str, Any]:
    identifier, award = element.one("funderIdentifier"), element.one("awardNumber")
    told: dict[str, Any] = {
        "funderName": element.text_of("funderName"),
        "awardTitle": element.text_of("awardTitle"),
    }
    if identifier is not None:
        told |= {"funderIdentifier": identifier.text, **_named(identifier, funderIdentifierType="funderIdentifierType")}
    if award is not None:
        told |= {"awardNumber": award.text, **_named(award, awardUri="awardURI")}
    return {name: value for name, value in told.items() if value is not None}


def xml_from(attributes: Mapping[str, Any]) -> bytes:
    """Return attributes as `datacite.datacite_from` makes them as a record in DataCite's XML (kernel 4.6)."""
    body = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", "\n".join(_written(attributes)))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<resource xmlns="{SCHEMA}">\n{body}\n</resource>\n'.encode()


def _element(name: str, text: Any, **attributes: Any) -> str:
    told = "".join(f" {key.replace('__', ':')}={quoteattr(str(value))}" for key, value in attributes.items() if value)
    return f"<{name}{told}>{escape(str(text))}</{name}>"


def _group(name: str, items: Sequence[str]) -> Iterator[str]:
    if items:
        yield f"  <{name}>"
        yield from (f"    {item}" for item in items)
        yield f"  </{name}>"


def _written(told: Mapping[str, Any]) -> Iterator[str]:
    # The order is free (kernel-4 has xs:all); this is that of the schema's documentation.
    yield "  " + _element("identifier", told.get("doi", ""), identifierType="DOI")
    yield from _group("creators", [_written_party("creator", one) for one in told["creators"]])
    yield from _group(
        "titles",
        [
            _element("title", one["title"], titleType=one.get("titleType"), xml__lang=one.get("lang"))
            for one in told["titles"]
        ],
    )
    publisher = told["publisher"]
    yield "  " + _element(
        "publisher",
        publisher["name"],
        publisherIdentifier=publisher.get("publisherIdentifier"),
        publisherIdentifierScheme=publisher.get("publisherIdentifierScheme"),
        schemeURI=publisher.get("schemeUri"),
    )
    yield "  " + _element("publicationYear", told["publicationYear"])
    types = told["types"]
    yield "  " + _element("resourceType", types["resourceType"], resourceTypeGeneral=types["resourceTypeGeneral"])
    yield from _group(
        "subjects",
        [
            _element(
                "subject",
                one["subject"],
                subjectScheme=one.get("subjectScheme"),
                schemeURI=one.get("schemeUri"),
                valueURI=one.get("valueUri"),
                classificationCode=one.get("classificationCode"),
                xml__lang=one.get("lang"),
            )
            for one in told.get("subjects", ())
        ],
    )
    yield from _group("contributors", [_written_party("contributor", one) for one in told.get("contributors", ())])
    yield from _group(
        "dates",
        [
            _element("date", one["date"], dateType=one["dateType"], dateInformation=one.get("dateInformation"))
            for one in told.get("dates", ())
        ],
    )
    if told.get("language"):
        yield "  " + _element("language", told["language"])
    yield from _group(
        "alternateIdentifiers",
        [
            _element(
                "alternateIdentifier",
                one["alternateIdentifier"],
                alternateIdentifierType=one["alternateIdentifierType"],
            )
            for one in told.get("alternateIdentifiers", ())
        ],
    )
    yield from _group(
        "relatedIdentifiers",
        [
            _element(
                "relatedIdentifier",
                one["relatedIdentifier"],
                relatedIdentifierType=one["relatedIdentifierType"],
                relationType=one["relationType"],
            )
            for one in told.get("relatedIdentifiers", ())
        ],
    )
    yield from _group("sizes", [_element("size", one) for one in told.get("sizes", ())])
    yield from _group("formats", [_element("format", one) for one in told.get("formats", ())])
    if told.get("version"):
        yield "  " + _element("version", told["version"])
    yield from _written_rest(told)


def _written_rest(told: Mapping[str, Any]) -> Iterator[str]:
    yield from _group(
        "rightsList",
        [
            _element(
                "rights",
                one["rights"],
                rightsURI=one.get("rightsUri"),
                rightsIdentifier=one.get("rightsIdentifier"),
                rightsIdentifierScheme=one.get("rightsIdentifierScheme"),
                schemeURI=one.get("schemeUri"),
            )
            for one in told.get("rightsList", ())
        ],
    )
    yield from _group(
        "descriptions",
        [
            _element("description", one["description"], descriptionType=one["descriptionType"]).replace("\n", "<br/>")
            for one in told.get("descriptions", ())
        ],
    )
    yield from _group("geoLocations", [_written_place(one) for one in told.get("geoLocations", ())])
    yield from _group("fundingReferences", [_written_funding(one) for one in told.get("fundingReferences", ())])


def _written_party(name: str, party: Mapping[str, Any]) -> str:
    inner = [_element(f"{name}Name", party["name"], nameType=party.get("nameType"))]
    inner += [_element(part, party[part]) for part in ("givenName", "familyName") if part in party]
    inner += [
        _element(
            "nameIdentifier",
            one["nameIdentifier"],
            nameIdentifierScheme=one["nameIdentifierScheme"],
            schemeURI=one["schemeUri"],
        )
        for one in party.get("nameIdentifiers", ())
    ]
    inner += [
        _element(
            "affiliation",
            one["name"],
            affiliationIdentifier=one.get("affiliationIdentifier"),
            affiliationIdentifierScheme=one.get("affiliationIdentifierScheme"),
            schemeURI=one.get("schemeUri"),
        )
        for one in party.get("affiliation", ())
    ]
    contribution = f" contributorType={quoteattr(party['contributorType'])}" if "contributorType" in party else ""
    return f"<{name}{contribution}>{''.join(inner)}</{name}>"


def _written_place(place: Mapping[str, Any]) -> str:
    inner = [_element("geoLocationPlace", place["geoLocationPlace"])] if "geoLocationPlace" in place else []
    inner += [
        f"<{name}>{''.join(_element(key, value) for key, value in place[name].items())}</{name}>"
        for name in ("geoLocationPoint", "geoLocationBox")
        if name in place
    ]
    return f"<geoLocation>{''.join(inner)}</geoLocation>"


def _written_funding(one: Mapping[str, Any]) -> str:
    inner = [_element("funderName", one["funderName"])]
    if "funderIdentifier" in one:
        kind = one["funderIdentifierType"]
        inner.append(_element("funderIdentifier", one["funderIdentifier"], funderIdentifierType=kind))
    if "awardNumber" in one or "awardUri" in one:
        inner.append(_element("awardNumber", one.get("awardNumber", ""), awardURI=one.get("awardUri")))
    if "awardTitle" in one:
        inner.append(_element("awardTitle", one["awardTitle"]))
    return f"<fundingReference>{''.join(inner)}</fundingReference>"
