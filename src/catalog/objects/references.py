"""How an object names other objects, and things outside the catalog that never change: a commit, a digest, a unit.

Knows how they are written, not whether they are there: that is for the verbs (objects) and for the checker (outside).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Annotated, Literal
from uuid import UUID

from lark import Lark
from lark.exceptions import UnexpectedInput
from pydantic import AfterValidator, Field, StringConstraints

from catalog.objects.metadata import (
    FILE_BYTES_MAX,
    NAME_CHARS_MAX,
    OBJECT_NAME_PATTERN,
    PROJECT_PATTERN,
    Line,
    MediaType,
    Sha256,
    Strict,
    bare_doi,
)

URL_CHARS_MAX = 2_000
URL_PATTERN = r"^https://[^\s/?#@]+([/?#]\S*)?$"
COMMIT_PATTERN = r"^[0-9a-f]{40}([0-9a-f]{24})?$"
PLATFORMS_MAX = 50
PLATFORM_PATTERN = r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9_.]+)?$"
# OCI Distribution Specification, "Pulling manifests": name, then a tag or a digest.
_IMAGE = re.compile(r"^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$")

_PROJECT, _NAME = PROJECT_PATTERN.strip("^$"), OBJECT_NAME_PATTERN.strip("^$")
# No name begins so: projects have no full stop, kinds no digit.
_DOI = r"(https?://(dx\.)?doi\.org/|[dD][oO][iI]:)?10\.[0-9]{4,9}(\.[0-9]+)*/[!-~]{1,200}"
OBJECT_ID_PATTERN = (
    rf"^([0-9a-fA-F]{{8}}(-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}|({_PROJECT}/)?[a-z][a-z-]{{1,62}}/{_NAME}|{_DOI})$"
)
_OBJECT_ID = re.compile(OBJECT_ID_PATTERN)
_IS_DOI = re.compile(_DOI)

# What people write, and how UCUM has it; both are accepted, the second is kept.
USUAL_UNITS = {
    **dict.fromkeys(("°C", "degC", "celsius", "Celsius", "degree_Celsius", "degrees_Celsius"), "Cel"),
    **dict.fromkeys(("°F", "degF", "fahrenheit", "degree_Fahrenheit"), "[degF]"),
    **dict.fromkeys(("°", "degree", "degrees", "degree_north", "degree_east"), "deg"),
    **dict.fromkeys(("kelvin", "Kelvin"), "K"),
    **dict.fromkeys(("count", "counts"), "{count}"),
    **dict.fromkeys(("px", "pixel", "pixels"), "{pixel}"),
    **dict.fromkeys(("sec", "second", "seconds"), "s"),
    **dict.fromkeys(("minute", "minutes"), "min"),
    **dict.fromkeys(("hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("percent", "percentage"), "%"),
    **dict.fromkeys(("dimensionless", "none"), "1"),
    "ppm": "[ppm]",
    "ppb": "[ppb]",
    "ppth": "[ppth]",
}
_UNIT_SIGNS = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "·": ".", "⋅": "."})


class Bond(StrEnum):
    """What it says of two objects that one names the other: in DataCite's words where it has one."""

    ANNOTATES = "Annotates"
    HAS_PART = "HasPart"
    IS_DERIVED_FROM = "IsDerivedFrom"
    IS_PART_OF = "IsPartOf"
    REQUIRES = "Requires"


@dataclass(frozen=True, slots=True)
class Reference:
    """Another object that an object's metadata names: where, which, of what kinds it may be (none: of any), and why.

    `target` is an id, a DOI, or a name as `kind/name` in the same project or `org/project/kind/name` in another.
    """

    pointer: str
    target: str
    kinds: tuple[str, ...] = ()
    bond: Bond = Bond.IS_DERIVED_FROM
    # The version that is meant, by number or label, and where it is named.
    version: str | None = None
    version_pointer: str = ""

    @property
    def id(self) -> UUID | None:
        """The id, where an id is what is given."""
        return UUID(self.target) if "/" not in self.target else None

    @property
    def doi(self) -> str | None:
        """The DOI, where a DOI is what is given."""
        return self.target if _IS_DOI.fullmatch(self.target) else None

    @property
    def needs_project(self) -> bool:
        """Whether a name is given that says nothing of its project."""
        return self.doi is None and self.target.count("/") == 1

    def place(self, project: str) -> tuple[str, str, str] | None:
        """Return project, kind and name, where a name is given, as seen from an object of that project."""
        if "/" not in self.target or self.doi is not None:
            return None
        *elsewhere, kind, name = self.target.split("/")
        return "/".join(elsewhere) or project, kind, name


def _object_id(text: str) -> str:
    if not _OBJECT_ID.fullmatch(text):
        raise ValueError("name an object by its id, as kind/name, or by its DOI")
    if _IS_DOI.fullmatch(text):
        return bare_doi(text)
    return text if "/" in text else str(UUID(text))


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text) or not (":" in text.rsplit("/", 1)[-1] or "@" in text):
        raise ValueError("write an image as name@sha256:<64 hex digits>, or name:tag if no digest is known")
    return text


def pinned(image: str) -> bool:
    """Whether an image reference names the same bytes for ever: a digest does, a tag can be moved."""
    return "@sha256:" in image


@cache
def _ucum() -> Lark:
    # The library takes a tenth of a second to load, which only a unit is worth.
    from ucumvert import get_ucum_parser  # ruff: ignore[PLC0415]

    parser: Lark = get_ucum_parser()
    return parser


@lru_cache(maxsize=2_000)
def _unit(text: str) -> str:
    written = USUAL_UNITS.get(text) or text.translate(_UNIT_SIGNS)
    try:
        _ucum().parse(written)
    except UnexpectedInput:
        raise ValueError(
            f"{text!r} is not a UCUM unit, such as m/s, Cel, hPa, ug/m3, % or {{count}}; own words stand in braces"
        ) from None
    return written


Url = Annotated[str, StringConstraints(max_length=URL_CHARS_MAX, pattern=URL_PATTERN)]
Platform = Annotated[
    str,
    StringConstraints(pattern=PLATFORM_PATTERN, max_length=60),
    Field(examples=["linux/arm64"]),
]
Commit = Annotated[
    str,
    StringConstraints(pattern=COMMIT_PATTERN),
    Field(
        description="A whole commit id: branches and tags move.", examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"]
    ),
]
ImageReference = Annotated[str, StringConstraints(max_length=500), AfterValidator(_image)]
# The Unified Code for Units of Measure, version 2.1, case sensitive.
Unit = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_CHARS_MAX),
    AfterValidator(_unit),
    Field(description="A UCUM unit, case sensitive; usual spellings are kept as UCUM has them.", examples=["Cel"]),
]
# What was given stays until it is looked up; what is kept is always the id.
ObjectId = Annotated[
    str,
    AfterValidator(_object_id),
    Field(
        description=(
            "An object of this catalog: its id, its kind/name, with org/project/ before it from elsewhere, or a DOI of "
            "it or of one of its versions that was made here."
        ),
        examples=["0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f", "model/cloud-unet", "10.5072/01jbrcgqrafgz9tara3cp3tkjz-q"],
        json_schema_extra={"pattern": OBJECT_ID_PATTERN},
    ),
]


class Git(Strict):
    """Source code at one commit."""

    url: Url
    commit: Commit
    path: Annotated[Line, Field(description="A file or folder in it.")] | None = None

    @property
    def address(self) -> str:
        """Where a checker looks for it."""
        return f"git+{self.url}"


class ExternalGit(Git):
    """Code or data in a Git repository, at one commit."""

    type: Literal["git"]


class ExternalImage(Strict):
    """A container image in a registry."""

    type: Literal["image"]
    reference: ImageReference


class ExternalUrl(Strict):
    """Bytes at an address of somebody else."""

    type: Literal["url"]
    url: Url
    sha256: Sha256 | None = None
    size: Annotated[int, Field(ge=0, le=FILE_BYTES_MAX, description="Length in bytes.")] | None = None
    media_type: MediaType | None = None

    @property
    def address(self) -> str:
        """Where a checker looks for it."""
        return self.url


External = Annotated[ExternalGit | ExternalImage | ExternalUrl, Field(discriminator="type")]


@dataclass(frozen=True, slots=True)
class Outside:
    """An address outside the catalog that a description names, and where it names it."""

    pointer: str
    address: str


def outside_image(pointer: str, reference: str) -> Iterator[Outside]:
    """Name where a checker looks for an image, unless the reference leaves the registry to whoever pulls it."""
    host, slash, _ = reference.partition("/")
    if slash and ("." in host or ":" in host):
        yield Outside(pointer, f"image://{reference}")


def outside_external(external: Sequence[External]) -> Iterator[Outside]:
    """Name where a checker looks for what the common metadata names."""
    for place, one in enumerate(external):
        if isinstance(one, ExternalImage):
            yield from outside_image(f"/external/{place}", one.reference)
        else:
            yield Outside(f"/external/{place}", one.address)
