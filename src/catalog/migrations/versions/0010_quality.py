"""The last assessment of each object."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0010"
down_revision = "0006"


def upgrade() -> None:
    """Add the table; the indexer fills it as it indexes."""
    op.create_table(
        "quality",
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("passes", sa.Boolean(), nullable=False),
        sa.Column("failed", ARRAY(sa.Text()), nullable=False),
        sa.Column("assessed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_quality_score_in_percent")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_quality_object_id_object")),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_quality")),
    )
    op.create_index("ix_quality_failed", "quality", ["failed"], postgresql_using="gin")
