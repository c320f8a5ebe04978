"""Files that others put into a bucket and that no object claims."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "discovered_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("store_version", sa.Text(), nullable=True),
        sa.Column("modified_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("found_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discovered_file")),
        sa.UniqueConstraint("backend", "bucket", "key", name=op.f("uq_discovered_file_backend_bucket_key")),
    )
    op.create_index("ix_discovered_file_project_id", "discovered_file", ["project", "id"])
