"""Forms from the schema of a kind, and the merge patch (RFC 7396) that a form means.

Pure. What has no field of its own in HTML is written as JSON, so that nothing in a record is out of a form's reach.
Only what a form says otherwise than the record becomes part of the patch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from catalog.errors import Fault, Invalid
from catalog.objects import kinds, validation
from catalog.web import wording
from catalog.web.details import Detail, detail_of

# Named for good when it is registered, or changed in ways of their own.
UNCHANGED = frozenset({"kind", "project", "files", "external"})
LINES_MAX = 12
LONG_TEXT_CHARS = 400

Shape = Literal["text", "long", "number", "choice", "lines", "json"]


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form: `name` is its place in the record (`metadata.task`), `value` what stands there now."""

    name: str
    label: str
    shape: Shape
    value: str
    choices: tuple[str, ...] = ()
    hint: str = ""
    required: bool = False
    rows: int = 2

    @property
    def id(self) -> str:
        """Return what its label points at."""
        return f"field-{self.name.replace('.', '-')}"


def fields_of(schema: Mapping[str, Any], record: Mapping[str, Any]) -> list[FormField]:
    """Return the fields of a record by the schema of its kind, those of the kind's own metadata last."""
    definitions = schema.get("$defs", {})
    fields = []
    for name, told in schema["properties"].items():
        if name in UNCHANGED or name == "metadata":
            continue
        fields.append(_field(name, told, record.get(name), definitions, required=name in schema.get("required", ())))
    own = _resolved(schema["properties"]["metadata"], definitions)
    stated = record.get("metadata") or {}
    for name, told in own.get("properties", {}).items():
        required = name in own.get("required", ())
        fields.append(_field(f"metadata.{name}", told, stated.get(name), definitions, required=required))
    return fields


def common_fields() -> list[tuple[str, str]]:
    """Return name and label of the fields that an object of any kind has, to be set for many at once."""
    first = next(iter(kinds.known().values()))
    listed = fields_of(validation.schema_of(first), {})
    return [(field.name, field.label) for field in listed if not field.name.startswith("metadata.")]


def grouped(fields: Iterable[FormField]) -> list[tuple[str, list[FormField]]]:
    """Return fields under headings: what people fill in, what is written as JSON, and what only the kind says."""
    every = list(fields)
    own = [field for field in every if field.name.startswith("metadata.")]
    common = [field for field in every if field not in own]
    groups = [
        ("Description", [field for field in common if field.shape != "json"]),
        ("What only this kind says", own),
        ("More, written as JSON", [field for field in common if field.shape == "json"]),
    ]
    return [(heading, some) for heading, some in groups if some]


def _resolved(told: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a schema refers to; of a value that may be left out, what it is where it is there."""
    if "$ref" in told:
        return {**definitions[told["$ref"].rpartition("/")[2]], **{k: v for k, v in told.items() if k != "$ref"}}
    some = [one for one in told.get("anyOf", ()) if one.get("type") != "null"]
    if len(some) == 1:
        return {**_resolved(some[0], definitions), **{k: v for k, v in told.items() if k != "anyOf"}}
    return told


def _field(
    name: str, told: Mapping[str, Any], value: Any, definitions: Mapping[str, Any], *, required: bool
) -> FormField:
    told = _resolved(told, definitions)
    shape, choices = _shape(told, definitions)
    text = _written(shape, value)
    examples = ", ".join(str(one) for one in told.get("examples", ())[:2] if not isinstance(one, dict | list))
    hints = [told.get("description", "").strip() if name.count(".") or shape != "json" else ""]
    hints += [
        {"lines": "One a line.", "json": "Written as JSON."}.get(shape, ""),
        f"Such as {examples}." if examples else "",
    ]
    return FormField(
        name=name,
        label=wording.label_of(name.rpartition(".")[2]),
        shape=shape,
        value=text,
        choices=choices,
        hint=" ".join(hint for hint in hints if hint),
        required=required,
        rows=max(2, min(LINES_MAX, text.count("\n") + 1)) if shape != "long" else LINES_MAX // 2,
    )


def _shape(told: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Shape, tuple[str, ...]]:
    if "enum" in told and all(isinstance(one, str) for one in told["enum"]):
        return "choice", tuple(told["enum"])
    match told.get("type"):
        case "boolean":
            return "choice", ("true", "false")
        case "string":
            return ("long" if told.get("maxLength", 0) > LONG_TEXT_CHARS else "text"), ()
        case "integer" | "number":
            return "number", ()
        case "array" if _resolved(told.get("items", {}), definitions).get("type") == "string":
            return "lines", ()
        case _:
            return "json", ()


def _written(shape: Shape, value: Any) -> str:
    if value is None:
        return ""
    match shape:
        case "lines":
            return "\n".join(value)
        case "json":
            return "" if value in ([], {}) else json.dumps(value, ensure_ascii=False, indent=2)
        case "choice" if isinstance(value, bool):
            return "true" if value else "false"
        case _:
            return str(value)


def patch_from(sent: Sequence[tuple[str, str]], fields: Sequence[FormField]) -> dict[str, Any]:
    """Return the merge patch of what a form says otherwise; raises Invalid with every field that cannot be read."""
    known = {field.name: field for field in fields}
    patch: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, text in sent:
        # Browsers send lines apart by two characters (HTML Standard, "constructing the entry list").
        plain = text.replace("\r\n", "\n")
        field = known.get(name)
        if field is None or plain.strip() == field.value.strip():
            continue
        try:
            value = read(field, plain)
        except ValueError as wrong:
            faults.append(Fault("/" + name.replace(".", "/"), str(wrong)))
            continue
        outer, _, inner = name.partition(".")
        if inner:
            patch.setdefault(outer, {})[inner] = value
        else:
            patch[outer] = value
    if faults:
        raise Invalid("The form has faults.", faults=faults)
    return patch


def read(field: FormField, text: str) -> Any:
    """Return what a text means in a field, None for nothing; raises ValueError with what is wrong."""
    stripped = text.strip()
    if not stripped:
        return [] if field.shape == "lines" else None
    match field.shape:
        case "lines":
            return [line.strip() for line in stripped.split("\n") if line.strip()]
        case "number":
            try:
                return int(stripped)
            except ValueError:
                pass
            try:
                return float(stripped)
            except ValueError:
                raise ValueError("write a number") from None
        case "choice" if field.choices == ("true", "false"):
            return stripped == "true"
        case "json":
            try:
                return json.loads(stripped)
            except ValueError as wrong:
                raise ValueError(f"this is not JSON: {wrong}") from None
        case _:
            return stripped


def common_patch(name: str, text: str) -> dict[str, Any]:
    """Return the merge patch that sets one field of objects of any kind; raises Invalid."""
    first = next(iter(kinds.known().values()))
    known = {field.name: field for field in fields_of(validation.schema_of(first), {})}
    field = known.get(name)
    if field is None or name.startswith("metadata."):
        raise Invalid("There is no such field.", faults=[Fault("/field", "choose one of the list")])
    try:
        return {name: read(field, text.replace("\r\n", "\n"))}
    except ValueError as wrong:
        raise Invalid("The form has faults.", faults=[Fault("/value", str(wrong))]) from None


def changes_of(changes: Mapping[str, Any]) -> list[tuple[str, list[Detail], list[Detail]]]:
    """Return what an edit changes: label, what stands there before, and after; nothing for what is not there."""
    return [
        (wording.label_of(name), _sides(name, change["from"]), _sides(name, change["to"]))
        for name, change in changes.items()
    ]


def _sides(name: str, value: Any) -> list[Detail]:
    return [] if value in (None, "", [], {}) else [detail_of(name, value)]
