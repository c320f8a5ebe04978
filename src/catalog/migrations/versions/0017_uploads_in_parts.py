"""Uploads in parts."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add what is known of an upload's parts."""
    op.add_column("upload", sa.Column("multipart_id", sa.Text(), nullable=True))
    op.add_column("upload", sa.Column("sent_at", sa.TIMESTAMP(timezone=True), nullable=True))
