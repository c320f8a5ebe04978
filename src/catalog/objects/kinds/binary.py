"""A compiled program or library, perhaps for one accelerator."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line
from catalog.objects.references import Git, ObjectId, Outside, Platform, Reference
from catalog.objects.running import Accelerator, Requirement


class Binary(Metadata):
    """What only a binary says: the platform, and what it was built from."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["source"], "properties": {"source": {"type": "object"}}},
                {"required": ["built_from"], "properties": {"built_from": {"minItems": 1}}},
            ]
        }
    )

    platform: Platform
    accelerator: Accelerator | None = None
    type: Literal["program", "library", "kernel", "engine", "firmware"] | None = None
    source: Annotated[Git, Field(description="The source it was built from.")] | None = None
    built_from: Annotated[list[ObjectId], Field(max_length=50, description="The objects it was built from.")] = []
    compiler: Line | None = None
    runtime: Annotated[list[Requirement], Field(max_length=50)] = []

    @model_validator(mode="after")
    def made_from_something(self) -> Self:
        """Refuse a binary that nobody could build again."""
        if self.source is None and not self.built_from:
            raise ValueError("say what it was built from: a source, or objects in built_from")
        return self

    def references(self) -> Iterator[Reference]:
        """Name what it was built from."""
        for place, part in enumerate(self.built_from):
            yield Reference(f"/metadata/built_from/{place}", part)

    def outside(self) -> Iterator[Outside]:
        """Name the source."""
        if self.source is not None:
            yield Outside("/metadata/source", self.source.address)

    def runtimes(self) -> Iterator[Requirement]:
        """Name what it runs on."""
        yield from self.runtime

    def searchable(self) -> Iterator[str | None]:
        """Tell where it runs and what made it."""
        yield from (self.platform, self.accelerator, self.compiler)
        yield from (need.name for need in self.runtime)
        if self.source is not None:
            yield from (self.source.url, self.source.commit)


KIND = Kind(
    name="binary",
    title="Binary",
    description="A compiled program or library, perhaps for one accelerator.",
    metadata=Binary,
    example={
        "kind": "binary",
        "project": "demo/edge",
        "title": "Cloud cover estimation, compiled for NVIDIA Jetson",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "Apache-2.0",
        "visibility": "public",
        "metadata": {
            "platform": "linux/arm64",
            "accelerator": "cuda",
            "type": "engine",
            "source": {
                "url": "https://git.example.org/edge/cloud-cover.git",
                "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
            },
            "compiler": "TensorRT 10.3",
        },
        "files": [
            {
                "path": "cloud-cover.plan",
                "size": 8388608,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "application/octet-stream",
            }
        ],
    },
)
