"""Names of objects, unique among those of a kind in a project."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and its uniqueness."""
    op.add_column("object", sa.Column("name", sa.Text(), nullable=True))
    op.create_index(
        "uq_object_project_kind_name",
        "object",
        ["project", "kind", "name"],
        unique=True,
        postgresql_where=sa.text("name IS NOT NULL AND withdrawn_at IS NULL"),
    )
