"""Find the prefixes that everybody may read below."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Add an index of these few alone."""
    op.create_index(
        "ix_object_grant_prefix_public",
        "object_grant",
        ["prefix"],
        postgresql_where=sa.text("grantee = 'public' AND prefix IS NOT NULL"),
    )
