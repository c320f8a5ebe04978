"""Which concepts describe an object, how often their labels changed, and proposals of terms."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add them."""
    op.add_column("object", sa.Column("relabelled", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "object_term",
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("concept", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_object_term_object_id_object")),
        sa.PrimaryKeyConstraint("object_id", "concept", name=op.f("pk_object_term")),
    )
    op.create_index(op.f("ix_object_term_concept"), "object_term", ["concept"])
    op.create_table(
        "term_proposal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("broader", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("concept", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("proposed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["scheme"], ["scheme.name"], name=op.f("fk_term_proposal_scheme_scheme")),
        sa.ForeignKeyConstraint(["proposed_by"], ["principal.id"], name=op.f("fk_term_proposal_proposed_by_principal")),
        sa.ForeignKeyConstraint(["decided_by"], ["principal.id"], name=op.f("fk_term_proposal_decided_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_term_proposal")),
    )
    op.create_index("ix_term_proposal_scheme_id", "term_proposal", ["scheme", "id"])
    op.create_index(
        "uq_term_proposal_open",
        "term_proposal",
        ["scheme", "folded"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
