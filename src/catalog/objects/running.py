"""What must be there for something to run, and ranges of versions that can be compared."""

import functools
import re
from typing import Annotated, Literal, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, StringConstraints

from catalog.objects.metadata import Strict, TermText, term_of

# The scheme that names software.
SOFTWARE = "software"
Accelerator = Literal["cpu", "cuda", "rocm", "metal", "tpu", "npu"]


# The same few ranges stand in thousands of records, and reading one takes longer than the rest of its field.
@functools.lru_cache(maxsize=1024)
def _version_range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("write a version range as >=2.1,<3 (PEP 440)") from None
    return text


class Range(NamedTuple):
    """Versions from `low` on and below `high`, both as texts that sort as the versions do."""

    low: str
    high: str


LOWEST, HIGHEST = "", "~"
_PARTS, _PART_DIGITS = 4, 9
_NUMBERED = re.compile(r"[0-9]+(?:[.][0-9]+)*")
_ASKED = re.compile(r"(?P<name>.+?)\s*(?P<range>(?:[<>~=!]=?=?)\s*[0-9].*)?")


def _sortable(version: str, after: int = 0) -> str:
    """Return a text that sorts as the version does; `after` 1 is just behind it."""
    found = _NUMBERED.search(version)
    parts = [int(part) for part in (found[0] if found else "0").split(".")][:_PARTS]
    padded = [*parts, *[0] * (_PARTS - len(parts))]
    return ".".join(f"{min(part, 10**_PART_DIGITS - 1):0{_PART_DIGITS}}" for part in padded) + str(after)


def _next(version: str, parts_kept: int) -> str:
    """Return the first version of the series after this one's: of 2.1, kept to two parts, 2.2."""
    parts = [int(part) for part in version.split(".")][:parts_kept]
    return ".".join(map(str, [*parts[:-1], parts[-1] + 1]))


def range_of(text: str | None) -> Range:
    """Return from where to where a version range (PEP 440) goes; what it leaves out in between is not told.

    Pre- and post-releases count as their release.
    """
    low, high = LOWEST, HIGHEST
    for one in SpecifierSet(text or ""):
        version, operator = one.version, one.operator
        plain = (_NUMBERED.search(version) or ["0"])[0]
        parts = plain.count(".") + 1
        if operator in {">=", "~=", "==", "==="}:
            low = max(low, _sortable(plain))
        elif operator == ">":
            low = max(low, _sortable(plain, 1))
        if operator == "<":
            high = min(high, _sortable(plain))
        elif operator == "<=":
            high = min(high, _sortable(plain, 1))
        elif operator == "~=":
            high = min(high, _sortable(_next(plain, max(1, parts - 1))))
        elif operator in {"==", "==="}:
            high = min(high, _sortable(_next(plain, parts)) if version.endswith(".*") else _sortable(plain, 1))
    return Range(low, high)


def asked(text: str) -> tuple[str, Range]:
    """Return name and range of a question such as `pytorch>=2.1`; a name alone means any version.

    Raises ValueError that says how to write it.
    """
    found = _ASKED.fullmatch(text.strip())
    if found is None:
        raise ValueError("write a software and the versions that you have, as pytorch or pytorch>=2.1,<3")
    try:
        return found["name"].strip(), range_of(found["range"])
    except InvalidSpecifier:
        raise ValueError(f"{found['range']!r} is no version range; write it as >=2.1,<3 (PEP 440)") from None


class Requirement(Strict):
    """Something that must be there for it to run."""

    name: Annotated[TermText, term_of(SOFTWARE, otherwise_text=True)]
    version: Annotated[str, StringConstraints(max_length=100), AfterValidator(_version_range)] | None = None
    accelerator: Accelerator | None = None
