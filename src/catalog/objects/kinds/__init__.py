"""The kinds of objects: one small module each, found by looking into this folder.

Adding a kind is adding a module that has a `KIND`: its name, a title, its metadata model and a true example.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

from pydantic import Field, create_model

from catalog.errors import Fault, Invalid
from catalog.objects.metadata import FILES_MAX, Description, FileDeclaration, Strict


def _no_references(_: Any) -> Iterator[tuple[str, UUID]]:
    return iter(())


def _no_texts(_: Any) -> list[str]:
    return []


# Compared and hashed by identity: there is one Kind per module, and its example is a mapping.
@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """One kind of object.

    `references` yields (JSON pointer, object id) for every object that the metadata names; `searchable` yields texts of
    the metadata by which people look for it, and never text of another object.
    """

    name: str
    title: str
    description: str
    metadata: type[Strict]
    example: Mapping[str, Any]
    schema_version: int = 1
    references: Callable[[Any], Iterator[tuple[str, UUID]]] = _no_references
    searchable: Callable[[Any], list[str]] = _no_texts

    def draft(self) -> type[Description]:
        """Return the model of a registration of this kind: the common metadata, its own, and declared files."""
        return _draft_of(self)


@cache
def _draft_of(kind: Kind) -> type[Description]:
    return create_model(
        "".join(part.capitalize() for part in kind.name.split("-")),
        __base__=Description,
        __doc__=kind.description,
        metadata=(kind.metadata, ...),
        files=(list[FileDeclaration], Field(default=[], max_length=FILES_MAX)),
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
        raise Invalid(f"There is no kind {name!r}.", faults=[unknown("/kind", name)])
    return kind


def unknown(pointer: str, name: str) -> Fault:
    """Return the fault for a kind that does not exist."""
    near = get_close_matches(name, known(), n=1)
    return Fault(
        pointer, f"there is no kind {name[:80]!r}; the kinds are {', '.join(known())}", near[0] if near else None
    )
