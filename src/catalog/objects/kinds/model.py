"""A trained model, with what it takes to run it."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import Line, Strict, TermText, term_of
from catalog.objects.running import Requirement


class Tensor(Strict):
    """One input or output; a dimension of null may have any length."""

    name: Line
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**53)] | None], Field(max_length=16)]
    dtype: Line


class Model(Metadata):
    """What only a model says."""

    task: Annotated[TermText, term_of("ml-tasks")] | None = None
    framework: Annotated[TermText, term_of("software")] | None = None
    format: Annotated[TermText, term_of("formats")] | None = None
    parameters: Annotated[int, Field(ge=0, le=2**53, description="How many trained numbers it has.")] | None = None
    runtime: Annotated[list[Requirement], Field(max_length=50)] = []
    inputs: Annotated[list[Tensor], Field(max_length=100)] = []
    outputs: Annotated[list[Tensor], Field(max_length=100)] = []

    def runtimes(self) -> Iterator[Requirement]:
        """Name what it runs on."""
        yield from self.runtime

    def searchable(self) -> Iterator[str | None]:
        """Tell what it does and what it runs on."""
        yield from (self.task, self.framework, self.format)
        yield from (need.name for need in self.runtime)


KIND = Kind(
    name="model",
    title="Model",
    description="A trained model, with what it takes to run it.",
    metadata=Model,
    schema_version=2,
    example={
        "kind": "model",
        "project": "demo/vision",
        "title": "Cloud cover segmentation, U-Net",
        "description": "Marks the pixels of a sky image that show cloud.",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "keywords": ["cloud", "segmentation"],
        "licence": "MIT",
        "visibility": "public",
        "dates": [{"type": "Issued", "date": "2024-05-17"}],
        "metadata": {
            "task": "image segmentation",
            "framework": "PyTorch",
            "format": "ONNX",
            "runtime": [{"name": "onnxruntime", "version": ">=1.17", "accelerator": "cpu"}],
        },
        "files": [
            {
                "path": "cloud-unet.onnx",
                "size": 1048576,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "application/octet-stream",
            }
        ],
    },
)
