"""The desk's page of what was set aside in the queue, with forms to try it again or to discard it.

Asks the functions of `/api/operations/queue/parked`, which decide who may see and do what.
"""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from catalog.api import parked as parked_api
from catalog.api import requests
from catalog.api.requests import AnyRequest
from catalog.errors import Fault, Invalid
from catalog.web import login, rendering, wording
from catalog.web.answers import NO_STORE, form, page, sent_to
from catalog.web.state import State

SHOWN = 50
PARKED = "/desk/parked"


def _label(topic: str) -> str:
    return wording.label_of(topic.replace("-", " "))


@get(PARKED, include_in_schema=False)
async def show_parked(request: AnyRequest) -> Response[str]:
    """Show what was set aside, by topic, with the reason."""
    question = {name: value for name, value in request.query_params.items() if name in {"topic", "cursor"} and value}
    asked = requests.parsed(msgspec.json.encode({**question, "limit": SHOWN}), parked_api.ParkedQuery)
    visitor = await login.visitor(request)
    told = await parked_api.listed(request, visitor, asked)
    unread = await parked_api.unread(request, visitor, parked_api.UnreadableQuery(limit=SHOWN))
    who = login.account.get()
    html = rendering.render(
        "desk_parked.html",
        state=State(),
        items=[(one, _label(one.topic), one.parked_at.isoformat()) for one in told.items],
        topics=[
            (topic, _label(topic), count, f"{PARKED}?{urlencode({'topic': topic})}")
            for topic, count in sorted(told.topics.items())
        ],
        topic=asked.topic,
        topic_label=_label(asked.topic) if asked.topic else None,
        unread=[(one.dialect, one.reason, one.received_at.isoformat()) for one in unread.items],
        form_key=(who.form_key if who else None) or "",
        next_address=f"{PARKED}?{urlencode({**question, 'cursor': told.cursor})}" if told.cursor else None,
        here=PARKED,
    )
    return page(html, headers=NO_STORE)


@post(PARKED, status_code=303, include_in_schema=False)
async def decide_parked(request: AnyRequest) -> Response[Any]:
    """Have one entry, or all of a topic, tried again; or discard one."""
    fields = dict(await form(request))
    visitor = await login.visitor(request)
    visitor.must_look_after_all()
    number = fields.get("id", "")
    match fields.get("decision"):
        case "retry":
            await parked_api.retried(request, visitor, parked_api.Retrying(id=parked_api.number_of(number)))
        case "retry all":
            sent = msgspec.json.encode({"topic": fields.get("topic")})
            await parked_api.retried(request, visitor, requests.parsed(sent, parked_api.Retrying))
        case "discard":
            await parked_api.discarded(request, visitor, parked_api.number_of(number))
        case _:
            raise Invalid("The form says no decision.", faults=[Fault("/decision", "retry, retry all or discard")])
    return sent_to(PARKED)


PAGES: list[HTTPRouteHandler] = [show_parked]
FORMS: list[HTTPRouteHandler] = [decide_parked]
