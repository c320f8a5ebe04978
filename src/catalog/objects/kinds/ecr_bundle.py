"""An edge code repository bundle: an ordered list of what belongs together to run at the edge."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from catalog.errors import Fault
from catalog.objects.kinds import Kind, Metadata, unpinned
from catalog.objects.metadata import Line, Strict
from catalog.objects.references import (
    Bond,
    Commit,
    ImageReference,
    ObjectId,
    Outside,
    Platform,
    Reference,
    Url,
    outside_image,
)

MEMBERS_MAX = 500


class _Member(Strict):
    role: Line | None = None
    name: Line | None = None


class ObjectMember(_Member):
    """Another object of this catalog."""

    type: Literal["object"]
    id: ObjectId


class GitMember(_Member):
    """Source code at one commit."""

    type: Literal["git"]
    url: Url
    commit: Commit
    directory: Line | None = None


class ImageMember(_Member):
    """A container image; only a digest names the same bytes for ever."""

    type: Literal["image"]
    reference: ImageReference
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


class EcrBundle(Metadata):
    """What only a bundle says; the order of its members is kept."""

    version: Line
    architectures: Annotated[list[Platform], Field(max_length=20)] = []
    inputs: Annotated[list[Input], Field(max_length=100)] = []
    members: Annotated[list[Member], Field(min_length=1, max_length=MEMBERS_MAX)]

    def references(self) -> Iterator[Reference]:
        """Name the members that are objects of this catalog."""
        for place, member in enumerate(self.members):
            if isinstance(member, ObjectMember):
                yield Reference(f"/metadata/members/{place}/id", member.id, bond=Bond.HAS_PART)

    def warnings(self) -> Iterator[Fault]:
        """Warn of images that a tag alone names."""
        for place, member in enumerate(self.members):
            if isinstance(member, ImageMember):
                yield from unpinned(f"/metadata/members/{place}/reference", member.reference)

    def outside(self) -> Iterator[Outside]:
        """Name the members that are not objects of this catalog."""
        for place, member in enumerate(self.members):
            match member:
                case GitMember():
                    yield Outside(f"/metadata/members/{place}", f"git+{member.url}")
                case UrlMember():
                    yield Outside(f"/metadata/members/{place}", member.url)
                case ImageMember():
                    yield from outside_image(f"/metadata/members/{place}", member.reference)

    def searchable(self) -> Iterator[str | None]:
        """Tell what the members are called; a member's title is its own: it may be hidden from whoever searches."""
        for member in self.members:
            yield from (member.name, member.role)
            match member:
                case GitMember():
                    yield from (member.url, member.commit)
                case UrlMember():
                    yield member.url
                case ImageMember():
                    yield member.reference
                case ObjectMember():
                    yield member.id


KIND = Kind(
    name="ecr-bundle",
    title="ECR bundle",
    description="An edge code repository bundle: an ordered list of what belongs together to run at the edge.",
    metadata=EcrBundle,
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
