"""The kinds of objects: one small module each, found by looking into this folder.

Adding a kind is adding a module that has a `KIND`: its name, a title, its metadata model and a true example.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import GenericAlias, MappingProxyType
from typing import Any, ClassVar

from pydantic import Field, create_model

from catalog.errors import Fault, Invalid
from catalog.objects.description import Description
from catalog.objects.metadata import FILES_MAX, FileDeclaration, Strict
from catalog.objects.references import Outside, Reference, pinned
from catalog.objects.running import Requirement
from catalog.objects.telling import nearest

# Longer than any kind's name: to compare takes the longer the longer both are.
NAME_CHARS_COMPARED = 80


class Metadata(Strict):
    """What only one kind says. Each kind overrides what is true of it.

    `asked` is what the kind asks of the common metadata beyond what all kinds do: JSON pointers, each with the sentence
    that asks.
    """

    asked: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def references(self) -> Iterator[Reference]:
        """Name every object that this metadata names."""
        return iter(())

    def searchable(self) -> Iterator[str | None]:
        """Tell the texts by which people look for the object, and never text of another object."""
        return iter(())

    def outside(self) -> Iterator[Outside]:
        """Name the addresses outside the catalog at which something of this object is."""
        return iter(())

    def runtimes(self) -> Iterator[Requirement]:
        """Name the software that must be there for it to run."""
        return iter(())

    def instruments(self) -> Iterator[str]:
        """Name the sensors that it comes from or is for, by their ids."""
        return iter(())

    def validity(self) -> tuple[datetime, datetime | None] | None:
        """Tell from when to when it holds, where the kind says so apart from the common coverage."""
        return None

    def warnings(self) -> Iterator[Fault]:
        """Find what is accepted and may be regretted."""
        return iter(())


class FilesBody(Strict):
    """More files for an object."""

    files: list[FileDeclaration]


# Compared and hashed by identity: there is one Kind per module, and its example is a mapping.
@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """One kind of object."""

    name: str
    title: str
    description: str
    metadata: type[Metadata]
    example: Mapping[str, Any]
    schema_version: int = 1
    # What is true of each of its files.
    file: type[FileDeclaration] = FileDeclaration

    def draft(self) -> type[Description]:
        """Return the model of a registration of this kind: the common metadata, its own, and declared files."""
        return _draft_of(self)

    def more_files(self) -> type[FilesBody]:
        """Return the model of what declares more files of an object of this kind."""
        return _more_files_of(self)


def _listed(declaration: type[FileDeclaration]) -> Any:
    # What reads types before anything runs knows none that a variable holds.
    return GenericAlias(list, declaration)


@cache
def _draft_of(kind: Kind) -> type[Description]:
    return create_model(
        "".join(part.capitalize() for part in kind.name.split("-")),
        __base__=Description,
        __doc__=kind.description,
        metadata=(kind.metadata, ...),
        files=(_listed(kind.file), Field(default=[], max_length=FILES_MAX)),
    )


@cache
def _more_files_of(kind: Kind) -> type[FilesBody]:
    return create_model(
        f"{kind.name}-files",
        __base__=FilesBody,
        files=(_listed(kind.file), ...),
    )


@cache
def known() -> Mapping[str, Kind]:
    """Return every kind by name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        kind: Kind = importlib.import_module(f"{__name__}.{module.name}").KIND
        found[kind.name] = kind
    return MappingProxyType(dict(sorted(found.items())))


def named(name: str) -> Kind:
    """Return the kind of that name; raises Invalid with the nearest name."""
    kind = known().get(name)
    if kind is None:
        raise Invalid(f"There is no kind {name[:80]!r}.", faults=[unknown("/kind", name)])
    return kind


def unknown(pointer: str, name: str) -> Fault:
    """Return the fault for a kind that does not exist."""
    near = nearest(name, known()) if len(name) <= NAME_CHARS_COMPARED else None
    return Fault(pointer, f"there is no kind {name[:80]!r}; the kinds are {', '.join(known())}", near)


def unpinned(pointer: str, image: str) -> Iterator[Fault]:
    """Warn of an image that only a tag names."""
    if not pinned(image):
        message = "a tag can be moved to another image: name the digest as well"
        yield Fault(pointer, message, f"{image}@sha256:<64 hex digits>")
