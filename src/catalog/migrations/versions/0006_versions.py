"""Published versions with their frozen files, and the reason of a withdrawal."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables, and what objects know of them."""
    op.create_table(
        "version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), nullable=False),
        sa.Column("record", JSONB(), nullable=False),
        sa.Column("published_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=False),
        sa.Column("withdrawn_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("number > 0", name=op.f("ck_version_number_positive")),
        sa.CheckConstraint("(withdrawn_at IS NULL) = (reason IS NULL)", name=op.f("ck_version_withdrawn_with_reason")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_version_object_id_object")),
        sa.ForeignKeyConstraint(["published_by"], ["principal.id"], name=op.f("fk_version_published_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint("object_id", "number", name=op.f("uq_version_object_id_number")),
        sa.UniqueConstraint("object_id", "label", name=op.f("uq_version_object_id_label")),
    )
    op.create_table(
        "version_file",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("store_version", sa.Text(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("found_size", sa.BigInteger(), nullable=True),
        sa.Column("found_sha256", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_version_file_version_id_version")),
        sa.PrimaryKeyConstraint("version_id", "path", name=op.f("pk_version_file")),
    )
    op.create_index("ix_version_file_location", "version_file", ["backend", "bucket", "key"])
    op.add_column("object", sa.Column("version", sa.Integer(), nullable=True))
    op.add_column("object", sa.Column("withdrawal_reason", sa.Text(), nullable=True))
