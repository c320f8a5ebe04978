"""Which words were probably meant by a question whose words nothing has.

Pure. Told from the marked words of what the caller was shown, and from nothing else: a dictionary of all words in the
index would tell of what is hidden.
"""

import html
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import SequenceMatcher

from catalog.access.audience import ANONYMOUS
from catalog.errors import Invalid
from catalog.search import query
from catalog.search.answers import Hit
from catalog.search.query import Question

_MARKED = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)
# Of 1: below, a word that was found is another word, of which the one that was typed is a part or a chance likeness.
ALIKE_LEAST = 0.6


def widened(question: Question) -> Question | None:
    """Return the question with similar words.

    None where all is meant as it is, as phrases are and what stands in one field, and where similar ones are too many.
    """
    if not any(term.how != "phrase" and not term.excluded for term in question.read.terms):
        return None
    wider = replace(question, similar=True)
    with suppress(Invalid):
        query.body_of(wider, ANONYMOUS)
        return wider
    return None


def instead(question: Question, hits: Sequence[Hit]) -> str | None:
    """Return the question with each word that nothing has replaced by the nearest of those that were found.

    None where every word was found as it was typed, or as the beginning of others.
    """
    found = Counter(
        html.unescape(word).lower()
        for hit in hits
        for fragments in hit.highlights.values()
        for fragment in fragments
        for word in _MARKED.findall(fragment)
    )
    text = question.text or ""
    changed = False
    for term in question.read.terms:
        if term.how != "word" or term.excluded:
            continue
        typed = term.text.lower()
        if any(word.startswith(typed) or typed.startswith(word) for word in found):
            continue
        likeness, _, near = max(((_likeness(typed, word), found[word], word) for word in found), default=(0.0, 0, ""))
        if likeness >= ALIKE_LEAST:
            text = text.replace(term.text, near)
            changed = True
    return text if changed else None


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
