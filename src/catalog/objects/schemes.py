"""Changing schemes together with what depends on them: every object whose document says something else afterwards."""

import re
from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from catalog import queue
from catalog.errors import Fault, Unprocessable
from catalog.objects import changing
from catalog.vocabulary import importing, looking_up, proposals, shipped
from catalog.vocabulary.importing import Difference
from catalog.vocabulary.proposals import ProposalState, TermProposal
from catalog.vocabulary.terms import Label, LabelKind, Term, Vocabulary

SLUG_CHARS_MAX = 80


async def load(
    session: AsyncSession,
    name: str,
    vocabulary: Vocabulary,
    *,
    digest: bytes,
    by: UUID | None,
    revisions: Sequence[int] | None = None,
    only_add: bool = False,
) -> Difference:
    """Make the scheme what the file says, and queue the objects that it describes anew; raises as `importing.load`."""
    called = {one.title for one in await looking_up.schemes(session, name=name)}
    difference = await importing.load(
        session, name, vocabulary, digest=digest, by=by, revisions=revisions, only_add=only_add
    )
    await index_described(session, name, changed=difference.changed, retired=difference.retired)
    if called and called != {one.title for one in await looking_up.schemes(session, name=name)}:
        # Registries are told what the scheme of each subject is called.
        await _look_at_dois(session, name, None)
    return difference


async def load_shipped(session: AsyncSession) -> dict[str, Difference]:
    """Bring every scheme that comes with the catalog to what this version says of it, and return what changed.

    A scheme that people have changed is only added to: what they made of it stays.
    """
    differences = {}
    for scheme in shipped.schemes():
        digest = importing.digest_of(scheme.body)
        if await importing.digest_held(session, scheme.name) != digest:
            only_add = await importing.changed_by_people(session, scheme.name)
            differences[scheme.name] = await load(
                session, scheme.name, scheme.vocabulary, digest=digest, by=None, only_add=only_add
            )
    return differences


async def retire(session: AsyncSession, name: str, uri: str, replacement: str | None, *, by: UUID) -> int:
    """Deprecate a concept, queue the objects that it describes, and return the scheme's new revision.

    Raises as `importing.retire`.
    """
    revision = await importing.retire(session, name, uri, replacement, by=by)
    await index_described(session, name, retired=[uri])
    return revision


async def accept(session: AsyncSession, name: str, proposal_id: UUID, *, by: UUID) -> TermProposal:
    """Make a concept of a proposal; accepted before, it is returned as it is.

    Raises NotFound, AlreadyDecided, and Unprocessable where the scheme has a concept of that name meanwhile.
    """
    proposal = await proposals.locked(session, name, proposal_id)
    if proposal.state == ProposalState.ACCEPTED:
        return proposal
    proposals.must_be_open(proposal)
    scheme = await looking_up.scheme(session, name)
    asked = (name, proposal.label)
    taken = (await looking_up.meanings(session, [asked], unexplained=[asked]))[asked]
    if taken.uri is not None:
        message = f"the concept {taken.uri} is called so meanwhile; merge the proposal into it"
        raise Unprocessable("The term cannot be accepted.", faults=[Fault("/label", message, taken.uri)])
    term = Term(
        await _free_uri(session, scheme.uri, proposal),
        (Label(LabelKind.PREFERRED, proposal.language, proposal.label),),
        {proposal.language: proposal.definition} if proposal.definition else {},
        broader=() if proposal.broader is None else (proposal.broader,),
    )
    await importing.add(session, name, term, by=by)
    return await proposals.decide(session, proposal, ProposalState.ACCEPTED, by=by, concept=term.uri)


async def _free_uri(session: AsyncSession, scheme_uri: str, proposal: TermProposal) -> str:
    # Concepts stand below their scheme; a name without Latin letters leaves the proposal's id.
    below = re.sub(r"[^a-z0-9]+", "-", proposal.folded).strip("-")[:SLUG_CHARS_MAX] or proposal.id.hex
    separator = ":" if scheme_uri.startswith("urn:") else "/"
    base = f"{scheme_uri.rstrip('/#:')}{separator}{below}"
    taken = {one.uri for one in await looking_up.concepts(session, [base])}
    return f"{base}-{proposal.id.hex[-8:]}" if taken else base


async def merge(session: AsyncSession, name: str, proposal_id: UUID, into: str, *, by: UUID) -> TermProposal:
    """Make a proposal's label a synonym of a concept, and queue the objects that it describes.

    Merged so before, it is returned as it is. Raises NotFound, AlreadyDecided.
    """
    proposal = await proposals.locked(session, name, proposal_id)
    if (proposal.state, proposal.concept) == (ProposalState.MERGED, into):
        return proposal
    proposals.must_be_open(proposal)
    label = Label(LabelKind.ALTERNATIVE, proposal.language, proposal.label)
    await importing.add_label(session, name, into, label, by=by)
    await index_described(session, name, changed=[into])
    return await proposals.decide(session, proposal, ProposalState.MERGED, by=by, concept=into)


async def decline(session: AsyncSession, name: str, proposal_id: UUID, reason: str, *, by: UUID) -> TermProposal:
    """Decline a proposal with a reason; declined so before, it is returned as it is.

    Raises NotFound, AlreadyDecided.
    """
    proposal = await proposals.locked(session, name, proposal_id)
    if (proposal.state, proposal.answer) == (ProposalState.DECLINED, reason):
        return proposal
    return await proposals.decide(session, proposal, ProposalState.DECLINED, by=by, answer=reason)


_DESCRIBED = """
    WITH RECURSIVE way AS (
        SELECT DISTINCT object_term.concept AS used, object_term.concept AS uri
        FROM object_term JOIN concept ON concept.uri = object_term.concept AND concept.scheme = :scheme
        UNION
        SELECT way.used, above FROM way JOIN concept USING (uri), unnest(concept.broader) AS above
    ), touched AS (
        SELECT used AS concept FROM way WHERE uri = ANY (:changed)
        UNION
        SELECT unnest(CAST(:retired AS text[]))
    )
    SELECT id FROM object WHERE withdrawn_at IS NULL
    AND id IN (SELECT object_id FROM object_term JOIN touched USING (concept)) ORDER BY id FOR NO KEY UPDATE
    """


async def index_described(
    session: AsyncSession, name: str, *, changed: Sequence[str] = (), retired: Sequence[str] = ()
) -> int:
    """Queue the objects whose documents depend on these concepts, and return how many these are.

    A document holds the labels of its concepts and of all that are broader: a changed concept concerns what is
    described by it and by anything narrower, a retired one what is described by it.
    """
    if not changed and not retired:
        return 0
    found = await session.execute(
        sa.text(_DESCRIBED), {"scheme": name, "changed": list(changed), "retired": list(retired)}
    )
    ids = list(found.scalars())
    await changing.write_documents_anew(session, ids)
    await _look_at_dois(session, name, changed)
    return len(ids)


_REGISTERED = """
    WITH meant AS (
        SELECT uri FROM concept WHERE scheme = :scheme
        AND (CAST(:whole AS boolean) OR uri = ANY (CAST(:changed AS text[])))
    )
    SELECT doi FROM doi WHERE doi.version IS NULL AND object_id IN (
        SELECT object_id FROM object_term JOIN meant ON meant.uri = object_term.concept)
    UNION
    SELECT doi FROM doi JOIN version ON version.object_id = doi.object_id AND version.number = doi.version
    WHERE version.record -> 'subjects' ?| ARRAY(SELECT uri FROM meant)
    """


async def _look_at_dois(session: AsyncSession, name: str, changed: Sequence[str] | None) -> None:
    """Queue the DOIs of what is described by these concepts, None for all of the scheme: registries know their labels.

    What a version says is not what its object says by now, so it is asked itself.
    """
    # The room of DOIs lies above this one, which knows its table by name alone.
    found = await session.execute(
        sa.text(_REGISTERED), {"scheme": name, "whole": changed is None, "changed": list(changed or ())}
    )
    await queue.put(session, changing.DOI, [row.doi for row in found])
