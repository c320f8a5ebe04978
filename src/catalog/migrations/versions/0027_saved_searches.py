"""Saved searches, the objects that fitted them, and the addresses that mail may go to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"

_MOMENT = sa.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Go one step forward."""
    op.create_table(
        "saved_search",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("made_with", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("question", postgresql.JSONB(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("rhythm", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("asked_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("told_at", _MOMENT, nullable=True),
        sa.Column("feed_digest", sa.LargeBinary(), nullable=True),
        sa.Column("secret_id", sa.Uuid(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", _MOMENT, nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("stopped_at", _MOMENT, nullable=True),
        sa.CheckConstraint("(channel = 'feed') = (address IS NULL)", name=op.f("ck_saved_search_address_where_needed")),
        sa.ForeignKeyConstraint(["owner_id"], ["principal.id"], name=op.f("fk_saved_search_owner_id_principal")),
        sa.ForeignKeyConstraint(["made_with"], ["token.id"], name=op.f("fk_saved_search_made_with_token")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_search")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_saved_search_owner_id_name")),
        sa.UniqueConstraint("feed_digest", name=op.f("uq_saved_search_feed_digest")),
    )
    op.create_table(
        "saved_alert",
        sa.Column("search_id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("matched_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("waiting", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=True),
        sa.Column("sent_at", _MOMENT, nullable=True),
        sa.Column("batch", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["search_id"], ["saved_search.id"], name=op.f("fk_saved_alert_search_id_saved_search"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_saved_alert_object_id_object")),
        sa.PrimaryKeyConstraint("search_id", "object_id", name=op.f("pk_saved_alert")),
    )
    op.create_index(op.f("ix_saved_alert_object_id"), "saved_alert", ["object_id"])
    op.create_index("ix_saved_alert_waiting", "saved_alert", ["search_id"], postgresql_where=sa.text("waiting"))
    unsent = sa.text("seen_at IS NOT NULL AND sent_at IS NULL")
    op.create_index("ix_saved_alert_unsent", "saved_alert", ["search_id"], postgresql_where=unsent)
    op.create_index("ix_saved_alert_seen", "saved_alert", ["search_id", "seen_at"])
    op.create_table(
        "mail_address",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("asked_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("confirmed_at", _MOMENT, nullable=True),
        sa.Column("refused_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_mail_address_principal_id_principal")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_address")),
        sa.UniqueConstraint("principal_id", "address", name=op.f("uq_mail_address_principal_id_address")),
    )
