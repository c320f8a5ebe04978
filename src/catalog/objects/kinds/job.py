"""A computation outside the catalog: what it was given, and what it gave back."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from catalog.objects.kinds import Kind, Metadata
from catalog.objects.metadata import JOB_PATH_PATTERN, FileDeclaration, Line


class JobFile(FileDeclaration):
    """Bytes that a job was given, or gives back."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            pattern=JOB_PATH_PATTERN,
            description="Below input/ or output/.",
            examples=["input/scan.nii.gz"],
        ),
    ]


class Job(Metadata):
    """What only a job says. Whether it runs or has ended stands beside it: `/api/jobs` tells and moves that."""

    asked = MappingProxyType({"/name": "a job's name is its key: say by which it is pushed to and pulled from"})

    program: Annotated[Line | None, Field(description="What runs.", examples=["pl-dircopy 2.1.1"])] = None
    site: Annotated[Line | None, Field(description="Where it runs.", examples=["cluster-b"])] = None

    def searchable(self) -> Iterator[str | None]:
        """Tell what runs and where."""
        yield from (self.program, self.site)


KIND = Kind(
    name="job",
    title="Job",
    description="A computation outside the catalog: what it was given, and what it gave back.",
    metadata=Job,
    file=JobFile,
    example={
        "kind": "job",
        "project": "demo/radiology",
        "name": "brain-0815",
        "title": "Segmentation of brain scan 0815",
        "creators": [{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0097"}],
        "contact": {"name": "Ana Rivera", "email": "ana.rivera@example.org"},
        "metadata": {"program": "segment-brain 1.4", "site": "cluster-b"},
        "files": [
            {
                "path": "input/scan.nii.gz",
                "size": 1048576,
                "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58",
                "media_type": "application/octet-stream",
            }
        ],
    },
)
