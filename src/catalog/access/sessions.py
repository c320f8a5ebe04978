"""Who is logged in to the pages: a row per session, found by the digest of a secret that the browser alone has.

A session serves the pages and nothing else. It is new with every login, ends at logout or when its time is over, and
with its principal.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel

from catalog.access import principals
from catalog.access.principals import Caller
from catalog.database import Database, timestamp_column

SECRET_BYTES = 32


class WebSession(SQLModel, table=True):
    """One session of a browser; the secret itself is nowhere."""

    __tablename__ = "web_session"
    __table_args__ = (sa.Index("ix_web_session_expires_at", "expires_at"),)

    digest: bytes = Field(sa_type=sa.LargeBinary, primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id", index=True)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    expires_at: datetime = Field(sa_column=timestamp_column())


_sessions = SQLModel.metadata.tables[WebSession.__tablename__]

# Pages are for people: a service account has no session that counts.
_WHOSE = (
    f"SELECT principal_id, {principals.OTHERWISE} "  # ruff: ignore[S608] - a constant of ours.
    "FROM web_session JOIN principal ON principal.id = web_session.principal_id AND principal.kind = 'user' "
    "WHERE web_session.digest = %(digest)s AND web_session.expires_at > now()"
)


async def begin(session: AsyncSession, principal_id: UUID, lifetime: timedelta, *, instead_of: str | None) -> str:
    """Begin a session and return its secret, this once; the one that the browser had before ends with it."""
    if instead_of is not None:
        await end(session, instead_of)
    await session.execute(_sessions.delete().where(_sessions.c.expires_at < sa.func.now()))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    await session.execute(
        _sessions.insert().values(
            digest=principals.digest_of(secret), principal_id=principal_id, expires_at=sa.func.now() + lifetime
        )
    )
    return secret


async def visitor(database: Database, secret: str) -> Caller | None:
    """Return who is logged in with this secret; None where it is unknown or over, or the principal was ended."""
    return await principals.caller_by(database, _WHOSE, {"digest": principals.digest_of(secret)})


async def end(session: AsyncSession, secret: str) -> None:
    """End a session; one that is over already stays so."""
    await session.execute(_sessions.delete().where(_sessions.c.digest == principals.digest_of(secret)))


def form_key_of(secret: str) -> str:
    """Return what a form of this session must send back: only a page that was shown in the session has it."""
    return hashlib.sha256(b"form:" + secret.encode()).hexdigest()
