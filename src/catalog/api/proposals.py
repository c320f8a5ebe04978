"""`/api/vocabularies/{scheme}/proposals`: terms that people miss, and what curators decide about them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.api import requests, shapes
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.objects import schemes
from catalog.objects.metadata import Line, printable
from catalog.vocabulary import looking_up, proposals, skos
from catalog.vocabulary.proposals import ProposalState, Proposed, TermProposal

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
LABEL_CHARS_MAX = 200
TEXT_CHARS_MAX = 2_000

Label = Annotated[Line, StringConstraints(min_length=1, max_length=LABEL_CHARS_MAX)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=TEXT_CHARS_MAX), AfterValidator(printable)]
Said = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=TEXT_CHARS_MAX), AfterValidator(printable)
]
# BCP 47 (RFC 5646), as SKOS files carry it here: in lower case, the parts that people use.
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[a-z0-9]{2,8}){0,2}$")]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=skos.URI_CHARS_MAX, pattern=r"^[!-~]+$")]


class Proposal(BaseModel):
    """A term that a vocabulary lacks."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: Label
    language: Language = "en"
    definition: Text = ""
    broader: Uri | None = Field(default=None, description="The URI of a concept of the vocabulary that is broader.")
    reason: Said = Field(description="Why it is needed.")


class Merging(BaseModel):
    """Which concept a proposed term is another name of."""

    model_config = ConfigDict(extra="forbid", strict=True)

    into: Uri


class Declining(BaseModel):
    """Why a term is not taken."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Said


class ProposalQuery(BaseModel):
    """Which proposals."""

    model_config = ConfigDict(extra="forbid")

    state: ProposalState | None = Field(default=None, description="Only proposals that stand so.")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many, the newest first.")


class ShownProposal(msgspec.Struct, frozen=True):
    """A proposal; `concept` is what came of it where it was accepted or merged, `answer` why it was declined."""

    id: UUID
    scheme: str
    label: str
    language: str
    definition: str
    broader: str | None
    reason: str
    state: str
    concept: str | None
    answer: str | None
    proposed_by: UUID
    proposed_at: datetime
    decided_at: datetime | None


class ProposalList(msgspec.Struct, frozen=True):
    """Some proposals, the newest first."""

    items: list[ShownProposal]


EXAMPLE = {
    "label": "Bat detection",
    "language": "en",
    "definition": "Finding the calls of bats in a recording.",
    "broader": "urn:x-catalog:ml-tasks:audio-processing",
    "reason": "We register models that do this.",
}


def _shown(proposal: TermProposal) -> ShownProposal:
    return ShownProposal(**{name: getattr(proposal, name) for name in ShownProposal.__struct_fields__})


def _answered(proposal: TermProposal, *, status: int = 200) -> Response[bytes]:
    return shapes.json_response(_shown(proposal), status=status)


@operation(
    "POST",
    "/api/vocabularies/{scheme:str}/proposals",
    Operation(
        id="propose_term",
        summary="Propose a term that a vocabulary lacks",
        description="For whoever may register objects. A term that waits for a decision already is answered as it is.",
        tag="vocabularies",
        token=True,
        body=Body(Proposal, example=EXAMPLE),
        answers={
            200: Answer("The term is proposed already.", ShownProposal),
            201: Answer("Proposed.", ShownProposal),
        },
        problems=(403, 404, 409, 413, 415, 422),
    ),
)
async def propose_term(request: AnyRequest) -> Response[bytes]:
    """Take one proposal."""
    principal_id = (await requests.caller(request)).must_register()
    asked = await requests.sent(request, Proposal)
    name = request.path_params["scheme"]
    async with requests.engines(request).database.transaction() as session:
        await looking_up.scheme(session, name)
        proposal, new = await proposals.propose(session, name, Proposed(**asked.model_dump()), by=principal_id)
    return _answered(proposal, status=201 if new else 200)


@operation(
    "GET",
    "/api/vocabularies/{scheme:str}/proposals",
    Operation(
        id="list_proposals",
        summary="List proposed terms",
        description="Curators see all of them, everybody else those of their own.",
        tag="vocabularies",
        token=True,
        query=ProposalQuery,
        answers={200: Answer("Proposals.", ProposalList)},
        problems=(404,),
    ),
)
async def list_proposals(request: AnyRequest) -> Response[bytes]:
    """List proposals."""
    caller = await requests.caller(request)
    caller.must_be_known()
    asked = requests.query(request, ProposalQuery)
    return shapes.json_response(await listed(request, caller, request.path_params["scheme"], asked))


async def listed(request: AnyRequest, caller: Caller, name: str, asked: ProposalQuery) -> ProposalList:
    """Return the proposals that this caller may see; as all below here, the pages ask here too; raises NotFound."""
    principal_id = caller.must_be_known()
    async with requests.engines(request).database.transaction() as session:
        await looking_up.scheme(session, name)
        found = await proposals.listed(
            session,
            name,
            state=asked.state,
            by=None if caller.audience.everything else principal_id,
            most=asked.limit,
        )
    return ProposalList([_shown(one) for one in found])


def _decision(verb: str, summary: str, description: str, body: Body | None = None) -> Callable[[Any], HTTPRouteHandler]:
    return operation(
        "POST",
        f"/api/vocabularies/{{scheme:str}}/proposals/{{proposal_id:str}}/{verb}",
        Operation(
            id=f"{verb}_proposal",
            summary=summary,
            description=f"{description} For curators. Deciding the same again changes nothing.",
            tag="vocabularies",
            token=True,
            scope=Scope.CURATE,
            body=body,
            answers={200: Answer("The proposal as it stands now.", ShownProposal)},
            problems=(403, 404, 409, 422) if body is None else (403, 404, 409, 413, 415, 422),
        ),
    )


@_decision("accept", "Make a concept of a proposed term", "The scheme gets a concept with the label and definition.")
async def accept_proposal(request: AnyRequest) -> Response[bytes]:
    """Accept one proposal."""
    return await _decided(request, None)


async def _decided(request: AnyRequest, decision: Merging | Declining | None) -> Response[bytes]:
    proposal_id = requests.object_id(request, "proposal_id")
    told = await decided(request, await requests.caller(request), request.path_params["scheme"], proposal_id, decision)
    return shapes.json_response(told)


async def decided(
    request: AnyRequest, caller: Caller, name: str, proposal_id: UUID, decision: Merging | Declining | None
) -> ShownProposal:
    """Accept a proposal, or merge or decline it as is said; raises Forbidden, NotFound, Conflict, Unprocessable."""
    by = caller.must_look_after_all()
    async with requests.engines(request).database.transaction() as session:
        match decision:
            case Merging():
                proposal = await schemes.merge(session, name, proposal_id, decision.into, by=by)
            case Declining():
                proposal = await schemes.decline(session, name, proposal_id, decision.reason, by=by)
            case None:
                proposal = await schemes.accept(session, name, proposal_id, by=by)
    return _shown(proposal)


@_decision(
    "merge",
    "Make a proposed term a synonym of a concept",
    "Objects that the concept describes are indexed anew.",
    Body(Merging, example={"into": "urn:x-catalog:ml-tasks:audio-classification"}),
)
async def merge_proposal(request: AnyRequest) -> Response[bytes]:
    """Merge one proposal into a concept."""
    (await requests.caller(request)).must_look_after_all()
    return await _decided(request, await requests.sent(request, Merging))


@_decision(
    "decline",
    "Decline a proposed term",
    "The reason stands in the proposal.",
    Body(Declining, example={"reason": "Too narrow: use audio classification."}),
)
async def decline_proposal(request: AnyRequest) -> Response[bytes]:
    """Decline one proposal."""
    (await requests.caller(request)).must_look_after_all()
    return await _decided(request, await requests.sent(request, Declining))


ROUTES: list[HTTPRouteHandler] = [propose_term, list_proposals, accept_proposal, merge_proposal, decline_proposal]
