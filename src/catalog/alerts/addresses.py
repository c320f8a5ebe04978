"""Addresses that people want mail at: who reads one has to agree first, and may refuse for good."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.alerts import topics
from catalog.alerts.tables import Channel, MailAddress, SavedSearch
from catalog.errors import Fault, Invalid, NotFound, TooLarge

ASKED_A_DAY_MAX = 5
ADDRESS_CHARS_MAX = 254
# One that nobody answered is asked again when it is given again, a day later.
ASKED_AGAIN_AFTER = timedelta(days=1)
# RFC 5321, section 4.1.2, without quoted local parts and addresses in brackets, which hardly anybody has.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
)

_addresses = SQLModel.metadata.tables[MailAddress.__tablename__]
_searches = SQLModel.metadata.tables[SavedSearch.__tablename__]
_principals = SQLModel.metadata.tables["principal"]


@dataclass(frozen=True, slots=True)
class Address:
    """An address that somebody wants mail at, and what whoever reads it said."""

    id: UUID
    principal: str
    address: str
    confirmed: bool
    refused: bool


def is_address(text: str) -> bool:
    """Whether mail could go there."""
    local, _, _ = text.partition("@")
    # RFC 5321, section 4.5.3.1.1: a local part has 64 octets at most. An encoded word (RFC 2047) is another address
    # to those who decode it.
    fits = len(text) <= ADDRESS_CHARS_MAX and len(local) <= 64 and "=?" not in text  # noqa: PLR2004 - as it says.
    return fits and _ADDRESS.fullmatch(text) is not None


def kept(address: str) -> str:
    """Return an address as it is kept: of a domain, capitals mean nothing (RFC 5321, section 2.4)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _alike(address: sa.ColumnElement[str] | str) -> sa.ColumnElement[bool]:
    """Whether an address is the same to its reader: hardly any server tells capitals of a local part apart."""
    return sa.func.lower(_addresses.c.address) == sa.func.lower(address)


async def lock_asker(session: AsyncSession, principal_id: UUID) -> None:
    """Let one principal ask for one address after the other: how many it asked for a day is counted."""
    mine = _principals.c.id == principal_id
    await session.execute(sa.select(_principals.c.id).where(mine).with_for_update(key_share=True))


async def want(session: AsyncSession, principal_id: UUID, address: str, *, at: str = "/tell/address") -> None:
    """Have whoever reads an address asked, unless they were; the principal is locked. `at` is where it was given.

    Raises Invalid for one that was refused, TooLarge where the principal has had so many asked within a day.
    """
    its = _addresses.c.principal_id == principal_id
    refused = sa.select(_addresses.c.id).where(its, _alike(address), _addresses.c.refused_at.is_not(None))
    if (await session.execute(refused.limit(1))).first() is not None:
        fault = Fault(at, "whoever reads this address wants no mail from you")
        raise Invalid("Mail cannot go there.", faults=[fault])
    mine = sa.and_(its, _addresses.c.address == address)
    row = (await session.execute(sa.select(_addresses).where(mine))).one_or_none()
    again = _addresses.c.asked_at > sa.func.now() - ASKED_AGAIN_AFTER
    if row is not None:
        known = sa.or_(_addresses.c.confirmed_at.is_not(None), again)
        if (await session.execute(sa.select(_addresses.c.id).where(mine, known))).first() is not None:
            return
    count = sa.select(sa.func.count()).select_from(_addresses).where(its, again)
    if (await session.execute(count)).scalar_one() >= ASKED_A_DAY_MAX:
        raise TooLarge(f"{ASKED_A_DAY_MAX} addresses a day are asked for one account; come back tomorrow.")
    wanted = insert(_addresses).values(id=uuid7(), principal_id=principal_id, address=address)
    asked = await session.execute(
        wanted.on_conflict_do_update(
            index_elements=["principal_id", "address"], set_={"asked_at": sa.func.now()}
        ).returning(_addresses.c.id)
    )
    await queue.put(session, topics.CONFIRM, [str(asked.scalar_one())])


async def find(session: AsyncSession, address_id: UUID) -> Address:
    """Return an address; raises NotFound."""
    return _one(await _rows(session, _addresses.c.id == address_id))


async def of(session: AsyncSession, principal_id: UUID, address: str) -> Address:
    """Return what is known of an address that a principal gave, by its very spelling; raises NotFound."""
    return _one(await _rows(session, _addresses.c.principal_id == principal_id, _addresses.c.address == address))


async def answer(session: AsyncSession, address_id: UUID, *, wanted: bool) -> None:
    """Keep what whoever reads an address says; what waited for that is sent, or stopped for good. Raises NotFound.

    Who refuses an address refuses every spelling of it; who agrees agrees to the one that was asked.
    """
    row = (await session.execute(sa.select(_addresses).where(_addresses.c.id == address_id))).one_or_none()
    if row is None:
        raise _absent()
    every = sa.and_(_addresses.c.principal_id == row.principal_id, _alike(row.address))
    said = {"refused_at": None} if wanted else {"confirmed_at": None, "refused_at": sa.func.now()}
    await session.execute(_addresses.update().where(every).values(**said))
    if wanted:
        agreed = {"confirmed_at": sa.func.coalesce(_addresses.c.confirmed_at, sa.func.now())}
        await session.execute(_addresses.update().where(_addresses.c.id == address_id).values(**agreed))
    theirs = sa.and_(
        _searches.c.owner_id == row.principal_id,
        sa.func.lower(_searches.c.address) == sa.func.lower(row.address),
        _searches.c.channel == Channel.MAIL.value,
    )
    searches = await session.execute(sa.select(_searches.c.id).where(theirs))
    await queue.put(session, topics.TELL, [str(one.id) for one in searches])


async def note_fault(session: AsyncSession, known: Address, fault: str | None) -> None:
    """Let whoever wants mail at an address know why its reader was not asked; None: they were."""
    owner = sa.select(_principals.c.id).where(_principals.c.name == known.principal).scalar_subquery()
    waiting = sa.and_(_searches.c.owner_id == owner, _searches.c.address == known.address)
    await session.execute(_searches.update().where(waiting).values(fault=fault))


async def _rows(session: AsyncSession, *conditions: sa.ColumnElement[bool]) -> Sequence[Address]:
    rows = await session.execute(
        sa.select(_addresses, _principals.c.name)
        .join(_principals, _principals.c.id == _addresses.c.principal_id)
        .where(*conditions)
    )
    return [
        Address(row.id, row.name, row.address, row.confirmed_at is not None, row.refused_at is not None) for row in rows
    ]


def _one(found: Sequence[Address]) -> Address:
    if not found:
        raise _absent()
    return found[0]


def _absent() -> NotFound:
    return NotFound("There is no such address.")
