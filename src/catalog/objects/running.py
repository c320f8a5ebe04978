"""What must be there for something to run."""

from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, StringConstraints

from catalog.objects.metadata import Strict, TermText, term_of

Accelerator = Literal["cpu", "cuda", "rocm", "metal", "tpu", "npu"]


def _version_range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("write a version range as >=2.1,<3 (PEP 440)") from None
    return text


class Requirement(Strict):
    """Something that must be there for it to run."""

    name: Annotated[TermText, term_of("software", otherwise_text=True)]
    version: Annotated[str, StringConstraints(max_length=100), AfterValidator(_version_range)] | None = None
    accelerator: Accelerator | None = None
