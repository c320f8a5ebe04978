"""How many objects a question finds for whoever looks at a page: counted by the search, and so for that audience."""

import msgspec

from catalog.api import questions, requests
from catalog.api import search as search_api
from catalog.api.requests import AnyRequest
from catalog.errors import Unavailable
from catalog.web import login
from catalog.web.search import Choice, facets_of
from catalog.web.state import State


async def found(request: AnyRequest, state: State) -> int | None:
    """Return how many objects a search shows; None while the index does not answer."""
    counted = await by_facet(request, state)
    return None if counted is None else counted[0]


async def by_facet(request: AnyRequest, state: State, *facets: str) -> tuple[int, dict[str, list[Choice]]] | None:
    """Return how many objects a search shows, and the values of some facets; None while the index does not answer."""
    asked = {**state.asked(), "facet": list(facets), "limit": 1}
    try:
        answer = await search_api.answer(
            request, requests.parsed(msgspec.json.encode(asked), questions.SearchBody), await login.visitor(request)
        )
    except Unavailable:
        return None
    told = msgspec.to_builtins(answer)
    shown = facets_of(told.get("facets") or {}, state, {})
    return told["total"], {facet.name: [*facet.shown, *facet.folded] for facet in shown}
