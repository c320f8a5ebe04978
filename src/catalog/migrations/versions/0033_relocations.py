"""Relocations, and the files on their way in them."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "relocation",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("scope", "source", "target", "target_bucket", "target_prefix", "state")
        ),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["principal.id"], name=op.f("fk_relocation_created_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relocation")),
    )
    op.create_index(op.f("ix_relocation_scope"), "relocation", ["scope"])
    op.create_table(
        "relocated_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("relocation_id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project", "path")),
        sa.Column("size", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("sha256", "media_type", "bucket", "key")),
        sa.Column("store_version", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=True)
            for name in ("target_key", "target_version", "target_etag", "multipart_id")
        ),
        *(sa.Column(name, _MOMENT, nullable=True) for name in ("copied_at", "switched_at")),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", _MOMENT, nullable=True),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("reason", "found_sha256")),
        sa.ForeignKeyConstraint(
            ["relocation_id"],
            ["relocation.id"],
            name=op.f("fk_relocated_file_relocation_id_relocation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relocated_file")),
        sa.UniqueConstraint(
            "relocation_id",
            "bucket",
            "key",
            "store_version",
            name=op.f("uq_relocated_file_relocation_id_bucket_key_store_version"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_relocated_file_relocation_id_state_id", "relocated_file", ["relocation_id", "state", "id"])
    op.create_index(op.f("ix_relocated_file_key"), "relocated_file", ["key"])
    op.create_index(op.f("ix_relocated_file_target_key"), "relocated_file", ["target_key"])
