"""A container image in a registry."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.errors import Fault
from catalog.objects.kinds import Kind, Metadata, unpinned
from catalog.objects.references import (
    PLATFORMS_MAX,
    Git,
    ImageReference,
    ObjectId,
    Outside,
    Platform,
    Reference,
    outside_image,
)


class DockerImage(Metadata):
    """What only an image says; only a digest names the same bytes for ever."""

    reference: ImageReference
    platforms: Annotated[list[Platform], Field(min_length=1, max_length=PLATFORMS_MAX)]
    source: Annotated[Git, Field(description="What it was built from.")] | None = None
    dockerfile: Annotated[ObjectId, Field(description="The Dockerfile it was built by.")] | None = None
    size: Annotated[int, Field(ge=0, le=2**53, description="Length in bytes, compressed.")] | None = None

    def references(self) -> Iterator[Reference]:
        """Name the Dockerfile."""
        if self.dockerfile is not None:
            yield Reference("/metadata/dockerfile", self.dockerfile, ("dockerfile",))

    def warnings(self) -> Iterator[Fault]:
        """Warn when a tag alone names it."""
        return unpinned("/metadata/reference", self.reference)

    def outside(self) -> Iterator[Outside]:
        """Name the image and its source."""
        yield from outside_image("/metadata/reference", self.reference)
        if self.source is not None:
            yield Outside("/metadata/source", self.source.address)

    def searchable(self) -> Iterator[str | None]:
        """Tell its name and where its source is."""
        yield self.reference
        yield from self.platforms
        if self.source is not None:
            yield from (self.source.url, self.source.commit)


KIND = Kind(
    name="docker-image",
    title="Docker image",
    description="A container image in a registry.",
    metadata=DockerImage,
    example={
        "kind": "docker-image",
        "project": "demo/edge",
        "title": "Image of cloud cover estimation, 1.2.0",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "reference": f"registry.example.org/edge/cloud-cover:1.2.0@sha256:{'30e14955ebf13522' * 4}",
            "platforms": ["linux/amd64", "linux/arm64"],
            "source": {
                "url": "https://git.example.org/edge/cloud-cover.git",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
            },
        },
    },
)
