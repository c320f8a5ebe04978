"""Saved searches as pages: one's own, a form to save the one at hand, and what links in mails lead to.

Whoever has a link of a mail may end what it is about; a page asks first, since programs look at links of their own.
"""

from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from catalog.alerts import addresses, telling
from catalog.alerts.addresses import Address
from catalog.alerts.keys import is_same
from catalog.alerts.saved import Saved
from catalog.api import requests
from catalog.api import saved_searches as saved_api
from catalog.api.requests import AnyRequest
from catalog.errors import Invalid, NotFound
from catalog.web import login, rendering
from catalog.web.answers import NO_STORE, form, page, sent_to
from catalog.web.state import State

SAVED = "/saved-searches"
STOPPED = "Whoever reads the messages has stopped them."
# What a form of a mail program sends (RFC 8058, section 3.1), and what our own pages do.
LETTER_BYTES_MAX = 1024
QUESTION_CHARS_MAX = 20_000
WAYS = {"feed": "By a feed alone", "mail": "By mail", "webhook": "By a webhook"}
RHYTHMS = {"at_once": "As it comes", "daily": "Once a day, at 06:00 UTC"}
# What of a page's state is no question, or none that can be watched: what is near in meaning is no news.
_SHOWN_ALONE = ("facet", "sort", "limit", "cursor", "hybrid")


def question_of(state: State) -> dict[str, Any]:
    """Return what of a page's state is kept when it is saved."""
    return {name: value for name, value in state.asked().items() if name not in _SHOWN_ALONE}


def save_address(state: State) -> str:
    """Return the address of the form that saves the question of a search page."""
    return f"{SAVED}?{urlencode(state.from_start().pairs)}"


@get(SAVED, include_in_schema=False)
async def show_saved(request: AnyRequest) -> Response[str]:
    """Show the visitor's own saved searches, and the form to save the question in the address."""
    state = State.of(request.query_params.multi_items())
    state.must_be_short()
    return await _shown(request, state)


async def _shown(
    request: AnyRequest, state: State, opened: tuple[str, saved_api.FeedAddresses] | None = None
) -> Response[str]:
    found = await saved_api.listed(request, await login.visitor(request))
    who = login.account.get()
    ways = dict(WAYS)
    if requests.engines(request).alerting.mailer is None:
        del ways["mail"]
    html = rendering.render(
        "saved.html",
        state=State(),
        saved=[_told(one, opened) for one in found.items],
        question=None if state.is_first_visit else urlencode(state.from_start().pairs),
        words=" · ".join(value for _, value in state.from_start().pairs),
        ways=ways.items(),
        rhythms=RHYTHMS.items(),
        form_key=(who.form_key if who else None) or "",
    )
    return page(html, headers=NO_STORE)


def _told(one: saved_api.ShownSaved, opened: tuple[str, saved_api.FeedAddresses] | None) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(one)
    asked = ((name, value) for name, values in one.query.items() for value in _listed(values))
    told["address"] = f"/?{urlencode(list(asked))}"
    told["way"] = WAYS[one.tell.by]
    told["rhythm"] = RHYTHMS[one.tell.when] if one.tell.by != "feed" else ""
    told["opened"] = msgspec.to_builtins(opened[1]) if opened is not None and opened[0] == str(one.id) else None
    return told


def _listed(values: Any) -> list[str]:
    told = values if isinstance(values, list) else [values]
    return [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in told]


@post(SAVED, status_code=303, include_in_schema=False)
async def save(request: AnyRequest) -> Response[Any]:
    """Save the question that the form was made for."""
    told = dict(await form(request))
    question = told.get("question", "")
    if len(question) > QUESTION_CHARS_MAX:
        raise Invalid(f"A question to save here has at most {QUESTION_CHARS_MAX:,} characters.")
    state = State.of(parse_qsl(question))
    by = told.get("by", "feed")
    tell: dict[str, Any] = {"by": by, "when": told.get("when", "at_once")}
    if by != "feed":
        tell["address"] = told.get("address", "").strip() or None
    wanted = {"name": told.get("name", ""), "query": question_of(state), "tell": tell}
    draft = requests.parsed(msgspec.json.encode(wanted), saved_api.SavedDraft)
    await saved_api.made(request, await login.visitor(request), draft)
    return sent_to(SAVED)


@post(f"{SAVED}/{{saved_id:str}}/feed-key", status_code=200, include_in_schema=False)
async def open_feed(request: AnyRequest) -> Response[str]:
    """Make addresses of a feed that need no login, and show them."""
    await form(request)
    saved_id = requests.object_id(request, "saved_id")
    made = await saved_api.opened_feed(request, await login.visitor(request), saved_id)
    return await _shown(request, State(), (str(saved_id), made))


@post(f"{SAVED}/{{saved_id:str}}/remove", status_code=303, include_in_schema=False)
async def remove(request: AnyRequest) -> Response[Any]:
    """Remove a saved search."""
    await form(request)
    saved_id = requests.object_id(request, "saved_id")
    await saved_api.removed(request, await login.visitor(request), saved_id)
    return sent_to(SAVED)


# What links in messages lead to


@get(f"{SAVED}/{{saved_id:str}}/unsubscribe", include_in_schema=False)
async def ask_to_unsubscribe(request: AnyRequest) -> Response[str]:
    """Ask whether the messages of a search shall end."""
    search = await _stoppable(request)
    lead = f"They tell what fits the saved search called {search.name}."
    return _letter(request, "Stop these messages?", lead, [("yes", "Stop them")])


@post(f"{SAVED}/{{saved_id:str}}/unsubscribe", status_code=200, include_in_schema=False)
async def unsubscribe(request: AnyRequest) -> Response[str]:
    """End the messages of a search."""
    search = await _stoppable(request)
    await requests.limited(request, LETTER_BYTES_MAX)
    async with requests.engines(request).database.transaction() as session:
        await telling.stop(session, search.id, STOPPED)
    return _letter(request, "No more messages", "They have been stopped. Whoever saved the search is told so.", [])


async def _stoppable(request: AnyRequest) -> Saved:
    """Return the search that a link of its messages is about; raises NotFound."""
    engines = requests.engines(request)
    saved_id = requests.object_id(request, "saved_id")
    _must_fit(request, engines.alerting.keys.to_unsubscribe(saved_id))
    async with engines.database.transaction() as session:
        return await telling.stoppable(session, saved_id)


@get("/mail-addresses/{address_id:str}", include_in_schema=False)
async def ask_for_address(request: AnyRequest) -> Response[str]:
    """Ask whoever reads an address whether they want mail there."""
    known = await _address(request)
    lead = (
        f"The account {known.principal} wants mail at {known.address} when something new fits its saved searches, "
        "and when a store fails that it looks after."
    )
    return _letter(request, "Is this your address?", lead, [("yes", "Yes, send mail"), ("no", "No, never")])


@post("/mail-addresses/{address_id:str}", status_code=200, include_in_schema=False)
async def answer_for_address(request: AnyRequest) -> Response[str]:
    """Keep what whoever reads an address says."""
    known = await _address(request)
    sent = dict(parse_qsl((await requests.limited(request, LETTER_BYTES_MAX)).decode("ascii", "replace")))
    wanted = sent.get("wanted") == "yes"
    async with requests.engines(request).database.transaction() as session:
        await addresses.answer(session, known.id, wanted=wanted)
    return _letter(request, "Thank you", "Mail will come." if wanted else "No mail will come from this account.", [])


async def _address(request: AnyRequest) -> Address:
    """Return the address that a link is about; raises NotFound."""
    engines = requests.engines(request)
    address_id: UUID = requests.object_id(request, "address_id")
    _must_fit(request, engines.alerting.keys.to_confirm(address_id))
    async with engines.database.transaction() as session:
        return await addresses.find(session, address_id)


def _must_fit(request: AnyRequest, expected: str) -> None:
    if not is_same(expected, request.query_params.get("key", "")):
        raise NotFound("This link leads nowhere; take it from the message as a whole.")


def _letter(request: AnyRequest, title: str, lead: str, answers: list[tuple[str, str]]) -> Response[str]:
    asked = urlencode({"key": request.query_params.get("key", "")})
    here = f"{request.scope['path']}?{asked}"
    html = rendering.render("letter.html", state=State(), title=title, lead=lead, answers=answers, here=here)
    # The address holds a key: it goes to nobody.
    return page(html, headers=NO_STORE | {"Referrer-Policy": "no-referrer"})


PAGES: list[HTTPRouteHandler] = [show_saved, ask_to_unsubscribe, ask_for_address]
FORMS: list[HTTPRouteHandler] = [save, open_feed, remove, unsubscribe, answer_for_address]
