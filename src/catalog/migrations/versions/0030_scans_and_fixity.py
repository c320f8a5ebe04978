"""Scans of what backends hold, hashes of files that were found, and when bytes were last read again."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "scan",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("files", "bytes", "added", "changed", "looks")
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("started_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["asked_by"], ["principal.id"], name=op.f("fk_scan_asked_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scan")),
    )
    op.create_index("ix_scan_backend_id", "scan", ["backend", "id"])
    running = sa.text("state = 'running'")
    op.create_index("uq_scan_running", "scan", ["backend"], unique=True, postgresql_where=running)
    op.create_table(
        "scanned_key",
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["scan_id"], ["scan.id"], name=op.f("fk_scanned_key_scan_id_scan"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("scan_id", "key_hash", name=op.f("pk_scanned_key")),
    )
    op.add_column("discovered_file", sa.Column("sha256", sa.Text(), nullable=True))
    op.add_column("discovered_file", sa.Column("hashed_at", _MOMENT, nullable=True))
    op.create_table(
        "fixity_check",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("store_version", sa.Text(), server_default="", nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("found_sha256", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("checked_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("backend", "bucket", "key", "store_version", name=op.f("pk_fixity_check")),
    )
    op.create_index(
        "ix_fixity_check_failed",
        "fixity_check",
        ["checked_at"],
        postgresql_where=sa.text("outcome <> 'intact'"),
    )
