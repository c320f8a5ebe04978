"""The recipe of a container image."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.errors import Fault
from catalog.objects.kinds import Kind, Metadata, unpinned
from catalog.objects.references import PLATFORMS_MAX, Git, ImageReference, Outside, Platform, outside_image


class Dockerfile(Metadata):
    """What only a Dockerfile says; its source must be said, with its path there."""

    source: Git
    base_images: Annotated[list[ImageReference], Field(max_length=50)] = []
    platforms: Annotated[list[Platform], Field(max_length=PLATFORMS_MAX)] = []

    def warnings(self) -> Iterator[Fault]:
        """Warn of base images that a tag alone names."""
        for place, image in enumerate(self.base_images):
            yield from unpinned(f"/metadata/base_images/{place}", image)

    def outside(self) -> Iterator[Outside]:
        """Name the source and the base images."""
        yield Outside("/metadata/source", self.source.address)
        for place, image in enumerate(self.base_images):
            yield from outside_image(f"/metadata/base_images/{place}", image)

    def searchable(self) -> Iterator[str | None]:
        """Tell what it builds on and where it is."""
        yield from (self.source.url, self.source.commit, *self.base_images)


KIND = Kind(
    name="dockerfile",
    title="Dockerfile",
    description="The recipe of a container image.",
    metadata=Dockerfile,
    example={
        "kind": "dockerfile",
        "project": "demo/edge",
        "title": "Dockerfile of cloud cover estimation",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "source": {
                "url": "https://git.example.org/edge/cloud-cover.git",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
                "path": "Dockerfile",
            },
            "base_images": [f"python@sha256:{'30e14955ebf13522' * 4}"],
            "platforms": ["linux/amd64", "linux/arm64"],
        },
    },
)
