"""What was granted to whom: on single objects, and on everything below a prefix."""

import re
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.access.audience import Permission, reading_all, writing_all
from catalog.database import timestamp_column
from catalog.errors import Fault, Invalid

_NAME = r"[a-z0-9][a-z0-9-]{1,62}"
_PREFIX = re.compile(rf"{_NAME}/(?:{_NAME}/)?", re.ASCII)


class Grant(SQLModel, table=True):
    """A permission, for an object or for everything below a prefix; with an end, it ends by itself."""

    __tablename__ = "object_grant"
    __table_args__ = (
        sa.CheckConstraint("(object_id IS NULL) <> (prefix IS NULL)", name="object_or_prefix"),
        sa.Index("ix_object_grant_grantee", "grantee"),
        sa.Index("ix_object_grant_object_id", "object_id"),
        sa.Index("ix_object_grant_prefix", "prefix"),
        # Asked for with every request, whoever asks.
        sa.Index(
            "ix_object_grant_prefix_public",
            "prefix",
            postgresql_where=sa.text("grantee = 'public' AND prefix IS NOT NULL"),
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    object_id: UUID | None = Field(default=None, foreign_key="object.id")
    prefix: str | None = Field(default=None, sa_type=sa.Text)
    # An audience token: of a user, of a group, or of everybody.
    grantee: str = Field(sa_type=sa.Text)
    permission: str = Field(sa_type=sa.Text)
    expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    granted_by: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


def reading_grants(scope: str) -> str:
    """Return the token of those who may see who was granted what in an organization or a project."""
    return f"read_acp:{scope}"


def writing_grants(scope: str) -> str:
    """Return the token of those who may grant and revoke in an organization or a project."""
    return f"write_acp:{scope}"


_IN_SCOPE = {
    Permission.READ: (reading_all,),
    Permission.WRITE: (reading_all, writing_all),
    Permission.READ_ACP: (reading_all, reading_grants),
    Permission.WRITE_ACP: (reading_all, writing_grants),
    Permission.FULL_CONTROL: (reading_all, writing_all, reading_grants, writing_grants),
}


def prefix_tokens(permission: Permission, prefix: str) -> set[str]:
    """Return the tokens that a permission on everything below a prefix gives."""
    return {token(prefix.removesuffix("/")) for token in _IN_SCOPE[permission]}


def check_prefix(prefix: str) -> str:
    """Return a prefix that may be granted: an organization's or a project's, with its slash; raises Invalid."""
    if _PREFIX.fullmatch(prefix) is None:
        shown = prefix[:130]
        mended = f"{shown.strip('/')}/"
        raise Invalid(
            "This is no prefix that can be granted.",
            faults=[
                Fault(
                    "/prefix",
                    f"{shown!r} is neither <organization>/ nor <organization>/<project>/; below that, grant on objects",
                    mended if _PREFIX.fullmatch(mended) else None,
                )
            ],
        )
    return prefix
