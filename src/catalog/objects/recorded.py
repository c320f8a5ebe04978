"""A description as its row keeps it: with ids where it names objects, and URIs where it names terms."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from catalog.objects import describing, resolving, validation
from catalog.objects.description import Description


def record_of(
    description: Description, ids: Mapping[str, UUID], versions: Mapping[str, str], uris: Mapping[str, str]
) -> dict[str, Any]:
    """Return the record; `ids`, `versions` that DOIs said, and `uris` are by their pointers."""
    record = validation.record_of(description)
    resolving.write_ids(record, ids, versions)
    describing.write_uris(record, uris)
    return record


def json_of(
    description: Description,
    ids: Mapping[str, UUID],
    versions: Mapping[str, str],
    uris: Mapping[str, str],
    told: dict[str, Any],
) -> str:
    """Return the record as JSON, written at once where nothing in it has to be replaced; `told` is of this moment."""
    embargoed = description.embargo_until is not None
    if not ids and not uris and not embargoed:
        return description.model_dump_json(exclude={"files"}, exclude_none=True)
    record = told if embargoed else validation.record_of(description)
    resolving.write_ids(record, ids, versions)
    describing.write_uris(record, uris)
    return msgspec.json.encode(record).decode()


def told(description: Description) -> dict[str, Any]:
    """Return what the record says of who may see it, without writing all of it where that is not needed."""
    if description.embargo_until is None:
        return {"visibility": description.visibility}
    return validation.record_of(description)
