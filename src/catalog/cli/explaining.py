"""Why a search finds an object, or why not: part by part, where its words are, and how much each field counts."""

import html
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from catalog.cli import output
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import Explanation

# What a document calls otherwise than people do.
PLACES = MappingProxyType({"members": "name and details", "paths": "files", "terms": "concepts"})
_MARKED = re.compile(r"</?mark>")


def explain(invocation: Invocation, object_id: str, text: str | None, question: dict[str, Any], *, json: bool) -> None:
    """Tell why a question finds an object, or why not."""
    for paging in ("limit", "facet", "tree", "below", "sort", "hybrid"):
        question.pop(paging, None)
    with invocation.catalog() as catalog:
        told = catalog.explain(output.whole_name(object_id, None), text, **question)
    if json:
        output.as_json(told)
        return
    output.table(("asked", "must be", "is", "fulfilled"), _parts(told))
    if told["highlights"]:
        output.data("")
        output.table(("its words are in", "which counts", "there"), _places(told))
    if not told["parts"]:
        output.say("nothing is asked, and so every object is found")
    elif told["found"]:
        output.say("the object is found")
    else:
        output.say("the object is not found: what says NO would have to hold")


def _parts(told: "Explanation") -> list[tuple[str, str, str, str]]:
    return [
        (
            part["asked"],
            "absent" if part["excluded"] else "there",
            "there" if part["has"] else "absent",
            "yes" if part["has"] is not part["excluded"] else "NO",
        )
        for part in told["parts"]
    ]


def _places(told: "Explanation") -> list[tuple[str, str, str]]:
    """Return where the words are, what counts most first; what was found stands in brackets."""
    weights = told["weights"]
    return [
        (PLACES.get(name, name), f"{weights[name]:g} times" if weights[name] != 1 else "once", _bracketed(fragments))
        for name, fragments in sorted(told["highlights"].items(), key=lambda one: -weights[one[0]])
    ]


def _bracketed(fragments: list[str]) -> str:
    told = " … ".join(fragments)
    return html.unescape(_MARKED.sub(lambda mark: "]" if "/" in mark[0] else "[", told))
