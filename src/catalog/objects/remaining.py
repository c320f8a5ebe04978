"""What else is wrong with a description whose shape is wrong: terms and objects that it names, where those are sound.

One answer tells all: whoever mends the shape shall not hear of a term only then. Asks the database only where there is
a fault already, once for however many descriptions.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience
from catalog.errors import Fault, Invalid
from catalog.objects import describing, kinds, resolving
from catalog.objects.metadata import ACCEPTED, Project, TermText
from catalog.objects.references import Reference
from catalog.objects.validation import FAULTS_SHOWN_MAX, Misshapen

_PROJECT: TypeAdapter[str] = TypeAdapter(Project)
_TERM: TypeAdapter[str] = TypeAdapter(TermText)


@dataclass(frozen=True, slots=True)
class AlreadyNamed:
    """What an object names already: a change of it may leave that as it is."""

    terms: Collection[describing.Asked] = ()
    targets: Collection[str] = ()


NOTHING_NAMED = AlreadyNamed()


@dataclass(frozen=True, slots=True)
class _Named:
    """What a description names in places where nothing is wrong."""

    project: str
    terms: Sequence[describing.Use]
    references: Sequence[Reference]


def kept_by(kind: kinds.Kind, record: Mapping[str, Any]) -> AlreadyNamed:
    """Return what an accepted description names."""
    metadata = kind.metadata.model_validate(record["metadata"], strict=False, context=ACCEPTED)
    return AlreadyNamed(
        {use.asked for use in describing.uses(kind, record)}, {reference.target for reference in metadata.references()}
    )


async def refusal(
    session: AsyncSession, wrong: Misshapen, audience: Audience, kept: AlreadyNamed = NOTHING_NAMED
) -> Invalid:
    """Return the error that lists the faults of shape, then what is named and is not there or does not fit."""
    [more] = await faults_of(session, [(wrong, kept)], audience)
    return wrong.with_more(more)


async def faults_of(
    session: AsyncSession,
    several: Sequence[tuple[Misshapen, AlreadyNamed]],
    audience: Audience,
    *,
    names_may_come: bool = False,
) -> list[list[Fault]]:
    """Return, for each of these descriptions, what it names that is not there for this audience or does not fit.

    Where `names_may_come`, a name of which there is no object yet is no fault.
    """
    named = [_named(wrong, kept) for wrong, kept in several]
    there = await resolving.known(session, ((one.project, ref) for one in named for ref in one.references), audience)
    meant = await describing.known(session, (use for one in named for use in one.terms))
    found = []
    for one in named:
        places = [(reference.place(one.project), reference) for reference in one.references]
        asked = [ref for place, ref in places if not names_may_come or place is None or place in there.ids]
        found.append([*resolving.resolved(there, one.project, asked)[1], *describing.resolved(meant, one.terms)[1]])
    return found


def _named(wrong: Misshapen, kept: AlreadyNamed) -> _Named:
    # With more faults than are shown it is not known which places are sound, and nobody would see what else is wrong.
    if wrong.kind is None or wrong.found.count > FAULTS_SHOWN_MAX:
        return _Named("", (), ())
    unsound = {fault.pointer for fault in wrong.found.shown}
    terms = [
        use
        for use in describing.uses(wrong.kind, wrong.raw)
        if not _within(use.pointer, unsound) and use.asked not in kept.terms and _fits(_TERM, use.text)
    ]
    said = wrong.raw.get("project")
    project = str(said) if _fits(_PROJECT, said) else ""
    references = [
        reference
        for reference in _references(wrong.kind, wrong.raw.get("metadata"), unsound)
        # A name without a project is of the object's own.
        if reference.target not in kept.targets and (project or not reference.needs_project)
    ]
    return _Named(project, terms, references)


def _within(pointer: str, places: Collection[str]) -> bool:
    """Whether something is wrong at the pointer, or with what it is a part of."""
    parts = pointer.split("/")
    return any("/".join(parts[:length]) in places for length in range(len(parts) + 1))


def _fits(form: TypeAdapter[Any], value: Any) -> bool:
    try:
        form.validate_python(value)
    except ValidationError:
        return False
    return True


def _references(kind: kinds.Kind, metadata: Any, unsound: Collection[str]) -> Iterator[Reference]:
    """Name the objects that the sound parts of the metadata name."""
    if not isinstance(metadata, dict):
        return
    values = {
        name: _sound(form, metadata.get(name), f"/metadata/{name}", unsound)
        for name, form in _fields(kind.metadata).items()
    }
    for reference in kind.metadata.model_construct(**values).references():
        # Where nothing sound stands, nothing is named.
        if reference.target is not None and not _within(reference.pointer, unsound):
            yield reference


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field of a kind's metadata is read: whole, or member by member."""

    whole: TypeAdapter[Any]
    member: TypeAdapter[Any] | None


@cache
def _fields(model: type[kinds.Metadata]) -> Mapping[str, _Field]:
    return {
        name: _Field(
            TypeAdapter(Annotated[field.annotation, field]),  # type: ignore[arg-type]  # A type that is made here.
            TypeAdapter(get_args(field.annotation)[0]) if get_origin(field.annotation) is list else None,
        )
        for name, field in model.model_fields.items()
    }


def _sound(field: _Field, value: Any, pointer: str, unsound: Collection[str]) -> Any:
    """Return what the field says, with None for each member that is wrong: the others keep their places."""
    if field.member is None:
        return _read(field.whole, value, pointer, unsound)
    members = value if isinstance(value, list) and not _within(pointer, unsound) else []
    return [_read(field.member, member, f"{pointer}/{place}", unsound) for place, member in enumerate(members)]


def _read(form: TypeAdapter[Any], value: Any, pointer: str, unsound: Collection[str]) -> Any:
    if _within(pointer, unsound):
        return None
    try:
        # As JSON, since that is what was sent: in Python a strict model takes nothing but itself.
        return form.validate_json(msgspec.json.encode(value))
    except ValidationError:
        return None
