"""Which bytes lay under an upload's key at the last look, why a scan began, and how many events a store lost."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0039"


def upgrade() -> None:
    """Add all three; of what was looked at before it is not known, and every scan was asked for."""
    op.add_column("upload", sa.Column("lying_etag", sa.Text(), nullable=True))
    op.add_column("scan", sa.Column("cause", sa.Text(), nullable=False, server_default="asked"))
    op.add_column("backend_health", sa.Column("events_lost", sa.BigInteger(), nullable=True))
    op.alter_column("scan", "asked_by", nullable=True)
