"""What a vocabulary is in memory: a scheme, its concepts and their labels. Knows neither RDF nor tables."""

import unicodedata
from enum import StrEnum

import msgspec

# An index entry of Postgres has at most 2,704 bytes; four to a character leave room.
FOLDED_CHARS_MAX = 200


class LabelKind(StrEnum):
    """How a text names a concept."""

    PREFERRED = "preferred"
    ALTERNATIVE = "alternative"
    HIDDEN = "hidden"
    NOTATION = "notation"


class Label(msgspec.Struct, frozen=True, order=True):
    """A text that names a concept; the language is empty where none was said."""

    kind: LabelKind
    language: str
    text: str


class Term(msgspec.Struct, frozen=True):
    """A concept as a file says it. Everything is sorted, so that equal concepts are equal values."""

    uri: str
    labels: tuple[Label, ...]
    definitions: dict[str, str] = {}
    broader: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    exact_matches: tuple[str, ...] = ()
    deprecated: bool = False
    replaced_by: str | None = None

    @property
    def label(self) -> str:
        """The text to show where there is room for one: the English preferred label, else the first, else the URI."""
        preferred = [label for label in self.labels if label.kind == LabelKind.PREFERRED]
        english = [label.text for label in preferred if label.language.partition("-")[0] == "en"]
        return next(iter(english or [label.text for label in preferred]), self.uri)


class Vocabulary(msgspec.Struct, frozen=True):
    """A scheme as a file says it, with its concepts in the order of their URIs."""

    uri: str
    title: str
    terms: tuple[Term, ...]
    description: str = ""
    licence: str | None = None
    source: str | None = None
    version: str | None = None


class Wrong(msgspec.Struct, frozen=True):
    """One fault of a file: the URI of the concept, or an empty text for the file itself, and what is wrong."""

    uri: str
    message: str
    suggestion: str | None = None


def folded(text: str) -> str:
    """Return a text as it is compared: without case, accents and doubled spaces; the first characters only."""
    apart = unicodedata.normalize("NFKD", text[: FOLDED_CHARS_MAX * 2].casefold())
    bare = "".join(character for character in apart if not unicodedata.combining(character))
    return " ".join(bare.replace("\x00", "").split())[:FOLDED_CHARS_MAX]
