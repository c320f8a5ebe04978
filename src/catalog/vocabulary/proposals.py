"""Terms that people miss: proposed by whoever describes objects, decided by a curator, with a reason where declined."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column
from catalog.errors import Conflict, Fault, Invalid, NotFound, Unprocessable
from catalog.vocabulary.terms import folded

# Waiting for a curator: enough for a year of a busy catalog, and no more than a person can be asked to read.
OPEN_MAX = 1_000


class ProposalState(StrEnum):
    """Where a proposal stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    MERGED = "merged"
    DECLINED = "declined"


MOVES: Mapping[ProposalState, frozenset[ProposalState]] = MappingProxyType(
    {
        ProposalState.OPEN: frozenset({ProposalState.ACCEPTED, ProposalState.MERGED, ProposalState.DECLINED}),
        ProposalState.ACCEPTED: frozenset(),
        ProposalState.MERGED: frozenset(),
        ProposalState.DECLINED: frozenset(),
    }
)


class TermProposal(SQLModel, table=True):
    """A proposal; `concept` is what came of it, `answer` the reason of a refusal."""

    __tablename__ = "term_proposal"
    __table_args__ = (
        sa.Index("ix_term_proposal_scheme_id", "scheme", "id"),
        # The same term waits for a decision once, whoever asks for it.
        sa.Index("uq_term_proposal_open", "scheme", "folded", unique=True, postgresql_where=sa.text("state = 'open'")),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    scheme: str = Field(sa_type=sa.Text, foreign_key="scheme.name")
    label: str = Field(sa_type=sa.Text)
    language: str = Field(sa_type=sa.Text)
    folded: str = Field(sa_type=sa.Text)
    definition: str = Field(sa_type=sa.Text)
    broader: str | None = Field(default=None, sa_type=sa.Text)
    reason: str = Field(sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    concept: str | None = Field(default=None, sa_type=sa.Text)
    answer: str | None = Field(default=None, sa_type=sa.Text)
    proposed_by: UUID = Field(foreign_key="principal.id")
    proposed_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    decided_by: UUID | None = Field(default=None, foreign_key="principal.id")
    decided_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


_proposals = SQLModel.metadata.tables[TermProposal.__tablename__]


class AlreadyDecided(Conflict):
    """The proposal has been decided otherwise."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What somebody proposes."""

    label: str
    language: str
    definition: str
    broader: str | None
    reason: str


async def propose(session: AsyncSession, scheme: str, asked: Proposed, *, by: UUID) -> tuple[TermProposal, bool]:
    """Return the proposal and whether it is new: the same term is proposed once as long as nothing is decided.

    Raises Unprocessable for a term that the scheme has already, and for a broader concept that is not in it.
    """
    plain = folded(asked.label)
    if not plain:
        raise Invalid(faults=[Fault("/label", "needs letters or digits")])
    faults = [fault async for fault in _faults(session, scheme, asked, plain)]
    if faults:
        raise Unprocessable("The term cannot be proposed so.", faults=faults)
    waiting = sa.select(sa.func.count()).where(_proposals.c.scheme == scheme, _proposals.c.state == ProposalState.OPEN)
    if (await session.execute(waiting)).scalar_one() >= OPEN_MAX:
        raise Conflict(f"{OPEN_MAX:,} proposals wait for {scheme} already; ask a curator to decide some.")
    made = (
        insert(_proposals)
        .values(
            id=uuid7(),
            scheme=scheme,
            label=asked.label,
            language=asked.language,
            folded=plain,
            definition=asked.definition,
            broader=asked.broader,
            reason=asked.reason,
            state=ProposalState.OPEN,
            proposed_by=by,
        )
        .on_conflict_do_nothing()
        .returning(_proposals.c.id)
    )
    new = (await session.execute(made)).scalar_one_or_none() is not None
    there = sa.select(_proposals).where(
        _proposals.c.scheme == scheme, _proposals.c.folded == plain, _proposals.c.state == ProposalState.OPEN
    )
    return _read((await session.execute(there)).one()), new


async def _faults(session: AsyncSession, scheme: str, asked: Proposed, plain: str) -> Any:
    called = sa.text(
        "SELECT concept.uri, concept.label FROM concept_label JOIN concept ON concept.uri = concept_label.concept"
        " WHERE concept_label.scheme = :scheme AND folded = :folded AND NOT deprecated ORDER BY concept.uri LIMIT 1"
    )
    row = (await session.execute(called, {"scheme": scheme, "folded": plain})).one_or_none()
    if row is not None:
        yield Fault("/label", f"the concept {row.uri} is called so already", row.label)
    if asked.broader is not None:
        broader = sa.text("SELECT 1 FROM concept WHERE uri = :uri AND scheme = :scheme AND NOT deprecated")
        if (await session.execute(broader, {"uri": asked.broader, "scheme": scheme})).one_or_none() is None:
            yield Fault("/broader", f"must be the URI of a concept of {scheme} that is not deprecated")


async def listed(
    session: AsyncSession, scheme: str, *, state: ProposalState | None, by: UUID | None, most: int
) -> list[TermProposal]:
    """Return the newest proposals of a scheme, of everybody or of one principal."""
    rows = sa.select(_proposals).where(_proposals.c.scheme == scheme).order_by(_proposals.c.id.desc()).limit(most)
    if state is not None:
        rows = rows.where(_proposals.c.state == state)
    if by is not None:
        rows = rows.where(_proposals.c.proposed_by == by)
    return [_read(row) for row in await session.execute(rows)]


async def locked(session: AsyncSession, scheme: str, proposal_id: UUID) -> TermProposal:
    """Return the proposal, which nobody else decides until the transaction ends; raises NotFound."""
    row = (
        await session.execute(
            sa.select(_proposals).where(_proposals.c.id == proposal_id, _proposals.c.scheme == scheme).with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"The vocabulary has no proposal {proposal_id}.")
    return _read(row)


def must_be_open(proposal: TermProposal) -> None:
    """Raise AlreadyDecided unless the proposal waits for a decision."""
    if proposal.state != ProposalState.OPEN:
        raise AlreadyDecided(f"The proposal was {proposal.state} already.")


async def decide(
    session: AsyncSession,
    proposal: TermProposal,
    state: ProposalState,
    *,
    by: UUID,
    concept: str | None = None,
    answer: str | None = None,
) -> TermProposal:
    """Move a locked proposal; raises AlreadyDecided where the table of moves has no such move."""
    if state not in MOVES[ProposalState(proposal.state)]:
        raise AlreadyDecided(f"The proposal was {proposal.state} already.")
    row = await session.execute(
        _proposals.update()
        .where(_proposals.c.id == proposal.id)
        .values(state=state, concept=concept, answer=answer, decided_by=by, decided_at=sa.func.now())
        .returning(*_proposals.c)
    )
    return _read(row.one())


def _read(row: Any) -> TermProposal:
    return TermProposal(**row._mapping)  # ruff: ignore[SLF001] - SQLAlchemy's name for a public thing.
