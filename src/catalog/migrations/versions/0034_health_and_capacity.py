"""How backends are, who is told when one fails or works again; what each can hold and how much lies in it.

Triggers count what lies there as they count what projects hold (0025): each adds a row and changes none, so that nobody
waits for anybody.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"

_MOMENT = sa.TIMESTAMP(timezone=True)
_NOW = sa.text("now()")


# What one row adds to what lies in its backend, and to what open tickets may still bring, for `one`: a row as it is, or
# as it was.
_COUNTED = {
    "upload": (
        "CASE one.state WHEN 'open' THEN 0 ELSE coalesce(one.lying_size, 0) END",
        "CASE one.state WHEN 'open' THEN one.size ELSE 0 END",
    ),
    "discovered_file": ("one.size", "0"),
}
_ADD = """
    INSERT INTO backend_use (backend, stored, awaited)
    SELECT backend, sum(stored), sum(awaited) FROM ({rows}) AS counted
    GROUP BY backend HAVING sum(stored) <> 0 OR sum(awaited) <> 0
    """


def _rows(table: str, source: str, sign: str) -> str:
    stored, awaited = _COUNTED[table]
    return f"""
        SELECT one.backend, {sign}({stored})::bigint AS stored, {sign}({awaited})::bigint AS awaited
        FROM {source} AS one
        """  # ruff: ignore[S608] - all of it stands in this file.


def _events(table: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each event, the tables that its trigger sees, and what it counts."""
    added, removed = _rows(table, "after", ""), _rows(table, "before", "-")
    yield "insert", "NEW TABLE AS after", [added]
    yield "delete", "OLD TABLE AS before", [removed]
    yield "update", "OLD TABLE AS before NEW TABLE AS after", [added, removed]


def _count(table: str) -> None:
    """Have every change of a table counted, statement by statement."""
    for event, tables, rows in _events(table):
        name = f"count_{table}_{event}_of_backend"
        added = _ADD.format(rows=" UNION ALL ".join(rows))
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {added}; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event.upper()} ON {table} REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )


def upgrade() -> None:
    """Add health, then capacity; backends that are there are healthy until they were tried."""
    _add_health()
    _add_capacity()


def _add_capacity() -> None:
    for name in ("capacity_bytes", "watermark_percent", "reserved_gb"):
        op.add_column("storage_backend", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "backend_use",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("awaited", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backend_use")),
    )
    op.create_index(op.f("ix_backend_use_backend"), "backend_use", ["backend"])
    op.create_table(
        "backend_day",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("backend", "day", name=op.f("pk_backend_day")),
    )
    # In the order in which changes take them. Until this is committed nobody else writes: what is counted is all.
    op.execute("LOCK TABLE upload, discovered_file IN ACCESS EXCLUSIVE MODE")
    for table in _COUNTED:
        _count(table)
    every = " UNION ALL ".join(_rows(table, table, "") for table in _COUNTED)
    op.execute(_ADD.format(rows=every))


def _add_health() -> None:
    op.create_table(
        "backend_health",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("suspected_at", _MOMENT, nullable=True),
        sa.Column("checked_at", _MOMENT, nullable=False),
        sa.Column("faults", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("backend", name=op.f("pk_backend_health")),
    )
    op.create_table(
        "backend_probe",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("faults", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backend_probe")),
    )
    op.create_index("ix_backend_probe_backend_id", "backend_probe", ["backend", "id"])
    op.create_table(
        "notice_webhook",
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret_id", sa.Uuid(), nullable=False),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.Column("set_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("stopped_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization"], ["organization.name"], name=op.f("fk_notice_webhook_organization_organization")
        ),
        sa.ForeignKeyConstraint(["set_by"], ["principal.id"], name=op.f("fk_notice_webhook_set_by_principal")),
        sa.PrimaryKeyConstraint("organization", name=op.f("pk_notice_webhook")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("faults", postgresql.JSONB(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", _MOMENT, nullable=True),
        sa.CheckConstraint("(channel = 'mail') = (principal_id IS NOT NULL)", name=op.f("ck_notice_receiver")),
        sa.CheckConstraint(
            "channel <> 'webhook' OR organization IS NOT NULL", name=op.f("ck_notice_webhook_of_organization")
        ),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_notice_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
