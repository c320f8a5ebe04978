"""Bringing a scheme to what a file says of it: the difference, and the change in one transaction.

Nothing is ever removed: objects are described by concepts, and what vanishes from a file becomes deprecated.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.database import driver_connection
from catalog.errors import Conflict, Fault, Invalid, NotFound, PreconditionFailed, Unprocessable
from catalog.vocabulary.tables import Concept, ConceptLabel, Scheme, SchemeChange
from catalog.vocabulary.terms import Label, Term, Vocabulary, folded

SCHEME_NAME_PATTERN = r"^[a-z][a-z0-9-]{1,62}$"
# What a concept has for a digest when its scheme no longer names it: any text of it is a change then.
VANISHED = b""
NUL = "\x00"

_schemes = SQLModel.metadata.tables[str(Scheme.__tablename__)]
_concepts = SQLModel.metadata.tables[str(Concept.__tablename__)]
_labels = SQLModel.metadata.tables[ConceptLabel.__tablename__]
_changes = SQLModel.metadata.tables[SchemeChange.__tablename__]


class SchemeTaken(Conflict):
    """The name or the URI of the scheme belongs to another scheme."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a file changes in a scheme, by URI; `revision` is that of the scheme before, 0 for a new one."""

    revision: int
    added: Sequence[str]
    changed: Sequence[str]
    retired: Sequence[str]
    unchanged: int
    # What was accepted and may be regretted.
    warnings: Sequence[Fault] = ()

    @property
    def touched(self) -> list[str]:
        """The concepts that objects may use already and that are different now."""
        return [*self.changed, *self.retired]


@dataclass(frozen=True, slots=True)
class _Held:
    digest: bytes
    deprecated: bool


def digest_of(value: bytes | Term) -> bytes:
    """Return what tells two files, or two concepts, apart."""
    return hashlib.sha256(value if isinstance(value, bytes) else msgspec.msgpack.encode(value)).digest()


async def compare(session: AsyncSession, name: str, vocabulary: Vocabulary) -> Difference:
    """Return what the file would change; raises Invalid, SchemeTaken."""
    difference, _ = await _compared(session, name, vocabulary)
    return difference


async def load(
    session: AsyncSession,
    name: str,
    vocabulary: Vocabulary,
    *,
    digest: bytes,
    by: UUID | None,
    revisions: Sequence[int] | None = None,
    only_add: bool = False,
) -> Difference:
    """Make the scheme what the file says, or make it; the same file again changes nothing, not even the revision.

    `revisions` are those the caller accepts, None for any. With `only_add` what is there already stays as it is. A
    replacement that is in no vocabulary here is kept and warned of. Raises Invalid for one that is deprecated itself,
    SchemeTaken, PreconditionFailed.
    """
    _must_be_name(name)
    row = {
        "uri": vocabulary.uri,
        "title": vocabulary.title,
        "description": vocabulary.description,
        "licence": vocabulary.licence,
        "source": vocabulary.source,
        "version": vocabulary.version,
    }
    # Whoever imports the same new scheme at the same time waits here, and then finds it.
    made = insert(_schemes).values(name=name, revision=0, digest=VANISHED, **row).on_conflict_do_nothing()
    await session.execute(made)
    held = (await session.execute(sa.select(_schemes).where(_schemes.c.name == name).with_for_update())).one_or_none()
    if held is not None and revisions is not None and held.revision not in revisions:
        raise PreconditionFailed(f"The scheme {name} is at revision {held.revision}; look at it again.")
    difference, digests = await _compared(session, name, vocabulary)
    if only_add:
        left = difference.unchanged + len(difference.changed)
        difference = replace(difference, changed=[], retired=[], unchanged=left)
        row = {}
    same = held is not None and all(getattr(held, column) == value for column, value in row.items())
    if not (difference.added or difference.touched) and same and difference.revision:
        await session.execute(_schemes.update().where(_schemes.c.name == name).values(digest=digest))
        return difference
    await _write(session, name, vocabulary.terms, digests, difference)
    await session.execute(
        _schemes.update()
        .where(_schemes.c.name == name)
        .values(digest=digest, revision=difference.revision + 1, updated_at=sa.func.now(), **row)
    )
    counts = {"added": len(difference.added), "changed": len(difference.changed), "retired": len(difference.retired)}
    await _note(session, name, by=by, action="import", revision=difference.revision, changes=counts)
    return difference


async def changed_by_people(session: AsyncSession, name: str) -> bool:
    """Whether anybody but the catalog itself has changed the scheme."""
    by_people = sa.select(_changes.c.id).where(_changes.c.scheme == name, _changes.c.principal_id.is_not(None))
    return (await session.execute(by_people.limit(1))).one_or_none() is not None


async def digest_held(session: AsyncSession, name: str) -> bytes | None:
    """Return the digest of the file that the scheme was last imported from; None without such a scheme."""
    held: bytes | None = (
        await session.execute(sa.select(_schemes.c.digest).where(_schemes.c.name == name))
    ).scalar_one_or_none()
    return held


async def retire(session: AsyncSession, name: str, uri: str, replacement: str | None, *, by: UUID) -> int:
    """Deprecate a concept, with what takes its place if anything does, and return the scheme's new revision.

    Raises NotFound, and Unprocessable for a replacement that is not there, is deprecated, or is the concept itself.
    """
    if NUL in name + uri:
        raise NotFound("There is no such concept: Postgres keeps no text with a NUL.")
    revision = await _locked_revision(session, name)
    here = sa.select(_concepts.c.uri).where(_concepts.c.uri == uri, _concepts.c.scheme == name)
    if (await session.execute(here)).one_or_none() is None:
        raise NotFound(f"The vocabulary {name} has no concept {uri[:200]}.")
    if replacement is not None:
        living = sa.select(_concepts.c.uri).where(_concepts.c.uri == replacement, ~_concepts.c.deprecated)
        if replacement == uri or NUL in replacement or (await session.execute(living)).one_or_none() is None:
            message = "must be another concept that is there and not deprecated"
            raise Unprocessable("The replacement does not fit.", faults=[Fault("/replaced_by", message)])
    await session.execute(
        _concepts.update().where(_concepts.c.uri == uri).values(deprecated=True, replaced_by=replacement)
    )
    changes = {"uri": uri, "replaced_by": replacement}
    await _raise_revision(session, name, by=by, action="retire", revision=revision, changes=changes)
    return revision + 1


async def add(session: AsyncSession, name: str, term: Term, *, by: UUID) -> int:
    """Add one concept to a scheme and return the scheme's new revision; raises NotFound, Conflict where it is there."""
    revision = await _locked_revision(session, name)
    there = sa.select(_concepts.c.uri).where(_concepts.c.uri == term.uri)
    if (await session.execute(there)).one_or_none() is not None:
        raise Conflict(f"There is a concept {term.uri} already.")
    difference = Difference(revision, [term.uri], [], [], 0)
    await _write(session, name, [term], {term.uri: digest_of(term)}, difference)
    await _raise_revision(session, name, by=by, action="add", revision=revision, changes={"uri": term.uri})
    return revision + 1


async def add_label(session: AsyncSession, name: str, uri: str, label: Label, *, by: UUID) -> int:
    """Give a concept one more name and return the scheme's new revision; raises NotFound."""
    revision = await _locked_revision(session, name)
    here = sa.select(_concepts.c.uri).where(_concepts.c.uri == uri, _concepts.c.scheme == name, ~_concepts.c.deprecated)
    if NUL in uri or (await session.execute(here)).one_or_none() is None:
        raise NotFound(f"The vocabulary {name} has no concept {uri[:200]} that is in use.")
    values = {"kind": label.kind.value, "language": label.language, "text": label.text, "folded": folded(label.text)}
    await session.execute(_labels.insert().values(concept=uri, scheme=name, **values))
    # What the next file says of the concept is a change then, and shown as one.
    await session.execute(_concepts.update().where(_concepts.c.uri == uri).values(digest=VANISHED))
    changes = {"uri": uri, "label": label.text}
    await _raise_revision(session, name, by=by, action="add label", revision=revision, changes=changes)
    return revision + 1


async def _locked_revision(session: AsyncSession, name: str) -> int:
    if NUL in name:
        raise NotFound("There is no such vocabulary: Postgres keeps no text with a NUL.")
    revision: int | None = (
        await session.execute(sa.select(_schemes.c.revision).where(_schemes.c.name == name).with_for_update())
    ).scalar_one_or_none()
    if revision is None:
        raise NotFound(f"There is no vocabulary {name!r}.")
    return revision


async def _raise_revision(
    session: AsyncSession, name: str, *, by: UUID, action: str, revision: int, changes: dict[str, Any]
) -> None:
    await session.execute(
        _schemes.update().where(_schemes.c.name == name).values(revision=revision + 1, updated_at=sa.func.now())
    )
    await _note(session, name, by=by, action=action, revision=revision, changes=changes)


async def _note(
    session: AsyncSession, name: str, *, by: UUID | None, action: str, revision: int, changes: dict[str, Any]
) -> None:
    await session.execute(
        _changes.insert().values(
            scheme=name,
            principal_id=by,
            action=action,
            from_revision=revision or None,
            to_revision=revision + 1,
            changes=changes,
        )
    )


def _must_be_name(name: str) -> None:
    if not re.fullmatch(SCHEME_NAME_PATTERN, name):
        message = "lower-case letters, digits and hyphens, a letter first, 2 to 63 of them"
        raise Invalid(f"{name[:80]!r} cannot name a vocabulary: {message}.")


async def _compared(session: AsyncSession, name: str, vocabulary: Vocabulary) -> tuple[Difference, dict[str, bytes]]:
    _must_be_name(name)
    named = sa.or_(_schemes.c.name == name, _schemes.c.uri == vocabulary.uri)
    revision = 0
    for row in await session.execute(sa.select(_schemes).where(named)):
        if (row.name, row.uri) != (name, vocabulary.uri):
            raise SchemeTaken(
                f"The vocabulary {row.name} has the URI {row.uri} already; import the file under that name."
                if row.uri == vocabulary.uri
                else f"The name {name} belongs to the vocabulary {row.uri}; take another for {vocabulary.uri}."
            )
        revision = row.revision
    rows = await session.execute(
        sa.select(_concepts.c.uri, _concepts.c.digest, _concepts.c.deprecated).where(_concepts.c.scheme == name)
    )
    held = {row.uri: _Held(row.digest, row.deprecated) for row in rows}
    digests = {term.uri: digest_of(term) for term in vocabulary.terms}
    added = [uri for uri in digests if uri not in held]
    warnings = await _must_fit(session, vocabulary, added, digests)
    changed = [uri for uri, digest in digests.items() if uri in held and held[uri].digest != digest]
    retired = [uri for uri, one in held.items() if uri not in digests and not one.deprecated]
    difference = Difference(
        revision,
        added,
        changed,
        sorted(retired),
        unchanged=len(digests) - len(added) - len(changed),
        warnings=warnings,
    )
    return difference, digests


async def _must_fit(
    session: AsyncSession, vocabulary: Vocabulary, added: Sequence[str], digests: dict[str, bytes]
) -> list[Fault]:
    """Return what is odd and accepted; raises Invalid with what cannot be."""
    replacements = {
        term.replaced_by
        for term in vocabulary.terms
        if term.replaced_by is not None and term.replaced_by not in digests
    }
    asked = sorted({*added, *replacements})
    there: dict[str, Any] = {}
    if asked:
        rows = await session.execute(
            sa.text(
                "SELECT concept.uri, scheme, deprecated FROM concept"
                " JOIN unnest(CAST(:uris AS text[])) AS asked (uri) USING (uri)"
            ),
            {"uris": asked},
        )
        there = {row.uri: row for row in rows}
    faults = [
        Fault(uri, f"{uri} belongs to the vocabulary {there[uri].scheme} already") for uri in added if uri in there
    ]
    warnings = []
    for term in vocabulary.terms:
        if term.replaced_by not in replacements:
            continue
        if term.replaced_by not in there:
            # A part of a larger vocabulary names what it leaves out: the link is worth keeping.
            message = f"is replaced by {term.replaced_by}, which is in no vocabulary here; the link is kept"
            warnings.append(Fault(term.uri, message))
        elif there[term.replaced_by].deprecated:
            faults.append(Fault(term.uri, f"{term.uri} is replaced by {term.replaced_by}, which is deprecated itself"))
    if faults:
        raise Invalid(f"The vocabulary has {len(faults)} faults.", faults=faults[:100])
    return warnings


async def _write(
    session: AsyncSession, name: str, terms: Iterable[Term], digests: dict[str, bytes], difference: Difference
) -> None:
    wanted = {*difference.added, *difference.changed}
    fresh = [term for term in terms if term.uri in wanted]
    raw = await driver_connection(session)
    async with raw.cursor() as cursor:
        await cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS incoming (LIKE concept) ON COMMIT DROP")
        await cursor.execute("TRUNCATE incoming")
        async with cursor.copy(
            "COPY incoming (uri, scheme, label, definitions, broader, related, exact_matches, deprecated, replaced_by,"
            " digest) FROM STDIN"
        ) as copy:
            for term in fresh:
                await copy.write_row(
                    (
                        *(term.uri, name, term.label, msgspec.json.encode(term.definitions).decode()),
                        *(list(term.broader), list(term.related), list(term.exact_matches)),
                        *(term.deprecated, term.replaced_by, digests[term.uri]),
                    )
                )
        await cursor.execute("DELETE FROM concept_label WHERE concept = ANY (%s)", [list(difference.changed)])
        await cursor.execute(
            "INSERT INTO concept SELECT * FROM incoming ON CONFLICT (uri) DO UPDATE SET label = excluded.label,"
            " definitions = excluded.definitions, broader = excluded.broader, related = excluded.related,"
            " exact_matches = excluded.exact_matches, deprecated = excluded.deprecated,"
            " replaced_by = excluded.replaced_by, digest = excluded.digest"
        )
        async with cursor.copy("COPY concept_label (concept, scheme, kind, language, text, folded) FROM STDIN") as copy:
            for term in fresh:
                for label in term.labels:
                    await copy.write_row(
                        (term.uri, name, label.kind.value, label.language, label.text, folded(label.text))
                    )
        await cursor.execute(
            "UPDATE concept SET deprecated = true, digest = %s WHERE uri = ANY (%s)",
            [VANISHED, list(difference.retired)],
        )
