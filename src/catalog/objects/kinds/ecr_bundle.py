"""An edge code repository bundle: an ordered list of what belongs together to run at the edge."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from catalog.objects.kinds import Kind
from catalog.objects.metadata import Line, Strict

MEMBERS_MAX = 500
URL_CHARS_MAX = 2_000
# OCI Distribution Specification, "Pulling manifests": name, then a tag or a digest.
_IMAGE = re.compile(r"^[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$")


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text) or not (":" in text.rsplit("/", 1)[-1] or "@" in text):
        raise ValueError("write an image as name@sha256:<64 hex digits>, or name:tag if no digest is known")
    return text


Url = Annotated[str, StringConstraints(max_length=URL_CHARS_MAX, pattern=r"^https://[^\s/?#@]+([/?#]\S*)?$")]
Platform = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9_.]+)?$", max_length=60)]


class _Member(Strict):
    role: Line | None = None
    name: Line | None = None


class ObjectMember(_Member):
    """Another object of this catalog."""

    type: Literal["object"]
    # JSON has no UUIDs: a string in, whatever the strictness around it.
    id: Annotated[UUID, Field(strict=False)]


class GitMember(_Member):
    """Source code at one commit."""

    type: Literal["git"]
    url: Url
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    directory: Line | None = None


class ImageMember(_Member):
    """A container image; only a digest names the same bytes for ever."""

    type: Literal["image"]
    reference: Annotated[str, StringConstraints(max_length=500), AfterValidator(_image)]
    platforms: Annotated[list[Platform], Field(max_length=50)] = []


class UrlMember(_Member):
    """Anything else that has an address."""

    type: Literal["url"]
    url: Url


Member = Annotated[ObjectMember | GitMember | ImageMember | UrlMember, Field(discriminator="type")]


class Input(Strict):
    """A parameter that the bundle takes when it runs."""

    id: Line
    type: Line
    description: Line | None = None


class EcrBundle(Strict):
    """What only a bundle says; the order of its members is kept."""

    version: Line
    architectures: Annotated[list[Platform], Field(max_length=20)] = []
    inputs: Annotated[list[Input], Field(max_length=100)] = []
    members: Annotated[list[Member], Field(min_length=1, max_length=MEMBERS_MAX)]


def _references(metadata: EcrBundle) -> Iterator[tuple[str, UUID]]:
    for place, member in enumerate(metadata.members):
        if isinstance(member, ObjectMember):
            yield f"/metadata/members/{place}/id", member.id


def _searchable(metadata: EcrBundle) -> list[str]:
    texts: list[str | None] = []
    for member in metadata.members:
        texts += [member.name, member.role]
        match member:
            case GitMember() | UrlMember():
                texts.append(member.url)
            case ImageMember():
                texts.append(member.reference)
            case ObjectMember():
                # Its title is not ours to show: the member may be hidden from whoever searches.
                texts.append(str(member.id))
    return [text for text in texts if text]


KIND = Kind(
    name="ecr-bundle",
    title="ECR bundle",
    description="An edge code repository bundle: an ordered list of what belongs together to run at the edge.",
    metadata=EcrBundle,
    references=_references,
    searchable=_searchable,
    example={
        "kind": "ecr-bundle",
        "project": "demo/edge",
        "title": "Cloud cover at the edge",
        "description": "Estimates cloud cover from a sky camera.",
        "creators": [{"name": "Rivera, Ana"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "version": "1.2.0",
            "architectures": ["linux/amd64", "linux/arm64"],
            "inputs": [{"id": "interval", "type": "integer", "description": "seconds between two images"}],
            "members": [
                {
                    "type": "git",
                    "url": "https://git.example.org/edge/cloud-cover.git",
                    "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
                    "role": "source",
                },
                {
                    "type": "image",
                    "reference": f"edge/cloud-cover@sha256:{'30e14955ebf13522' * 4}",
                    "platforms": ["linux/amd64", "linux/arm64"],
                    "role": "runtime",
                },
            ],
        },
    },
)
