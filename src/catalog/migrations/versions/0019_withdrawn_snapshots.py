"""When a snapshot was withdrawn, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the columns; a snapshot that has neither was not withdrawn."""
    op.add_column("snapshot", sa.Column("withdrawn_at", sa.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("snapshot", sa.Column("withdrawal_reason", sa.Text(), nullable=True))
