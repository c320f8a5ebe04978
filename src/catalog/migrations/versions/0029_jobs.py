"""Jobs: a row for each object of that kind, which triggers make whichever way the object came.

A trigger alone sees objects that are registered one by one, in bulk by COPY, and by whatever comes later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Go one step forward."""
    op.create_table(
        "job",
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('open', 'ended')", name=op.f("ck_job_state")),
        sa.CheckConstraint("outcome IN ('succeeded', 'failed')", name=op.f("ck_job_outcome")),
        sa.CheckConstraint(
            "(state = 'ended') = (ended_at IS NOT NULL) AND (state = 'ended') = (outcome IS NOT NULL)",
            name=op.f("ck_job_ended_whole"),
        ),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_job_object_id_object")),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_job")),
    )
    op.create_index("ix_job_key", "job", ["key", "project"])
    op.create_index("ix_job_ended_at", "job", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"))
    op.execute(
        "CREATE FUNCTION make_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO job (object_id, key, project) VALUES (NEW.id, NEW.name, NEW.project)"
        " ON CONFLICT (object_id) DO UPDATE SET key = excluded.key, project = excluded.project;"
        " RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER make_job AFTER INSERT ON object FOR EACH ROW WHEN (NEW.kind = 'job')"
        " EXECUTE FUNCTION make_job()"
    )
    op.execute(
        "CREATE TRIGGER rename_job AFTER UPDATE OF name, project ON object FOR EACH ROW"
        " WHEN (NEW.kind = 'job' AND (NEW.name, NEW.project) IS DISTINCT FROM (OLD.name, OLD.project))"
        " EXECUTE FUNCTION make_job()"
    )
