"""A registration from what was typed: a JSON file, and options that win over it; no metadata is guessed."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.errors import Fault, Invalid
from catalog.objects import sent_json

DRAFT_BYTES_MAX = 2 * 1024 * 1024
CONTACT = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<email>[^<>\s]+)>\s*")
CREATOR = re.compile(r"\s*(?P<name>[^<>()]+?)\s*(\((?P<orcid>[\dXx-]+)\))?\s*")

# What the catalog says of a value that is no text.
TEXT_WANTED = "must be a text"
# Which option of `catalog put` says what, to point from a fault in the metadata to what can be typed.
OPTION_OF = {
    "/kind": "--kind",
    "/project": "--project",
    "/title": "--title",
    "/name": "--name",
    "/description": "--description",
    "/creators": "--creator",
    "/contact": "--contact",
    "/keywords": "--keyword",
    "/licence": "--licence",
    "/visibility": "--public or --private",
    "/metadata": "--meta",
}


def read(place: str) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for `-`; raises Invalid that says where it breaks."""
    try:
        if place == "-":
            raw = sys.stdin.buffer.read(DRAFT_BYTES_MAX + 1)
        else:
            with Path(place).open("rb") as file:
                raw = file.read(DRAFT_BYTES_MAX + 1)
    except OSError as fault:
        raise Invalid(f"{place} cannot be read: {fault.strerror}.") from None
    if len(raw) > DRAFT_BYTES_MAX:
        raise Invalid(f"{place} has more than {DRAFT_BYTES_MAX:,} bytes: this is no object's description.")
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Invalid(f"{place} is not JSON in UTF-8.") from None
    except json.JSONDecodeError as fault:
        raise Invalid(f"{place} is not JSON: line {fault.lineno}, column {fault.colno}: {fault.msg}.") from None
    except RecursionError:
        raise Invalid(f"{place} is nested too deeply.") from None
    twice = [Fault(_pointer_to(way), sent_json.REPEATED) for way in sent_json.repeated(raw)]
    if twice:
        raise Invalid(f"{place} says something twice.", faults=twice)
    if not isinstance(found, dict):
        raise Invalid(f"{place} holds no JSON object: one object is described by {{…}}.")
    return found


def _pointer_to(way: Sequence[int | str]) -> str:
    return "".join(f"/{str(name).replace('~', '~0').replace('/', '~1')}" for name in way)


def contact(text: str) -> dict[str, str]:
    """Read `Name <mail@host>`."""
    found = CONTACT.fullmatch(text)
    if not found or not found["name"]:
        raise Invalid(f"--contact {text!r} is not like 'Ana Rivera <ana@example.org>'.")
    return {"name": found["name"], "email": found["email"]}


def creator(text: str) -> dict[str, str]:
    """Read `Name` or `Name (ORCID)`."""
    found = CREATOR.fullmatch(text)
    if not found:
        raise Invalid(f"--creator {text!r} is not like 'Rivera, Ana' or 'Rivera, Ana (0000-0002-1825-0097)'.")
    return {name: value for name, value in found.groupdict().items() if name in {"name", "orcid"} and value}


def metadata(given: Iterable[str], start: Mapping[str, Any]) -> dict[str, Any]:
    """Read `labelled=true`, `sensor.id=A1` over what there is: dots lead into objects, values are JSON or else text."""
    whole: dict[str, Any] = json.loads(json.dumps(start))
    for one in given:
        key, equals, text = one.partition("=")
        if not equals or not all(key.split(".")):
            raise Invalid(f"--meta {one!r} is not like labelled=true or sensor.id=A1.")
        *folders, last = key.split(".")
        place = whole
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise Invalid(f"--meta {one!r}: {folder} is a value already and holds no {last}.")
        try:
            place[last] = json.loads(text)
        except json.JSONDecodeError:
            place[last] = text
    return whole


def pointed(faults: Sequence[Fault], draft: Mapping[str, Any]) -> list[Fault]:
    """Add to each fault the option by which it is mended; `draft` is what the options came to."""
    return [
        Fault(fault.pointer, fault.message, fault.suggestion or (f"give {option}" if option else None))
        for fault in faults
        for option in [
            _as_text(fault, draft) or OPTION_OF.get("/" + fault.pointer.lstrip("/").partition("/")[0]),
        ]
    ]


def _as_text(fault: Fault, draft: Mapping[str, Any]) -> str | None:
    """Return how to type a number where a text is wanted: `--meta` takes 1.0 for the number that it is in JSON."""
    *folders, last = fault.pointer.split("/")[1:]
    at: Any = draft
    for name in folders:
        at = at.get(name) if isinstance(at, Mapping) else None
    value = at.get(last) if isinstance(at, Mapping) else None
    if folders[:1] != ["metadata"] or fault.message != TEXT_WANTED or not isinstance(value, int | float):
        return None
    return f"--meta '{'.'.join([*folders[1:], last])}=\"{json.dumps(value)}\"'"
