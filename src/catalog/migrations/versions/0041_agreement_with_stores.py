"""Which bytes lay under an upload's key at the last look: their size alone does not tell."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0037"


def upgrade() -> None:
    """Add it; of what was looked at before it is not known."""
    op.add_column("upload", sa.Column("lying_etag", sa.Text(), nullable=True))
