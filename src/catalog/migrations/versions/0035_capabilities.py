"""What stores can do, as it was found when they were tried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Add it; indexers find it when they start next."""
    op.add_column("backend_health", sa.Column("capabilities", postgresql.JSONB(), nullable=True))
