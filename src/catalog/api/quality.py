"""`/api/objects/{id}/quality`: how good an object's record is, check by check, and how to mend it."""

from typing import Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests, shapes
from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import reading
from catalog.quality import assessing
from catalog.quality.assessing import Check, Report
from catalog.quality.facts import facts_of


class ShownCheck(msgspec.Struct, frozen=True):
    """One thing looked at: `promise` says what holds when it passes, `faults` where it does not and how to mend it.

    `fair` is the principle that it stands for. A record passes when all that is required does.
    """

    name: str
    group: Literal["description", "reuse", "files", "references", "provenance", "citation"]
    level: Literal["required", "wanted"]
    fair: str | None
    promise: str
    passed: bool
    faults: list[shapes.ShownWarning]


class ShownQuality(msgspec.Struct, frozen=True):
    """How good a record is: the share of what holds in percent, what must hold counting three times.

    `empty` are fields of the kind that say nothing, of `fields` that it has.
    """

    object: UUID
    revision: int
    score: int
    band: Literal["excellent", "good", "fair", "poor"]
    passes: bool
    checks: list[ShownCheck]
    fields: int
    empty: list[str]


@operation(
    "GET",
    "/api/objects/{object_id:str}/quality",
    Operation(
        id="read_quality",
        summary="See how good an object's record is, and how to mend it",
        description="Assessed as asked. Search counts what the indexer found when it last indexed the object.",
        tag="objects",
        answers={200: Answer("The report.", ShownQuality)},
        problems=(404, 410),
    ),
)
async def read_quality(request: AnyRequest) -> Response[bytes]:
    """Assess one object."""
    object_id = requests.object_id(request)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        entry = await reading.find(session, object_id, caller.audience)
        (known,) = await facts_of(session, [assessing.told(entry)])
    return shapes.json_response(
        _shown(object_id, entry.revision, assessing.assess(known)),
        headers={"Cache-Control": "no-cache", "Vary": "Authorization"},
    )


def _shown(object_id: UUID, revision: int, report: Report) -> ShownQuality:
    return ShownQuality(
        object=object_id,
        revision=revision,
        score=report.score,
        band=report.band.value,
        passes=report.passes,
        checks=[_check(check) for check in report.checks],
        fields=report.fields,
        empty=list(report.empty),
    )


def _check(check: Check) -> ShownCheck:
    faults = shapes.shown_faults(check.faults)
    return ShownCheck(check.name, check.group.value, check.level.value, check.fair, check.promise, check.passed, faults)


ROUTES: list[HTTPRouteHandler] = [read_quality]
