"""DOIs of objects, versions and snapshots."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "doi",
        sa.Column("doi", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("snapshot_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("errors", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("locked_out", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("registered", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("judged_digest", sa.Text(), nullable=True),
        sa.Column("sending_until", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("(object_id IS NULL) <> (snapshot_id IS NULL)", name=op.f("ck_doi_one_subject")),
        sa.CheckConstraint("version IS NULL OR object_id IS NOT NULL", name=op.f("ck_doi_version_of_an_object")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_doi_object_id_object")),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_doi_principal_id_principal")),
        sa.PrimaryKeyConstraint("doi", name=op.f("pk_doi")),
        sa.UniqueConstraint(
            "object_id",
            "version",
            "snapshot_id",
            name=op.f("uq_doi_object_id_version_snapshot_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_doi_state", "doi", ["state"])
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("record", postgresql.JSONB(), nullable=False),
        sa.Column("question", postgresql.JSONB(), nullable=False),
        sa.Column("taken_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_snapshot_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    op.create_table(
        "snapshot_member",
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_snapshot_member_snapshot_id_snapshot")),
        sa.PrimaryKeyConstraint("snapshot_id", "position", name=op.f("pk_snapshot_member")),
    )
    op.create_foreign_key(op.f("fk_doi_snapshot_id_snapshot"), "doi", "snapshot", ["snapshot_id"], ["id"])
