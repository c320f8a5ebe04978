"""The rows behind vocabularies: the scheme, its concepts, every text that names one, and who changed a scheme."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from catalog.database import timestamp_column


class Scheme(SQLModel, table=True):
    """A vocabulary under a short name of ours; `digest` is that of the file it was last imported from."""

    __table_args__ = (sa.UniqueConstraint("uri"),)

    name: str = Field(sa_type=sa.Text, primary_key=True)
    uri: str = Field(sa_type=sa.Text)
    title: str = Field(sa_type=sa.Text)
    description: str = Field(sa_type=sa.Text)
    licence: str | None = Field(default=None, sa_type=sa.Text)
    source: str | None = Field(default=None, sa_type=sa.Text)
    version: str | None = Field(default=None, sa_type=sa.Text)
    digest: bytes = Field(sa_type=sa.LargeBinary)
    revision: int = Field(sa_type=sa.BigInteger)
    updated_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))


class Concept(SQLModel, table=True):
    """One term. It is never removed: what vanishes from its scheme becomes deprecated, with an empty digest."""

    __table_args__ = (sa.Index("ix_concept_broader", "broader", postgresql_using="gin"),)

    uri: str = Field(sa_type=sa.Text, primary_key=True)
    scheme: str = Field(sa_type=sa.Text, foreign_key="scheme.name", index=True)
    label: str = Field(sa_type=sa.Text)
    definitions: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    broader: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    related: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    exact_matches: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    deprecated: bool = Field(sa_type=sa.Boolean)
    replaced_by: str | None = Field(default=None, sa_type=sa.Text)
    digest: bytes = Field(sa_type=sa.LargeBinary)


class ConceptLabel(SQLModel, table=True):
    """A text that names a concept, as it is written and as it is compared (`terms.folded`)."""

    __tablename__ = "concept_label"
    __table_args__ = (
        sa.Index("ix_concept_label_scheme_folded", "scheme", "folded"),
        sa.Index(
            "ix_concept_label_folded", "folded", postgresql_using="gin", postgresql_ops={"folded": "gin_trgm_ops"}
        ),
    )

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    concept: str = Field(sa_type=sa.Text, foreign_key="concept.uri", index=True)
    scheme: str = Field(sa_type=sa.Text)
    kind: str = Field(sa_type=sa.Text)
    language: str = Field(sa_type=sa.Text)
    text: str = Field(sa_type=sa.Text)
    folded: str = Field(sa_type=sa.Text)


class SchemeChange(SQLModel, table=True):
    """Who changed a scheme, when, how, from which revision to which. Append-only."""

    __tablename__ = "scheme_change"
    __table_args__ = (sa.Index("ix_scheme_change_scheme_id", "scheme", "id"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    scheme: str = Field(sa_type=sa.Text)
    principal_id: UUID | None = Field(default=None, description="None: the catalog itself, with a scheme it ships.")
    action: str = Field(sa_type=sa.Text)
    from_revision: int | None = Field(default=None, sa_type=sa.BigInteger)
    to_revision: int = Field(sa_type=sa.BigInteger)
    changes: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
