"""Every format that a work can be had in: its name, its media type, and what writes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from catalog.exchange import citation, datacite, datacite_xml, schema_org
from catalog.exchange.work import Work

DATACITE_JSON = "application/vnd.datacite.datacite+json"
DATACITE_XML = "application/vnd.datacite.datacite+xml"
BIBTEX = "application/x-bibtex"


@dataclass(frozen=True, slots=True)
class Format:
    """One format."""

    media_type: str
    write: Callable[[Work], bytes]


def _json(make: Callable[[Work], Any]) -> Callable[[Work], bytes]:
    return lambda work: msgspec.json.format(msgspec.json.encode(make(work)), indent=2)


def _text(make: Callable[[Work], str]) -> Callable[[Work], bytes]:
    return lambda work: make(work).encode()


# The media types that DataCite and Crossref answer with under the same names (DOI content negotiation).
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "datacite": Format(DATACITE_JSON, _json(datacite.datacite_from)),
        "datacite-xml": Format(DATACITE_XML, lambda work: datacite_xml.xml_from(datacite.datacite_from(work))),
        "schema-org": Format("application/ld+json", _json(schema_org.schema_org_from)),
        "csl": Format("application/vnd.citationstyles.csl+json", _json(citation.csl)),
        "bibtex": Format(BIBTEX, _text(citation.bibtex)),
        "ris": Format("application/x-research-info-systems", _text(citation.ris)),
        "apa": Format("text/x-bibliography", _text(citation.apa)),
        "vancouver": Format("text/x-bibliography", _text(citation.vancouver)),
    }
)
