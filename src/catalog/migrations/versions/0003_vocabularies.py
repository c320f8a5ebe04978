"""Vocabularies: schemes, concepts, the texts that name them, and who changed a scheme."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables; pg_trgm finds the nearest label, and any owner of a database may add it."""
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "scheme",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_scheme")),
        sa.UniqueConstraint("uri", name=op.f("uq_scheme_uri")),
    )
    op.create_table(
        "concept",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("definitions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("broader", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("related", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("exact_matches", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("deprecated", sa.Boolean(), nullable=False),
        sa.Column("replaced_by", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["scheme"], ["scheme.name"], name=op.f("fk_concept_scheme_scheme")),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk_concept")),
    )
    op.create_index("ix_concept_broader", "concept", ["broader"], unique=False, postgresql_using="gin")
    op.create_index(op.f("ix_concept_scheme"), "concept", ["scheme"], unique=False)
    op.create_table(
        "concept_label",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("concept", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["concept"], ["concept.uri"], name=op.f("fk_concept_label_concept_concept")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concept_label")),
    )
    op.create_index(op.f("ix_concept_label_concept"), "concept_label", ["concept"], unique=False)
    op.create_index("ix_concept_label_scheme_folded", "concept_label", ["scheme", "folded"], unique=False)
    op.create_index(
        "ix_concept_label_folded",
        "concept_label",
        ["folded"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"folded": "gin_trgm_ops"},
    )
    op.create_table(
        "scheme_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_revision", sa.BigInteger(), nullable=True),
        sa.Column("to_revision", sa.BigInteger(), nullable=False),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheme_change")),
    )
    op.create_index("ix_scheme_change_scheme_id", "scheme_change", ["scheme", "id"], unique=False)
