"""What was told long ago, in a number for each search instead of a row for each pair."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Go one step forward."""
    op.add_column("saved_search", sa.Column("number", sa.Integer(), sa.Identity(always=True), nullable=False))
    op.create_unique_constraint(op.f("uq_saved_search_number"), "saved_search", ["number"])
    op.create_table(
        "already_told",
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("searches", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_already_told_object_id_object")),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_already_told")),
    )
    # They are kept no longer: what its owner may not see is noted anew when it is changed.
    op.execute("DELETE FROM saved_alert WHERE NOT waiting AND seen_at IS NULL")
