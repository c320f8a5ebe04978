"""What stores can do, and a token for each with which it tells of its keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Add both; what stores can do is found when they are tried next."""
    op.add_column("backend_health", sa.Column("capabilities", postgresql.JSONB(), nullable=True))
    op.create_table(
        "backend_event_token",
        sa.Column("backend_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("former_digest", sa.LargeBinary(), nullable=True),
        sa.Column("former_until", _MOMENT, nullable=True),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(former_digest IS NULL) = (former_until IS NULL)", name=op.f("ck_backend_event_token_former_whole")
        ),
        sa.ForeignKeyConstraint(
            ["backend_id"],
            ["storage_backend.id"],
            name=op.f("fk_backend_event_token_backend_id_storage_backend"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["made_by"], ["principal.id"], name=op.f("fk_backend_event_token_made_by_principal")),
        sa.PrimaryKeyConstraint("backend_id", name=op.f("pk_backend_event_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_backend_event_token_digest")),
        sa.UniqueConstraint("former_digest", name=op.f("uq_backend_event_token_former_digest")),
    )
