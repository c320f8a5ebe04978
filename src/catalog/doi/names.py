"""The text of a DOI, made from the id of what it names: the same subject has the same DOI whenever it is asked for.

The id is written in Crockford's base 32, lower case, which has no letters that look like digits (no i, l, o, u); a
version follows a full stop; a last character checks the others, so that a mistyped DOI names nothing instead of
something else: `10.5072/01jbrcgqrafgz9tara3cp3tkjz.v2-r`.
"""

import re
from dataclasses import dataclass
from uuid import UUID

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_CHARS = 26
PREFIX_PATTERN = r"10\.[0-9]{4,9}(\.[0-9]+)*"
_BITS = 5
_UUID_BITS = 128
_SUFFIX = re.compile(
    r"(?P<id>[0-9a-hjkmnp-tv-z]{26})(?:\.v(?P<version>[1-9][0-9]{0,8}))?-(?P<check>[0-9a-hjkmnp-tv-z])"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a DOI names: an object or snapshot by its id, or one version of an object."""

    id: UUID
    version: int | None = None


def doi_of(prefix: str, subject: Subject) -> str:
    """Return the DOI of a subject under a registry's prefix."""
    number = subject.id.int
    digits = [ALPHABET[number >> shift & (len(ALPHABET) - 1)] for shift in range((ID_CHARS - 1) * _BITS, -1, -_BITS)]
    version = "" if subject.version is None else f".v{subject.version}"
    body = "".join(digits) + version
    return f"{prefix}/{body}-{_check_of(body)}"


def subject_of(prefix: str, doi: str) -> Subject | None:
    """Return what a DOI names, if it is one of ours that was not mistyped; case does not matter."""
    given, _, suffix = doi.lower().partition("/")
    found = _SUFFIX.fullmatch(suffix)
    if given != prefix or found is None or _check_of(suffix[:-2]) != found["check"]:
        return None
    number = 0
    for character in found["id"]:
        number = number << _BITS | ALPHABET.index(character)
    if number >> _UUID_BITS:
        return None
    return Subject(UUID(int=number), int(found["version"]) if found["version"] else None)


def _check_of(body: str) -> str:
    """Return the check character: Luhn's algorithm modulo 32 (ISO/IEC 7812-1, annex B, with more than ten digits)."""
    total = 0
    for place, character in enumerate(reversed(body.replace(".", ""))):
        value = ALPHABET.index(character) * (1 if place % 2 else 2)
        total += value // len(ALPHABET) + value % len(ALPHABET)
    return ALPHABET[-total % len(ALPHABET)]
