"""What an event looks like: CloudEvents 1.0 in JSON, and the types that the catalog takes, each with a version.

A type is never changed: what would break who sends it is a new one, `…v2`, beside it. The names of attributes and their
meaning are those of "CloudEvents - Version 1.0.2"; attributes that it calls extensions are taken and not looked at.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from catalog.errors import Fault
from catalog.objects import validation
from catalog.objects.metadata import Line, ObjectName, Project
from catalog.objects.validation import Faults
from catalog.storage.keys import KEY_BYTES_MAX, OWN, nameable

KEYS_MAX = 1_000
EVENTS_MAX = 100

_BACKEND = r"^(default|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$"
Named = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _must_be_nameable(key: str) -> str:
    if not nameable(key):
        raise ValueError("write the key without . and .. parts: no store can be asked for one that has them")
    return key


Key = Annotated[str, StringConstraints(min_length=1, max_length=KEY_BYTES_MAX), AfterValidator(_must_be_nameable)]
BackendName = Annotated[
    str, Field(pattern=_BACKEND, description="Where the keys lie: a backend's id, or `default` for the catalog's own.")
]


class Files(BaseModel):
    """Keys of one bucket."""

    model_config = ConfigDict(extra="forbid", strict=True)

    backend: BackendName = OWN
    keys: Annotated[
        list[Key],
        Field(min_length=1, max_length=KEYS_MAX, description="Whole keys as the store has them, not encoded."),
    ]


class Request(BaseModel):
    """Data that were sent to be worked on: a job by its key, and what lies there for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    project: Project
    key: Annotated[ObjectName, Field(description="Of the job: begun if the project has none of this key.")]
    title: Annotated[Line | None, Field(description="Of the job; left out, its key.")] = None
    program: Annotated[Line | None, Field(description="What is to run.")] = None
    backend: BackendName = OWN
    keys: Annotated[
        list[Key], Field(max_length=KEYS_MAX, description="What has arrived for it, as in other events.")
    ] = []


class Event(BaseModel):
    """What every event has."""

    model_config = ConfigDict(strict=True)

    specversion: Literal["1.0"]
    id: Annotated[Named, Field(description="With `source`, what this event is: sent again, it is answered as before.")]
    source: Annotated[Named, Field(description="Who tells, as a URI: one for each thing that numbers its events.")]
    subject: Annotated[Named | None, Field(description="What it is about, for people; not looked at.")] = None
    time: Annotated[AwareDatetime | None, Field(strict=False, description="When it happened; not looked at.")] = None
    datacontenttype: Literal["application/json"] | None = None


class FilesWritten(Event):
    """Files were written into a bucket: each key is looked at."""

    type: Literal["catalog.files.written.v1"]
    data: Files


class FilesRemoved(Event):
    """Files were removed from a bucket: each key is looked at."""

    type: Literal["catalog.files.removed.v1"]
    data: Files


class WorkflowRequest(Event):
    """Data were sent to be worked on: a job of this key is begun, unless there is one, and each key is looked at."""

    type: Literal["workflow.request.v1"]
    data: Request


Taken = FilesWritten | FilesRemoved | WorkflowRequest
_EXAMPLE = {"specversion": "1.0", "source": "https://gateway.example.org", "time": "2026-11-22T12:00:00Z"}
_KEYS = ["lab/soil/source/2026/a.csv"]
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "catalog.files.written.v1": {"id": "delivery-4711", "data": {"backend": "default", "keys": _KEYS}},
    "catalog.files.removed.v1": {"id": "cleanup-4711", "data": {"backend": "default", "keys": _KEYS}},
    "workflow.request.v1": {
        "id": "request-17",
        "data": {
            "project": "lab/soil",
            "key": "run-17",
            "program": "harmonize 1.2",
            "backend": "default",
            "keys": _KEYS,
        },
    },
}


def _type_of(model: type[Taken]) -> str:
    name: str = get_args(model.model_fields["type"].annotation)[0]
    return name


TYPES: Mapping[str, type[Taken]] = {_type_of(model): model for model in get_args(Taken)}


def example_of(name: str) -> dict[str, Any]:
    """Return an event of this type."""
    return _EXAMPLE | {"type": name} | EXAMPLES[name]


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event of this type."""
    schema = TYPES[name].model_json_schema(ref_template="#/$defs/{model}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema | {"title": name}


def read(body: bytes, *, batch: bool) -> list[Taken]:
    """Return the event, or the events of a batch, in a body of JSON; raises Invalid with every fault."""
    raw, faults = validation.read(body)
    found: list[Taken] = []
    if not batch:
        found += _read(raw, "", faults)
    elif not isinstance(raw, list):
        faults.add([Fault("", "a batch is a list of events")])
    elif len(raw) > EVENTS_MAX:
        faults.add([Fault("", f"a batch has at most {EVENTS_MAX} events; this one has {len(raw)}")])
    else:
        for place, one in enumerate(raw):
            found += _read(one, f"/{place}", faults)
    if faults.count:
        raise faults.refusal()
    return found


def _read(raw: Any, at: str, faults: Faults) -> Sequence[Taken]:
    if not isinstance(raw, dict):
        faults.add([Fault(at, "an event is an object")])
        return []
    named = raw.get("type")
    model = TYPES.get(named) if isinstance(named, str) else None
    if model is None:
        near = difflib.get_close_matches(str(named), TYPES, n=1, cutoff=0.5)
        known = "take one of " + ", ".join(TYPES)
        faults.add([Fault(f"{at}/type", "the catalog takes no events of this type", near[0] if near else known)])
        return []
    mine = Faults()
    mine.add(validation.nul_faults(raw))
    try:
        return [model.model_validate_json(json.dumps(raw))]
    except ValidationError as wrong:
        mine.add_from(wrong, raw, model)
    finally:
        faults.add(Fault(at + one.pointer, one.message, one.suggestion) for one in mine.shown)
        faults.count += mine.count - len(mine.shown)
    return []
