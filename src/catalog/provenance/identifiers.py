"""Identifiers outside the catalog as addresses (IRIs), and addresses as identifiers.

Computes only.
"""

from urllib.parse import quote

from pydantic import ValidationError

from catalog.provenance.statements import Identifier, IdentifierType

# Where an identifier outside has an address of its own, or how it is written as a URN.
WRITTEN = {
    "ARK": "https://n2t.net/",
    "arXiv": "https://arxiv.org/abs/",
    "bibcode": "https://ui.adsabs.harvard.edu/abs/",
    "DOI": "https://doi.org/",
    "Handle": "https://hdl.handle.net/",
    "ISBN": "urn:isbn:",
    "ISSN": "urn:issn:",
    "ORCID": "https://orcid.org/",
    "PMID": "https://pubmed.ncbi.nlm.nih.gov/",
    "ROR": "https://ror.org/",
}
# What may stand in an IRI as it is (RFC 3987, section 2.2); the rest is percent-encoded.
_IRI_SAFE = ":/?#[]@!$&'()*+,;=%~"


def iri_from(identifier_type: str, identifier: str) -> str:
    """Return the address of an identifier."""
    return quote(WRITTEN.get(identifier_type, "") + identifier, safe=_IRI_SAFE)


def identifier_from(iri: str) -> Identifier | None:
    """Return what an address identifies, as a relation names it; None when it is of no type that we check."""
    for written, start in WRITTEN.items():
        found = identifier_of(written, iri.removeprefix(start)) if iri.startswith(start) else None
        if found is not None:
            return found
    for written, start in {"LSID": "urn:lsid:", "URN": "urn:", "URL": "https://"}.items():
        if iri.startswith(start):
            return identifier_of(written, iri)
    return identifier_of("URL", iri) if iri.startswith("http://") else None


def identifier_of(identifier_type: str, value: str) -> Identifier | None:
    """Return the identifier in its usual form; None when it is not of its type."""
    try:
        return Identifier(type=IdentifierType(identifier_type), value=value)
    except (ValueError, ValidationError):
        return None
