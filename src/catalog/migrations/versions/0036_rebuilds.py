"""How far the building of a new search index is, and what came of those before."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Add the table."""
    counts = [
        sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
        for name in ("objects", "filled", "verified", "differing")
    ]
    op.create_table(
        "rebuild",
        sa.Column("id", sa.Uuid(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("state", "why", "version")],
        *[sa.Column(name, sa.Text(), nullable=True) for name in ("old", "new", "fault", "lost")],
        sa.Column("old_fields", postgresql.ARRAY(sa.Text()), nullable=True),
        *[sa.Column(name, sa.Uuid(), nullable=True) for name in ("after", "upto")],
        sa.Column("stride", sa.Integer(), server_default="0", nullable=False),
        *counts,
        sa.Column("seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("differences", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("began_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        *[sa.Column(name, _MOMENT, nullable=True) for name in ("filled_at", "swapped_at", "ended_at")],
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebuild")),
    )
    op.create_index("ix_rebuild_began_at", "rebuild", ["began_at"])
