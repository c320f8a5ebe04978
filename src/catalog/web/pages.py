"""The routes of the pages: ask what the API asks, answer in HTML.

Pages show what whoever looks at them may see. DOI pages and snapshots show what is public by itself, to everybody the
same.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from catalog.access.principals import NOBODY, Caller
from catalog.api import addressing, questions, requests, shapes
from catalog.api import files as files_api
from catalog.api import hints as hints_api
from catalog.api import landing as landing_api
from catalog.api import objects as objects_api
from catalog.api import problems as problems_api
from catalog.api import provenance as provenance_api
from catalog.api import search as search_api
from catalog.api import snapshots as snapshots_api
from catalog.api import versions as versions_api
from catalog.api.hints import AlikeObject
from catalog.api.landing import Whole
from catalog.api.requests import AnyRequest
from catalog.errors import Fault, Invalid, Unauthenticated, Unavailable, VersionGone
from catalog.exchange.formats import FORMATS
from catalog.provenance.graph import Direction
from catalog.retention import explaining
from catalog.retention.explaining import Notice
from catalog.vocabulary import hierarchy
from catalog.web import (
    concepts,
    desk,
    differences,
    landing,
    lineage,
    login,
    objects,
    parked,
    previews,
    problems,
    rendering,
    saved,
    scopes,
    search,
    tokens,
    tracing,
    wording,
)
from catalog.web.answers import NO_STORE, page, sent_to
from catalog.web.state import IN_FORM, OF_CONCEPTS, State

ASSET_SECONDS_MAX = 365 * 24 * 60 * 60


@get("/", include_in_schema=False)
async def show_search(request: AnyRequest) -> Response[str]:
    """Show what answers the question in the address; without one, the newest objects."""
    state = State.of(request.query_params.multi_items())
    # Litestar leaves out what is empty.
    sent = request.scope["query_string"].decode("latin-1").split("&")
    if {pair.partition("=")[0] for pair in sent} & IN_FORM:
        # The form sends each of its fields, empty ones too; who passes the address on wants it short.
        return sent_to(state.address())
    chosen = [uri for name in OF_CONCEPTS for uri in state.chosen.get(name, ())]
    try:
        state.must_be_short()
        # Nothing is asked for a question that is refused anyway.
        asked = _question(state, {})
        ways = await hierarchy.ways(requests.engines(request).database, chosen)
        if chosen:
            asked = _question(state, ways)
        answer = await search_api.answer(request, asked, await login.visitor(request))
    except Invalid as wrong:
        return page(search.render_refusal(state.shortened(), wrong.detail, wrong.faults), status=400, headers=NO_STORE)
    except Unavailable as away:
        headers = NO_STORE | {"Retry-After": str(away.retry_after_seconds)}
        return page(search.render_unavailable(state, away.detail), status=503, headers=headers)
    # The page carries signed links: no cache may keep it.
    html = search.render_search(msgspec.to_builtins(answer), state, _meaning(request, state), ways)
    return page(html, headers=NO_STORE)


def _question(state: State, ways: Mapping[str, hierarchy.Way]) -> questions.SearchBody:
    """Return what the API is asked for a page; raises Invalid."""
    return requests.parsed(msgspec.json.encode(state.counted(state.levels(ways))), questions.SearchBody)


def _meaning(request: AnyRequest, state: State) -> search.Meaning | None:
    """Return the choice whether meanings are looked for; none where they cannot be."""
    engines = requests.engines(request)
    if engines.embedder is None or not engines.embedder.is_there:
        return None
    return search.meaning_of(state, by_default=engines.hybrid_by_default)


@get("/suggestions", include_in_schema=False)
async def suggest(request: AnyRequest) -> Response[bytes]:
    """Tell the script of the search box what a text may go on to, with the pages of objects."""
    asked = requests.query(request, hints_api.SuggestQuery)
    found = await hints_api.suggestions(request, asked, await login.visitor(request))
    items = [
        one if one.href is msgspec.UNSET else msgspec.structs.replace(one, href=one.href.removeprefix("/api"))
        for one in found
    ]
    return shapes.json_response(hints_api.SuggestionList(items), headers=NO_STORE)


@get("/objects/{object_id:str}", include_in_schema=False)
async def show_object(request: AnyRequest) -> Response[str]:
    """Show one object as it stands."""
    object_id = requests.object_id(request)
    visitor = await login.visitor(request)
    whole = await landing_api.read(request, object_id, visitor)
    traced, similar = await asyncio.gather(_traced(request, object_id, visitor), _similar(request, whole, visitor))
    may_change = visitor.id is not None and visitor.may_change(whole.entry.writers)
    notice = await _notice(request, object_id) if may_change else None
    return _object_page(whole, traced, similar, may_change=may_change, notice=notice)


async def _notice(request: AnyRequest, object_id: UUID) -> Notice | None:
    """Return that an object is about to be removed, if it is: for those alone who may change it."""
    async with requests.engines(request).database.transaction() as session:
        return await explaining.notice_of(session, object_id)


async def _similar(request: AnyRequest, whole: Whole, visitor: Caller) -> list[AlikeObject]:
    """Return what is most like an object; nothing while the index is away: the page is of the object."""
    with suppress(Unavailable):
        return await hints_api.alike(requests.engines(request), whole.entry, visitor, objects.SIMILAR_SHOWN)
    return []


async def _traced(request: AnyRequest, object_id: UUID, caller: Caller) -> lineage.Traced:
    """Return what an object came from, what came of it, and who is responsible, as the caller may see it."""
    graph = await provenance_api.read(
        request, object_id, caller, direction=Direction.BOTH, depth=1, most=lineage.STEPS_SHOWN_MAX + 1
    )
    return lineage.traced(msgspec.to_builtins(graph))


@get("/objects/{object_id:str}/versions/{version:str}", include_in_schema=False)
async def show_version(request: AnyRequest) -> Response[str]:
    """Show one object as it was published."""
    object_id = requests.object_id(request)
    return _object_page(
        await landing_api.read(request, object_id, await login.visitor(request), str(request.path_params["version"]))
    )


def _object_page(
    whole: Whole,
    traced: lineage.Traced | None = None,
    similar: Sequence[AlikeObject] = (),
    *,
    may_change: bool = False,
    notice: Notice | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    shown = msgspec.to_builtins(shapes.shown_object(whole.entry))
    if whole.shown is not None:
        shown = objects.as_published(shown, msgspec.to_builtins(whole.shown))
    html = objects.render_object(
        shown,
        whole.work,
        versions=msgspec.to_builtins(whole.shown_versions),
        traced=traced,
        similar=msgspec.to_builtins(similar),
        edit_address=desk.edit_address(str(whole.entry.id)) if may_change else None,
        titles={str(object_id): title for object_id, title in whole.titles.items()},
        removal=_removal(notice),
    )
    return page(html, headers={"Cache-Control": "no-cache", **(headers or {})})


def _removal(notice: Notice | None) -> objects.Removal | None:
    if notice is None:
        return None
    return objects.Removal(notice.removes_at.isoformat(), notice.rule.text, notice.rule.place)


@get("/snapshots/{snapshot_id:str}", include_in_schema=False)
async def show_snapshot(request: AnyRequest) -> Response[str]:
    """Show what a question found at a moment."""
    return await _snapshot_page(request, requests.object_id(request, "snapshot_id"))


async def _snapshot_page(request: AnyRequest, snapshot_id: UUID) -> Response[str]:
    shown = await snapshots_api.read(request, snapshot_id, start=0, limit=snapshots_api.LIMIT_DEFAULT)
    work = await snapshots_api.work(request, snapshot_id)
    html = landing.render_snapshot(msgspec.to_builtins(shown), work)
    return page(html, headers={"Cache-Control": "no-cache", "Vary": "Accept"})


@get("/doi/{prefix:str}/{suffix:str}", include_in_schema=False)
async def show_doi(request: AnyRequest) -> Response[Any]:
    """Show what a DOI names, in the format that is asked for; of what was withdrawn, that it was."""
    doi = f"{request.path_params['prefix']}/{request.path_params['suffix']}".lower()
    found = await landing_api.landing_of(request, doi)
    house = requests.engines(request).house
    cited = house.page_of(found.view.doi)
    wanted = requests.accepted(request, {**objects_api.MEDIA_TYPES, "html": "text/html"})
    if found.work is not None and wanted not in {None, "html", objects_api.ObjectFormat.JSON}:
        return objects_api.written(found.work, objects_api.ObjectFormat(wanted))
    if found.snapshot is not None:
        return await _snapshot_page(request, UUID(found.snapshot.id))
    if found.whole is None:
        left = None if found.left is None else wording.object_address(str(found.left))
        html = landing.render_tombstone(
            found.view.registered or {},
            doi=doi,
            page=cited,
            detail=found.gone or "",
            what_is_gone="What it found is" if found.view.snapshot_id is not None else "Its files are",
            left_address=left,
        )
        return page(html, headers={"Cache-Control": "no-cache", "Vary": "Accept"})
    whole = found.whole
    place = f"/api/objects/{whole.entry.id}"
    if whole.published is not None:
        place += f"/versions/{whole.published.version.number}"
    signposts = landing.signposts(
        cite_as=whole.work.link,
        described_by=[(f"{house.address}{place}?format={name}", one.media_type) for name, one in FORMATS.items()],
        record=whole.work.record,
    )
    traced = None if whole.published is not None else await _traced(request, whole.entry.id, NOBODY)
    return _object_page(whole, traced, headers={"Link": signposts, "Vary": "Accept"})


@get(["/{address:path}", "/objects", "/objects/{object_id:str}/{address:path}", "/static"], include_in_schema=False)
async def show_nothing() -> Response[str]:
    """Answer every address that no other route knows."""
    raise NotFoundException


@get("/objects/{object_id:str}/files/{path:path}", include_in_schema=False)
async def download(request: AnyRequest) -> Response[bytes]:
    """Send whoever may see an object to the bytes of one of its files."""
    return await files_api.download(request, await login.visitor(request), base="/objects")


@get("/objects/{object_id:str}/versions/{version:str}/files/{path:path}", include_in_schema=False)
async def download_published(request: AnyRequest) -> Response[bytes]:
    """Send whoever may see an object to the bytes of a file as it was published."""
    return await versions_api.download(request, await login.visitor(request), base="/objects")


def _as_page(answer: Callable[..., Response[bytes]]) -> Callable[..., Response[str]]:
    """Return an error handler that shows as a page what the API's handler tells as a problem document."""

    def shown(request: AnyRequest, fault: Exception) -> Response[str]:
        told = answer(request, fault)
        problem = msgspec.json.decode(told.content)
        faults = [Fault(each["pointer"], each["message"], each.get("suggestion")) for each in problem.get("errors", ())]
        left = wording.object_address(request.path_params["object_id"]) if isinstance(fault, VersionGone) else None
        # The API's sentence tells programs of bearer tokens, which count for no page; that of a login is for people.
        nobody = type(fault) is Unauthenticated and not request.scope["path"].startswith("/login")
        never = nobody and requests.engines(request).login is None
        for_people = problems.NO_LOGIN if never else problems.FOR_PEOPLE
        html = problems.render_problem(
            problem["status"],
            for_people if nobody else problem["detail"],
            faults,
            request_id=problem["request_id"],
            gone=type(fault),
            left_address=left,
            titled=problems.NO_LOGIN_HEADING if never else None,
        )
        return page(html, status=problem["status"], headers=told.headers)

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


async def _begin(request: AnyRequest) -> None:
    """Find out who looks at a page, and which object is meant where one is named."""
    await login.recognise(request)
    await addressing.look_up(request, login.visitor)


# What people look at; each is looked at in tests, too (`tests/browser/places.py`).
PAGES: list[HTTPRouteHandler] = [
    show_search,
    show_object,
    show_version,
    show_doi,
    show_snapshot,
    *concepts.PAGES,
    *scopes.PAGES,
    *differences.PAGES,
    *tracing.PAGES,
    *previews.PAGES,
    *desk.PAGES,
    *parked.PAGES,
    *tokens.PAGES,
    *saved.PAGES,
]

ROUTES: list[ControllerRouterHandler] = [
    Router(
        "/",
        route_handlers=[
            *login.ROUTES,
            *PAGES,
            *desk.FORMS,
            *parked.FORMS,
            *tokens.FORMS,
            suggest,
            *saved.FORMS,
            download,
            download_published,
            show_nothing,
        ],
        before_request=_begin,
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
