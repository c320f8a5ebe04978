"""Code that runs beside the sensors."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line
from catalog.objects.references import PLATFORMS_MAX, Git, Outside, Platform
from catalog.objects.running import Requirement


class EdgeCode(Metadata):
    """What only edge code says; its source must be said."""

    source: Git
    language: Line | None = None
    platforms: Annotated[list[Platform], Field(max_length=PLATFORMS_MAX)] = []
    runtime: Annotated[list[Requirement], Field(max_length=50)] = []

    def outside(self) -> Iterator[Outside]:
        """Name the source."""
        yield Outside("/metadata/source", self.source.address)

    def runtimes(self) -> Iterator[Requirement]:
        """Name what it runs on."""
        yield from self.runtime

    def searchable(self) -> Iterator[str | None]:
        """Tell what it runs on and where its source is."""
        yield from (need.name for need in self.runtime)
        yield from (self.language, self.source.url, self.source.commit)


KIND = Kind(
    name="edge-code",
    title="Edge code",
    description="Code that runs beside the sensors.",
    metadata=EdgeCode,
    example={
        "kind": "edge-code",
        "project": "demo/edge",
        "title": "Cloud cover estimation",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "source": {
                "url": "https://git.example.org/edge/cloud-cover.git",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
                "path": "app",
            },
            "language": "Python",
            "platforms": ["linux/arm64"],
            "runtime": [{"name": "onnxruntime", "version": ">=1.17"}],
        },
    },
)
