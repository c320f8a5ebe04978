"""`/api/organizations/…/backends/…/notification`: whom the bucket of a store tells of its keys."""

from typing import Annotated

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field

from catalog.access.scopes import Scope
from catalog.api import requests
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.storage import backends, targets


class TargetWanted(BaseModel):
    """Whom the bucket shall tell."""

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, Field(pattern=r"^(eventbridge|arn:[!-~]{1,300})$")] = Field(
        description="As the store names it, `arn:minio:sqs::CATALOG:webhook`; `eventbridge` is AWS's own bus."
    )
    replace: bool = Field(default=False, description="Whether whoever is told now is told no more.")


@operation(
    "PUT",
    "/api/organizations/{organization:str}/backends/{backend_id:str}/notification",
    Operation(
        id="set_backend_notification",
        summary="Have the bucket of a store tell a target of its keys",
        description=(
            "For admins of the organization. It is set with the keys of the backend, which must be allowed to, for "
            "keys below its prefix. The store has to know the target. A bucket that tells somebody else is left as it "
            "is, with 409, unless `replace` is true."
        ),
        tag="access",
        token=True,
        scope=Scope.ADMIN,
        body=Body(TargetWanted, example={"target": "arn:minio:sqs::CATALOG:webhook"}),
        answers={204: Answer("The bucket tells this target.")},
        problems=(403, 404, 409, 413, 415),
    ),
)
async def set_backend_notification(request: AnyRequest) -> Response[bytes]:
    """Have a bucket tell a target."""
    caller = await requests.caller(request)
    caller.must_be_known()
    engines, organization = requests.engines(request), requests.organization(request)
    async with engines.database.transaction() as session:
        await backends.must_administer(session, organization, caller=caller)
    wanted = await requests.sent(request, TargetWanted)
    async with engines.database.transaction() as session:
        backend = await backends.find(session, organization, requests.object_id(request, "backend_id"))
    store = await engines.stores.of(str(backend.id))
    await targets.tell(store, wanted.target, prefix=backend.place.within, replace=wanted.replace)
    async with engines.database.transaction() as session:
        await backends.note_target(session, backend, wanted.target, caller=caller)
    return Response(b"", status_code=204)


ROUTES: list[HTTPRouteHandler] = [set_backend_notification]
