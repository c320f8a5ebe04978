"""Forms from the schemas of the kinds: as they stand they change nothing, and a change becomes the least patch."""

import pytest

from catalog.errors import Fault, Invalid
from catalog.objects import kinds, validation
from catalog.web import editing
from catalog.web.editing import FormField

KINDS = list(kinds.known().values())


def fields(kind: kinds.Kind) -> list[FormField]:
    return editing.fields_of(validation.schema_of(kind), kind.example)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_form_sent_as_it_stands_changes_nothing(kind: kinds.Kind) -> None:
    # Browsers send line breaks as two characters.
    sent = [(field.name, field.value.replace("\n", "\r\n")) for field in fields(kind)]
    assert editing.patch_from(sent, fields(kind)) == {}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_record_is_in_its_form_and_reads_back_as_it_was(kind: kinds.Kind) -> None:
    form = fields(kind)
    names = {field.name for field in form}
    stated = {name for name in kind.example if name not in editing.UNCHANGED | {"metadata"}}
    own = {f"metadata.{name}" for name in kind.example["metadata"]}
    assert stated | own <= names
    empty = [
        FormField(**{name: getattr(field, name) for name in FormField.__slots__} | {"value": ""}) for field in form
    ]
    patch = editing.patch_from([(field.name, field.value) for field in form], empty)
    told = {name: value for name, value in kind.example.items() if name in stated and value not in ([], {}, "", None)}
    assert {name: value for name, value in patch.items() if name != "metadata"} == told
    assert patch.get("metadata", {}) == {
        name: value for name, value in kind.example["metadata"].items() if value not in ([], {}, "", None)
    }


def test_a_change_of_one_field_is_a_patch_of_that_field_alone() -> None:
    model = kinds.named("model")
    form = fields(model)
    sent = {field.name: field.value for field in form} | {
        "title": "Other",
        "metadata.task": "",
        "keywords": "a\r\n\r\n b ",
    }
    assert editing.patch_from(list(sent.items()), form) == {
        "title": "Other",
        "keywords": ["a", "b"],
        "metadata": {"task": None},
    }


def test_what_cannot_be_read_is_told_all_at_once() -> None:
    number = FormField("metadata.size", "Size", "number", "")
    data = FormField("coverage", "Coverage", "json", "")
    with pytest.raises(Invalid) as refused:
        editing.patch_from([("metadata.size", "many"), ("coverage", "{")], [number, data])
    first, second = refused.value.faults
    assert first == Fault("/metadata/size", "write a number")
    assert (second.pointer, second.message.startswith("this is not JSON: ")) == ("/coverage", True)


def test_one_field_is_set_for_objects_of_any_kind() -> None:
    assert editing.common_patch("licence", " MIT ") == {"licence": "MIT"}
    assert editing.common_patch("keywords", "") == {"keywords": []}
    assert editing.common_patch("licence", "") == {"licence": None}
    for name in ("metadata.task", "kind", "owner", ""):
        with pytest.raises(Invalid):
            editing.common_patch(name, "x")
