"""A trained model, with what it takes to run it."""

from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, StringConstraints

from catalog.objects.kinds import Kind
from catalog.objects.metadata import Line, Strict


def _version_range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("write a version range as >=2.1,<3 (PEP 440)") from None
    return text


class Requirement(Strict):
    """Something that must be there for the model to run."""

    name: Line
    version: Annotated[str, StringConstraints(max_length=100), AfterValidator(_version_range)] | None = None
    accelerator: Literal["cpu", "cuda", "rocm", "metal", "tpu", "npu"] | None = None


class Tensor(Strict):
    """One input or output; a dimension of null may have any length."""

    name: Line
    shape: Annotated[list[Annotated[int, Field(ge=0)] | None], Field(max_length=16)]
    dtype: Line


class Model(Strict):
    """What only a model says."""

    task: Line | None = None
    framework: Line | None = None
    format: Line | None = None
    parameters: Annotated[int, Field(ge=0, le=2**53, description="How many trained numbers it has.")] | None = None
    runtime: Annotated[list[Requirement], Field(max_length=50)] = []
    inputs: Annotated[list[Tensor], Field(max_length=100)] = []
    outputs: Annotated[list[Tensor], Field(max_length=100)] = []


def _searchable(metadata: Model) -> list[str]:
    named = [metadata.task, metadata.framework, metadata.format, *(need.name for need in metadata.runtime)]
    return [text for text in named if text]


KIND = Kind(
    name="model",
    title="Model",
    description="A trained model, with what it takes to run it.",
    metadata=Model,
    searchable=_searchable,
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
