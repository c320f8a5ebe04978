"""Data to train or evaluate models with, labelled or not."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line, Strict
from catalog.objects.references import Unit


class Split(Strict):
    """A part of the data set that is used on its own."""

    name: Line
    instances: Annotated[int, Field(ge=0, le=2**53)]


class Variable(Strict):
    """A column, feature or channel."""

    name: Line
    description: Line | None = None
    unit: Unit | None = None


class TrainingDataset(Metadata):
    """What only a training data set says; whether it has labels must be said."""

    labelled: bool
    classes: Annotated[list[Line], Field(max_length=1_000)] = []
    instances: Annotated[int, Field(ge=0, le=2**53)] | None = None
    splits: Annotated[list[Split], Field(max_length=20)] = []
    variables: Annotated[list[Variable], Field(max_length=500)] = []

    def searchable(self) -> Iterator[str | None]:
        """Tell what it distinguishes and measures."""
        yield from self.classes
        yield from (variable.name for variable in self.variables)


KIND = Kind(
    name="training-dataset",
    title="Training data set",
    description="Data to train or evaluate models with, labelled or not.",
    metadata=TrainingDataset,
    example={
        "kind": "training-dataset",
        "project": "demo/ecology",
        "title": "Penguins of the Palmer Archipelago",
        "description": "Body measurements of three species of penguins.",
        "creators": [{"type": "organization", "name": "Palmer Station LTER"}],
        "contact": {"name": "Data desk", "email": "data@example.org"},
        "keywords": ["penguins", "Antarctica"],
        "licence": "CC0-1.0",
        "visibility": "public",
        "dates": [{"type": "Collected", "date": "2007/2009"}],
        "coverage": {"spatial": {"place": "Palmer Archipelago", "point": {"latitude": -64.77, "longitude": -64.07}}},
        "metadata": {
            "labelled": True,
            "classes": ["Adelie", "Chinstrap", "Gentoo"],
            "instances": 344,
            "variables": [{"name": "bill_length_mm", "unit": "mm"}],
        },
        "files": [
            {
                "path": "penguins.csv",
                "size": 15241,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "text/csv",
            }
        ],
    },
)
