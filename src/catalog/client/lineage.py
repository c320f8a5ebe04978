"""Where objects come from and what came of them: lineage, relations, agents, activities."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from catalog.client.calls import (
    C,
    Call,
    Room,
    get,
    if_match,
    items,
    nothing,
    object_path,
    quoted,
    request,
    said,
)
from catalog.client.shapes import Activity, Impact, Lineage, ProvenanceImport, Relation, Responsibility

DEPTH = 5
# How people write a DOI; what is in it the catalog checks.
DOI_SPELLING = re.compile(r"(https?://(dx\.)?doi\.org/|doi:)?10\.[0-9]", re.IGNORECASE)


class Tracing(Room[C]):
    """What objects say of each other, and what follows from it."""

    @request
    def provenance(self, object_id: str, *, direction: str = "up", depth: int = DEPTH) -> Call[Lineage]:
        """Return what an object came from (up), what came of it (down), or both."""
        return get(f"{object_path(object_id)}/provenance", said(direction=direction, depth=depth))

    @request
    def provenance_as(self, object_id: str, format: str, *, direction: str = "up", depth: int = DEPTH) -> Call[str]:  # ruff: ignore[A002] - the parameter's name everywhere else.
        """Return the same as a text: turtle, json-ld or prov-json."""
        asked = said(direction=direction, depth=depth, format=format)
        address = f"{object_path(object_id)}/provenance"
        return Call("GET", address, asked, repeatable=True, read=lambda response: response.text)

    @request
    def impact(self, object_id: str) -> Call[Impact]:
        """Return what depends on an object, counted by kind, with the nearest."""
        return get(f"{object_path(object_id)}/impact")

    @request
    def relate(self, object_id: str, relation: str, target: str, *, revision: int) -> Call[dict[str, Any]]:
        """Record a relation, unless the object has moved on from that revision.

        `target` is an object by id or kind/name, a DOI in any spelling, an address or URN as it is, or another
        identifier with its type before it, such as ISSN:2049-3630. A DOI of this catalog is kept as its object.
        """
        kind, colon, value = target.partition(":")
        if DOI_SPELLING.match(target):
            kind, colon, value = "DOI", ":", target
        elif kind in {"http", "https", "urn"}:
            kind, value = ("URN" if kind == "urn" else "URL"), target
        end = {"identifier": {"type": kind, "value": value}} if colon else {"target": target}
        body = {"type": relation, **end}
        return Call("POST", f"{object_path(object_id)}/relations", body=body, headers=if_match(revision))

    @request
    def relations(self, object_id: str) -> Call[list[Relation]]:
        """Return what an object says of others, in the order in which it was recorded."""
        return items(f"{object_path(object_id)}/relations")

    @request
    def unrelate(self, object_id: str, relation_id: str, *, revision: int) -> Call[None]:
        """Take a relation back, unless the object has moved on from that revision."""
        return _removal(f"{object_path(object_id)}/relations/{quoted(relation_id)}", revision)

    @request
    def agents(self, object_id: str) -> Call[list[Responsibility]]:
        """Return whose work an object is, and on whose behalf somebody acted."""
        return items(f"{object_path(object_id)}/agents")

    @request
    def record_agent(self, object_id: str, statement: Mapping[str, Any], *, revision: int) -> Call[Responsibility]:
        """Say whose work an object is, or on whose behalf somebody acted; the statement is as the API takes it."""
        return Call("POST", f"{object_path(object_id)}/agents", body=statement, headers=if_match(revision))

    @request
    def remove_agent(self, object_id: str, statement_id: str, *, revision: int) -> Call[None]:
        """Take back what an object says of an agent, unless the object has moved on from that revision."""
        return _removal(f"{object_path(object_id)}/agents/{quoted(statement_id)}", revision)

    @request
    def record_activity(self, draft: Mapping[str, Any], *, idempotency_key: str | None = None) -> Call[Activity]:
        """Record what ran, from what, and what came of it, once: repeated with the same key, it answers the same."""
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
        return Call("POST", "/api/activities", body=draft, headers=headers, repeatable=True)

    @request
    def activity(self, activity_id: str) -> Call[Activity]:
        """Return an activity, for those who may see something that it generated."""
        return get(f"/api/activities/{quoted(activity_id)}")

    @request
    def import_provenance(self, document: bytes, *, project: str | None = None) -> Call[ProvenanceImport]:
        """Record what a PROV-JSON document says; named entities are looked for in the project, if one is given."""
        headers = {"content-type": "application/provenance+json"}
        asked = said(project=project)
        return Call("POST", "/api/provenance", asked, body=document, headers=headers, repeatable=True)


def _removal(address: str, revision: int) -> Call[None]:
    return Call("DELETE", address, headers=if_match(revision), read=nothing)
