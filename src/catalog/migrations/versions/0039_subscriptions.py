"""Subscriptions to changes of objects: each change queues, in its own transaction, of what each of them is told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0039"
down_revision = "0037"

_MOMENT = sa.TIMESTAMP(timezone=True)

# An entry that is in the hands of a worker, or waits, stays as it is but for being touched: were it due at once, a
# second worker would tell of the same object beside the first. Its lock orders the two statements below, and whoever
# changes the same object without holding it.
_FITTING = """
    FROM news JOIN object ON object.id = news.object_id
    JOIN subscription ON subscription.place = ANY (ARRAY['', split_part(object.project, '/', 1), object.project])
        AND (subscription.kinds = '{}' OR object.kind = ANY (subscription.kinds))
    WHERE subscription.stopped_at IS NULL
    """
_TOLD = f"""
    CREATE FUNCTION subscriptions_told() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM subscription WHERE stopped_at IS NULL) THEN
            RETURN NULL;
        END IF;
        INSERT INTO queue (topic, subject)
        SELECT DISTINCT 'subscription:' || subscription.id AS topic, object.id::text AS subject {_FITTING}
        ORDER BY topic, subject
        ON CONFLICT (topic, subject) DO UPDATE
        SET touched = queue.touched + 1, parked_at = NULL, reason = NULL,
            attempts = CASE WHEN queue.parked_at IS NULL THEN queue.attempts ELSE 0 END,
            ready_at = CASE WHEN queue.parked_at IS NULL THEN queue.ready_at ELSE excluded.ready_at END;
        INSERT INTO subscription_position (subscription_id, object_id, next)
        SELECT subscription.id, object.id, min(news.id) {_FITTING}
        GROUP BY subscription.id, object.id ORDER BY subscription.id, object.id
        ON CONFLICT (subscription_id, object_id) DO UPDATE
        SET next = LEAST(subscription_position.next, excluded.next);
        RETURN NULL;
    END $$
    """  # ruff: ignore[S608] - ours.


def upgrade() -> None:
    """Add the tables and the trigger."""
    op.create_table(
        "subscription",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("made_with", sa.Uuid(), nullable=True),
        sa.Column("place", sa.Text(), server_default="", nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("types", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret_id", sa.Uuid(), nullable=False),
        sa.Column("secret_made_with", sa.Uuid(), nullable=True),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("told_at", _MOMENT, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", _MOMENT, nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("stopped_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["principal.id"], name=op.f("fk_subscription_owner_id_principal")),
        sa.ForeignKeyConstraint(["made_with"], ["token.id"], name=op.f("fk_subscription_made_with_token")),
        sa.ForeignKeyConstraint(
            ["secret_made_with"], ["token.id"], name=op.f("fk_subscription_secret_made_with_token")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
    )
    op.create_index("ix_subscription_owner_id", "subscription", ["owner_id"])
    op.create_index("ix_subscription_told", "subscription", ["place"], postgresql_where=sa.text("stopped_at IS NULL"))
    op.create_table(
        "subscription_position",
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "object_id", name=op.f("pk_subscription_position")),
    )
    op.execute(_TOLD)
    op.execute(
        "CREATE TRIGGER subscriptions_told AFTER INSERT ON audit REFERENCING NEW TABLE AS news"
        " FOR EACH STATEMENT EXECUTE FUNCTION subscriptions_told()"
    )
