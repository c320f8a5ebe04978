"""From bytes to a draft, or to every fault at once with its place.

Parse once at the border; behind it there are only our types. The schema of a registration that is shown to people is
made here too, from the same models.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from catalog.access.audience import Visibility
from catalog.database import now
from catalog.errors import Fault, Invalid
from catalog.objects import kinds, sent_json, telling
from catalog.objects.description import Description
from catalog.objects.metadata import CUSTOM_CHARS_MAX, CUSTOM_VALUES_MAX, FileDeclaration
from catalog.storage import keys

FAULTS_SHOWN_MAX = 100
# To read one of pydantic's faults takes some microseconds, and a body of unknown fields has one for every ten bytes.
FAULTS_READ_MAX = 5_000
POINTER_CHARS_MAX = 1_000
MESSAGE_CHARS_MAX = 1_000
NUL = "\x00"
# RFC 8259, section 7: a control character is escaped, and this one escape has one spelling.
NUL_IN_JSON = rb"\u0000"

CUSTOM_FORMS = (
    f"must be a text of at most {CUSTOM_CHARS_MAX} characters, a number, true or false, "
    f"a list of at most {CUSTOM_VALUES_MAX} of these, or a number with its unit as {{value, unit}}"
)

# What a PATCH may not name, with where to go instead.
ELSEWHERE = {
    "kind": "the kind of an object never changes; register a new object",
    "project": "an object stays in its project; register a new object there",
    "files": "declare files by POST to /api/objects/{id}/files",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A valid registration."""

    kind: kinds.Kind
    description: Description
    files: tuple[FileDeclaration, ...]


@dataclass(slots=True)
class Faults:
    """What is wrong with one request: the first faults, to be shown, and the number of all."""

    shown: list[Fault] = field(default_factory=list)
    count: int = 0

    def add(self, faults: Iterable[Fault]) -> None:
        """Take further faults."""
        for fault in faults:
            self.count += 1
            if len(self.shown) < FAULTS_SHOWN_MAX:
                self.shown.append(fault)

    def add_from(self, wrong: ValidationError, raw: Any, model: type[BaseModel]) -> None:
        """Take what pydantic found wrong with `raw`, each fault with its JSON pointer into it."""
        count = wrong.error_count()
        if count > FAULTS_READ_MAX:
            self.add([Fault("", f"there are {count:,} faults, too many to list: is this what you meant to send?")])
            self.count += count - 1
            return
        shown, more = _read(wrong, raw, model)
        self.add(shown)
        self.count += more

    def refusal(self, what: str = "request") -> Invalid:
        """Return the error that lists the faults."""
        more = f"; the first {len(self.shown)} are listed" if self.count > len(self.shown) > 1 else ""
        counted = "is 1 fault" if self.count == 1 else f"are {self.count} faults"
        return Invalid(f"There {counted} in the {what}{more}.", faults=self.shown)


class Misshapen(Invalid):
    """A description has faults of shape; whether there is what else it names has not been looked up (`remaining`)."""

    def __init__(self, found: Faults, kind: kinds.Kind | None, raw: Mapping[str, Any]) -> None:
        told = found.refusal()
        super().__init__(told.detail, faults=told.faults)
        self.found = found
        self.kind = kind
        self.raw = raw

    def with_more(self, faults: Iterable[Fault]) -> Invalid:
        """Return the error that lists these faults too."""
        self.found.add(faults)
        return self.found.refusal()


def json_from(body: bytes) -> Any:
    """Return the JSON value of a body; raises Invalid that says where it breaks, or which names stand in it twice."""
    value, faults = read(body)
    if faults.count:
        raise faults.refusal()
    return value


def read(body: bytes) -> tuple[Any, Faults]:
    """Return the JSON value of a body, and the names that stand in it twice; raises Invalid for what is no JSON."""
    faults = Faults()
    value = sent_json.value_of(body)
    faults.add(sent_json.faults_in(body, pointer_to))
    return value, faults


def draft_from(body: bytes, *, prefix: str) -> Draft:
    """Return the draft that a registration's body holds; raises Invalid, or Misshapen with every fault of its shape.

    `prefix` is what the store puts before every key, since it takes its part of the 1,024 bytes of a key.
    """
    sound = _sound_draft(body, prefix)
    if sound is not None:
        return sound
    raw, faults = read(body)
    if not isinstance(raw, dict):
        raise Invalid(faults=[Fault("", "send one JSON object that describes what you register")])
    named = raw.get("kind")
    kind = kinds.known().get(named) if isinstance(named, str) else None
    if kind is None and isinstance(named, str):
        faults.add([kinds.unknown("/kind", named)])
    # Without a known kind the common part is still checked, so that one answer lists all faults.
    model: type[Description] = _Unknown if kind is None else kind.draft()
    description = None
    try:
        description = model.model_validate_json(body)
    except ValidationError as wrong:
        faults.add_from(wrong, raw, model)
    faults.add(_kind_faults(kind, raw, faults.shown))
    faults.add(_path_faults(raw.get("files"), _room_bytes(prefix, raw.get("project"))))
    faults.add(unkept(body, raw, faults.shown))
    if faults.count or kind is None or description is None:
        raise Misshapen(faults, kind, raw)
    files: list[FileDeclaration] = getattr(description, "files")  # ruff: ignore[B009] - made by create_model, unknown to mypy.
    return Draft(kind, description, tuple(files))


class _Peek(msgspec.Struct):
    kind: str


_peek = msgspec.json.Decoder(_Peek)


def _sound_draft(body: bytes, prefix: str) -> Draft | None:
    """Return the draft at once where nothing is wrong with it: telling what is wrong takes more looking."""
    try:
        kind = kinds.known()[_peek.decode(body).kind]
        description = kind.draft().model_validate_json(body)
    except (msgspec.DecodeError, KeyError, ValueError, RecursionError):
        # Also what is no UTF-8 and what is nested too deep: the parser that tells faults says where.
        return None
    draft = Draft(kind, description, tuple(getattr(description, "files")))  # ruff: ignore[B009] - as below.
    room_bytes = _room_bytes(prefix, description.project)
    paths = {file.path for file in draft.files}
    wrong = (
        NUL_IN_JSON in body
        or sent_json.may_repeat(body)
        or len(paths) < len(draft.files)
        or any(keys.path_fault(path, room_bytes=room_bytes) is not None for path in paths)
        or next(_kind_faults(kind, description), None) is not None
    )
    return None if wrong else draft


def record_of(description: Description) -> dict[str, Any]:
    """Return a description as it is kept; an embargo that has ended is none."""
    record = description.model_dump(mode="json", exclude={"files"}, exclude_none=True)
    until = description.embargo_until
    return record if until is None or until > now() else without_embargo(record)


def without_embargo(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as it reads once its embargo has ended."""
    kept = {name: value for name, value in record.items() if name != "embargo_until"}
    return kept | {"visibility": Visibility.PUBLIC.value}


def shortcomings(kind: kinds.Kind, record: Mapping[str, Any]) -> list[Fault]:
    """Return what an accepted description lacks by its kind's rules of today."""
    model = kind.draft()
    try:
        description = model.model_validate_json(msgspec.json.encode(record))
    except ValidationError as wrong:
        faults = Faults()
        faults.add_from(wrong, record, model)
        return faults.shown
    return list(_kind_faults(kind, description))


def revised_from(kind: kinds.Kind, record: Mapping[str, Any], body: bytes) -> Description:
    """Return the description after a merge patch (RFC 7396); raises Invalid, or Misshapen with every fault of shape."""
    patch, faults = read(body)
    if not isinstance(patch, dict):
        raise Invalid(faults=[Fault("", "a merge patch of an object is a JSON object")])
    faults.add(
        Fault(f"/{name}", why)
        for name, why in ELSEWHERE.items()
        if name in patch and patch[name] != record.get(name, ...)
    )
    merged = merge(record, {name: value for name, value in patch.items() if name not in ELSEWHERE})
    model = kind.draft()
    try:
        description = model.model_validate_json(msgspec.json.encode(merged))
    except ValidationError as wrong:
        faults.add_from(wrong, merged, model)
    faults.add(_kind_faults(kind, merged, faults.shown))
    faults.add(unkept(body, merged, faults.shown))
    if faults.count:
        raise Misshapen(faults, kind, merged)
    return description


def _kind_faults(kind: kinds.Kind | None, described: Any, known: Sequence[Fault] = ()) -> Iterator[Fault]:
    """Find what the kind asks of the common metadata and is not there, nor known to be wrong."""
    places = {fault.pointer for fault in known}
    for pointer, sentence in kind.metadata.asked.items() if kind else ():
        at: Any = described
        way = ""
        for name in pointer.split("/")[1:]:
            at = at.get(name) if isinstance(at, Mapping) else getattr(at, name, None)
            way = f"{way}/{name}"
            if way in places:
                break
        else:
            if at is None:
                yield Fault(pointer, sentence)


def files_from(body: bytes, *, kind: kinds.Kind, prefix: str, project: str) -> list[FileDeclaration]:
    """Return the files that a body declares for an object of a kind; raises Invalid with every fault."""
    model = kind.more_files()
    raw, faults = read(body)
    files: list[FileDeclaration] = []
    try:
        files = model.model_validate_json(body).files
    except ValidationError as wrong:
        faults.add_from(wrong, raw, model)
    declared = raw.get("files") if isinstance(raw, dict) else None
    faults.add(_path_faults(declared, _room_bytes(prefix, project)))
    if not faults.count and not files:
        faults.add([Fault("/files", "declare at least one file")])
    if faults.count:
        raise faults.refusal()
    return files


def merge(target: Any, patch: Any) -> Any:
    """Return the target after the merge patch (RFC 7396, section 2)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def _room_bytes(prefix: str, project: Any) -> int:
    try:
        return keys.room_bytes(prefix, project if isinstance(project, str) else "")
    except ValueError:
        # The project has its own fault already; the paths are measured against the most there can be.
        return keys.KEY_BYTES_MAX


def _path_faults(files: Any, room_bytes: int) -> Iterator[Fault]:
    if not isinstance(files, list):
        return
    seen: dict[str, int] = {}
    for place, declared in enumerate(files):
        path = declared.get("path") if isinstance(declared, dict) else None
        if not isinstance(path, str) or not path:
            continue
        pointer = f"/files/{place}/path"
        wrong = keys.path_fault(path, room_bytes=room_bytes)
        if wrong is not None:
            yield Fault(pointer, wrong)
        if path in seen:
            yield Fault(pointer, f"the same path stands at /files/{seen[path]} already; paths are unique in an object")
        seen.setdefault(path, place)


def unkept(body: bytes, raw: Any, known: Sequence[Fault]) -> list[Fault]:
    """Return a fault for each text with a NUL, where no rule of the kind has found it."""
    if NUL_IN_JSON not in body:
        return []
    places = {fault.pointer for fault in known}
    return [fault for fault in nul_faults(raw) if fault.pointer not in places]


def nul_faults(raw: Any) -> list[Fault]:
    """Return a fault for each text with a NUL in what JSON can hold: Postgres cannot keep it, nor look for it."""
    return [
        Fault(pointer, f"remove the control character U+0000 at place {text.index(NUL) + 1}")
        for pointer, text in _texts(raw, ())
        if NUL in text
    ]


def _texts(raw: Any, names: tuple[int | str, ...]) -> Iterator[tuple[str, str]]:
    # As deep as the parser lets a body be; keys have their own rules.
    if isinstance(raw, str):
        yield pointer_to(names), raw
    elif isinstance(raw, dict):
        for name, value in raw.items():
            yield from _texts(value, (*names, name))
    elif isinstance(raw, list):
        for place, value in enumerate(raw):
            yield from _texts(value, (*names, place))


class _Unknown(Description):
    """The common part alone."""

    files: list[FileDeclaration] = []


def _read(wrong: ValidationError, raw: Any, model: type[BaseModel]) -> tuple[list[Fault], int]:
    """Return as many of pydantic's faults as are shown, and how many more there are."""
    found: dict[tuple[str, str], Fault] = {}
    more = set()
    for error in wrong.errors(include_url=False, include_input=False):
        loc = error["loc"]
        in_custom = loc[:1] == ("custom",) and len(loc) > 2 and loc[2] != "[key]"  # ruff: ignore[PLR2004] - custom, key, branch.
        if len(found) == FAULTS_SHOWN_MAX:
            more.add(loc[:2] if in_custom else (*loc, error["type"]))
        elif in_custom:
            # One of the forms would have done; what is wrong with each of them is no help.
            pointer = pointer_to(["custom", loc[1]])
            found[pointer, CUSTOM_FORMS] = Fault(pointer, CUSTOM_FORMS)
        else:
            names, value = _walked(loc, raw)
            pointer = pointer_to(names)
            message, suggestion = telling.told(error, names, value, model)
            found.setdefault((pointer, message), Fault(pointer, message[:MESSAGE_CHARS_MAX], suggestion))
    return list(found.values()), len(more)


def pointer_to(names: Sequence[int | str]) -> str:
    """Return the JSON pointer to a place; names that are too long to be meant are cut."""
    parts = (telling.shown(str(name)).replace("~", "~0").replace("/", "~1") for name in names)
    return "".join(f"/{part}" for part in parts)[:POINTER_CHARS_MAX]


_NOTHING = object()


def _below(at: Any, name: int | str) -> Any:
    if isinstance(at, dict):
        return at.get(name, _NOTHING)
    if isinstance(at, list) and isinstance(name, int) and name < len(at):
        return at[name]
    return _NOTHING


def _walked(loc: Sequence[int | str], raw: Any) -> tuple[list[int | str], Any]:
    # Pydantic puts the name of a union's branch between the names of the input; only the input's names are a pointer.
    names: list[int | str] = []
    at = raw
    for place, name in enumerate(loc):
        if _is_branch(loc, place, at):
            continue
        below = _below(at, name)
        if below is not _NOTHING:
            at = below
        elif not (isinstance(at, dict) and place == len(loc) - 1 and name != "[key]"):
            continue
        names.append(name)
    return names, at


def _is_branch(loc: Sequence[int | str], place: int, at: Any) -> bool:
    # A member {"type": "url", "url": …} has a field of the same name as its branch: the first of the two is the branch.
    inside = 0 < place < len(loc) - 1 and isinstance(loc[place - 1], int)
    return inside and isinstance(at, dict) and at.get("type") == loc[place]


def schema_of(kind: kinds.Kind) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a registration of this kind."""
    schema = kind.draft().model_json_schema(ref_template="#/$defs/{model}")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = kind.title
    schema["properties"]["kind"] = {"const": kind.name, "title": "Kind", "type": "string"}
    if kind.metadata.asked:
        schema["allOf"] = [_asking(pointer.split("/")[1:]) for pointer in kind.metadata.asked]
    return schema


def _asking(names: Sequence[str]) -> dict[str, Any]:
    """Return the schema that asks for what is at this place."""
    asked: dict[str, Any] = {"not": {"type": "null"}}
    for name in reversed(names):
        asked = {"type": "object", "required": [name], "properties": {name: asked}}
    return asked
