"""What differs between two JSON values, field by field. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

ABSENT: Any = object()

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs: where (a JSON pointer, RFC 6901), how, and what it holds on both sides."""

    pointer: str
    change: Change
    before: Any
    after: Any


def differences(before: Any, after: Any, pointer: str = "") -> Iterator[Difference]:
    """Yield what differs, in the order of the fields' names; a list is compared place by place.

    A field that is null and one that is absent mean the same in a description, so they do not differ.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from differences(before.get(name, ABSENT), after.get(name, ABSENT), below)
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            held = before[place] if place < len(before) else ABSENT
            given = after[place] if place < len(after) else ABSENT
            yield from differences(held, given, f"{pointer}/{place}")
    else:
        held, given = (None if one is ABSENT else one for one in (before, after))
        # True equals 1 in Python, and in JSON they are two things.
        if held != given or isinstance(held, bool) is not isinstance(given, bool):
            change: Change = "added" if held is None else "removed" if given is None else "changed"
            yield Difference(pointer, change, held, given)
