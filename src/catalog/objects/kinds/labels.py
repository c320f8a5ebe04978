"""Annotations of a data set that is an object of its own."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line, TermText, term_of
from catalog.objects.references import Bond, ObjectId, Reference, Url

# What labels may be about.
DATA_SETS = ("training-dataset", "sensor-data", "sensor-blob")


class Labels(Metadata):
    """What only labels say; the data set they annotate must be said."""

    dataset: Annotated[ObjectId, Field(description="The data set that these labels annotate.")]
    dataset_version: Annotated[Line, Field(description="The data set's version, where it has several.")] | None = None
    task: Annotated[TermText, term_of("ml-tasks")] | None = None
    format: Annotated[TermText, term_of("formats")] | None = None
    classes: Annotated[list[Line], Field(max_length=1_000)] = []
    instances: Annotated[int, Field(ge=0, le=2**53, description="How many instances are labelled.")] | None = None
    made_by: Literal["people", "model", "both"] | None = None
    annotators: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    guidelines: Annotated[Url, Field(description="What the annotators were told.")] | None = None

    def references(self) -> Iterator[Reference]:
        """Name the data set."""
        yield Reference("/metadata/dataset", self.dataset, DATA_SETS, Bond.ANNOTATES)

    def searchable(self) -> Iterator[str | None]:
        """Tell what is distinguished, and the id of the data set: who has the data looks for its labels."""
        yield from self.classes
        yield from (self.task, self.format, self.dataset)


KIND = Kind(
    name="labels",
    title="Labels",
    description="Annotations of a data set that is an object of its own.",
    metadata=Labels,
    schema_version=2,
    example={
        "kind": "labels",
        "project": "demo/vision",
        "title": "Cloud masks of the sky camera, 2023",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "CC-BY-4.0",
        "visibility": "public",
        "metadata": {
            "dataset": "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f",
            "task": "image segmentation",
            "format": "COCO",
            "classes": ["clear sky", "thin cloud", "thick cloud"],
            "instances": 1200,
            "made_by": "people",
            "annotators": 3,
        },
        "files": [
            {
                "path": "masks.json",
                "size": 482133,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "application/json",
            }
        ],
    },
)
