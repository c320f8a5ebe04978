"""The routes of the pages: ask what the API asks, answer in HTML.

Everybody is anonymous here until there is a sign-in: pages show what is public.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from catalog.access.principals import NOBODY
from catalog.api import objects as objects_api
from catalog.api import problems as problems_api
from catalog.api import provenance as provenance_api
from catalog.api import requests, shapes
from catalog.api import search as search_api
from catalog.api import versions as versions_api
from catalog.api.requests import AnyRequest
from catalog.errors import Fault, Invalid, Unavailable
from catalog.provenance.lineage import Direction
from catalog.web import lineage, objects, problems, rendering, search

ASSET_SECONDS_MAX = 365 * 24 * 60 * 60
NO_STORE = {"Cache-Control": "no-store"}


def _page(html: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(
        html,
        status_code=status,
        media_type="text/html",
        headers={**rendering.SECURITY_HEADERS, **(headers or {})},
    )


@get("/", include_in_schema=False)
async def show_search(request: AnyRequest) -> Response[str]:
    """Show what answers the question in the address; without one, the newest objects."""
    state = search.State.of(request.query_params.multi_items())
    try:
        asked = requests.parsed(msgspec.json.encode(state.asked()), search_api.SearchQuery)
        answer = await search_api.answer(request, asked, NOBODY)
    except Invalid as wrong:
        return _page(search.render_refusal(state, wrong.detail, wrong.faults), status=400, headers=NO_STORE)
    except Unavailable as away:
        headers = NO_STORE | {"Retry-After": str(away.retry_after_seconds)}
        return _page(search.render_unavailable(state, away.detail), status=503, headers=headers)
    # The page carries signed links: no cache may keep it.
    return _page(search.render_search(msgspec.to_builtins(answer), state), headers=NO_STORE)


@get("/objects/{object_id:str}", include_in_schema=False)
async def show_object(request: AnyRequest) -> Response[str]:
    """Show one object as it stands."""
    object_id = requests.object_id(request)
    entry = await objects_api.read(request, object_id, NOBODY)
    kept = [] if entry.version is None else await versions_api.listing(request, object_id, NOBODY)
    graph = await provenance_api.read(
        request, object_id, NOBODY, direction=Direction.BOTH, depth=1, most=lineage.STEPS_SHOWN_MAX + 1
    )
    traced = lineage.traced(msgspec.to_builtins(graph))
    return _object_page(request, msgspec.to_builtins(shapes.shown_object(entry)), kept, traced)


@get("/objects/{object_id:str}/versions/{version:str}", include_in_schema=False)
async def show_version(request: AnyRequest) -> Response[str]:
    """Show one object as it was published."""
    object_id = requests.object_id(request)
    entry = await objects_api.read(request, object_id, NOBODY)
    published = await versions_api.read(request, object_id, str(request.path_params["version"]), NOBODY)
    kept = await versions_api.listing(request, object_id, NOBODY)
    today = msgspec.to_builtins(shapes.shown_object(entry))
    return _object_page(request, objects.as_published(today, msgspec.to_builtins(published)), kept)


def _object_page(
    request: AnyRequest,
    shown: Mapping[str, Any],
    kept: Sequence[versions_api.ShownVersion],
    traced: lineage.Traced | None = None,
) -> Response[str]:
    public_url = str(request.app.state.settings.public_url)
    html = objects.render_object(shown, public_url=public_url, versions=msgspec.to_builtins(kept), traced=traced)
    return _page(html, headers={"Cache-Control": "no-cache"})


@get(["/{address:path}", "/objects", "/objects/{object_id:str}/{address:path}", "/static"], include_in_schema=False)
async def show_nothing() -> Response[str]:
    """Answer every address that no other route knows."""
    raise NotFoundException


def _as_page(answer: Callable[..., Response[bytes]]) -> Callable[..., Response[str]]:
    """Return an error handler that shows as a page what the API's handler tells as a problem document."""

    def shown(request: AnyRequest, fault: Exception) -> Response[str]:
        told = answer(request, fault)
        problem = msgspec.json.decode(told.content)
        faults = [Fault(each["pointer"], each["message"], each.get("suggestion")) for each in problem.get("errors", ())]
        html = problems.render_problem(problem["status"], problem["detail"], faults, request_id=problem["request_id"])
        return _page(html, status=problem["status"], headers=told.headers)

    return shown


HANDLERS: dict[Any, Any] = {kind: _as_page(answer) for kind, answer in problems_api.HANDLERS.items()}


ASSETS = frozenset(
    f"/{file.relative_to(rendering.STATIC_FOLDER).as_posix()}"
    for file in rendering.STATIC_FOLDER.rglob("*")
    if file.is_file()
)


def _known(request: AnyRequest) -> None:
    # Whatever else stands in the address never reaches the file system, which has its own ways to refuse a name.
    if f"/{str(request.path_params['file_path']).lstrip('/')}" not in ASSETS:
        raise NotFoundException


def _secure(response: Response[Any]) -> Response[Any]:
    response.headers.update(rendering.SECURITY_HEADERS)
    return response


ROUTES: list[ControllerRouterHandler] = [
    Router("/", route_handlers=[show_search, show_object, show_version, show_nothing], exception_handlers=HANDLERS),
    create_static_files_router(
        rendering.STATIC_PATH,
        [rendering.STATIC_FOLDER],
        # Pages name each asset with a digest of its content.
        cache_control=CacheControlHeader(public=True, max_age=ASSET_SECONDS_MAX, immutable=True),
        before_request=_known,
        after_request=_secure,
        exception_handlers=HANDLERS,
    ),
]
