"""Who somebody is that an OpenID provider vouches for: the principal behind an issuer and a subject.

Made when it is first seen. Its name is for people, made once and kept; issuer and subject alone say who it is, because
a provider may give a user name to somebody else one day. Its role follows the groups in the newest token that was seen.
"""

import hashlib
import re
import unicodedata
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access import audit, principals
from catalog.access.audit import PROVIDER
from catalog.access.oidc import Vouched
from catalog.access.principals import Caller
from catalog.access.provider import Provider
from catalog.database import Database, timestamp_column
from catalog.errors import Conflict, Unauthenticated

log = structlog.get_logger("catalog.access")

USERNAME_CHARS_KEPT = 32
# Forty bits keep those apart whom people call the same; the longer one is for when they do not.
_DIGITS = (10, 24)


class Identity(SQLModel, table=True):
    """That a principal is whom a provider calls so; `told_at` is when the token was issued that told its role."""

    __tablename__ = "identity"
    __table_args__ = (sa.UniqueConstraint("issuer", "subject"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id", index=True)
    issuer: str = Field(sa_type=sa.Text)
    subject: str = Field(sa_type=sa.Text)
    told_at: int = Field(sa_type=sa.BigInteger)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


_identities = SQLModel.metadata.tables["identity"]
_principals = SQLModel.metadata.tables["principal"]

_WHOSE = (
    f"SELECT principal_id, {principals.OTHERWISE} "  # ruff: ignore[S608] - a constant of ours.
    "FROM identity WHERE issuer = %(issuer)s AND subject = %(subject)s"
)


async def identify(database: Database, provider: Provider, token: str) -> Caller:
    """Return who holds this access token of the provider, made when new; raises Unauthenticated or ProviderAway.

    One query, as for a token of our own, unless the provider tells something new.
    """
    vouched = await provider.verify(token)
    who = {"issuer": vouched.issuer, "subject": vouched.subject}
    caller = await principals.caller_by(database, _WHOSE, who)
    if caller is None or caller.role != vouched.role:
        async with database.transaction() as session:
            await admit(session, vouched)
        caller = await principals.caller_by(database, _WHOSE, who)
    if caller is None:
        raise _ended()
    return caller


async def admit(session: AsyncSession, vouched: Vouched) -> UUID:
    """Return the principal of whom the provider vouches for, made when new, in the role that the newest token tells.

    Raises Unauthenticated for a principal that was ended.
    """
    who = f"{vouched.issuer}\n{vouched.subject}"
    # Whoever comes with many requests at once is made once.
    await session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:who, 0))"), {"who": who})
    found = await session.execute(
        sa.select(_identities.c.told_at, *(_principals.c[name] for name in ("id", "name", "role", "ended_at")))
        .join(_principals, _principals.c.id == _identities.c.principal_id)
        .where(_identities.c.issuer == vouched.issuer, _identities.c.subject == vouched.subject)
    )
    row = found.one_or_none()
    if row is None:
        return await _make(session, vouched)
    if row.ended_at is not None:
        raise _ended()
    principal_id: UUID = row.id
    # An older token, sent once more, does not bring a former role back.
    if row.role != vouched.role and vouched.issued_at >= row.told_at:
        mine = _identities.c.principal_id == principal_id
        await session.execute(_principals.update().where(_principals.c.id == row.id).values(role=vouched.role.value))
        await session.execute(_identities.update().where(mine).values(told_at=vouched.issued_at))
        before, after = {"role": row.role}, {"role": vouched.role.value}
        await audit.note(session, PROVIDER, "change role", f"user:{row.name}", before=before, after=after)
        log.info("role changed by the provider", principal=str(row.id), before=row.role, after=vouched.role.value)
    return principal_id


async def _make(session: AsyncSession, vouched: Vouched) -> UUID:
    for digits in _DIGITS:
        name = name_of(vouched, digits)
        made = await session.execute(
            postgresql.insert(_principals)
            .values(id=uuid7(), name=name, role=vouched.role.value)
            .on_conflict_do_nothing(index_elements=["name"])
            .returning(_principals.c.id)
        )
        principal_id: UUID | None = made.scalar_one_or_none()
        if principal_id is not None:
            await session.execute(
                _identities.insert().values(
                    id=uuid7(),
                    principal_id=principal_id,
                    issuer=vouched.issuer,
                    subject=vouched.subject,
                    told_at=vouched.issued_at,
                )
            )
            # Issuer and subject say who it is; the row of the identity has them.
            after = {"role": vouched.role.value, "issuer": vouched.issuer}
            await audit.note(session, PROVIDER, "make principal", f"user:{name}", after=after)
            log.info("principal made", principal=name, role=vouched.role.value)
            return principal_id
    raise Conflict("Somebody else has the name that this person would have here; ask an admin.")


def name_of(vouched: Vouched, digits: int = _DIGITS[0]) -> str:
    """Return what somebody is called here: the user name as far as it can be, and a mark that no one else has."""
    plain = unicodedata.normalize("NFKD", vouched.username or "").encode("ascii", "ignore").decode().lower()
    safe = re.sub(r"[^a-z0-9._-]+", "-", plain)[:USERNAME_CHARS_KEPT].strip("._-") or "user"
    mark = hashlib.sha256(f"{vouched.issuer}\n{vouched.subject}".encode()).hexdigest()[:digits]
    return f"{safe}-{mark}"


def _ended() -> Unauthenticated:
    return Unauthenticated(principals.ENDED)
