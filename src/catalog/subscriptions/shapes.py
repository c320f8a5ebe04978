"""What is told: CloudEvents 1.0 in JSON, of types that carry their version. Pure.

A type is never changed: what would break who reads it is a new one, `…v2`, beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from pydantic import AwareDatetime, BaseModel, Field

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
REGISTERED = "catalog.object.registered.v1"
REVISED = "catalog.object.revised.v1"
# By the action in the audit; whatever else made a new revision is a revision.
_TYPES = {
    "register": REGISTERED,
    "publish": "catalog.object.published.v1",
    "withdraw": "catalog.object.withdrawn.v1",
    "file available": "catalog.files.available.v1",
    "adopt files": "catalog.files.available.v1",
    "file missing": "catalog.files.missing.v1",
    "file mismatched": "catalog.files.mismatched.v1",
    "doi findable": "catalog.doi.findable.v1",
}
TYPES: Mapping[str, str] = {
    REGISTERED: "An object was registered.",
    REVISED: "An object was changed in any other way: its description, its files, its relations, who may see it.",
    "catalog.object.published.v1": "A version of an object was published.",
    "catalog.object.withdrawn.v1": "An object was withdrawn.",
    "catalog.files.available.v1": "Files of an object have arrived, and are what was declared.",
    "catalog.files.missing.v1": "A file of an object is not in its store any more.",
    "catalog.files.mismatched.v1": "A file of an object is not what was declared.",
    "catalog.doi.findable.v1": "A DOI of an object resolves for everybody.",
}


class About(BaseModel):
    """The object, as it is when the event is told, and its revision as the event left it."""

    id: UUID
    kind: str
    project: str
    revision: int
    title: str
    href: str = Field(description="Where to read the object. Bytes are never linked here.")


class ToldEvent(BaseModel):
    """A change of an object. Names and meaning of the attributes are those of CloudEvents 1.0."""

    specversion: Literal["1.0"]
    id: str = Field(description="Repeated, an event has the same one.")
    source: str = Field(description="The catalog's address.")
    type: str
    subject: str = Field(description="The object's id. Events of one object come in their order.")
    time: AwareDatetime = Field(description="When it happened.")
    datacontenttype: Literal["application/json"]
    data: About


def type_of(action: str, *, new_revision: bool) -> str | None:
    """Return the type of an event by what the audit says; None where nothing is told of it."""
    return _TYPES.get(action, REVISED if new_revision else None)


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event of this type."""
    schema = ToldEvent.model_json_schema(ref_template="#/$defs/{model}")
    schema["properties"]["type"] = {"const": name, "type": "string"}
    told = {"title": name, "description": f"{TYPES[name]} Told to subscriptions."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema | told


@dataclass(frozen=True, slots=True)
class Subject:
    """An object as an event tells of it."""

    id: UUID
    kind: str
    project: str
    title: str


@dataclass(frozen=True, slots=True)
class Happened:
    """One row of the audit; `id` is what the event is called, outside."""

    number: int
    id: UUID
    at: datetime
    type: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class Told:
    """An event that is ready to be sent, in either mode of CloudEvents: what it is, and its data apart, in JSON."""

    id: UUID
    attributes: Mapping[str, str]
    data: bytes

    @property
    def structured(self) -> bytes:
        """Return all of it as one JSON text."""
        return msgspec.json.encode({**self.attributes, "datacontenttype": JSON, "data": msgspec.Raw(self.data)})


def told(happened: Happened, subject: Subject, *, address: str) -> Told:
    """Return an event; `address` is where the catalog is."""
    attributes = {
        "specversion": "1.0",
        "id": happened.id,
        "source": address,
        "type": happened.type,
        "subject": subject.id,
        "time": happened.at,
    }
    data = {
        "id": subject.id,
        "kind": subject.kind,
        "project": subject.project,
        "revision": happened.revision,
        "title": subject.title,
        "href": f"{address}/api/objects/{subject.id}",
    }
    # Texts, as JSON has them.
    return Told(happened.id, msgspec.to_builtins(attributes), msgspec.json.encode(data))
