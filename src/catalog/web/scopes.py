"""The pages of organizations and projects: what is there for whoever looks, and who belongs, for who may know it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from catalog.api import health as health_api
from catalog.api import organizations as organizations_api
from catalog.api import questions, requests
from catalog.api import roles as roles_api
from catalog.api import search as search_api
from catalog.api.requests import AnyRequest
from catalog.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from catalog.web import counting, login, rendering, wording
from catalog.web.answers import page
from catalog.web.search import Card, card_of
from catalog.web.state import State

NEWEST_SHOWN = 5
KEPT = {"Cache-Control": "no-cache"}


@get("/organizations", include_in_schema=False)
async def show_organizations(request: AnyRequest) -> Response[str]:
    """Show the organizations of which the visitor sees anything."""
    found = await organizations_api.seen(request, await login.visitor(request))
    shown = [(name, title or name, organization_address(name)) for name, title in found]
    return page(rendering.render("organizations.html", state=State(), organizations=shown), headers=KEPT)


@get("/organizations/{organization:str}", include_in_schema=False)
async def show_organization(request: AnyRequest) -> Response[str]:
    """Show an organization with its projects."""
    told = await organizations_api.organization(request, await login.visitor(request))
    everything = State(q=f"organization:{told.name}")
    counted = await counting.by_facet(request, everything, "project", "kind")
    total, facets = (None, {}) if counted is None else counted
    counts = {choice.value: choice.count for choice in facets.get("project", ())}
    html = rendering.render(
        "organization.html",
        state=State(),
        title=told.title or told.name,
        name=told.name,
        role=told.role,
        total=total,
        everything=everything.address(),
        kinds=_narrowed(everything, facets.get("kind", ())),
        projects=[
            (one.title or one.name, one.name, project_address(one.name), counts.get(one.name)) for one in told.projects
        ],
        members=await _members(request, told.name),
        stores=await _stores(request, told.name),
        json_address=f"/api/organizations/{told.name}",
    )
    return page(html, headers=KEPT)


@get("/projects/{organization:str}/{project:str}", include_in_schema=False)
async def show_project(request: AnyRequest) -> Response[str]:
    """Show a project: how much of what is there, and what is newest."""
    told = await organizations_api.project(request, await login.visitor(request))
    everything = State(chosen={"project": (told.name,)})
    counted = await counting.by_facet(request, everything, "kind")
    total, facets = (None, {}) if counted is None else counted
    organization = told.name.partition("/")[0]
    html = rendering.render(
        "project.html",
        state=State(),
        title=told.title or told.name,
        name=told.name,
        role=told.role,
        organization=organization,
        organization_address=organization_address(organization),
        total=total,
        everything=everything.address(),
        kinds=_narrowed(everything, facets.get("kind", ())),
        newest=await _newest(request, everything),
        members=await _members(request, told.name),
        json_address=f"/api/projects/{told.name}",
    )
    return page(html, headers=KEPT)


def organization_address(name: str) -> str:
    """Return the path of an organization's page."""
    return f"/organizations/{name}"


def project_address(name: str) -> str:
    """Return the path of a project's page."""
    return f"/projects/{name}"


def _narrowed(everything: State, choices: Sequence[Any]) -> list[tuple[str, int | None, str]]:
    return [(one.label, one.count, everything.with_only("kind", one.value).address()) for one in choices]


async def _newest(request: AnyRequest, everything: State) -> list[Card]:
    asked = {**everything.asked(), "sort": "newest", "limit": NEWEST_SHOWN}
    try:
        question = requests.parsed(msgspec.json.encode(asked), questions.SearchBody)
        answer = await search_api.answer(request, question, await login.visitor(request))
    except Unavailable:
        return []
    return [card_of(hit) for hit in msgspec.to_builtins(answer)["hits"]]


async def _members(request: AnyRequest, scope: str) -> list[tuple[str, str, str]] | None:
    """Return who belongs there in which role; None for who may not know it."""
    try:
        told = await roles_api.belonging(request, scope, await login.visitor(request))
    except (Unauthenticated, Forbidden, NotFound):
        return None
    return [(one.member, wording.label_of(one.role), one.created_at.isoformat()) for one in told.items]


async def _stores(request: AnyRequest, organization: str) -> list[tuple[str, str, str, str | None]] | None:
    """Return the stores that it brought, what each is for and how it is since when; None for who may not know it."""
    try:
        told = await health_api.known(request, organization, await login.visitor(request))
    except (Unauthenticated, Forbidden, NotFound):
        return None
    return [
        (
            one.name,
            ", ".join(sorted(one.uses)),
            wording.health_text(None if view is None else view.standing),
            None if view is None else view.standing.since.isoformat(),
        )
        for one, view in told
    ]


PAGES: list[HTTPRouteHandler] = [show_organizations, show_organization, show_project]
