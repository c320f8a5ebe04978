"""The trained numbers of a model, apart from the model they belong to."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line, TermText, term_of
from catalog.objects.references import Bond, ObjectId, Reference


class Weights(Metadata):
    """What only weights say; the model they belong to must be said."""

    model: Annotated[ObjectId, Field(description="The model that these weights belong to.")]
    model_version: (
        Annotated[Line, Field(description="The model's version, by number or label; one of those that are published.")]
        | None
    ) = None
    framework: Annotated[TermText, term_of("software")] | None = None
    format: Annotated[TermText, term_of("formats")] | None = None
    precision: Literal["float64", "float32", "bfloat16", "float16", "float8", "int8", "int4", "mixed"] | None = None
    parameters: Annotated[int, Field(ge=0, le=2**53, description="How many numbers there are.")] | None = None
    trained_on: Annotated[list[ObjectId], Field(max_length=100, description="The data sets of the training.")] = []

    def references(self) -> Iterator[Reference]:
        """Name the model and the data."""
        yield Reference(
            "/metadata/model",
            self.model,
            ("model",),
            Bond.IS_PART_OF,
            version=self.model_version,
            version_pointer="/metadata/model_version",
        )
        for place, dataset in enumerate(self.trained_on):
            yield Reference(
                f"/metadata/trained_on/{place}", dataset, ("training-dataset", "sensor-data", "sensor-blob")
            )

    def searchable(self) -> Iterator[str | None]:
        """Tell how they are written, and the id of the model: who has the model looks for its weights."""
        yield from (self.framework, self.format, self.precision, self.model_version, self.model)


KIND = Kind(
    name="weights",
    title="Model weights",
    description="The trained numbers of a model, apart from the model they belong to.",
    metadata=Weights,
    schema_version=2,
    example={
        "kind": "weights",
        "project": "demo/vision",
        "title": "Cloud cover segmentation, U-Net: weights of epoch 40",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "licence": "MIT",
        "visibility": "public",
        "metadata": {
            "model": "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f",
            "model_version": "2.1",
            "framework": "PyTorch",
            "format": "safetensors",
            "precision": "float16",
            "parameters": 31042369,
        },
        "files": [
            {
                "path": "epoch-40.safetensors",
                "size": 62084738,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "application/octet-stream",
            }
        ],
    },
)
