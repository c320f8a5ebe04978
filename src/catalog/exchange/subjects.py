"""What a record of others is about, as the concepts that it means and as keywords.

A subject that is of our scheme, by the URI of its term or by the name of the scheme, is a concept. One that says no
scheme is a concept where it is called so here, and stays a keyword unless that is the very word. A term of another
scheme is a keyword: the same word may mean something else there.
"""

from collections.abc import Iterator, Mapping

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.errors import NotFound
from catalog.exchange.datacite_import import Imported, why
from catalog.exchange.datacite_record import Subject
from catalog.objects.describing import SUBJECTS
from catalog.objects.metadata import KEYWORDS_MAX, SUBJECTS_MAX, Keyword
from catalog.vocabulary import looking_up
from catalog.vocabulary.looking_up import Named, SchemeView
from catalog.vocabulary.terms import folded

_keyword: TypeAdapter[str] = TypeAdapter(Keyword)


async def meant(session: AsyncSession, subjects: Mapping[str, Subject]) -> dict[str, Named]:
    """Return the concept that each of these subjects means, by its place, for those that mean one."""
    if not subjects:
        return {}
    try:
        ours = await looking_up.scheme(session, SUBJECTS)
    except NotFound:
        return {}
    texts = {pointer: list(_candidates(one, ours)) for pointer, one in subjects.items()}
    asked = {(SUBJECTS, text) for candidates in texts.values() for text in candidates}
    meanings = await looking_up.meanings(session, asked, unexplained=asked)
    found = {
        pointer: next((uri for text in candidates if (uri := meanings[SUBJECTS, text].uri) is not None), None)
        for pointer, candidates in texts.items()
    }
    names = await looking_up.names_of(session, {uri for uri in found.values() if uri is not None})
    return {pointer: names[uri] for pointer, uri in found.items() if uri is not None}


def _candidates(said: Subject, ours: SchemeView) -> Iterator[str]:
    """Yield what may name a concept of ours, the surest first."""
    if said.value_uri is not None:
        yield said.value_uri
    if said.scheme_uri == ours.uri or folded(said.subject_scheme or "") in {folded(ours.title), ours.name}:
        yield from (text for text in (said.classification_code, said.subject) if text)
    elif said.subject and not any((said.value_uri, said.scheme_uri, said.subject_scheme)):
        yield said.subject


def take(taken: Imported, concepts: Mapping[str, Named]) -> None:
    """Put the subjects of a record into the draft: as the concept that each means, and what means none as a keyword."""
    for pointer, said in taken.subjects.items():
        concept = concepts.get(pointer)
        if concept is not None:
            _add(taken, "subjects", concept.uri, pointer, most=SUBJECTS_MAX)
            named_by_scheme = any((said.value_uri, said.scheme_uri, said.subject_scheme))
            if named_by_scheme or folded(said.subject) == folded(concept.label):
                continue
        try:
            keyword = _keyword.validate_python(said.subject)
        except ValidationError as wrong:
            taken.leave(pointer, why(wrong))
        else:
            _add(taken, "keywords", keyword, pointer, most=KEYWORDS_MAX)


def _add(taken: Imported, name: str, text: str, pointer: str, *, most: int) -> None:
    if text not in taken.said.get(name, ()):
        taken.append(name, text, pointer=pointer, most=most)
