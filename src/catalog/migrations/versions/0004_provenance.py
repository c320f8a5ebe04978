"""Provenance: relations, activities, what they used and generated, agents and their parts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "relation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("identifier_type", sa.Text(), nullable=True),
        sa.Column("identifier", sa.Text(), nullable=True),
        sa.Column("later_id", sa.Uuid(), nullable=True),
        sa.Column("earlier_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(target_id IS NULL) = (identifier IS NOT NULL)", name=op.f("ck_relation_one_target")),
        sa.CheckConstraint(
            "(identifier IS NULL) = (identifier_type IS NULL)", name=op.f("ck_relation_identifier_typed")
        ),
        sa.CheckConstraint("(later_id IS NULL) = (earlier_id IS NULL)", name=op.f("ck_relation_lineage_whole")),
        sa.CheckConstraint("later_id <> earlier_id", name=op.f("ck_relation_not_from_itself")),
        sa.ForeignKeyConstraint(["subject_id"], ["object.id"], name=op.f("fk_relation_subject_id_object")),
        sa.ForeignKeyConstraint(["target_id"], ["object.id"], name=op.f("fk_relation_target_id_object")),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_relation_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relation")),
        sa.UniqueConstraint(
            "subject_id",
            "type",
            "target_id",
            "identifier_type",
            "identifier",
            name=op.f("uq_relation_subject_id_type_target_id_identifier_type_identifier"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_relation_target_id", "relation", ["target_id"])
    op.create_index(
        "ix_relation_later_id",
        "relation",
        ["later_id", "earlier_id"],
        postgresql_where=sa.text("later_id IS NOT NULL"),
    )
    op.create_index(
        "ix_relation_earlier_id",
        "relation",
        ["earlier_id", "later_id"],
        postgresql_where=sa.text("earlier_id IS NOT NULL"),
    )
    op.create_table(
        "activity",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("software", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("code", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_activity_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
    )
    op.create_table(
        "agent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        sa.UniqueConstraint(
            "type",
            "name",
            "identifier",
            "version",
            name=op.f("uq_agent_type_name_identifier_version"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "involvement",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_involvement_activity_id_activity")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_involvement_object_id_object")),
        sa.PrimaryKeyConstraint("activity_id", "way", "object_id", name=op.f("pk_involvement")),
    )
    op.create_index("ix_involvement_object_id", "involvement", ["object_id", "way", "activity_id"])
    op.create_table(
        "association",
        sa.Column("activity_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_association_activity_id_activity")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_association_agent_id_agent")),
        sa.PrimaryKeyConstraint("activity_id", "position", name=op.f("pk_association")),
    )
    op.create_index("ix_association_agent_id", "association", ["agent_id"])
