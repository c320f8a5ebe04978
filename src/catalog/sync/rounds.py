"""Rounds of the indexer through database and index: how far one is, and what came of it.

A round is one entry of the queue, whose subject is all there is to know: where to go on, and what was counted up to
there. Both change together, so that a killed round counts nothing twice. First everything is compared and what objects
lack is queued; what is no object's is counted, and removed in a second walk if it is little enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from catalog.sync import mending
from catalog.sync.comparing import Compared, Difference, Kind

# What is queued: go on with the round that the subject tells.
SYNC = "sync"

_queue = SQLModel.metadata.tables["queue"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How long it is from one round to the next, and what share of the index one may remove."""

    interval: timedelta
    share: float


class Phase(StrEnum):
    """What a round does next: a round that rests has ended."""

    COMPARING = "comparing"
    REMOVING = "removing"
    RESTING = "resting"


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What a round has met, and what it did about it."""

    began_at: datetime
    ended_at: datetime | None = None
    objects: int = 0
    documents: int = 0
    missing: int = 0
    stale: int = 0
    altered: int = 0
    extra: int = 0
    removed: int = 0
    # It was more than may go without a question.
    held_back: bool = False

    def with_slice(self, compared: Compared) -> "Tally":
        """Return it with what a slice came to."""
        more = {kind.value: getattr(self, kind) + count(compared.differences, kind) for kind in Kind}
        return msgspec.structs.replace(
            self, objects=self.objects + compared.objects, documents=self.documents + compared.documents, **more
        )


class Round(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a round is; `last` is what came of the one before."""

    phase: Phase
    after: UUID | None = None
    tally: Tally | None = None
    last: Tally | None = None

    @property
    def subject(self) -> str:
        """What the queue keeps of it."""
        return msgspec.json.encode(self).decode()

    @property
    def ended(self) -> Tally | None:
        """What came of the last round that has ended, if any has."""
        return self.tally if self.phase is Phase.RESTING else self.last

    def begun(self, now: datetime) -> "Round":
        """Return this round if it goes on, or the next one if it rests."""
        if self.phase is not Phase.RESTING and self.tally is not None:
            return self
        return Round(phase=Phase.COMPARING, tally=Tally(began_at=now), last=self.ended)

    def compared(self, found: Compared, rule: Rule, now: datetime) -> "Round":
        """Return the round after a slice was compared."""
        tally = self._told.with_slice(found)
        if found.after is not None:
            return msgspec.structs.replace(self, after=found.after, tally=tally)
        many = tally.extra > mending.may_go(tally.documents, rule.share)
        if tally.extra and not many:
            return msgspec.structs.replace(self, phase=Phase.REMOVING, after=None, tally=tally)
        return self._at_rest(tally, now, held_back=many)

    def removing(self, found: Compared, rule: Rule) -> Sequence[Difference]:
        """Return what of a slice may go; nothing where it would be more in all than was counted and may go."""
        extra = [one for one in found.differences if one.kind is Kind.EXTRA]
        most = mending.may_go(self._told.documents, rule.share)
        return [] if self._told.removed + len(extra) > most else extra

    def removed(self, found: Compared, gone: int, rule: Rule, now: datetime) -> "Round":
        """Return the round after so many documents of a slice were removed."""
        held_back = len(self.removing(found, rule)) < count(found.differences, Kind.EXTRA)
        tally = msgspec.structs.replace(self._told, removed=self._told.removed + gone)
        if found.after is None or held_back:
            return self._at_rest(tally, now, held_back=held_back)
        return msgspec.structs.replace(self, after=found.after, tally=tally)

    @property
    def _told(self) -> Tally:
        if self.tally is None:
            raise ValueError("The round has not begun.")
        return self.tally

    def _at_rest(self, tally: Tally, now: datetime, *, held_back: bool) -> "Round":
        return Round(phase=Phase.RESTING, tally=msgspec.structs.replace(tally, ended_at=now, held_back=held_back))


_decoder = msgspec.json.Decoder(Round)


def round_from(subject: str) -> Round:
    """Return the round that an entry of the queue tells; one that cannot be read begins anew."""
    try:
        return _decoder.decode(subject)
    except msgspec.DecodeError:
        return Round(phase=Phase.RESTING)


def count(differences: Sequence[Difference], kind: Kind) -> int:
    """Return how many are of a kind."""
    return sum(one.kind is kind for one in differences)


async def present(session: AsyncSession) -> Round | None:
    """Return how far the indexer is, None before it ever ran."""
    rows = await session.execute(sa.select(_queue.c.subject).where(_queue.c.topic == SYNC).limit(1))
    subject = rows.scalar_one_or_none()
    return None if subject is None else round_from(subject)
