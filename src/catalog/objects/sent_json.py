"""JSON as it was sent: what it says, and names that an object in it has twice.

A parser takes the last of two members of one name and says nothing (RFC 8259, section 4, leaves it open): half of what
was sent would be gone. Knows nothing of what the JSON is about.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pydantic_core

from catalog.errors import Fault, Invalid

QUOTE, QUOTE_ESCAPED = b'"', b"\\u0022"
REPEATED = "this name stands twice in one object, and only one of the two can be meant; leave one out"


def value_of(body: bytes) -> Any:
    """Return the JSON value of a body; raises Invalid that says where it breaks."""
    try:
        return pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as broken:
        raise Invalid(f"The body is not JSON: {broken}.", faults=[Fault("", f"not JSON: {broken}")]) from None


def may_repeat(body: bytes) -> bool:
    """Whether a name may stand twice in an object; where it may not, that is told in a few microseconds.

    Read and written again, JSON has as many quotes, unless a member was lost, or a quote was written as a code.
    """
    try:
        again = msgspec.json.encode(msgspec.json.decode(body))
    except (ValueError, RecursionError):
        return True
    return QUOTE_ESCAPED in body or again.count(QUOTE) != body.count(QUOTE)


class _Members(dict[str, Any]):
    """An object with the names that stand in it twice."""

    repeated: Sequence[str] = ()


def _members(pairs: list[tuple[str, Any]]) -> _Members:
    read = _Members(pairs)
    if len(read) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        read.repeated = [name for name, count in counted.items() if count > 1]
    return read


def repeated(body: bytes | str) -> list[tuple[int | str, ...]]:
    """Return the way to every member whose name stands twice in its object; nothing for what is no JSON."""
    try:
        return list(_repeated(json.loads(body, object_pairs_hook=_members), ()))
    except (ValueError, RecursionError):
        return []


def _repeated(at: Any, way: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    if isinstance(at, _Members):
        yield from ((*way, name) for name in at.repeated)
        for name, inner in at.items():
            yield from _repeated(inner, (*way, name))
    elif isinstance(at, list):
        for place, inner in enumerate(at):
            yield from _repeated(inner, (*way, place))


def faults_in(body: bytes, pointer_to: Callable[[Sequence[int | str]], str]) -> list[Fault]:
    """Return a fault for every name that stands twice."""
    return [Fault(pointer_to(way), REPEATED) for way in repeated(body)] if may_repeat(body) else []
