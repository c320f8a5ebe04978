"""The routes of the pages: ask what the API asks, answer in HTML.

Everybody is anonymous here until there is a sign-in: pages show what is public.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from catalog.access.principals import NOBODY
from catalog.api import dois as dois_api
from catalog.api import objects as objects_api
from catalog.api import problems as problems_api
from catalog.api import provenance as provenance_api
from catalog.api import requests, shapes
from catalog.api import search as search_api
from catalog.api import snapshots as snapshots_api
from catalog.api import versions as versions_api
from catalog.api.requests import AnyRequest
from catalog.doi.names import Subject
from catalog.errors import Fault, Invalid, Unavailable, VersionGone
from catalog.exchange.formats import FORMATS
from catalog.provenance.graph import Direction
from catalog.web import landing, lineage, objects, problems, rendering, search, wording
from catalog.web.objects import CitedDoi

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
    cited = await _cited(request, object_id)
    return _object_page(request, msgspec.to_builtins(shapes.shown_object(entry)), kept, traced, doi=cited)


@get("/objects/{object_id:str}/versions/{version:str}", include_in_schema=False)
async def show_version(request: AnyRequest) -> Response[str]:
    """Show one object as it was published."""
    object_id = requests.object_id(request)
    entry = await objects_api.read(request, object_id, NOBODY)
    published = await versions_api.read(request, object_id, str(request.path_params["version"]), NOBODY)
    kept = await versions_api.listing(request, object_id, NOBODY)
    today = msgspec.to_builtins(shapes.shown_object(entry))
    cited = await _cited(request, object_id, published.version.number)
    return _object_page(request, objects.as_published(today, msgspec.to_builtins(published)), kept, doi=cited)


def _object_page(
    request: AnyRequest,
    shown: Mapping[str, Any],
    kept: Sequence[versions_api.ShownVersion],
    traced: lineage.Traced | None = None,
    *,
    doi: CitedDoi | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    house = requests.engines(request).house
    html = objects.render_object(
        shown,
        public_url=house.address,
        versions=msgspec.to_builtins(kept),
        traced=traced,
        publisher=house.publisher,
        doi=doi,
    )
    return _page(html, headers={"Cache-Control": "no-cache", **(headers or {})})


async def _cited(request: AnyRequest, object_id: UUID, version: int | None = None) -> CitedDoi | None:
    """Return the public DOI of what a page shows."""
    house = requests.engines(request).house
    doi = await dois_api.public_doi(request, Subject(object_id, version))
    return None if doi is None else CitedDoi(doi, house.resolves, house.page_of(doi))


@get("/snapshots/{snapshot_id:str}", include_in_schema=False)
async def show_snapshot(request: AnyRequest) -> Response[str]:
    """Show what a question found at a moment."""
    return await _snapshot_page(request, requests.object_id(request, "snapshot_id"))


async def _snapshot_page(request: AnyRequest, snapshot_id: UUID) -> Response[str]:
    shown = await snapshots_api.read(request, snapshot_id, start=0, limit=snapshots_api.LIMIT_DEFAULT)
    work = await snapshots_api.work(request, snapshot_id)
    html = landing.render_snapshot(msgspec.to_builtins(shown), work)
    return _page(html, headers={"Cache-Control": "no-cache", "Vary": "Accept"})


@get("/doi/{prefix:str}/{suffix:str}", include_in_schema=False)
async def show_doi(request: AnyRequest) -> Response[Any]:
    """Show what a DOI names, in the format that is asked for; of what was withdrawn, that it was."""
    doi = f"{request.path_params['prefix']}/{request.path_params['suffix']}".lower()
    found = await dois_api.landing_of(request, doi)
    house = requests.engines(request).house
    page = house.page_of(found.view.doi)
    wanted = requests.accepted(request, {**objects_api.MEDIA_TYPES, "html": "text/html"})
    if found.work is not None and wanted not in {None, "html", objects_api.ObjectFormat.JSON}:
        return objects_api.written(found.work, objects_api.ObjectFormat(wanted))
    if found.view.snapshot_id is not None and found.work is not None:
        return await _snapshot_page(request, found.view.snapshot_id)
    if found.entry is None or found.work is None:
        left = None if found.entry is None else wording.object_address(str(found.entry.id))
        html = landing.render_tombstone(
            found.view.registered or {},
            doi=doi,
            page=page,
            detail=found.gone or "",
            what_is_gone="What it found is" if found.view.snapshot_id is not None else "Its files are",
            left_address=left,
        )
        return _page(html, headers={"Cache-Control": "no-cache", "Vary": "Accept"})
    place = f"/api/objects/{found.entry.id}"
    if found.published is not None:
        place += f"/versions/{found.published.version.number}"
    signposts = landing.signposts(
        cite_as=found.work.link,
        described_by=[(f"{house.address}{place}?format={name}", one.media_type) for name, one in FORMATS.items()],
        record=found.work.record,
    )
    today = msgspec.to_builtins(shapes.shown_object(found.entry))
    shown = today
    if found.published is not None:
        published = msgspec.to_builtins(versions_api.shown_whole(found.published, found.entry.kind))
        shown = objects.as_published(today, published)
    kept = [] if found.entry.version is None else await versions_api.listing(request, found.entry.id, NOBODY)
    cited = CitedDoi(found.view.doi, house.resolves, page)
    return _object_page(request, shown, kept, doi=cited, headers={"Link": signposts, "Vary": "Accept"})


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
        left = wording.object_address(request.path_params["object_id"]) if isinstance(fault, VersionGone) else None
        html = problems.render_problem(
            problem["status"], problem["detail"], faults, request_id=problem["request_id"], left_address=left
        )
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
    Router(
        "/",
        route_handlers=[show_search, show_object, show_version, show_doi, show_snapshot, show_nothing],
        exception_handlers=HANDLERS,
    ),
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
