"""Code that watches measurements and starts something when they say so."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line, Strict
from catalog.objects.references import Bond, Git, ObjectId, Outside, Reference


class Watched(Strict):
    """A measurement it watches, and when that starts something."""

    name: Line
    condition: Line | None = None


class TriggerApp(Metadata):
    """What only a trigger app says; its source must be said."""

    source: Git
    language: Line | None = None
    watches: Annotated[list[Watched], Field(max_length=100)] = []
    starts: Annotated[list[ObjectId], Field(max_length=100, description="The bundles or apps it starts.")] = []

    def references(self) -> Iterator[Reference]:
        """Name what it starts."""
        for place, started in enumerate(self.starts):
            yield Reference(
                f"/metadata/starts/{place}", started, ("ecr-bundle", "edge-code", "docker-image"), Bond.REQUIRES
            )

    def outside(self) -> Iterator[Outside]:
        """Name the source."""
        yield Outside("/metadata/source", self.source.address)

    def searchable(self) -> Iterator[str | None]:
        """Tell what it watches and where its source is."""
        yield from (watched.name for watched in self.watches)
        yield from (self.language, self.source.url, self.source.commit)


KIND = Kind(
    name="trigger-app",
    title="Trigger app",
    description="Code that watches measurements and starts something when they say so.",
    metadata=TriggerApp,
    example={
        "kind": "trigger-app",
        "project": "demo/edge",
        "title": "Start cloud cover estimation after a drop of irradiance",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "source": {
                "url": "https://git.example.org/edge/triggers.git",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
                "path": "irradiance",
            },
            "language": "Python",
            "watches": [{"name": "env.irradiance", "condition": "falls by 30 % within 5 min"}],
        },
    },
)
