"""Retention: rules, holds, marks, stops, the clock that was witnessed, and bytes that are to go."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"

_MOMENT = sa.TIMESTAMP(timezone=True)
_NOW = sa.text("now()")


def upgrade() -> None:
    """Go one step forward."""
    _rules()
    _marks()
    _leftovers()


def _rules() -> None:
    op.create_table(
        "retention_rule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("versions", sa.Boolean(), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.Column("set_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.CheckConstraint("(scope IS NULL) <> (object_id IS NULL)", name=op.f("ck_retention_rule_one_place")),
        sa.CheckConstraint("kind IS NULL OR scope IS NOT NULL", name=op.f("ck_retention_rule_kind_in_a_scope")),
        sa.CheckConstraint("days > 0", name=op.f("ck_retention_rule_days_positive")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_retention_rule_object_id_object")),
        sa.ForeignKeyConstraint(["set_by"], ["principal.id"], name=op.f("fk_retention_rule_set_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_rule")),
        sa.UniqueConstraint(
            "scope",
            "kind",
            "object_id",
            name=op.f("uq_retention_rule_scope_kind_object_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_retention_rule_object_id", "retention_rule", ["object_id"])
    op.create_table(
        "retention_hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.Uuid(), nullable=False),
        sa.Column("placed_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.CheckConstraint("(project IS NULL) <> (object_id IS NULL)", name=op.f("ck_retention_hold_one_place")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_retention_hold_object_id_object")),
        sa.ForeignKeyConstraint(["placed_by"], ["principal.id"], name=op.f("fk_retention_hold_placed_by_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_hold")),
    )
    op.create_index("ix_retention_hold_project", "retention_hold", ["project"])
    op.create_index("ix_retention_hold_object_id", "retention_hold", ["object_id"])


def _marks() -> None:
    whole = (
        "(marked_at IS NULL) = (removes_at IS NULL) AND (marked_at IS NULL) = (due_at IS NULL) "
        "AND (marked_at IS NULL) = (witnessed IS NULL) AND (marked_at IS NULL) = (rule IS NULL)"
    )
    op.create_table(
        "retention_mark",
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("rule", postgresql.JSONB(), nullable=True),
        sa.Column("due_at", _MOMENT, nullable=True),
        sa.Column("marked_at", _MOMENT, nullable=True),
        sa.Column("removes_at", _MOMENT, nullable=True),
        sa.Column("witnessed", sa.BigInteger(), nullable=True),
        sa.Column("kept_from", _MOMENT, nullable=True),
        sa.CheckConstraint(whole, name=op.f("ck_retention_mark_whole")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_retention_mark_object_id_object")),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_retention_mark")),
    )
    op.create_index("ix_retention_mark_removes_at", "retention_mark", ["removes_at"])
    op.create_table(
        "retention_stop",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("stopped_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("resumed_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_retention_stop")),
    )
    op.create_table(
        "retention_clock",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seen_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("witnessed", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_retention_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_clock")),
    )


def _leftovers() -> None:
    op.create_table(
        "leftover",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("store_versions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("found_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("removes_at", _MOMENT, nullable=False),
        sa.Column("witnessed", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_leftover_object_id_object")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leftover")),
        sa.UniqueConstraint("backend", "bucket", "key", name=op.f("uq_leftover_backend_bucket_key")),
    )
    op.create_index("ix_leftover_object_id", "leftover", ["object_id"])
    op.create_index("ix_leftover_removes_at", "leftover", ["removes_at"], postgresql_where=sa.text("ended_at IS NULL"))
    # Uploads that are over and may have left bytes: few among all that there ever were.
    op.create_index(
        "ix_upload_over",
        "upload",
        ["expires_at"],
        postgresql_where=sa.text(
            "state = 'abandoned' OR state = 'superseded' AND (lying_size IS NOT NULL OR multipart_id IS NOT NULL)"
        ),
    )
    op.create_index("ix_file_location", "file", ["backend", "bucket", "key"])
    op.create_index("ix_snapshot_member_object_id", "snapshot_member", ["object_id"])
