"""Where whoever touched an entry of the queue is traced, and a short way to what is parked."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Add both; what is in the queue is traced by nobody."""
    op.add_column("queue", sa.Column("trace", sa.Text(), nullable=True))
    op.create_index("ix_queue_parked", "queue", ["topic", "id"], postgresql_where=sa.text("parked_at IS NOT NULL"))
