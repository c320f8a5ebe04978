"""Edits of many objects at once, kept so that they can be taken back."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class Edit(SQLModel, table=True):
    """One merge patch that was applied to many objects."""

    __table_args__ = (sa.Index("ix_edit_principal_id_id", "principal_id", "id"),)

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    principal_id: UUID = Field(foreign_key="principal.id")
    patch: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    made_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    undone_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class EditedObject(SQLModel, table=True):
    """What an edit changed in one object: its top-level fields, each with its value before and after."""

    __tablename__ = "edited_object"

    edit_id: UUID = Field(foreign_key="edit.id", primary_key=True)
    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    from_revision: int = Field(sa_type=sa.BigInteger)
    to_revision: int = Field(sa_type=sa.BigInteger)
    changes: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    undone: bool = Field(default=False, sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.false()))
