"""Which bytes lay under an upload's key at the last look, whose size alone does not tell; and why a scan began."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0037"


def upgrade() -> None:
    """Add both; of what was looked at before it is not known, and every scan was asked for."""
    op.add_column("upload", sa.Column("lying_etag", sa.Text(), nullable=True))
    op.add_column("scan", sa.Column("cause", sa.Text(), nullable=False, server_default="asked"))
    op.alter_column("scan", "asked_by", nullable=True)
