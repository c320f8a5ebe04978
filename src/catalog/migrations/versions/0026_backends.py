"""Backends of organizations, their sealed keys, and who uses which; the stage of files that were found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"

_MOMENT = sa.TIMESTAMP(timezone=True)
_LIVE = sa.text("detached_at IS NULL")


def upgrade() -> None:
    """Add the tables; every organization and project goes on with the catalog's own store."""
    op.create_table(
        "storage_backend",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "endpoint", "region", "addressing")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("bucket", "prefix", "root")),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in ("document", "data")),
        *(sa.Column(name, sa.Text()) for name in ("arn", "account_id", "account_alias", "account_user")),
        sa.Column("health", sa.Text(), nullable=False),
        sa.Column("checks", postgresql.JSONB(), nullable=False),
        sa.Column("checked_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=False),
        sa.Column("changed_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("detached_at", _MOMENT, nullable=True),
        sa.CheckConstraint("document OR data", name=op.f("ck_storage_backend_used")),
        sa.ForeignKeyConstraint(
            ["organization"], ["organization.name"], name=op.f("fk_storage_backend_organization_organization")
        ),
        sa.ForeignKeyConstraint(["created_by"], ["principal.id"], name=op.f("fk_storage_backend_created_by_principal")),
        sa.ForeignKeyConstraint(["changed_by"], ["principal.id"], name=op.f("fk_storage_backend_changed_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_backend")),
    )
    place = ["organization", "endpoint", "bucket", "prefix"]
    op.create_index("uq_storage_backend_place", "storage_backend", place, unique=True, postgresql_where=_LIVE)
    name = ["organization", "name"]
    op.create_index("uq_storage_backend_name", "storage_backend", name, unique=True, postgresql_where=_LIVE)
    op.create_table(
        "backend_secret",
        sa.Column("backend_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("data_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["backend_id"],
            ["storage_backend.id"],
            name=op.f("fk_backend_secret_backend_id_storage_backend"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("backend_id", name=op.f("pk_backend_secret")),
    )
    op.create_index(op.f("ix_backend_secret_key_id"), "backend_secret", ["key_id"])
    op.create_table(
        "storage_choice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("backend_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["backend_id"],
            ["storage_backend.id"],
            name=op.f("fk_storage_choice_backend_id_storage_backend"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_choice")),
        sa.UniqueConstraint(
            "scope",
            "use",
            "backend_id",
            name=op.f("uq_storage_choice_scope_use_backend_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_storage_choice_backend_id"), "storage_choice", ["backend_id"])
    op.add_column("discovered_file", sa.Column("stage", sa.Text(), nullable=True))
    op.execute(
        """
        UPDATE discovered_file SET stage = CASE
            WHEN below LIKE 'source/uploads/%' OR below LIKE 'uploads/%' THEN 'uploaded'
            WHEN below LIKE 'source/%' THEN 'source'
            WHEN below LIKE 'harmonized/%' THEN 'harmonized'
        END
        FROM (
            SELECT id AS found, substr(key, strpos(key, project || '/') + length(project) + 1) AS below
            FROM discovered_file WHERE project IS NOT NULL
        ) AS placed WHERE placed.found = discovered_file.id
        """
    )
    documents = sa.text("use = 'document'")
    op.create_index("uq_storage_choice_document", "storage_choice", ["scope"], unique=True, postgresql_where=documents)
