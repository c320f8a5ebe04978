"""What a person types into the search box: words, "phrases", beginnings*, -exclusions, and fields, as name:value.

Pure. Nothing that is typed is ever syntax of the engine: a text becomes terms, and those become clauses in `query.py`.
What cannot be asked is refused with its place in the text and what to write instead (ADR 0008).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.errors import Fault
from catalog.objects.telling import nearest
from catalog.search import conditions
from catalog.search.conditions import BEGINNING_CHARS_MIN, Alike, Between, Condition, Meets, No, OneOf, Said, Words
from catalog.search.fields import FIELDS, Field, Type

Q_CHARS_MAX = 1_000
# Parts of words: each becomes one clause per searched field, and the engine takes 1,024 clauses.
Q_WORDS_MAX = 50

# Not asked for unless nothing else is: "the data of penguins" shall find a table whose text has no "the".
UNASKED = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "if", "in", "into", "is", "it", "no"),
        *("not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to"),
        *("was", "were", "will", "with"),
    )
)
# What stands before the colon of an address or a URI is no field: https://…, urn:…, s3://… are looked for as they are.
SCHEMES = frozenset(("ark", "ftp", "ftps", "git", "hdl", "http", "https", "info", "mailto", "s3", "ssh", "tel", "urn"))
# Other words that people use for a field.
ALSO = {
    "author": "creator",
    "by": "creator",
    "collection": "project",
    "license": "licence",
    "org": "organization",
    "orcid": "creator_id",
    "ror": "creator_id",
    "type": "kind",
    "tag": "keyword",
    "path": "file",
    "filename": "file",
    "hash": "sha256",
    "size": "bytes",
    "created": "created_at",
    "updated": "updated_at",
    "bbox": "place",
}

_QUOTES = str.maketrans("“”„«»", '"' * 5)
# Chinese and Japanese characters are words by themselves, as the tokenizer takes them.
_IDEOGRAPHS = r"\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PART = re.compile(rf"[^\W_{_IDEOGRAPHS}]+|[{_IDEOGRAPHS}]")
_TERM = re.compile(
    r'(?P<excluded>-)?(?:(?P<field>[a-z][a-z0-9_]*):(?=[^\s/]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))'
)
_COMPARED = re.compile(r"(?P<how><=|>=|<|>|=)(?P<value>.*)", re.DOTALL)
_RANGE = re.compile(r"(?P<low>[^.]*(?:\.[^.]+)*)\.\.(?P<high>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Term:
    """One thing the text asks for anywhere: a word, the beginning of one, or a phrase; or that it be absent."""

    text: str
    how: str = "word"
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Typed:
    """What a text asks for: terms anywhere, words in single fields, and what else fields have to be."""

    terms: Sequence[Term] = ()
    # What is found in a text counts for the order, and is marked.
    words: Sequence[Words] = ()
    conditions: Sequence[Condition] = ()


def read(text: str) -> tuple[Typed, list[Fault]]:
    """Read what a person typed, and everything that is wrong with it."""
    if len(text) > Q_CHARS_MAX:
        message = f"{len(text)} characters are too many: at most {Q_CHARS_MAX}."
        return Typed(), [Fault("/q", message, "Use fewer words.")]
    text = text.translate(_QUOTES)
    if text.count('"') % 2:
        message = f"The quote at character {text.rindex(chr(34)) + 1} is not closed."
        return Typed(), [Fault("/q", message, "Close it, or leave it out to ask for the words.")]
    reading = _Reading()
    for found in _TERM.finditer(text):
        if found["field"] is not None and found["field"] not in SCHEMES:
            reading.of_a_field(found)
        else:
            reading.anywhere(found)
    if reading.parts > Q_WORDS_MAX:
        message = f"{reading.parts} words are too many: at most {Q_WORDS_MAX}."
        reading.faults.append(Fault("/q", message, "Keep the rarest words."))
    return reading.typed(), reading.faults


class _Reading:
    """What was read of a text so far."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        # How many words were asked for.
        self.parts = 0
        self._terms: list[Term] = []
        self._symbols: list[Term] = []
        self._asked: list[Condition] = []

    def of_a_field(self, found: re.Match[str]) -> None:
        """Take what is asked of one field."""
        try:
            condition = _condition(found["field"], found["word"], found["phrase"])
        except ValueError as wrong:
            self.faults.append(_at(found.start("field"), wrong))
            return
        self.parts += len(_PART.findall(found["word"] or found["phrase"] or ""))
        self._asked.append(No(condition) if found["excluded"] else condition)

    def anywhere(self, found: re.Match[str]) -> None:
        """Take a word, a beginning or a phrase."""
        excluded, phrase, word = bool(found["excluded"]), found["phrase"], found["word"]
        if word is not None and found["field"] is not None:
            # An address, which stands as it was written.
            word = f"{found['field']}:{word}"
        wanted = word if phrase is None else phrase
        in_it = _PART.findall(wanted)
        if not in_it:
            # Punctuation alone has nothing to be found by; a single * asks for everything, as no word does.
            if any(unicodedata.category(character).startswith("S") for character in wanted):
                self._symbols.append(Term(wanted, excluded=excluded))
            return
        self.parts += len(in_it)
        how = "phrase" if phrase is not None else "prefix" if word.endswith("*") else "word"
        if how == "prefix" and sum(map(len, in_it)) < BEGINNING_CHARS_MIN:
            message = f"{word!r} is the beginning of too many words."
            self.faults.append(Fault("/q", message, f"Write at least {BEGINNING_CHARS_MIN} characters before the *."))
        self._terms.append(Term(wanted.rstrip("*") if how == "prefix" else wanted, how, excluded))

    def typed(self) -> Typed:
        """Return all of it."""
        terms = self._terms
        if not terms and not self._asked:
            # Beside words a symbol is left out, like "20 °C" without its "°". Alone it is what was asked for: it finds
            # what the index has of it (an emoji is a word there), and else nothing.
            terms = self._symbols[:Q_WORDS_MAX]
        words = tuple(one for one in self._asked if isinstance(one, Words))
        others = tuple(one for one in self._asked if not isinstance(one, Words))
        return Typed(_telling(terms), words, others)


def parts(text: str) -> int:
    """Return how many words a text has, as the index takes it apart."""
    return len(_PART.findall(text))


def _telling(terms: Sequence[Term]) -> tuple[Term, ...]:
    telling = [term for term in terms if term.how != "word" or term.excluded or term.text.lower() not in UNASKED]
    return tuple(telling if any(not term.excluded for term in telling) else terms)


def _at(place: int, wrong: ValueError) -> Fault:
    message, suggestion = (*wrong.args, None)[:2]
    return Fault("/q", f"At character {place + 1}: {message}", suggestion)


def field_named(name: str) -> Field:
    """Return the field of that name, or that people call so; raises ValueError with the nearest."""
    field = FIELDS.get(ALSO.get(name, name))
    if field is None:
        near = nearest(name, [*FIELDS, *ALSO])
        raise ValueError(
            f"there is no field {name!r}.",
            f"Did you mean {ALSO.get(near, near)}?" if near else f"The fields are {', '.join(FIELDS)}.",
        )
    return field


def _condition(name: str, word: str | None, phrase: str | None) -> Condition:
    try:
        field = field_named(name)
    except ValueError as wrong:
        message, suggestion = wrong.args
        text = phrase if word is None else word
        raise ValueError(message, f'{suggestion} To look for the text itself, write "{name}:{text}".') from None
    try:
        if phrase is not None:
            return _quoted(field, phrase)
        return asked_of(field, word or "")
    except ValueError as wrong:
        suggestion = wrong.args[1] if len(wrong.args) > 1 else f"For example {field.examples[0]}"
        raise ValueError(f"{field.name}: {wrong.args[0]}.", suggestion) from None


def _quoted(field: Field, phrase: str) -> Condition:
    if field.words is not None:
        return Words(field, _not_empty(phrase), "phrase")
    return _exactly(field, phrase)


def asked_of(field: Field, word: str) -> Condition:
    """Read what a word asks of a field; raises ValueError with what belongs there."""
    if word == "*":
        return Said(field)
    if word.endswith("*") and field.type in {Type.NAME, Type.TEXT}:
        begin = word.rstrip("*")
        if field.words is None:
            return Alike(field, conditions.begins(begin), folded=True)
        if sum(map(len, _PART.findall(begin))) < BEGINNING_CHARS_MIN:
            raise ValueError(f"write at least {BEGINNING_CHARS_MIN} characters before the *")
        return Words(field, begin, "prefix")
    if field.words is not None:
        return Words(field, _not_empty(word))
    return _exactly(field, word)


def _not_empty(text: str) -> str:
    if not _PART.findall(text):
        raise ValueError("write a word after the colon")
    return text


def _exactly(field: Field, text: str) -> Condition:
    if field.type in _READ:
        return measured(field, text)
    if field.type is Type.PLACE:
        return _region(field, text)
    if not text.strip():
        raise ValueError("write a value after the colon")
    if field.values and text.lower() not in field.values:
        near = nearest(text.lower(), field.values)
        told = f"there is no value {text[:80]!r}; there are {', '.join(field.values)}"
        raise ValueError(told, f"Did you mean {field.name}:{near}?") if near else ValueError(told)
    if field.values:
        return OneOf(field, (text.lower(),))
    return OneOf(field, (text,), folded=True)


def _region(field: Field, text: str) -> Condition:
    try:
        west, south, east, north = (conditions.number(part) for part in text.split(","))
    except ValueError:
        raise ValueError("write west,south,east,north in degrees") from None
    return Meets(field, conditions.box(west, south, east, north))


def _whole_number(text: str) -> tuple[int, int]:
    number = conditions.integer(text)
    return number, number + 1


# From where to below where a value goes, as it was written: a year is all of its days.
_READ: dict[Type, Callable[[str], tuple[Any, Any]]] = {
    Type.INTEGER: _whole_number,
    Type.DATE: conditions.span,
    Type.PERIOD: conditions.span,
}


def measured(field: Field, text: str) -> Between:
    """Read a number or a date, a comparison with one, or a range; raises ValueError with what belongs there."""
    read_value = _READ[field.type]
    compared = _COMPARED.fullmatch(text)
    if compared is not None:
        return conditions.compared(field, compared["how"], *read_value(compared["value"]))
    if field.type in {Type.DATE, Type.PERIOD} and "/" in text:
        # As ISO 8601 writes an interval, and OGC API an open one.
        text = "..".join("" if end == ".." else end for end in text.split("/", 1))
    ranged = _RANGE.fullmatch(text)
    if ranged is None:
        low, high = read_value(text)
        return Between(field, low, high)
    start = read_value(ranged["low"])[0] if ranged["low"] else None
    end = read_value(ranged["high"])[1] if ranged["high"] else None
    if start is None and end is None:
        raise ValueError("write where the range begins or ends")
    if start is not None and end is not None and end <= start:
        raise ValueError("the range ends before it begins; exchange the two")
    return Between(field, start, end)


def concepts_asked(asked: Iterable[Condition]) -> list[OneOf]:
    """Return what asks for concepts: what they are called has to become URIs before it can be asked."""
    return [
        leaf
        for condition in asked
        for leaf in conditions.leaves(condition)
        if isinstance(leaf, OneOf) and leaf.field.type is Type.CONCEPT
    ]
