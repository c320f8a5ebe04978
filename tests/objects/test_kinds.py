"""What each kind asks for, and the objects and outside things it names."""

import copy
import json
from typing import Any

import pytest

from catalog.errors import Fault, Invalid
from catalog.objects import kinds, validation
from catalog.objects.references import Reference

SOME = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
OTHER = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e60"


def example(kind: str, **metadata: Any) -> dict[str, Any]:
    """Return the example of a kind with other metadata; a value of ... takes the field away."""
    body = copy.deepcopy(dict(kinds.known()[kind].example))
    body["metadata"] |= metadata
    body["metadata"] = {name: value for name, value in body["metadata"].items() if value is not ...}
    return body


def accepted(body: dict[str, Any]) -> validation.Draft:
    return validation.draft_from(json.dumps(body).encode(), prefix="")


def faults(body: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        accepted(body)
    return [(fault.pointer, fault.message) for fault in refused.value.faults]


def test_there_are_the_fifteen_kinds() -> None:
    assert sorted(kinds.known()) == [
        "binary",
        "calibration",
        "decoder-plugin",
        "docker-image",
        "dockerfile",
        "ecr-bundle",
        "edge-code",
        "job",
        "labels",
        "model",
        "sensor-blob",
        "sensor-data",
        "training-dataset",
        "trigger-app",
        "weights",
    ]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        pytest.param("weights", "model", marks=pytest.mark.req("SAGE-STORAGE-14")),
        pytest.param("labels", "dataset", marks=pytest.mark.req("SAGE-STORAGE-13")),
        pytest.param("training-dataset", "labelled", marks=pytest.mark.req("SAGE-STORAGE-10")),
        pytest.param("decoder-plugin", "source", marks=pytest.mark.req("SAGE-STORAGE-15")),
        pytest.param("trigger-app", "source", marks=pytest.mark.req("SAGE-STORAGE-16")),
        pytest.param("edge-code", "source", marks=pytest.mark.req("SAGE-STORAGE-17")),
        pytest.param("dockerfile", "source", marks=pytest.mark.req("SAGE-STORAGE-19")),
        pytest.param("docker-image", "reference", marks=pytest.mark.req("SAGE-STORAGE-20")),
        pytest.param("docker-image", "platforms", marks=pytest.mark.req("SAGE-STORAGE-20")),
        pytest.param("calibration", "sensor", marks=pytest.mark.req("SAGE-STORAGE-21")),
        pytest.param("calibration", "parameters", marks=pytest.mark.req("SAGE-STORAGE-21")),
        pytest.param("calibration", "valid", marks=pytest.mark.req("SAGE-STORAGE-21")),
        pytest.param("sensor-data", "sensors", marks=pytest.mark.req("SAGE-STORAGE-22")),
        pytest.param("sensor-data", "measured", marks=pytest.mark.req("SAGE-STORAGE-22")),
        pytest.param("binary", "platform", marks=pytest.mark.req("SAGE-STORAGE-24")),
        ("ecr-bundle", "members"),
        ("sensor-blob", "sensor"),
    ],
)
def test_what_a_kind_must_say_is_asked_for_by_name(kind: str, field: str) -> None:
    assert faults(example(kind, **{field: ...})) == [(f"/metadata/{field}", f"{field} is required")]


@pytest.mark.parametrize("kind", ["decoder-plugin", "trigger-app", "edge-code", "dockerfile"])
@pytest.mark.parametrize("commit", ["main", "v1.2", "9fceb02", "9FCEB02D0AE598E95DC970B74767F19372D61AF8"])
def test_code_is_named_by_a_whole_commit(kind: str, commit: str) -> None:
    source = {"url": "https://git.example.org/a.git", "commit": commit}

    assert faults(example(kind, source=source)) == [
        (
            "/metadata/source/commit",
            "write the whole commit id, 40 or 64 hexadecimal digits: branches, tags and short ids move",
        )
    ]


@pytest.mark.req("CHRIS-SWIFT-7")
def test_a_job_is_named_by_its_key() -> None:
    """Its key is part of addresses and of names of folders, so it has the form of every name."""
    asked = ("/name", "a job's name is its key: say by which it is pushed to and pulled from")
    form = ("/name", "write 1 to 128 of a to z, 0 to 9, dot, hyphen and underscore, a letter or digit first")

    assert faults(example("job") | {"name": None}) == [asked]
    for key in ("Brain", "../brain", "a/b", "", "-a", "a" * 129, "brain 1"):
        assert faults(example("job") | {"name": key}) == [form]


@pytest.mark.req("CHRIS-SWIFT-8")
@pytest.mark.parametrize("path", ["scan.nii", "inputs/scan.nii", "share/input/scan.nii", "Input/scan.nii", "input"])
def test_the_files_of_a_job_lie_below_input_and_output_alone(path: str) -> None:
    told = "files of a job lie below input/ or output/: put it there, as input/scan.nii.gz"

    assert faults(with_file("job", path)) == [("/files/0/path", told)]
    for area in ("input", "output"):
        assert accepted(with_file("job", f"{area}/a/scan.nii")).files[0].path == f"{area}/a/scan.nii"


def with_file(kind: str, path: str) -> dict[str, Any]:
    body = example(kind)
    return body | {"files": [body["files"][0] | {"path": path}]}


@pytest.mark.req("SAGE-STORAGE-22")
def test_sensor_data_says_where_and_when_it_was_measured() -> None:
    body = example("sensor-data")

    assert faults(body | {"coverage": None}) == [
        ("/coverage/spatial", "say where it was measured"),
        ("/coverage/temporal", "say when it was measured"),
    ]
    assert faults(body | {"coverage": {"spatial": {"place": "Chicago"}}}) == [
        ("/coverage/temporal", "say when it was measured")
    ]


@pytest.mark.req("SAGE-STORAGE-22")
@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Cel", "Cel"),
        ("°C", "Cel"),
        ("degree_Celsius", "Cel"),
        ("µg/m³", "ug/m3"),
        ("W.m-2.sr-1", "W.m-2.sr-1"),
        ("count", "{count}"),
        ("dB[SPL]", "dB[SPL]"),
        ("%", "%"),
        ("1", "1"),
    ],
)
def test_units_are_kept_as_ucum_has_them(written: str, kept: str) -> None:
    draft = accepted(example("sensor-data", measured=[{"name": "a", "unit": written}]))

    assert draft.description.model_dump(mode="json", exclude_none=True)["metadata"]["measured"] == [
        {"name": "a", "unit": kept}
    ]


@pytest.mark.parametrize("unit", ["furlongs", "m//s", "cel", "", "m/", "(" * 200])
def test_what_is_no_unit_is_refused(unit: str) -> None:
    told = faults(example("sensor-data", measured=[{"name": "a", "unit": unit}]))

    assert [pointer for pointer, _ in told] == ["/metadata/measured/0/unit"]


def test_a_binary_says_what_it_was_built_from() -> None:
    assert faults(example("binary", source=...)) == [
        ("/metadata", "say what it was built from: a source, or objects in built_from")
    ]


def test_a_calibration_holds_forwards_in_time() -> None:
    valid = {"start": "2010-01-01T00:00:00Z", "end": "2009-01-01T00:00:00Z"}

    assert faults(example("calibration", valid=valid)) == [("/metadata/valid", "end lies before start; exchange them")]


DATA = ("training-dataset", "sensor-data", "sensor-blob")
NAMED: dict[str, tuple[dict[str, Any], list[tuple[str, tuple[str, ...]]]]] = {
    "weights": (
        {"model": SOME, "trained_on": [OTHER]},
        [("/metadata/model", ("model",)), ("/metadata/trained_on/0", DATA)],
    ),
    "labels": ({"dataset": SOME}, [("/metadata/dataset", DATA)]),
    "trigger-app": ({"starts": [SOME]}, [("/metadata/starts/0", ("ecr-bundle", "edge-code", "docker-image"))]),
    "docker-image": ({"dockerfile": SOME}, [("/metadata/dockerfile", ("dockerfile",))]),
    "calibration": ({"measurements": SOME}, [("/metadata/measurements", ("sensor-data", "sensor-blob"))]),
    "sensor-data": ({"calibration": SOME}, [("/metadata/calibration", ("calibration",))]),
    "binary": ({"built_from": [SOME]}, [("/metadata/built_from/0", ())]),
    "ecr-bundle": ({"members": [{"type": "object", "id": SOME}]}, [("/metadata/members/0/id", ())]),
}


@pytest.mark.parametrize("kind", kinds.known())
def test_every_object_that_metadata_names_is_told_with_its_place_and_kinds(kind: str) -> None:
    changes, named = NAMED.get(kind, ({}, []))

    told: list[Reference] = list(accepted(example(kind, **changes)).description.metadata.references())

    assert [(one.pointer, one.kinds) for one in told] == named


TAGGED = "registry.example.org/edge/app:1.2"
PINNED = f"{TAGGED}@sha256:{'ab' * 32}"


@pytest.mark.req("SAGE-STORAGE-20")
@pytest.mark.parametrize(
    ("kind", "metadata", "pointer"),
    [
        ("docker-image", lambda image: {"reference": image}, "/metadata/reference"),
        ("dockerfile", lambda image: {"base_images": [image]}, "/metadata/base_images/0"),
        (
            "ecr-bundle",
            lambda image: {"members": [{"type": "image", "reference": image}]},
            "/metadata/members/0/reference",
        ),
    ],
)
def test_an_image_named_by_a_tag_alone_is_warned_of(kind: str, metadata: Any, pointer: str) -> None:
    def warnings(image: str) -> list[Fault]:
        return list(accepted(example(kind, **metadata(image))).description.metadata.warnings())

    assert warnings(PINNED) == []
    assert warnings(TAGGED) == [
        Fault(
            pointer,
            "a tag can be moved to another image: name the digest as well",
            f"{TAGGED}@sha256:<64 hex digits>",
        )
    ]
