"""Organizations, projects, groups, roles and grants; objects say who may change them."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"

_MOMENT = sa.TIMESTAMP(timezone=True)


def _created() -> sa.Column[datetime]:
    return sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    """Add the tables; what there is stays with its owners, and its projects come to be."""
    op.create_table(
        "organization",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        _created(),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_organization")),
    )
    op.create_table(
        "project",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        _created(),
        sa.ForeignKeyConstraint(
            ["organization"], ["organization.name"], name=op.f("fk_project_organization_organization")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_project")),
    )
    op.create_index(op.f("ix_project_organization"), "project", ["organization"])
    op.create_table(
        "principal_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(
            ["organization"], ["organization.name"], name=op.f("fk_principal_group_organization_organization")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal_group")),
        sa.UniqueConstraint("organization", "name", name=op.f("uq_principal_group_organization_name")),
    )
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["principal_group.id"], name=op.f("fk_group_member_group_id_principal_group")
        ),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_group_member_principal_id_principal")
        ),
        sa.PrimaryKeyConstraint("group_id", "principal_id", name=op.f("pk_group_member")),
    )
    op.create_index(op.f("ix_group_member_principal_id"), "group_member", ["principal_id"])
    op.create_table(
        "membership",
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("member", "scope", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_scope"), "membership", ["scope"])
    op.create_table(
        "object_grant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("prefix", sa.Text(), nullable=True),
        sa.Column("grantee", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=True),
        sa.Column("granted_by", sa.Uuid(), nullable=False),
        _created(),
        sa.CheckConstraint("(object_id IS NULL) <> (prefix IS NULL)", name=op.f("ck_object_grant_object_or_prefix")),
        sa.ForeignKeyConstraint(["granted_by"], ["principal.id"], name=op.f("fk_object_grant_granted_by_principal")),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_object_grant_object_id_object")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_object_grant")),
    )
    op.create_index("ix_object_grant_grantee", "object_grant", ["grantee"])
    op.create_index("ix_object_grant_object_id", "object_grant", ["object_id"])
    op.create_index("ix_object_grant_prefix", "object_grant", ["prefix"])
    op.execute("INSERT INTO organization (name) SELECT DISTINCT split_part(project, '/', 1) FROM object")
    op.execute(
        "INSERT INTO project (name, organization) SELECT DISTINCT project, split_part(project, '/', 1) FROM object"
    )
    op.add_column("object", sa.Column("writers", postgresql.ARRAY(sa.Text()), nullable=True))
    # The documents have to say it too: their numbers grow, and every one is queued.
    op.execute(
        """
        UPDATE object SET
            writers = ARRAY['user:' || owner_id, 'write:' || split_part(project, '/', 1), 'write:' || project],
            readers = readers || ARRAY['read:' || split_part(project, '/', 1), 'read:' || project],
            relabelled = relabelled + 1
        """
    )
    op.execute(
        """
        INSERT INTO queue (topic, subject) SELECT 'index', id::text FROM object ORDER BY id
        ON CONFLICT (topic, subject) DO UPDATE SET touched = queue.touched + 1, ready_at = now(), attempts = 0,
        parked_at = NULL, reason = NULL
        """
    )
    op.alter_column("object", "writers", nullable=False)
