"""Who is responsible for objects, on whose behalf agents act, and which activities informed which."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "responsibility",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("responsible_id", sa.Uuid(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "responsible_id IS NULL OR role IS NULL", name=op.f("ck_responsibility_role_of_attribution")
        ),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_responsibility_object_id_object")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_responsibility_agent_id_agent")),
        sa.ForeignKeyConstraint(["responsible_id"], ["agent.id"], name=op.f("fk_responsibility_responsible_id_agent")),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_responsibility_principal_id_principal")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_responsibility")),
        sa.UniqueConstraint(
            "object_id",
            "agent_id",
            "responsible_id",
            "role",
            name=op.f("uq_responsibility_object_id_agent_id_responsible_id_role"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_responsibility_agent_id", "responsibility", ["agent_id"])
    op.create_table(
        "delegation",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("responsible_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_delegation_activity_id_activity")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_delegation_agent_id_agent")),
        sa.ForeignKeyConstraint(["responsible_id"], ["agent.id"], name=op.f("fk_delegation_responsible_id_agent")),
        sa.PrimaryKeyConstraint("activity_id", "agent_id", "responsible_id", name=op.f("pk_delegation")),
    )
    op.create_table(
        "communication",
        sa.Column("informed_id", sa.Uuid(), nullable=False),
        sa.Column("informant_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.CheckConstraint("informed_id <> informant_id", name=op.f("ck_communication_not_of_itself")),
        sa.ForeignKeyConstraint(["informed_id"], ["activity.id"], name=op.f("fk_communication_informed_id_activity")),
        sa.ForeignKeyConstraint(["informant_id"], ["activity.id"], name=op.f("fk_communication_informant_id_activity")),
        sa.PrimaryKeyConstraint("informed_id", "informant_id", name=op.f("pk_communication")),
    )
    op.create_index("ix_communication_informant_id", "communication", ["informant_id"])
