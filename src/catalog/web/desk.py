"""The curator's desk: what waits, and changes that are looked at first, made by a form, and taken back.

Asks the functions of `/api/curation` and of proposals, which decide who may see and do what.
"""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from catalog.api import curation as curation_api
from catalog.api import objects as objects_api
from catalog.api import parked as parked_api
from catalog.api import proposals as proposals_api
from catalog.api import requests, shapes
from catalog.api import vocabularies as vocabularies_api
from catalog.api.requests import AnyRequest
from catalog.curation import queues
from catalog.errors import Fault, Invalid
from catalog.objects import kinds, validation
from catalog.web import editing, login, rendering, wording
from catalog.web.answers import NO_STORE, form, page, sent_to
from catalog.web.concepts import concept_address
from catalog.web.differences import place_of
from catalog.web.state import State

SHOWN = 50
DESK = "/desk"
PLACES = {"discovered-files": f"{DESK}/discovered", "unfound-searches": f"{DESK}/unfound"}


def _shown(template: str, **values: Any) -> Response[str]:
    return page(rendering.render(template, state=State(), **values), headers=NO_STORE)


def _queue_label(name: str) -> str:
    return wording.label_of(name.replace("-", " "))


def _key() -> str:
    who = login.account.get()
    return (who.form_key if who else None) or ""


@get(DESK, include_in_schema=False)
async def show_desk(request: AnyRequest) -> Response[str]:
    """Show what waits for the visitor."""
    visitor = await login.visitor(request)
    told = await curation_api.counted(request, visitor)
    waiting = [
        (one.title, one.waiting, PLACES.get(one.name, f"{DESK}/queues/{one.name}"), _queue_label(one.name))
        for one in told.items
    ]
    proposed = sum(len(found) for _, found in await _proposed(request)) if visitor.audience.everything else None
    parked = await parked_api.number(request, visitor) if visitor.audience.everything else None
    return _shown("desk.html", waiting=waiting, proposed=proposed, parked=parked)


@get(f"{DESK}/queues/{{queue:str}}", include_in_schema=False)
async def show_queue(request: AnyRequest) -> Response[str]:
    """Show what waits in a queue, with a form to change one field of what is chosen."""
    name = str(request.path_params["queue"])
    question = {name: value for name, value in request.query_params.items() if name in {"project", "cursor"} and value}
    asked = requests.parsed(msgspec.json.encode({**question, "limit": SHOWN}), curation_api.QueueQuery)
    told = await curation_api.waiting(request, await login.visitor(request), name, asked)
    here = f"{DESK}/queues/{name}"
    return _shown(
        "desk_queue.html",
        title=queues.named(name).title,
        label=_queue_label(name),
        project=asked.project,
        items=[
            {
                "id": str(one.id),
                "title": one.title,
                "kind_label": wording.kind_title(one.kind),
                "project": one.project,
                "score": one.score,
                "failed": ", ".join(one.failed),
                "address": wording.object_address(str(one.id)),
                "edit_address": edit_address(str(one.id)),
            }
            for one in told.items
        ],
        fields=editing.common_fields(),
        form_key=_key(),
        next_address=f"{here}?{urlencode({**question, 'cursor': told.cursor})}" if told.cursor else None,
        here=here,
    )


@get(f"{DESK}/discovered", include_in_schema=False)
async def show_discovered(request: AnyRequest) -> Response[str]:
    """Show files that no object claims."""
    question = {name: value for name, value in request.query_params.items() if name in {"project", "cursor"} and value}
    asked = requests.parsed(msgspec.json.encode({**question, "limit": SHOWN}), curation_api.DiscoveredQuery)
    told = await curation_api.unclaimed(request, await login.visitor(request), asked)
    rows = [
        (one.key, one.project or "no project", wording.size_text(one.size), one.modified_at.isoformat())
        for one in told.items
    ]
    next_address = f"{DESK}/discovered?{urlencode({**question, 'cursor': told.cursor})}" if told.cursor else None
    return _shown("desk_discovered.html", rows=rows, next_address=next_address)


@get(f"{DESK}/unfound", include_in_schema=False)
async def show_unfound(request: AnyRequest) -> Response[str]:
    """Show texts that found nothing."""
    told = await curation_api.missed(request, await login.visitor(request), curation_api.UnfoundQuery(limit=SHOWN))
    rows = [(one.text, State(q=one.text).address(), one.times, one.last_at.isoformat()) for one in told.items]
    return _shown("desk_unfound.html", rows=rows)


async def _proposed(request: AnyRequest) -> list[tuple[str, list[proposals_api.ShownProposal]]]:
    asked = requests.parsed(msgspec.json.encode({"state": "open", "limit": SHOWN}), proposals_api.ProposalQuery)
    visitor = await login.visitor(request)
    told = []
    for scheme in (await vocabularies_api.every(request)).items:
        found = await proposals_api.listed(request, visitor, scheme.name, asked)
        if found.items:
            told.append((scheme.title, found.items))
    return told


@get(f"{DESK}/proposals", include_in_schema=False)
async def show_proposals(request: AnyRequest) -> Response[str]:
    """Show terms that wait for a decision."""
    visitor = await login.visitor(request)
    visitor.must_look_after_all()
    told = [
        (
            title,
            [(msgspec.to_builtins(one), concept_address(one.broader) if one.broader else None) for one in found],
        )
        for title, found in await _proposed(request)
    ]
    return _shown("desk_proposals.html", schemes=told, form_key=_key())


@post(f"{DESK}/proposals/{{scheme:str}}/{{proposal_id:str}}", status_code=303, include_in_schema=False)
async def decide(request: AnyRequest) -> Response[Any]:
    """Accept, merge or decline a proposed term."""
    fields = dict(await form(request))
    decision: proposals_api.Merging | proposals_api.Declining | None = None
    match fields.get("decision"):
        case "accept":
            pass
        case "merge":
            sent = msgspec.json.encode({"into": fields.get("into", "").strip()})
            decision = requests.parsed(sent, proposals_api.Merging)
        case "decline":
            sent = msgspec.json.encode({"reason": fields.get("reason", "")})
            decision = requests.parsed(sent, proposals_api.Declining)
        case _:
            raise Invalid("The form says no decision.", faults=[Fault("/decision", "accept, merge or decline")])
    proposal_id = requests.object_id(request, "proposal_id")
    await proposals_api.decided(
        request, await login.visitor(request), str(request.path_params["scheme"]), proposal_id, decision
    )
    return sent_to(f"{DESK}/proposals")


def edit_address(object_id: str) -> str:
    """Return the path of the form with which an object is changed."""
    return f"{wording.object_address(object_id)}/edit"


@get("/objects/{object_id:str}/edit", include_in_schema=False)
async def show_edit(request: AnyRequest) -> Response[str]:
    """Show the form with which an object is changed, built from its kind's schema."""
    visitor = await login.visitor(request)
    visitor.must_be_known()
    entry = await objects_api.read(request, requests.object_id(request), visitor)
    shown = msgspec.to_builtins(shapes.shown_object(entry))
    fields = editing.fields_of(validation.schema_of(kinds.named(entry.kind)), shown)
    return _shown(
        "edit.html",
        title=shown["title"],
        object_address=wording.object_address(str(entry.id)),
        kind_label=wording.kind_title(entry.kind),
        groups=editing.grouped(fields),
        form_key=_key(),
        here=edit_address(str(entry.id)),
    )


@post("/objects/{object_id:str}/edit", status_code=200, include_in_schema=False)
async def preview_edit(request: AnyRequest) -> Response[str]:
    """Show what the form of one object would change."""
    sent = await form(request)
    visitor = await login.visitor(request)
    entry = await objects_api.read(request, requests.object_id(request), visitor)
    shown = msgspec.to_builtins(shapes.shown_object(entry))
    fields = editing.fields_of(validation.schema_of(kinds.named(entry.kind)), shown)
    patch = editing.patch_from(sent, fields)
    return await _previewed(request, [str(entry.id)], patch, back=edit_address(str(entry.id)))


@post(f"{DESK}/preview", status_code=200, include_in_schema=False)
async def preview_field(request: AnyRequest) -> Response[str]:
    """Show what setting one field of chosen objects would change."""
    sent = await form(request)
    told = dict(sent)
    chosen = [value for name, value in sent if name == "object"]
    patch = editing.common_patch(told.get("field", ""), told.get("value", ""))
    back = told.get("back", DESK)
    return await _previewed(request, chosen, patch, back=back if back.startswith(f"{DESK}/") else DESK)


async def _previewed(request: AnyRequest, chosen: list[str], patch: dict[str, Any], *, back: str) -> Response[str]:
    if not chosen:
        raise Invalid("Nothing is chosen.", faults=[Fault("/object", "choose at least one object")])
    if not patch:
        raise Invalid("Nothing is changed.", faults=[Fault("", "the form says what the object says already")])
    looking = msgspec.json.encode({"select": {"objects": chosen}, "patch": patch})
    plan = await curation_api.planned(
        request, await login.visitor(request), requests.parsed(looking, curation_api.Looking)
    )
    return _shown(
        "edit_preview.html",
        objects=_planned(plan.objects),
        changing=plan.changing,
        refusing=plan.refusing,
        making=msgspec.json.encode({"select": {"objects": chosen}, "patch": patch, "preview": plan.digest}).decode(),
        form_key=_key(),
        back=back,
    )


def _planned(objects: list[curation_api.ShownPlanned]) -> list[dict[str, Any]]:
    return [
        {
            "title": one.title,
            "address": wording.object_address(str(one.id)),
            "changes": editing.changes_of(one.changes),
            "faults": [(place_of(fault.pointer) or "It", fault.message, fault.suggestion) for fault in one.faults],
        }
        for one in objects
    ]


@post(f"{DESK}/edits", status_code=303, include_in_schema=False)
async def make_edit(request: AnyRequest) -> Response[Any]:
    """Make a change that was looked at."""
    sent = dict(await form(request)).get("making", "")
    wanted = requests.parsed(sent.encode(), curation_api.Making)
    made = await curation_api.made(request, await login.visitor(request), wanted)
    return sent_to(_edit_place(made.id))


def _edit_place(edit_id: UUID) -> str:
    return f"{DESK}/edits/{edit_id}"


@get(f"{DESK}/edits", include_in_schema=False)
async def show_edits(request: AnyRequest) -> Response[str]:
    """Show changes that were made, newest first."""
    question = {"limit": SHOWN, "cursor": request.query_params.get("cursor")}
    asked = requests.parsed(msgspec.json.encode(question), curation_api.PageQuery)
    told = await curation_api.edits(request, await login.visitor(request), asked)
    rows = [
        (_edit_place(one.id), one.by, one.made_at.isoformat(), one.undone_at is not None, ", ".join(_fields(one.patch)))
        for one in told.items
    ]
    next_address = f"{DESK}/edits?{urlencode({'cursor': told.cursor})}" if told.cursor else None
    return _shown("desk_edits.html", rows=rows, next_address=next_address)


def _fields(patch: dict[str, Any]) -> list[str]:
    return [wording.label_of(name) for name in patch]


@get(f"{DESK}/edits/{{edit_id:str}}", include_in_schema=False)
async def show_edit_made(request: AnyRequest) -> Response[str]:
    """Show a change that was made, with the way to take it back."""
    edit_id = requests.object_id(request, "edit_id")
    told = await curation_api.edit(request, await login.visitor(request), edit_id)
    return _shown(
        "edit_made.html",
        objects=_planned(told.objects),
        by=told.by,
        made_at=told.made_at.isoformat(),
        undone_at=told.undone_at.isoformat() if told.undone_at else None,
        undo_address=f"{_edit_place(edit_id)}/undo",
        form_key=_key(),
    )


@post(f"{DESK}/edits/{{edit_id:str}}/undo", status_code=200, include_in_schema=False)
async def undo_edit(request: AnyRequest) -> Response[str]:
    """Take a change back, and tell what stays because somebody changed it since."""
    await form(request)
    edit_id = requests.object_id(request, "edit_id")
    told = await curation_api.undone(request, await login.visitor(request), edit_id)
    return _shown(
        "edit_undone.html",
        undone=len(told.undone),
        left=[(wording.object_address(str(one.id)), str(one.id), one.reason) for one in told.left],
        edit_address=_edit_place(edit_id),
    )


PAGES: list[HTTPRouteHandler] = [
    show_desk,
    show_queue,
    show_discovered,
    show_unfound,
    show_proposals,
    show_edit,
    show_edits,
    show_edit_made,
]
FORMS: list[HTTPRouteHandler] = [decide, preview_edit, preview_field, make_edit, undo_edit]
